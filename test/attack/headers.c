/* Writes just before and just behind a block, where other heaps keep its size and that of its neighbour. The lies are
 * complete: each is what such a heap wants to see. Here there is nothing, so they change a neighbour's data or nothing.
 */
#include "attack.h"

#include <malloc.h>
#include <sys/mman.h>

enum { IN_USE = 1, MAPPED = 2, HEADER = 16, FULL = 7, NUL_BYTES = 0xf8 };

static uint64_t table[64] __attribute__((aligned(64)));

/* The bytes that a heap with headers has for a request. */
static size_t whole_of(size_t bytes)
{
    return bytes < 24 ? 32 : (bytes + 8 + 15) & ~(size_t)15;
}

static void write_size(void *block, size_t size)
{
    overwrite((uint64_t *)block - 1, size);
}

/* Frees so many of the size that a list for quick reuse is full. */
static void fill_quick_list(size_t bytes)
{
    void *full[FULL];
    for (unsigned i = 0; i < FULL; i++)
        full[i] = grab(bytes);
    grab(16);
    for (unsigned i = 0; i < FULL; i++)
        drop(full[i]);
}

/* ---- the size grows ---- */

struct grown {
    void *block;
    size_t bytes; /* it pretends to have */
};

/* In some runs the block is the first of its page, and what would be its header lies in the page before. */
static void leave_the_first_place(const struct aim *aim, size_t bytes)
{
    if (aim->run % 4 != 0)
        flood(bytes, 3);
}

/* `block` says that it reaches over the next one. */
static struct grown grow(const struct aim *aim, enum taker taker)
{
    leave_the_first_place(aim, aim->size);
    struct grown grown = {grab_by(taker, aim->size), 0};
    grab(aim->size);
    grab(aim->size);
    grown.bytes = 2 * whole_of(aim->size) - 8;
    write_size(grown.block, 2 * whole_of(aim->size) + IN_USE);
    return grown;
}

static void own_size(const struct aim *aim)
{
    struct grown grown = grow(aim, TAKE_MALLOC);
    drop(grown.block);
    flood(grown.bytes, 40);
    flood(aim->size, 100);
}

static void own_size_of_new(const struct aim *aim)
{
    struct grown grown = grow(aim, aim->run % 2 ? TAKE_NEW : TAKE_NEW_ARRAY);
    drop_by(aim->run % 3 ? GIVE_DELETE : GIVE_DELETE_SIZED, grown.block);
    flood_by(TAKE_NEW, grown.bytes, 40);
}

static void own_size_by_realloc(const struct aim *aim)
{
    struct grown grown = grow(aim, TAKE_REALLOC);
    drop_by(GIVE_REALLOC_ZERO, grown.block);
    flood_by(TAKE_REALLOC, grown.bytes, 40);
}

static void own_size_by_another(const struct aim *aim)
{
    start_workers();
    struct grown grown = grow(aim, TAKE_MALLOC);
    drop_in_worker(0, grown.block);
    flood_in_worker(0, grown.bytes, 40);
    flood(grown.bytes, 40);
}

static void next_blocks_size(const struct aim *aim)
{
    size_t whole = whole_of(aim->size);
    char *first = grab(aim->size), *next = grab(aim->size);
    grab(aim->size);
    /* An overflow of the first, to where the next one's header would be. */
    overwrite(first + whole - 8, 2 * whole + IN_USE);
    drop(next);
    flood(2 * whole - 8, 40);
    flood(aim->size, 100);
}

static void grows_in_place(const struct aim *aim)
{
    struct grown grown = grow(aim, TAKE_MALLOC);
    dropped(grown.block);
    grabbed(realloc(grown.block, grown.bytes), grown.bytes);
}

static void measures_more(const struct aim *aim)
{
    struct grown grown = grow(aim, TAKE_CALLOC);
    size_t usable = malloc_usable_size(grown.block);
    for (size_t at = aim->size; at < usable; at++) {
        if (is_live((char *)grown.block + at))
            win("malloc_usable_size reaches over the next block", grown.block);
    }
}

/* A block that is free already, with all that a careful heap compares. */
static void freed_blocks_size(const struct aim *aim)
{
    size_t bytes = 1040 + aim->size, whole = whole_of(bytes);
    leave_the_first_place(aim, bytes);
    char *block = grab(bytes), *behind = grab(bytes);
    grab(bytes);
    drop(block);
    write_size(block, 2 * whole + IN_USE);
    overwrite(behind + whole - HEADER, 2 * whole);
    overwrite(behind + whole - 8, whole);
    flood(2 * whole - 8, 20);
}

/* ---- the neighbour in front is said to be free ---- */

/* One NUL byte too many, over "the one in front is in use"; what it is joined with is the attacker's making. */
static void nul_byte(const struct aim *aim)
{
    uint64_t *own = grab(NUL_BYTES);
    char *middle = grab(0x38 + 16 * (aim->run % 4)), *last = grab(NUL_BYTES);
    fill_quick_list(NUL_BYTES);
    size_t distance = (size_t)(last - HEADER - (char *)own);
    require(distance < 1 << 16);
    write_own(own, 0);
    write_own(own + 1, distance + IN_USE);
    write_own(own + 2, (uint64_t)own);
    write_own(own + 3, (uint64_t)own);
    overwrite(last - HEADER, distance);
    overwrite_bytes(last - 8, "", 1);
    drop(last);
    flood(distance - 8 + 0x20, 4);
    flood(NUL_BYTES, 40);
    drop(middle);
}

