/* Fuzz target: a correct program, and then exactly one violation.
 *
 * The input: the header, one record that says which violation, by which function, on which thread, and then the records of a correct
 * program (engine/play.h) that is played first. The violation must end the process at once, with exactly the line that is promised for it:
 * its kind, the public function that was called, the pointer, the block's size, the thread. A violation that is survived is a find,
 * and so is another line, a fault, and any end of the correct program before it.
 *
 * The violation's record: byte 0 which (enum violation, by the low six bits) and the thread that commits it (high two bits); byte 1, 2 and,
 * for fresh blocks, the size as in any record; arg16 the function (low byte) and how it was prepared (high byte); arg24 a number, for offsets
 * and sizes. */
#include "engine/call.h"
#include "engine/door.h"
#include "engine/fresh.h"
#include "engine/generate.h"
#include "engine/helpers.h"
#include "engine/past.h"
#include "engine/play.h"
#include "engine/request.h"
#include "engine/trap.h"
#include "engine/verdict.h"
#include "support/family.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

const struct generate_shape fuzz_shape = {.random_records = 1, .percent_own = 0};

/* New ones are added at the end: seeds know them by number. */
enum violation {
    FREE_TWICE,       /* a block is freed, and then again */
    FREE_PAST,        /* a block that the program freed some time ago */
    FREE_INTERIOR,    /* inside a live block */
    FREE_BEHIND,      /* at or behind a live block's end */
    FREE_IN_FRONT,    /* in front of a live block */
    FREE_FOREIGN,     /* stack, data, code, other mappings, numbers that are no pointers */
    FREE_WILD,        /* any number below 2^48 */
    FREE_METADATA,    /* inside what the heap mapped */
    FREE_FAR,         /* inside the heap's addresses, where nothing was ever */
    FREE_NEVER,       /* a block of a page in use that was never handed out */
    FREE_RELEASED,    /* a block of pages that were all freed and given back */
    FREE_WRONG_SIZE,  /* a sized free with more than the block has */
    FREE_WRONG_ALIGN, /* an aligned free with an alignment that the pointer does not have */
    VIOLATIONS
};

enum { SLICE = 64 * 1024, SMALL_MAX = 16 * 1024, FRESH_MAX = 4 << 20, GUARD = 4096, HEADER_RECORDS = 2 };

/* What the verdict needs once the player has been jumped out of. */
static struct wanted wanted;
static bool is_committed;

/* ---- which function ---- */

/* All functions that take a pointer to a block; the commonest more often. */
static enum function misused_function(unsigned choice)
{
    static const enum function functions[] = {CALL_FREE,
                                              CALL_FREE,
                                              CALL_FREE,
                                              CALL_FREE,
                                              CALL_REALLOC,
                                              CALL_REALLOC,
                                              CALL_REALLOCARRAY,
                                              CALL_CFREE,
                                              CALL_FREE_SIZED,
                                              CALL_USABLE_SIZE,
                                              CALL_FREE_ALIGNED_SIZED,
                                              CALL_DELETE,
                                              CALL_DELETE_ARRAY,
                                              CALL_DELETE_SIZED,
                                              CALL_DELETE_ARRAY_SIZED,
                                              CALL_DELETE_NOTHROW,
                                              CALL_DELETE_ARRAY_NOTHROW,
                                              CALL_DELETE_ALIGNED,
                                              CALL_DELETE_ARRAY_ALIGNED,
                                              CALL_DELETE_SIZED_ALIGNED,
                                              CALL_DELETE_ARRAY_SIZED_ALIGNED,
                                              CALL_DELETE_ALIGNED_NOTHROW,
                                              CALL_DELETE_ARRAY_ALIGNED_NOTHROW};
    return functions[choice % (sizeof(functions) / sizeof(functions[0]))];
}

static void ask_thread(void *number)
{
    *(unsigned *)number = (unsigned)syscall(SYS_gettid);
}

