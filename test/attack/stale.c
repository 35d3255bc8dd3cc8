/* Old pointers into places that the heap has given back, put to rest or laid out anew; calls that are no frees but take a
 * pointer; and sizes that are told wrong.
 */
#include "attack.h"

#include <malloc.h>
#include <sys/mman.h>

enum { MARK = 0x41414141 };

void _ZdlPvm(void *, size_t);
void _ZdlPvSt11align_val_t(void *, size_t);

static struct herd herd;
static uint64_t table[64] __attribute__((aligned(64)));

/* ---- realloc and malloc_usable_size ---- */

/* realloc to less than there is answers the same block, though it is free. */
static void shrinks_freed(const struct aim *aim)
{
    herd_grab(&herd, aim->size, 120);
    void *block = herd.block[60];
    for (unsigned i = 0; i < 120; i++) {
        if (i % 3 == 0)
            drop(herd.block[i]);
    }
    strike(block);
    void *same = realloc(block, aim->size - 8);
    if (same == NULL)
        return;
    grabbed(same, aim->size - 8);
    flood_past(aim->size, block);
    flood(aim->size, 200);
}

static void resizes_freed_medium(const struct aim *aim)
{
    void *block = grab(aim->size), *other = grab(aim->size);
    drop(block);
    strike(block);
    void *same = realloc(block, aim->size - 40);
    if (same == NULL)
        return;
    grabbed(same, aim->size - 40);
    flood(aim->size, 6);
    drop(other);
}

struct resize {
    void *block;
    size_t bytes;
};

static void resize_there(void *argument)
{
    const struct resize *resize = argument;
    strike(resize->block);
    void *same = realloc(resize->block, resize->bytes);
    if (same != NULL)
        grabbed(same, resize->bytes);
}

static void resizes_by_another(const struct aim *aim)
{
    start_workers();
    herd_grab(&herd, aim->size, 120);
    struct resize resize = {herd.block[60], aim->size - 8};
    for (unsigned i = 0; i < 120; i++) {
        if (i % 3 == 0)
            drop(herd.block[i]);
    }
    in_worker(0, resize_there, &resize);
    flood_past(aim->size, resize.block);
    flood(aim->size, 200);
}

static void resizes_interior(const struct aim *aim)
{
    char *block = grab(aim->size + 100);
    size_t bytes = aim->run % 2 ? 20 : aim->size + 90;
    for (size_t at = 0; at + 8 <= aim->size + 100; at += 8)
        write_own(block + at, 0x21);
    strike(block + 16);
    void *same = realloc(block + 16, bytes);
    if (same == block + 16)
        grabbed(same, bytes);
}

static void measures_freed(const struct aim *aim)
{
    herd_grab(&herd, aim->size, 20);
    drop(herd.block[10]);
    strike(herd.block[10]);
    if (malloc_usable_size(herd.block[10]) != 0)
        win("malloc_usable_size speaks for a freed block", herd.block[10]);
}

static void measures_freed_medium(const struct aim *aim)
{
    void *block = grab(aim->size), *other = grab(aim->size);
    drop(block);
    strike(block);
    if (malloc_usable_size(block) != 0)
        win("malloc_usable_size speaks for a freed block", block);
    drop(other);
}

static void measures_interior(const struct aim *aim)
{
    uint64_t *block = grab(aim->size + 64);
    write_own(block + 3, 0x41);
    write_own(block + 2 + 7, 0x41);
    strike(block + 4);
    if (malloc_usable_size(block + 4) != 0)
        win("malloc_usable_size speaks for the middle of a block", block + 4);
}

/* ---- pages that were given back ---- */

static void free_in_released_page(const struct aim *aim)
{
    grab(aim->size);
    herd_grab(&herd, aim->size, 400);
    void *block = herd.block[aim->run % 100 + 100];
    herd_drop(&herd, 0, 400);
    /* Blocks of the size leave the lists of the front again, which would know the old pointer. */
    if (aim->run % 2)
        malloc_trim(0);
    flood(aim->size, 7);
    require(!is_live(block));
    free_again(block);
    flood(aim->size, 1000);
}

