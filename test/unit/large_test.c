/* Large blocks: guards on both sides in every build, inaccessible from their free on, addresses that rest, and resizing
 * that moves pages and not bytes.
 */
#include "unit/chance.h"
#include "unit/unit.h"

#include "large.h"
#include "support/pattern.h"
#include "support/sizes.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MIB = 1 << 20, REST_AT_LEAST = 64 };

static char *end_of_pages(const char *block, size_t bytes)
{
    return (char *)round_up((uintptr_t)block + bytes, MOAT_OS_PAGE);
}

static void block_has_a_guard_on_both_sides(size_t bytes)
{
    char *block = moat_malloc(bytes);
    size_t usable = moat_malloc_usable_size(block);

    if (!EXPECT(block != NULL))
        return;
    EXPECT_EQ((uintptr_t)block % MOAT_ALIGN, 0);
    EXPECT(usable >= bytes);
    EXPECT(block + usable == end_of_pages(block, bytes));
    memset(block, 0x11, 1000);
    memset(block + usable - 1000, 0x11, 1000);
    EXPECT(!unit_faults(block + usable - 1, true));
    EXPECT(unit_faults(block + usable, false));
    EXPECT(unit_faults(block + usable, true));
    EXPECT(unit_faults((char *)round_down((uintptr_t)block, MOAT_OS_PAGE) - 1, true));
    if (MOAT_WITH_GUARDS)
        EXPECT_EQ(usable, round_up(bytes, MOAT_ALIGN));
    moat_free(block);
    EXPECT(unit_faults(block, false));
    EXPECT(unit_faults(block + bytes / 2, true));
    EXPECT(unit_faults(block + bytes - 1, false));
}

/* Neighbours in the address space have a guard between them too, also where the size is a whole number of chunks. */
static void neighbours_are_apart(size_t bytes)
{
    char *blocks[8];
    for (size_t i = 0; i < 8; i++)
        blocks[i] = moat_malloc(bytes);
    for (size_t i = 0; i < 8; i++)
        EXPECT(unit_faults(end_of_pages(blocks[i], bytes), true));
    for (size_t i = 0; i < 8; i++)
        moat_free(blocks[i]);
}

/* At first 64 frees of the size, then until somebody reuses it at all: addresses are finite. */
static void freed_address_rests(size_t bytes)
{
    char *first = moat_malloc(bytes);
    moat_free(first);
    size_t frees = 1;
    for (; frees < 1000; frees++) {
        char *block = moat_malloc(bytes);
        EXPECT(block != NULL);
        if (block == first)
            break;
        *block = 1;
        moat_free(block);
    }
    expect_say("%zu bytes: an address came back after %zu frees\n", bytes, frees);
    EXPECT(frees > REST_AT_LEAST);
    EXPECT(frees < 1000 || !large_area_has(first));
    EXPECT_EQ(stats_get(STAT_REUSED_EARLY), 0);
}

/* Which address comes back is one of 32, and drawn: the oldest as often as any. Without random order it is always that. */
static void freed_addresses_come_back_as_drawn(size_t bytes)
{
    static char *rests[4096];
    size_t first = 0, count = 0, back = 0, was_oldest = 0;
    for (size_t i = 0; i < 3000; i++) {
        char *block = moat_malloc(bytes);
        size_t at = first;
        while (at < count && rests[at] != block)
            at++;
        if (at < count) {
            back++;
            was_oldest += at == first;
            memmove(rests + first + 1, rests + first, (at - first) * sizeof rests[0]);
            first++;
        }
        moat_free(block);
        rests[count++] = block;
    }
    if (!large_area_has(rests[0]))
        return; /* mappings go back to the system */
    EXPECT(back > 2500);
    if (MOAT_WITH_RANDOM_ORDER)
        chance_expect_rate(was_oldest, back, 1.0 / 32, "the oldest resting address");
    else
        EXPECT_EQ(was_oldest, back);
}

/* A few frees of one size do not end the rest of another. */
static void rest_is_by_size(void)
{
    char *first = moat_malloc(5 * MIB);
    moat_free(first);
    for (int i = 0; i < 200; i++)
        moat_free(moat_malloc(20 * MIB));
    for (int i = 0; i < 20; i++) {
        char *block = moat_malloc(5 * MIB);
        EXPECT(block != first);
        moat_free(block);
    }
}