/* The one wrong call of the input. Returns only if the heap let it pass. */
static void commit(unsigned thread, const struct call *call, const char *kinds, enum verdict_detail detail,
                   const struct block *block)
{
    struct call wrong = *call;
    wanted = (struct wanted){.kinds = kinds,
                             .function = verdict_function(call->function),
                             .address = call->block,
                             .detail = detail,
                             .size = block != NULL ? block->size : 0,
                             .alignment = block != NULL ? block->alignment : 1,
                             .usable = block != NULL ? block->usable : 0};
    helper_run(thread, ask_thread, &wanted.thread);
    is_committed = true;
    trap_arm();
    call_on(thread, &wrong);
}

/* A call of the record's function on a pointer, in every other respect as it should be for `like`. */
static struct call call_of(const struct record *record, const void *address, const struct block *like)
{
    struct call call = {
        .function = misused_function(record->arg16 & 0xff), .block = (void *)(uintptr_t)address, .count = 1};
    call.size = like != NULL ? like->size : record->arg24 & 0xfff;
    call.alignment = like != NULL ? like->alignment : 16;
    if (call.function == CALL_REALLOC || call.function == CALL_REALLOCARRAY)
        call.size = record->arg24 & 0xffff;
    return call;
}

/* ---- blocks to misuse ---- */

static unsigned preparation(const struct record *record)
{
    return record->arg16 >> 8;
}

/* Takes a fresh block into the first empty slot from the record's on. False: there is no slot, or there may be no more blocks. */
static bool take_fresh(unsigned thread, const struct record *record, size_t size, unsigned *taken)
{
    unsigned slot = record_slot(record);
    for (unsigned i = 0; i < LIVE_SLOTS && live_block(slot) != NULL; i++)
        slot = (slot + 1) % LIVE_SLOTS;
    if (live_block(slot) != NULL)
        return false;
    struct call call = {.function = CALL_MALLOC, .count = 1, .size = size, .alignment = 1};
    play_allocate(thread, slot, &call);
    *taken = slot;
    return live_block(slot) != NULL;
}

/* The first live block from the record's slot on, or a fresh one where the record says so or nothing is alive. */
static bool choose_block(const struct record *record, unsigned *chosen)
{
    unsigned slot = record_slot(record), owner = preparation(record) & 3;
    if ((preparation(record) & 4) == 0 && live_count() > 0) {
        while (live_block(slot) == NULL)
            slot = (slot + 1) % LIVE_SLOTS;
        *chosen = slot;
        return true;
    }
    return take_fresh(owner, record, record_size(record) % FRESH_MAX, chosen);
}

/* Whether a page of small blocks at this address was in use all the time since `since`: a block that is older lives in it. */
static bool page_stayed(const void *address, uint64_t since)
{
    uintptr_t slice = (uintptr_t)address & ~(uintptr_t)(SLICE - 1);
    return live_any_between(slice, slice + SLICE, since);
}

static bool is_surely_small(const struct block *block)
{
    return block->usable < SMALL_MAX - 2048 && block->alignment <= 16;
}

/* ---- the violations ---- */

static void free_twice(const struct record *record)
{
    unsigned slot, other, how = preparation(record);
    if (!choose_block(record, &slot))
        return;
    /* Neighbours keep its page in use, so that what must be said is known exactly. */
    struct block block = *live_block(slot);
    for (unsigned i = 0; i < 4 && is_surely_small(&block); i++)
        take_fresh(how & 3, record, block.size, &other);
    play_free(how >> 3 & 3, slot, how & 32 ? CALL_CFREE : CALL_FREE);
    if (how & 64)
        helper_end((how & 3) != 0 ? how & 3 : 1);
    if (how & 128)
        moat_malloc_trim(0);
    bool is_known =
        !is_surely_small(&block) || page_stayed(block.at, block.number) || page_stayed(block.at, UINT64_MAX);
    if (block.usable <= SMALL_MAX && !is_surely_small(&block))
        is_known = page_stayed(block.at, UINT64_MAX);
    struct call call = call_of(record, block.at, &block);
    if (is_known)
        commit(record->thread, &call, "double free", DETAIL_BLOCK, &block);
    else
        commit(record->thread, &call, "double free|stale pointer|never allocated block", DETAIL_ANY, &block);
}