/* Every word of an emptied page leads to a table of the program. */
static void rewrites_emptied_page(const struct aim *aim)
{
    herd_grab(&herd, aim->size, 300);
    herd_drop(&herd, 0, 300);
    choose_place(table, sizeof table, "a table of the program");
    for (unsigned i = 0; i < 300; i++)
        overwrite(herd.block[i],
                  aim->style == STYLE_SAFE ? (uintptr_t)herd.block[i] >> 12 ^ (uintptr_t)table : (uintptr_t)table);
    flood(aim->size, 900);
}

/* ---- calloc trusts what it knows about a place ---- */

static void expect_zero(size_t bytes, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        const uint64_t *zero = calloc(1, bytes);
        require(zero != NULL);
        for (size_t at = 0; at < bytes / sizeof *zero; at += 8) {
            for (size_t word = at; word < at + 8 && word < bytes / sizeof *zero; word++) {
                if (zero[word] != 0)
                    win("calloc's block is not zero", zero);
            }
        }
    }
}

static void mark(char *block, size_t bytes)
{
    for (size_t at = 0; at + sizeof(uintptr_t) <= bytes; at += 512)
        overwrite(block + at, MARK);
}

static void dirty_medium(const struct aim *aim)
{
    char *blocks[4];
    for (unsigned i = 0; i < 4; i++)
        blocks[i] = grab(aim->size);
    for (unsigned i = 0; i < 4; i++)
        drop(blocks[i]);
    malloc_trim(0);
    mark(blocks[aim->run % 4], aim->size);
    expect_zero(aim->size, 8);
}

/* A thread's end gives its medium blocks to all. */
static void grab_and_drop_there(void *argument)
{
    char **blocks = argument;
    size_t bytes = (size_t)(uintptr_t)blocks[0];
    for (unsigned i = 0; i < 4; i++)
        blocks[i] = grab(bytes);
    for (unsigned i = 0; i < 4; i++)
        drop(blocks[i]);
}

static void dirty_after_a_threads_end(const struct aim *aim)
{
    char *blocks[4] = {launder((const void *)aim->size)};
    in_ending_thread(grab_and_drop_there, blocks);
    malloc_trim(0);
    mark(blocks[aim->run % 4], aim->size);
    expect_zero(aim->size, 8);
}

/* Memory of emptied small pages serves bigger blocks next: what was written there after the free goes along. */
static void dirty_after_small(const struct aim *aim)
{
    static char *blocks[5000];
    size_t bytes = 1000 + aim->run % 3 * 500;
    for (unsigned i = 0; i < 5000; i++)
        blocks[i] = grab(bytes);
    for (unsigned i = 0; i < 5000; i++)
        drop(blocks[i]);
    if (aim->run % 2)
        malloc_trim(0);
    for (unsigned i = 0; i < 5000; i += 3)
        overwrite(blocks[i] + 128, MARK);
    expect_zero(aim->size, 20);
    expect_zero(4000, 200);
    expect_zero(200, 200);
}

static void dirty_large(const struct aim *aim)
{
    char *blocks[4];
    for (unsigned i = 0; i < 4; i++)
        blocks[i] = grab(aim->size);
    for (unsigned i = 0; i < 4; i++)
        drop(blocks[i]);
    mark(blocks[aim->run % 4], aim->size);
    expect_zero(aim->size, 8);
}

/* ---- medium and large blocks ---- */