static void fresh_block_reads_zero(void)
{
    for (int i = 0; i < 80; i++) { /* enough to meet addresses again */
        char *block = moat_calloc(3, MIB);
        EXPECT(pattern_is_zero(block, 3 * MIB));
        memset(block, 0x22, 3 * MIB);
        moat_free(block);
    }
}

static size_t bytes_of(const char *block, size_t bytes, char value)
{
    size_t count = 0;
    for (size_t i = 0; i < bytes; i++)
        count += block[i] == value;
    return count;
}

/* The memory of a freed block serves the next, of its size or another, at an address that nobody knew; what the new one does
 * not need is closed. Not where it must read zero, and not when the memory was asked back. */
static void memory_is_kept_for_the_next(size_t before, size_t after)
{
    moat_malloc_trim(0);
    char *first = moat_malloc(before);
    bool is_in_cage = large_area_has(first);
    memset(first, 0x66, before);
    moat_free(first);
    EXPECT(unit_faults(first, false) && unit_faults(first + before - 1, true));
    char *second = moat_malloc(after);
    EXPECT(second != first);
    if (is_in_cage) /* all but the last page, which was tried for a lock, and what lies beside the block in its pages */
        EXPECT(bytes_of(second, after, 0x66) >= min_size(before, after) - 3 * (size_t)MOAT_OS_PAGE);
    EXPECT(unit_faults(second + moat_malloc_usable_size(second), true));
    memset(second, 0x77, after);
    moat_free(second);

    char *cleared = moat_calloc(1, after);
    EXPECT(pattern_is_zero(cleared, after));
    moat_free(cleared);
    EXPECT(moat_malloc_trim(0) == 1 || !is_in_cage);
    char *last = moat_malloc(after);
    EXPECT(pattern_is_zero(last, after));
    moat_free(last);
}

/* By the system call: a sanitizer's mlock does nothing. */
static bool lock(char *start, size_t bytes)
{
    return syscall(SYS_mlock, start, bytes) == 0;
}

/* A move would unlock what the program has locked. */
static void locked_memory_does_not_move(void)
{
    char *block = moat_malloc(4 * MIB);
    char *inside = end_of_pages(block, 0);
    moat_malloc_trim(0);
    if (!EXPECT(lock(inside, 3 * MIB)))
        return;
    memset(block, 0x66, 4 * MIB);
    EXPECT(lock(end_of_pages(block, 3 * MIB), MIB));
    moat_free(block);
    char *next = moat_malloc(4 * MIB);
    EXPECT(pattern_is_zero(next, 4 * MIB));
    moat_free(next);
}

static size_t status_kib(const char *name)
{
    char line[256];
    size_t kib = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, name, strlen(name)) == 0)
            kib = strtoul(line + strlen(name) + 1, NULL, 10);
    if (file)
        fclose(file);
    return kib;
}

/* Half of a block is locked: neither the lock nor that half goes to the next block. */
static void lock_ends_with_the_block(void)
{
    size_t before = status_kib("VmLck");
    char *block = moat_malloc(8 * MIB);
    memset(block, 0x66, 8 * MIB);
    if (!EXPECT(lock(end_of_pages(block, 0), 4 * MIB)))
        return;
    EXPECT_EQ(status_kib("VmLck"), before + 4096);
    moat_free(block);
    EXPECT_EQ(status_kib("VmLck"), before);
    char *next = moat_malloc(8 * MIB);
    memset(next, 0x77, 8 * MIB);
    EXPECT_EQ(status_kib("VmLck"), before);
    moat_free(next);
}