static void free_past(const struct record *record)
{
    if (past_count() == 0)
        return;
    const struct past *past = past_entry(record->arg24 % past_count());
    if (live_covering(past->block.at) != NULL)
        return; /* handed out again: the second free is another block's */
    struct call call = call_of(record, past->block.at, &past->block);
    if (is_surely_small(&past->block) && page_stayed(past->block.at, past->freed_at))
        commit(record->thread, &call, "double free", DETAIL_BLOCK, &past->block);
    else
        commit(record->thread, &call, VERDICT_ANY_POINTER, DETAIL_ANY, &past->block);
}

static void free_interior(const struct record *record)
{
    unsigned slot;
    if (!choose_block(record, &slot) || live_block(slot)->usable < 2)
        return;
    const struct block *block = live_block(slot);
    struct call call = call_of(record, block->at + 1 + record->arg24 % (block->usable - 1), block);
    commit(record->thread, &call, "interior pointer", DETAIL_BLOCK, block);
}

static void free_at_address(const struct record *record, const void *address, const struct block *like)
{
    if (address == NULL || live_covering(address) != NULL)
        return;
    struct call call = call_of(record, address, like);
    commit(record->thread, &call, VERDICT_ANY_POINTER, DETAIL_ANY, like);
}

static void free_beside(const struct record *record, bool is_behind)
{
    unsigned slot;
    if (!choose_block(record, &slot))
        return;
    const struct block *block = live_block(slot);
    uintptr_t at = (uintptr_t)block->at;
    at = is_behind ? at + block->usable + (record->arg24 & 0xfff) : at - 1 - (record->arg24 & 0xfff);
    free_at_address(record, (const void *)at, block);
}

static const void *foreign_address(const struct record *record, unsigned char *stack)
{
    static unsigned char data[64];
    static const unsigned char constant[64] = {1};
    static __thread unsigned char local[64];
    static unsigned char *heap, *mapping;
    if (heap == NULL) {
        heap = malloc(64);
        mapping = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (heap == NULL || mapping == MAP_FAILED)
            abort();
    }
    unsigned offset = record->arg24 & 31;
    uint64_t number = record->arg24;
    switch (record->mode) {
    case 0:
        return stack + offset;
    case 1:
        return data + offset;
    case 2:
        return constant + offset;
    case 3:
        return (const unsigned char *)(uintptr_t)&LLVMFuzzerTestOneInput + offset;
    case 4:
        return local + offset;
    case 5:
        return heap + offset;
    case 6:
        return mapping + offset;
    case 7:
        return (const void *)(uintptr_t)(1 + number % 65535); /* below the lowest mapping */
    case 8:
        return (const void *)(uintptr_t)((UINT64_C(1) << 63) | number << 24 | record->arg16); /* not canonical */
    case 9:
        return (const void *)(uintptr_t)(UINT64_C(0xffff800000000000) | number << 16); /* the kernel's */
    case 10:
        return (const void *)(uintptr_t)(UINT64_MAX - number);
    default:
        return (const void *)(uintptr_t)(UINT64_C(1) << (47 + number % 17)); /* one bit too high */
    }
}

static void free_foreign(const struct record *record)
{
    unsigned char stack[64] = {0};
    const void *address = family_launder((void *)(uintptr_t)foreign_address(record, stack));
    struct call call = call_of(record, address, NULL);
    commit(record->thread, &call, "foreign pointer", DETAIL_NONE, NULL);
}

static void free_wild(const struct record *record)
{
    const void *address = (const void *)(uintptr_t)((uint64_t)record->arg24 << 24 | (uint64_t)record->arg16 << 8);
    if (address != NULL && !door_has(address)) {
        struct call call = call_of(record, address, NULL);
        commit(record->thread, &call, "foreign pointer", DETAIL_NONE, NULL);
    }
    free_at_address(record, address, NULL);
}

