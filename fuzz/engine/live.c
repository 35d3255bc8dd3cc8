/* The reference: see live.h. */
#include "live.h"

#include "past.h"
#include "pattern.h"
#include "support/family.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A block counts as busy with at most this much: of huge ones pattern.c touches little. */
#define TOUCHED_MAX ((size_t)32 * 1024 * 1024)

static struct block blocks[LIVE_SLOTS];
static uint16_t by_address[LIVE_SLOTS]; /* slots of live blocks, ascending */
static size_t count;
static size_t busy_bytes;
static size_t requested_bytes;
static uint64_t work_bytes;
static uint64_t next_number;
static size_t position_record;
static const char *position_what = "start";
static bool is_hostile;

void live_fail(const char *format, ...)
{
    fprintf(stderr, "fuzz: record %zu (%s): ", position_record, position_what);
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    abort();
}

void live_at(size_t record, const char *what)
{
    position_record = record;
    position_what = what;
}

void live_begin(uint64_t seed)
{
    /* An input that ended by a report leaves blocks behind; their heap is gone. */
    for (size_t place = 0; place < count; place++)
        blocks[by_address[place]].at = NULL;
    count = busy_bytes = requested_bytes = 0;
    work_bytes = 0;
    next_number = seed << 32;
    is_hostile = false;
    past_begin();
}

void live_turn_hostile(void)
{
    is_hostile = true;
}

const struct block *live_block(unsigned slot)
{
    return blocks[slot].at == NULL ? NULL : &blocks[slot];
}

static size_t touched_bytes(const struct block *block)
{
    return block->usable < TOUCHED_MAX ? block->usable : TOUCHED_MAX;
}

/* What one fill or check costs, counted in bytes: in a larger block a sample costs a page fault. */
static size_t filling_cost(const struct block *block)
{
    enum { MOST = 256 * 1024, CALL = 64 };
    return (block->usable < MOST ? block->usable : MOST) + CALL;
}

/* The place in the index where a block at `at` stands or would stand. */
static size_t index_of(const unsigned char *at)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (blocks[by_address[middle]].at < at)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void refuse_overlap(const struct block *low, const struct block *high)
{
    size_t extent = low->usable > 0 ? low->usable : 1;
    if ((uintptr_t)high->at - (uintptr_t)low->at < extent)
        live_fail("block %p of %zu bytes (usable %zu) overlaps block %p of %zu bytes", (void *)low->at, low->size,
                  low->usable, (void *)high->at, high->size);
}

static void index_insert(unsigned slot)
{
    const struct block *block = &blocks[slot];
    size_t place = index_of(block->at);
    if (place > 0)
        refuse_overlap(&blocks[by_address[place - 1]], block);
    if (place < count)
        refuse_overlap(block, &blocks[by_address[place]]);
    memmove(&by_address[place + 1], &by_address[place], (count - place) * sizeof(by_address[0]));
    by_address[place] = (uint16_t)slot;
    count++;
    busy_bytes += touched_bytes(block);
    requested_bytes += block->size;
}

static void index_remove(unsigned slot)
{
    size_t place = index_of(blocks[slot].at);
    count--;
    memmove(&by_address[place], &by_address[place + 1], (count - place) * sizeof(by_address[0]));
    busy_bytes -= touched_bytes(&blocks[slot]);
    requested_bytes -= blocks[slot].size;
}

static void refuse_misaligned(const struct block *block)
{
    uintptr_t address = (uintptr_t)block->at;
    if (address % 16 != 0 || address % block->alignment != 0)
        live_fail("block %p of %zu bytes is not aligned to %zu", (void *)block->at, block->size, block->alignment);
}

void live_adopt(unsigned slot, void *at, size_t size, size_t alignment, enum origin origin, bool zeroed)
{
    struct block *block = &blocks[slot];
    *block = (struct block){.at = at, .size = size, .alignment = alignment, .number = next_number++, .origin = origin};
    block->usable = moat_malloc_usable_size(at);
    if (block->usable < size)
        live_fail("block %p of %zu bytes has a usable size of %zu", at, size, block->usable);
    refuse_misaligned(block);
    index_insert(slot);
    size_t wrong = zeroed && !is_hostile ? pattern_zero_check(at, size) : SIZE_MAX;
    if (wrong != SIZE_MAX)
        live_fail("block %p of %zu bytes should be zero, byte %zu is 0x%02x", at, size, wrong, block->at[wrong]);
    pattern_fill(at, block->usable, block->number);
    work_bytes += filling_cost(block) * (zeroed ? 2 : 1);
}

void live_check(unsigned slot)
{
    const struct block *block = &blocks[slot];
    size_t usable = moat_malloc_usable_size(block->at);
    if (usable != block->usable)
        live_fail("block %p of %zu bytes had a usable size of %zu and now has %zu", (void *)block->at, block->size,
                  block->usable, usable);
    size_t wrong = block->is_scribbled
                       ? SIZE_MAX
                       : pattern_check(block->at, block->usable, (uintptr_t)block->at, block->usable, block->number);
    if (wrong != SIZE_MAX)
        live_fail("block %p of %zu bytes (usable %zu): byte %zu was overwritten", (void *)block->at, block->size,
                  block->usable, wrong);
    work_bytes += filling_cost(block);
}

void live_check_moved(const struct block *old, const void *at, size_t size)
{
    size_t kept = old->usable < size ? old->usable : size;
    size_t wrong = old->is_scribbled ? SIZE_MAX : pattern_check(at, kept, (uintptr_t)old->at, old->usable, old->number);
    if (wrong != SIZE_MAX)
        live_fail("block %p of %zu bytes (usable %zu) became %p of %zu bytes: byte %zu was lost", (void *)old->at,
                  old->size, old->usable, at, size, wrong);
}

struct block live_forget(unsigned slot)
{
    live_check(slot);
    index_remove(slot);
    struct block copy = blocks[slot];
    blocks[slot].at = NULL;
    past_add(&copy, next_number);
    return copy;
}

void live_restore(unsigned slot, const struct block *block)
{
    past_take_back(block->at);
    blocks[slot] = *block;
    index_insert(slot);
    live_check(slot);
}

void live_check_all(void)
{
    for (size_t place = 0; place < count; place++)
        live_check(by_address[place]);
}

size_t live_count(void)
{
    return count;
}

const struct block *live_at_place(size_t place)
{
    return place < count ? &blocks[by_address[place]] : NULL;
}

void live_scribble(size_t place, uint64_t word)
{
    struct block *block = &blocks[by_address[place]];
    if (block->usable >= sizeof(word)) {
        memcpy(block->at, &word, sizeof(word));
        block->is_scribbled = true;
    }
}

const struct block *live_covering(const void *address)
{
    size_t place = index_of(address);
    if (place < count && blocks[by_address[place]].at == address)
        return &blocks[by_address[place]];
    if (place == 0)
        return NULL;
    const struct block *block = &blocks[by_address[place - 1]];
    return (uintptr_t)address - (uintptr_t)block->at < block->usable ? block : NULL;
}

bool live_any_between(uintptr_t low, uintptr_t high, uint64_t born_before)
{
    for (size_t place = index_of((const unsigned char *)low); place < count; place++) {
        const struct block *block = &blocks[by_address[place]];
        if ((uintptr_t)block->at >= high)
            return false;
        if (block->number < born_before)
            return true;
    }
    return false;
}

size_t live_requested(void)
{
    return requested_bytes;
}

size_t live_bytes(void)
{
    return busy_bytes;
}

uint64_t live_work(void)
{
    return work_bytes;
}