/* A block that the program has cut into several mappings, or into more than are moved: realloc loses nothing. */
static void block_of_many_mappings_is_kept(unsigned cuts)
{
    char *block = moat_malloc(5 * MIB), *page = end_of_pages(block, MIB);
    pattern_fill(block, 5 * MIB, 4);
    for (unsigned i = 0; i < cuts; i++)
        EXPECT_EQ(madvise(page + (size_t)2 * i * MOAT_OS_PAGE, MOAT_OS_PAGE, MADV_DONTDUMP), 0);
    for (size_t bytes = 20; bytes <= 320; bytes *= 4) {
        block = moat_realloc(block, bytes * MIB);
        EXPECT(block && pattern_prefix_holds(block, 5 * MIB, 5 * MIB, 4));
        EXPECT(unit_faults(block + moat_malloc_usable_size(block), true));
        block[bytes * MIB - 1] = 1;
    }
    moat_free(block);
}

static void tell_first_byte(void *block)
{
    _exit(*(unsigned char *)block);
}

/* What a program advised of its block at a fork does not meet the next block. */
static void advice_ends_with_the_block(int advice)
{
    char *block = moat_malloc(6 * MIB);
    char *inside = end_of_pages(block, 0);
    memset(block, 0x66, 6 * MIB);
    EXPECT_EQ(madvise(inside, (size_t)(block + 6 * MIB - inside) & ~(size_t)(MOAT_OS_PAGE - 1), advice), 0);
    moat_free(block);
    char *next = moat_malloc(6 * MIB);
    memset(next, 0x77, 6 * MIB);
    struct death death = death_of(tell_first_byte, next + 3 * MIB);
    EXPECT(death_is_exit(&death, 0x77));
    moat_free(next);
}

/* Spare memory could not grow: it is given up, and what is cleared next is clear. */
static void be_refused_and_clear(void *unused)
{
    char *block = moat_malloc(2 * MIB + 200000);
    (void)unused;
    memset(block, 0x66, 2 * MIB + 200000);
    moat_free(block);
    struct rlimit limit = {(status_kib("VmData") + 512) << 10, RLIM_INFINITY};
    if (setrlimit(RLIMIT_DATA, &limit) != 0)
        _exit(3);
    bool was_refused = moat_malloc(3 * MIB + 500000) == NULL;
    limit.rlim_cur = RLIM_INFINITY;
    setrlimit(RLIMIT_DATA, &limit);
    char *cleared = moat_calloc(1, 2 * MIB + 200000);
    _exit(!cleared || !pattern_is_zero(cleared, 2 * MIB + 200000) ? 4 : was_refused ? 5 : 6);
}

/* Where a limit refuses more memory, what lies spare goes back first. */
static void grow_in_a_limit(void *unused)
{
    char *block = moat_malloc(4 * MIB), *others[2] = {moat_malloc(20 * MIB), moat_malloc(20 * MIB)};
    (void)unused;
    moat_free(others[0]);
    moat_free(others[1]);
    struct rlimit limit = {(status_kib("VmData") + 512) << 10, RLIM_INFINITY};
    if (setrlimit(RLIMIT_DATA, &limit) != 0)
        _exit(3);
    _exit(moat_realloc(block, 30 * MIB) ? 5 : 4);
}

/* ... before another block's place is borrowed, too. */
static void align_in_a_limit(void *unused)
{
    char *others[2] = {moat_malloc(20 * MIB), moat_malloc(20 * MIB)};
    (void)unused;
    moat_free(others[0]);
    moat_free(others[1]);
    struct rlimit limit = {(status_kib("VmData") + 128) << 10, RLIM_INFINITY};
    if (setrlimit(RLIMIT_DATA, &limit) != 0)
        _exit(3);
    char *block = moat_aligned_alloc(4096, 900 * 1024);
    _exit(!block ? 4 : large_area_has(block) ? 6 : 5);
}

static void spare_memory_meets_limits(void)
{
    struct death death = death_of(be_refused_and_clear, NULL);
    EXPECT(death_is_exit(&death, 5));
    death = death_of(grow_in_a_limit, NULL);
    EXPECT(death_is_exit(&death, 5));
    death = death_of(align_in_a_limit, NULL);
    EXPECT(death_is_exit(&death, 5));
}