/* The program maps something just where a large block was, and then the old pointer is freed. */
static void large_that_became_a_mapping(const struct aim *aim)
{
    char *block = grab(aim->size);
    drop(block);
    char *page = launder((const void *)((uintptr_t)block & ~(uintptr_t)0xfff));
    char *mapping =
        mmap(page, 1 << 16, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    unsigned char resident[16];
    if (mapping == page)
        ((uint64_t *)(void *)block)[-1] = 0x10000 | 2;
    free_again(block);
    if (mapping == page && mincore(page, 1 << 12, resident) != 0)
        win("free took the program's mapping away", page);
}

/* A run serves a request of another size of its class, so that blocks begin elsewhere; the old start is freed. */
static void old_start_of_a_medium_run(const struct aim *aim)
{
    void *old[4];
    size_t other = aim->size - aim->size / 40;
    for (unsigned i = 0; i < 4; i++)
        old[i] = grab(aim->size);
    for (unsigned i = 0; i < 4; i++)
        drop(old[i]);
    flood(other, 4);
    require(is_in_live(old[0]) || is_in_live((char *)old[0] + aim->size / 2));
    free_again(old[0]);
    flood(aim->size, 4);
    flood(other, 4);
}

static void end_of_a_medium_block(const struct aim *aim)
{
    char *block = grab(aim->size), *end = block + aim->size / 16 * 16;
    grab(aim->size);
    for (size_t at = 24; at < 200; at += 8)
        write_own(end - 256 + at, 0x31);
    free_again(end - 192);
    flood(aim->size, 4);
    flood(40, 20);
}

/* ---- sizes and alignments that are told wrong: believed, they would put a block among others ---- */

static void told_too_big(const struct aim *aim)
{
    herd_grab(&herd, aim->size, 60);
    void *block = herd.block[30];
    dropped(block);
    strike(block);
    _ZdlPvm(block, aim->size * 4);
    flood(aim->size * 4, 200);
    flood(aim->size, 200);
}

static void told_another_alignment(const struct aim *aim)
{
    herd_grab(&herd, aim->size, 60);
    void *block = herd.block[31];
    require(((uintptr_t)block & 1023) != 0);
    dropped(block);
    strike(block);
    _ZdlPvSt11align_val_t(block, 1024);
    flood(aim->size, 200);
}

const struct attack_case attacks_stale[] = {
    {"stale.shrinks_freed", shrinks_freed, SIZES_SMALL, NEEDS_STATES, 0},
    {"stale.resizes_freed_medium", resizes_freed_medium, SIZES_MEDIUM, NEEDS_STATES, 0},
    {"stale.resizes_by_another", resizes_by_another, SIZES_SMALL, NEEDS_STATES, 0},
    {"stale.resizes_interior", resizes_interior, SIZES_SMALL, NEEDS_STATES, 0},
    {"stale.measures_freed", measures_freed, SIZES_SMALL, NEEDS_STATES, 0},
    {"stale.measures_freed_medium", measures_freed_medium, SIZES_MEDIUM, NEEDS_STATES, 0},
    {"stale.measures_interior", measures_interior, SIZES_SMALL, NEEDS_STATES, 0},
    {"stale.free_in_released_page", free_in_released_page, SIZES_SMALL, NEEDS_STATES, 0},
    {"stale.rewrites_emptied_page", rewrites_emptied_page, SIZES_SMALL, NEEDS_STATES, CASE_FAULTS},
    {"stale.dirty_medium", dirty_medium, SIZES_MEDIUM, NEEDS_GUARDS, CASE_FAULTS},
    {"stale.dirty_after_a_threads_end", dirty_after_a_threads_end, SIZES_MEDIUM, NEEDS_GUARDS, CASE_FAULTS},
    {"stale.dirty_after_small", dirty_after_small, SIZES_MEDIUM, NEEDS_GUARDS, CASE_FAULTS | CASE_UNCOUNTED},
    {"stale.dirty_large", dirty_large, SIZES_LARGE, 0, CASE_FAULTS | CASE_UNCOUNTED},
    {"stale.large_that_became_a_mapping", large_that_became_a_mapping, SIZES_LARGE, 0, CASE_PLAIN_LOSES},
    {"stale.old_start_of_a_medium_run", old_start_of_a_medium_run, SIZES_MEDIUM, NEEDS_STATES, CASE_REUSES},
    {"stale.end_of_a_medium_block", end_of_a_medium_block, SIZES_MEDIUM, NEEDS_STATES, CASE_PLAIN_LOSES},
    {"stale.told_too_big", told_too_big, SIZES_SMALL, NEEDS_STATES, CASE_UNCOUNTED},
    {"stale.told_another_alignment", told_another_alignment, SIZES_SMALL, NEEDS_STATES, CASE_UNCOUNTED},
    {0},
};