static void free_metadata(const struct record *record)
{
    uintptr_t start;
    size_t bytes;
    /* The beginning of the largest mapping, where the heap keeps what it knows, or any. */
    if (record->nudge < 0)
        door_largest(&start, &bytes);
    else if (!door_mapping(record_slot(record) % 8, &start, &bytes))
        return;
    size_t offset = (size_t)record->arg24 << (record->mode * 2);
    free_at_address(record, (const void *)(start + offset % bytes), NULL);
}

static void free_far(const struct record *record)
{
    uintptr_t start;
    size_t bytes;
    unsigned slot;
    if (!choose_block(record, &slot) || live_block(slot)->usable >= SMALL_MAX)
        return;
    /* With a smaller reservation than the usual one nobody knows where it ends. */
    door_largest(&start, &bytes);
    if (bytes < (size_t)1 << 44)
        return;
    const struct block *block = live_block(slot);
    uintptr_t at = (uintptr_t)block->at + ((uintptr_t)1 << (34 + record->arg24 % 7)) + (record->arg24 >> 8);
    struct call call = call_of(record, (const void *)at, block);
    commit(record->thread, &call, "stale pointer", DETAIL_NONE, block);
}

static void free_never(const struct record *record)
{
    unsigned slot;
    if (!take_fresh(preparation(record) & 3, record, record_size(record) % 2049, &slot))
        return;
    const struct block *block = live_block(slot);
    uintptr_t slice = (uintptr_t)block->at & ~(uintptr_t)(SLICE - 1);
    size_t capacity = (SLICE - GUARD) / block->usable;
    /* From the page's end, which is carved last. */
    uintptr_t at = slice + (capacity - 1 - record->arg24 % capacity) * block->usable;
    if (live_covering((const void *)at) != NULL)
        return;
    struct call call = call_of(record, (const void *)at, block);
    commit(record->thread, &call, "never allocated block|double free", DETAIL_BLOCK, block);
}

static void free_released(const struct record *record)
{
    enum { BLOCKS = 256 };
    static void *blocks[BLOCKS];
    size_t size = 256 + record_size(record) % 16384;
    unsigned owner = preparation(record) & 3, other = preparation(record) >> 2 & 3;
    unsigned count = 32 + (record->arg24 >> 8) % (BLOCKS - 32);
    static struct call calls[BLOCKS];
    if (!play_may_allocate())
        return;
    for (unsigned i = 0; i < count; i++)
        calls[i] = (struct call){.function = CALL_MALLOC, .count = 1, .size = size, .alignment = 1};
    calls_on(owner, calls, count);
    for (unsigned i = 0; i < count; i++) {
        blocks[i] = calls[i].result;
        calls[i] = (struct call){.function = CALL_FREE, .block = blocks[i]};
    }
    calls_on(other, calls, count);
    if (preparation(record) & 16)
        helper_end(owner != 0 ? owner : 1);
    if (preparation(record) & 32)
        fresh_pass_ms(1000);
    moat_malloc_trim(0);
    struct block like = {.size = size, .alignment = 1};
    free_at_address(record, blocks[record->arg24 % count], &like);
}

static void free_wrong_size(const struct record *record)
{
    static const enum function functions[] = {CALL_FREE_SIZED,           CALL_FREE_ALIGNED_SIZED,
                                              CALL_DELETE_SIZED,         CALL_DELETE_ARRAY_SIZED,
                                              CALL_DELETE_SIZED_ALIGNED, CALL_DELETE_ARRAY_SIZED_ALIGNED};
    unsigned slot;
    if (!choose_block(record, &slot))
        return;
    const struct block *block = live_block(slot);
    struct call call = call_of(record, block->at, block);
    call.function = functions[record->arg16 % (sizeof(functions) / sizeof(functions[0]))];
    call.size = record->nudge < 0 ? SIZE_MAX - record->arg24 : block->usable + 1 + record->arg24;
    commit(record->thread, &call, "wrong size", DETAIL_BLOCK, block);
}