/* Growth inside the range: same address; what is behind the new end still faults. */
static void block_grows_in_place(void)
{
    char *block = moat_malloc(5 * MIB);
    pattern_fill(block, 5 * MIB, 1);
    char *grown = moat_realloc(block, 5 * MIB + 300000);
    EXPECT(grown == block || !large_area_has(block));
    EXPECT(pattern_prefix_holds(grown, 5 * MIB, 5 * MIB, 1));
    EXPECT(moat_malloc_usable_size(grown) >= 5 * MIB + 300000);
    memset(grown + 5 * MIB, 0x33, 300000);
    EXPECT(unit_faults(grown + moat_malloc_usable_size(grown), true));
    moat_free(grown);
}

/* Growth out of the range: other addresses, the old ones fault, contents are the same and the new part is zero. */
static void block_moves_its_pages(void)
{
    char *block = moat_malloc(5 * MIB);
    memset(block, 0, moat_malloc_usable_size(block));
    pattern_fill(block, 5 * MIB, 2);
    size_t filled = moat_malloc_usable_size(block);
    char *moved = moat_realloc(block, 50 * MIB);
    EXPECT(moved != NULL && moved != block);
    EXPECT(pattern_prefix_holds(moved, 5 * MIB, 5 * MIB, 2));
    EXPECT(pattern_is_zero(moved + filled, 50 * MIB - filled));
    EXPECT((uintptr_t)moved % MOAT_ALIGN == 0);
    EXPECT(unit_faults(block, false));
    EXPECT(unit_faults(block + 4 * MIB, true));
    EXPECT(unit_faults(moved + moat_malloc_usable_size(moved), true));
    moat_free(moved);
    EXPECT(unit_faults(moved + MIB, false));
}

static void block_shrinks_in_place(void)
{
    char *block = moat_malloc(9 * MIB);
    memset(block, 0x44, 9 * MIB);
    char *shrunk = moat_realloc(block, 3 * MIB);
    EXPECT(shrunk == block);
    EXPECT(moat_malloc_usable_size(shrunk) >= 3 * MIB && moat_malloc_usable_size(shrunk) < 3 * MIB + 2 * MOAT_OS_PAGE);
    EXPECT(shrunk[3 * MIB - 1] == 0x44);
    EXPECT(unit_faults(shrunk + moat_malloc_usable_size(shrunk), false));
    EXPECT(unit_faults(shrunk + 8 * MIB, true));
    shrunk = moat_realloc(shrunk, 4 * MIB);
    size_t wrong = 0;
    for (size_t i = 0; i < 3 * MIB; i++)
        wrong += shrunk[i] != 0x44;
    EXPECT_EQ(wrong, 0);
    moat_free(shrunk);
}

/* Random resizes of a few blocks: contents, alignment and the guard behind the end. */
static void random_resizes_keep_contents(void)
{
    enum { BLOCKS = 4 };
    struct rng rng = rng_stream(rng_seed(), 0);
    char *block[BLOCKS] = {NULL};
    size_t bytes[BLOCKS] = {0};
    unsigned rounds = pace(600, 150);

    for (unsigned i = 0; i < rounds; i++) {
        size_t which = rng_below(&rng, BLOCKS);
        size_t wish = MIB + 1 + rng_below(&rng, (size_t)MIB << rng_below(&rng, 6));
        char *next = moat_realloc(block[which], wish);
        if (!EXPECT(next != NULL))
            break;
        EXPECT((uintptr_t)next % MOAT_ALIGN == 0 && moat_malloc_usable_size(next) >= wish);
        EXPECT(pattern_prefix_holds(next, bytes[which], min_size(bytes[which], wish), which));
        if (i % 16 == 0)
            EXPECT(unit_faults(next + moat_malloc_usable_size(next), true));
        pattern_fill(next, wish, which);
        block[which] = next;
        bytes[which] = wish;
    }
    for (size_t i = 0; i < BLOCKS; i++)
        moat_free(block[i]);
}

static void too_much_is_refused_and_changes_nothing(void)
{
    char *block = moat_malloc(2 * MIB);
    static const size_t wishes[] = {PTRDIFF_MAX, SIZE_MAX, SIZE_MAX - 4096, (size_t)1 << 62, (size_t)1 << 48};
    pattern_fill(block, 2 * MIB, 3);
    for (size_t i = 0; i < sizeof wishes / sizeof wishes[0]; i++) {
        errno = 0;
        EXPECT(moat_malloc(family_launder_size(wishes[i])) == NULL);
        EXPECT_EQ(errno, ENOMEM);
        errno = 0;
        EXPECT(moat_realloc(block, family_launder_size(wishes[i])) == NULL);
        EXPECT_EQ(errno, ENOMEM);
        EXPECT(pattern_prefix_holds(block, 2 * MIB, 2 * MIB, 3));
    }
    moat_free(block);
}

