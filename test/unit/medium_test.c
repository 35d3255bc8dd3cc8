/* Medium blocks: where they begin and end, how they grow, who gets them next. */
#include "unit/unit.h"

#include "support/pattern.h"
#include "support/sizes.h"

#include <string.h>

static size_t room_of(const void *block)
{
    return unit_page_of(block)->block_bytes;
}

/* With guards a block ends at its guard, give or take the 16 bytes of its alignment; one byte behind that faults. */
static void block_ends_at_its_guard(size_t bytes)
{
    char *block = moat_malloc(bytes);
    size_t usable = moat_malloc_usable_size(block);

    EXPECT(usable >= bytes);
    EXPECT_EQ((uintptr_t)block % MOAT_ALIGN, 0);
    EXPECT(unit_page_of(block)->owner == OWNER_MEDIUM);
    EXPECT(block + usable == page_start(unit_page_of(block)) + room_of(block));
    memset(block, 0x11, usable);
    if (MOAT_WITH_GUARDS) {
        EXPECT_EQ(usable, round_up(bytes, MOAT_ALIGN));
        EXPECT(!unit_faults(block + usable - 1, true));
        EXPECT(unit_faults(block + usable, false));
        EXPECT(unit_faults(block + usable, true));
    } else {
        EXPECT(block == page_start(unit_page_of(block)));
    }
    moat_free(block);
}

/* The OS pages of a run that lie in front of a block are its own, and the run before ends in a guard. */
static void nothing_lies_behind_another_blocks_guard(void)
{
    char *blocks[20];
    for (size_t i = 0; i < 20; i++)
        blocks[i] = moat_malloc(100000);
    for (size_t i = 0; i < 20; i++) {
        memset(blocks[i], (int)i, 100000);
        if (MOAT_WITH_GUARDS)
            EXPECT(unit_faults(blocks[i] + round_up(100000, MOAT_ALIGN), true));
    }
    for (size_t i = 0; i < 20; i++) {
        size_t wrong = 0;
        for (size_t at = 0; at < 100000; at++)
            wrong += blocks[i][at] != (char)i;
        EXPECT_EQ(wrong, 0);
        moat_free(blocks[i]);
    }
}

static void aligned_block_stays_in_its_room(void)
{
    for (size_t alignment = 32; alignment <= MOAT_SLICE; alignment *= 2) {
        for (size_t bytes = 20000; bytes <= MOAT_MEDIUM_MAX; bytes += 99991) {
            char *block = moat_aligned_alloc(alignment, bytes);
            if (!EXPECT(block != NULL))
                continue;
            EXPECT_EQ((uintptr_t)block % alignment, 0);
            EXPECT(unit_page_of(block)->owner == OWNER_MEDIUM);
            EXPECT(block >= page_start(unit_page_of(block)));
            EXPECT(block + bytes <= page_start(unit_page_of(block)) + room_of(block));
            memset(block, 0x22, moat_malloc_usable_size(block));
            moat_free(block);
        }
    }
}

/* The first realloc that grows a block puts it at the start of its run, with a quarter of room. */
static void growing_block_moves_to_the_left(void)
{
    char *block = moat_malloc(40000);
    memset(block, 0x33, 40000);
    block = moat_realloc(block, 80000);
    EXPECT(block == page_start(unit_page_of(block)));
    EXPECT(moat_malloc_usable_size(block) >= 100000);
    size_t moves = 0, wrong = 0;
    for (size_t bytes = 80000; bytes <= 100000; bytes += 16) {
        char *next = moat_realloc(block, bytes);
        moves += next != block;
        block = next;
    }
    EXPECT_EQ(moves, 0);
    for (size_t i = 0; i < 40000; i++)
        wrong += block[i] != 0x33;
    EXPECT_EQ(wrong, 0);
    if (MOAT_WITH_GUARDS)
        EXPECT(unit_faults(page_start(unit_page_of(block)) + room_of(block), true));
    moat_free(block);
}

/* From 8 KiB to 1 MiB in small steps: some 20 moves, as a quarter of room each gives. */
static void growth_in_small_steps_moves_seldom(void)
{
    size_t moves = 0;
    char *block = moat_malloc(8192);
    pattern_fill(block, 8192, 5);
    for (size_t bytes = 8192; bytes < MOAT_MEDIUM_MAX; bytes += 1024) {
        char *next = moat_realloc(block, bytes);
        moves += next != block;
        block = next;
    }
    expect_say("%zu moves from 8 KiB to 1 MiB\n", moves);
    EXPECT(moves <= 40);
    EXPECT(pattern_prefix_holds(block, 8192, 8192, 5));
    moat_free(block);
}

static void shrinking_block_stays_until_half(void)
{
    char *block = moat_malloc(100000);
    memset(block, 0x44, 100000);
    size_t usable = moat_malloc_usable_size(block);
    EXPECT(moat_realloc(block, usable / 2 + 1) == block);
    char *moved = moat_realloc(block, 20000);
    EXPECT(moved != block);
    size_t wrong = 0;
    for (size_t i = 0; i < 20000; i++)
        wrong += moved[i] != 0x44;
    EXPECT_EQ(wrong, 0);
    moat_free(moved);
}