static void free_wrong_alignment(const struct record *record)
{
    static const enum function functions[] = {CALL_FREE_ALIGNED_SIZED,          CALL_DELETE_ALIGNED,
                                              CALL_DELETE_ARRAY_ALIGNED,        CALL_DELETE_SIZED_ALIGNED,
                                              CALL_DELETE_ARRAY_SIZED_ALIGNED,  CALL_DELETE_ALIGNED_NOTHROW,
                                              CALL_DELETE_ARRAY_ALIGNED_NOTHROW};
    unsigned slot;
    if (!choose_block(record, &slot))
        return;
    const struct block *block = live_block(slot);
    uintptr_t lowest_bit = (uintptr_t)block->at & -(uintptr_t)block->at;
    struct call call = call_of(record, block->at, block);
    call.function = functions[record->arg16 % (sizeof(functions) / sizeof(functions[0]))];
    call.alignment = lowest_bit << (1 + record->arg24 % 8);
    if (record->nudge < 0) /* no power of two */
        call.alignment = (record->arg24 & 1 ? 0 : 3 + (record->arg24 & 0xffff) * 4);
    commit(record->thread, &call, "wrong alignment", DETAIL_BLOCK, block);
}

static void violate(enum violation violation, const struct record *record)
{
    switch (violation) {
    case FREE_TWICE:
        free_twice(record);
        break;
    case FREE_PAST:
        free_past(record);
        break;
    case FREE_INTERIOR:
        free_interior(record);
        break;
    case FREE_BEHIND:
    case FREE_IN_FRONT:
        free_beside(record, violation == FREE_BEHIND);
        break;
    case FREE_FOREIGN:
        free_foreign(record);
        break;
    case FREE_WILD:
        free_wild(record);
        break;
    case FREE_METADATA:
        free_metadata(record);
        break;
    case FREE_FAR:
        free_far(record);
        break;
    case FREE_NEVER:
        free_never(record);
        break;
    case FREE_RELEASED:
        free_released(record);
        break;
    case FREE_WRONG_SIZE:
        free_wrong_size(record);
        break;
    case FREE_WRONG_ALIGN:
    case VIOLATIONS:
        free_wrong_alignment(record);
        break;
    }
}

static enum violation violation_of(const uint8_t *record)
{
    return (enum violation)((record[0] & 63u) % VIOLATIONS);
}

/* ---- the input ---- */

static void play(void *argument)
{
    const struct input *input = argument;
    play_begin(input);
    size_t stopped = play_records(input, HEADER_RECORDS);
    struct record record = record_decode(input->data + RECORD_BYTES);
    live_at(1, "violation");
    violate(violation_of(input->data + RECORD_BYTES), &record);
    /* Nothing could be violated (the block is in use again, or there is none): the program ends as it should. */
    if (!is_committed)
        play_finish(input, stopped);
}

static void judge(const struct input *input)
{
    const char *wrong = "it was survived";
    if (trap_has_died())
        wrong = trap_thread() == wanted.thread ? verdict_of_words(&wanted, trap_words()) : "another thread ended it";
    if (wrong == NULL)
        return;
    fprintf(stderr,
            "fuzz: violation %u, %s(%p), must be reported as `%s` by thread %u, size %zu, alignment %zu: %s. The heap "
            "said: %s\n",
            (unsigned)violation_of(input->data + RECORD_BYTES), wanted.function, (void *)(uintptr_t)wanted.address,
            wanted.kinds, wanted.thread, wanted.size, wanted.alignment, wrong,
            trap_words()[0] != '\0' ? trap_words() : "nothing");
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input;
    if (!input_open(&input, data, size, HEADER_RECORDS))
        return 0;
    is_committed = false;
    fresh_play(input.seed, play, &input);
    if (is_committed)
        judge(&input);
    return 0;
}