/* Alignments up to what only a mapping of its own can give. */
static void any_alignment_is_had(void)
{
    for (size_t alignment = 16; alignment <= (size_t)1 << 30; alignment *= 4) {
        char *small = moat_aligned_alloc(alignment, 100), *large = moat_aligned_alloc(alignment, 2 * MIB + 1);
        EXPECT(small && (uintptr_t)small % alignment == 0);
        EXPECT(large && (uintptr_t)large % alignment == 0);
        if (small && large) {
            memset(small, 0x55, 100);
            memset(large, 0x55, 2 * MIB + 1);
            EXPECT(unit_faults(end_of_pages(large, 2 * MIB + 1), true));
        }
        moat_free(small);
        moat_free(large);
    }
}

static void live_blocks_are_counted(void)
{
    size_t blocks = 0, bytes = 0, blocks_with = 0, bytes_with = 0, blocks_after = 0, bytes_after = 0;
    void *more[3];

    large_count(&blocks, &bytes);
    for (int i = 0; i < 3; i++)
        more[i] = moat_malloc(3 * MIB);
    large_count(&blocks_with, &bytes_with);
    for (int i = 0; i < 3; i++)
        moat_free(more[i]);
    large_count(&blocks_after, &bytes_after);
    EXPECT_EQ(blocks_with - blocks, 3);
    EXPECT_EQ(bytes_with - bytes, 9 * MIB);
    EXPECT(blocks_after == blocks && bytes_after == bytes);
}

/* More blocks than the table had room for at first. */
static void table_grows(void)
{
    enum { BLOCKS = 3000 };
    static char *blocks[BLOCKS];
    size_t wrong = 0;
    for (size_t i = 0; i < BLOCKS; i++) {
        blocks[i] = moat_malloc(MIB + 1 + i);
        *(size_t *)(void *)blocks[i] = i;
    }
    for (size_t i = 0; i < BLOCKS; i++) {
        wrong += *(size_t *)(void *)blocks[i] != i || moat_malloc_usable_size(blocks[i]) < MIB + 1 + i;
        moat_free(blocks[i]);
    }
    EXPECT_EQ(wrong, 0);
}

int main(void)
{
    for (size_t i = 0; i < SIZES_COUNT(sizes_large); i++)
        block_has_a_guard_on_both_sides(sizes_large[i]);
    neighbours_are_apart(2 * MIB - 3 * MOAT_OS_PAGE);
    neighbours_are_apart(2 * MIB);
    neighbours_are_apart(32 * MIB);
    freed_address_rests(2 * MIB);
    freed_address_rests(12 * MIB);
    freed_addresses_come_back_as_drawn(3 * MIB);
    rest_is_by_size();
    fresh_block_reads_zero();
    memory_is_kept_for_the_next(5 * MIB, 5 * MIB);
    memory_is_kept_for_the_next(5 * MIB, 3 * MIB);
    memory_is_kept_for_the_next(5 * MIB, 12 * MIB);
    memory_is_kept_for_the_next(30 * MIB, 17 * MIB + 5);
    locked_memory_does_not_move();
    lock_ends_with_the_block();
    block_of_many_mappings_is_kept(1);
    block_of_many_mappings_is_kept(12);
    block_of_many_mappings_is_kept(100);
    advice_ends_with_the_block(MADV_DONTFORK);
    advice_ends_with_the_block(MADV_WIPEONFORK);
    if (!pace_has_tsan()) /* whose own memory grows under the limit */
        spare_memory_meets_limits();
    block_grows_in_place();
    block_moves_its_pages();
    block_shrinks_in_place();
    random_resizes_keep_contents();
    too_much_is_refused_and_changes_nothing();
    any_alignment_is_had();
    live_blocks_are_counted();
    table_grows();
    return expect_done();
}