/* Takes and frees blocks until one lies in the page; answers how often it had to, most of `rounds`. With random order some
 * rest before one is used again. */
static unsigned rounds_until_back(const struct record *page, size_t bytes, unsigned most)
{
    for (unsigned round = 1; round <= most; round++) {
        void *block = moat_malloc(bytes);
        bool is_back = unit_page_of(block) == page;
        moat_free(block);
        if (is_back)
            return round;
    }
    return most + 1;
}

/* The thread that freed a block has it back for its next request of the class; with random order for a later one. */
static void freed_block_serves_the_next_request(void)
{
    for (size_t bytes = 20000; bytes <= 400000; bytes *= 2) {
        void *block = moat_malloc(bytes);
        const struct record *page = unit_page_of(block);
        moat_free(block);
        unsigned rounds = rounds_until_back(page, bytes - 8, 1000);
        EXPECT(HOOK_HAS_MAGAZINES ? rounds > 1 && rounds <= 1000 : rounds == 1);
    }
}

static void *free_in_thread(void *block)
{
    moat_free(block);
    return NULL;
}

/* Whoever frees keeps it; at that thread's end it goes to all. Medium blocks never wait in a remote list. */
static void block_freed_by_an_ended_thread_comes_back(void)
{
    void *block = moat_malloc(123456);
    const struct record *page = unit_page_of(block);
    unit_in_thread(free_in_thread, block);
    EXPECT_EQ(page->is_handed_out, 0);
    EXPECT(rounds_until_back(page, 123456, 1000) <= (HOOK_HAS_MAGAZINES ? 1000 : 1));
}

static void thread_keeps_a_bounded_amount(void)
{
    void *blocks[40];
    struct heap *heap = heap_of_thread();
    for (size_t i = 0; i < 40; i++)
        blocks[i] = moat_malloc(250000);
    for (size_t i = 0; i < 40; i++) {
        moat_free(blocks[i]);
        EXPECT(heap->medium_bytes <= 2 << 20);
    }
    EXPECT(heap->medium_bytes > 0);
    EXPECT_EQ(moat_malloc_trim(0), 1);
    EXPECT_EQ(heap->medium_bytes, 0);
    for (size_t i = 0; MOAT_WITH_GUARDS && stats_get(STAT_GUARDS_MISSING) == 0 && i < 40; i += 13)
        EXPECT(unit_faults((char *)blocks[i] + 125000, false));
}

/* calloc after every kind of past: fresh, kept by the thread, out of the pool, purged. */
static void calloc_is_always_zero(void)
{
    for (int past = 0; past < 8; past++) {
        char *block = moat_calloc(1, 200000);
        EXPECT(pattern_is_zero(block, 200000));
        memset(block, 0x55, moat_malloc_usable_size(block));
        moat_free(block);
        if (past % 2)
            moat_malloc_trim(0);
    }
    char *large_kept = moat_malloc(900000); /* above what a thread keeps: goes through the pool */
    memset(large_kept, 0x66, 900000);
    moat_free(large_kept);
    large_kept = moat_calloc(900000, 1);
    EXPECT(pattern_is_zero(large_kept, 900000));
    moat_free(large_kept);
}

/* Both sides of each threshold between small, medium and large keep contents through realloc. */
static void contents_pass_the_thresholds(void)
{
    static const size_t sizes[] = {16383, 16384, 16400, 1048575, 1048576, 1048577, 2097152};
    enum { SIZES = sizeof sizes / sizeof sizes[0] };
    for (size_t from = 0; from < SIZES; from++) {
        for (size_t to = 0; to < SIZES; to++) {
            size_t kept = min_size(sizes[from], sizes[to]);
            char *block = moat_malloc(sizes[from]);
            pattern_fill(block, sizes[from], from);
            block = moat_realloc(block, sizes[to]);
            EXPECT(block && pattern_prefix_holds(block, sizes[from], kept, from));
            EXPECT(moat_malloc_usable_size(block) >= sizes[to]);
            moat_free(block);
        }
    }
}

int main(void)
{
    for (size_t i = 0; i < SIZES_COUNT(sizes_medium); i++)
        block_ends_at_its_guard(sizes_medium[i]);
    if (!MOAT_WITH_GUARDS)
        unit_skip("an access behind a block faults", "no guards in this build");
    nothing_lies_behind_another_blocks_guard();
    aligned_block_stays_in_its_room();
    growing_block_moves_to_the_left();
    growth_in_small_steps_moves_seldom();
    shrinking_block_stays_until_half();
    freed_block_serves_the_next_request();
    block_freed_by_an_ended_thread_comes_back();
    thread_keeps_a_bounded_amount();
    calloc_is_always_zero();
    contents_pass_the_thresholds();
    EXPECT(moat_heap_is_valid());
    return expect_done();
}