/* The joining writes two pointers, to where the made-up block says. */
static void unlink_into_a_table(const struct aim *aim)
{
    size_t bytes = 1048 + 16 * (aim->run % 8), whole = whole_of(bytes);
    uint64_t *own = grab(bytes), *next = grab(bytes);
    grab(bytes);
    write_own(own, 0);
    write_own(own + 1, whole - HEADER);
    write_own(own + 2, (uint64_t)(table + 8 - 3));
    write_own(own + 3, (uint64_t)(table + 8 - 2));
    table[8] = (uint64_t)own;
    choose_place(table, sizeof table, "a table of the program");
    overwrite(next - 2, whole - HEADER);
    write_size(next, whole);
    drop(next);
    flood(bytes, 4);
}

/* ---- flags ---- */

static bool is_there(const void *address)
{
    unsigned char resident[1];
    void *page = launder((const void *)((uintptr_t)address & ~(uintptr_t)0xfff));
    return mincore(page, 1, resident) == 0;
}

/* "It has a mapping of its own": free takes whole pages out of the heap. */
static void mapped_flag(const struct aim *aim)
{
    static struct herd herd;
    herd_grab(&herd, aim->size, 600);
    for (unsigned i = 200; i < 600; i++) {
        uintptr_t at = (uintptr_t)herd.block[i] & 0xfff;
        if (at < HEADER || (at & (at - 1)) != 0)
            continue;
        uint64_t *block = herd.block[i];
        overwrite(block - 2, at - HEADER);
        overwrite(block - 1, (4096 - (at - HEADER)) + MAPPED);
        drop(block);
        if (!is_there(block))
            win("free took a page of live blocks away", block);
    }
}

/* The same for a block to be: calloc believes that it is zero. */
static void calloc_does_not_clear(const struct aim *aim)
{
    size_t bytes = 1040 + aim->size;
    leave_the_first_place(aim, bytes);
    uint64_t *block = grab(bytes);
    grab(16);
    drop(block);
    for (size_t i = 2; i < bytes / sizeof *block - 1; i++)
        overwrite(block + i, 0x4141414141414141);
    write_size(block, whole_of(bytes) + MAPPED + IN_USE);
    for (unsigned i = 0; i < 40; i++) {
        const uint64_t *zero = calloc(1, bytes);
        require(zero != NULL);
        for (size_t at = 0; at < bytes / sizeof *zero; at++) {
            if (zero[at] != 0)
                win("calloc's block is not zero", zero);
        }
    }
}

/* ---- blocks with a mapping of their own ---- */

/* Two that lie side by side: the lower one says that it reaches over the upper one. */
static void over_a_mapping(const struct aim *aim, void (*then)(void *, size_t))
{
    char *blocks[8];
    for (unsigned i = 0; i < 8; i++)
        blocks[i] = grab(aim->size);
    for (unsigned i = 0; i < 8; i++) {
        for (unsigned j = 0; j < 8; j++) {
            if (blocks[j] <= blocks[i] || (size_t)(blocks[j] - blocks[i]) > 2 * aim->size)
                continue;
            size_t whole = (size_t)(blocks[j] - blocks[i]);
            write_size(blocks[i], 2 * whole + MAPPED);
            then(blocks[i], whole);
            if (!is_there(blocks[j]))
                win("a live block's memory is gone", blocks[j]);
            return;
        }
    }
    not_set_up();
}

static void free_it(void *block, size_t whole)
{
    (void)whole;
    drop(block);
}

static void move_it(void *block, size_t whole)
{
    dropped(block);
    grabbed(realloc(block, 3 * whole), 3 * whole);
}

static void free_over_a_mapping(const struct aim *aim)
{
    over_a_mapping(aim, free_it);
}

static void realloc_over_a_mapping(const struct aim *aim)
{
    over_a_mapping(aim, move_it);
}

const struct attack_case attacks_headers[] = {
    {"headers.own_size", own_size, SIZES_SMALL, 0, CASE_PLAIN_LOSES | CASE_FAULTS},
    {"headers.own_size_of_new", own_size_of_new, SIZES_SMALL, 0, CASE_PLAIN_LOSES | CASE_FAULTS},
    {"headers.own_size_by_realloc", own_size_by_realloc, SIZES_SMALL, 0, CASE_PLAIN_LOSES | CASE_FAULTS},
    {"headers.own_size_by_another", own_size_by_another, SIZES_SMALL, 0, CASE_PLAIN_LOSES | CASE_FAULTS},
    {"headers.next_blocks_size", next_blocks_size, SIZES_SMALL, 0, CASE_PLAIN_LOSES | CASE_FAULTS},
    {"headers.grows_in_place", grows_in_place, SIZES_SMALL, 0, CASE_PLAIN_LOSES | CASE_FAULTS},
    {"headers.measures_more", measures_more, SIZES_SMALL, 0, CASE_PLAIN_LOSES | CASE_FAULTS},
    {"headers.freed_blocks_size", freed_blocks_size, SIZES_SMALL, 0, CASE_PLAIN_LOSES | CASE_FAULTS},
    {"headers.nul_byte", nul_byte, SIZES_SMALL, 0, CASE_PLAIN_LOSES | CASE_FAULTS},
    {"headers.unlink_into_a_table", unlink_into_a_table, SIZES_SMALL, 0, CASE_PLAIN_LOSES | CASE_FAULTS},
    {"headers.mapped_flag", mapped_flag, SIZES_SMALL, 0, CASE_PLAIN_LOSES | CASE_FAULTS},
    {"headers.calloc_does_not_clear", calloc_does_not_clear, SIZES_SMALL, 0, CASE_PLAIN_LOSES | CASE_FAULTS},
    {"headers.free_over_a_mapping", free_over_a_mapping, SIZES_LARGE, 0, CASE_PLAIN_LOSES | CASE_FAULTS},
    {"headers.realloc_over_a_mapping", realloc_over_a_mapping, SIZES_LARGE, 0, CASE_PLAIN_LOSES | CASE_FAULTS},
    {0},
};
