/* What one may ask Moat: whose an address is, sizes, figures. */
#include "support/expect.h"
#include "support/heaps.h"
#include "support/sizes.h"

static void good_size_takes_the_same_block(size_t size)
{
    size_t good = moat_good_size(size);
    EXPECT(good >= size);
    EXPECT_EQ(moat_good_size(good), good);
    if (size > 0)
        EXPECT(moat_good_size(good + 1) > good);
    if (size < (size_t)8 << 20 && good % 16 == 0) {
        void *one = moat_malloc(good), *other = moat_malloc(size);
        EXPECT(moat_usable_size(one) >= moat_usable_size(other));
        EXPECT(moat_usable_size(one) >= good);
        moat_free(one);
        moat_free(other);
    }
}

static void good_sizes(void)
{
    static size_t edges[SIZES_EDGES_MAX];
    size_t count = sizes_edges(edges);
    good_size_takes_the_same_block(0);
    for (size_t i = 0; i < count; i++)
        good_size_takes_the_same_block(edges[i]);
    for (size_t i = 0; i < SIZES_COUNT(sizes_medium); i++)
        good_size_takes_the_same_block(sizes_medium[i]);
    for (size_t i = 0; i < SIZES_COUNT(sizes_large); i++)
        good_size_takes_the_same_block(sizes_large[i]);
    EXPECT_EQ(moat_good_size(SIZE_MAX), SIZE_MAX);
}

static void addresses_are_told_apart(void)
{
    static int global;
    int local;
    EXPECT(!moat_is_in_heap(NULL));
    EXPECT(!moat_is_in_heap(&global));
    EXPECT(!moat_is_in_heap(&local));
    EXPECT(!moat_is_in_heap((const void *)(uintptr_t)0x8000000000000000u));
    EXPECT(!moat_is_in_heap((const void *)UINTPTR_MAX));
    for (size_t size = 10; size < 10000000; size *= 10) {
        char *block = moat_malloc(size);
        EXPECT(moat_is_in_heap(block));
        EXPECT(moat_is_in_heap(block + size - 1));
        moat_free(block);
        if (size > 16384)
            EXPECT(!moat_is_in_heap(block));
    }
    EXPECT_EQ(moat_usable_size(NULL), 0);
}

static size_t count_of(const char *wanted)
{
    const char *words;
    uint64_t count;
    for (unsigned i = 0; moat_stats_counter(i, &words, &count); i++)
        if (strcmp(words, wanted) == 0)
            return count;
    expect_fail("nothing is counted as %s", wanted);
    return 0;
}

static void figures_are_true(void)
{
    struct moat_stats before = {.bytes = sizeof before}, now = {.bytes = sizeof now};
    EXPECT(moat_stats_get(&before));
    moat_heap_t *heap = moat_heap_new();
    size_t opened = count_of("large blocks opened"), usable = 0, usable_large = 0, large = 0;

    for (size_t size = 10; size <= 10000000; size = size * 3 / 2) {
        size_t has = moat_usable_size(moat_heap_malloc(heap, size));
        usable += size <= SIZES_MEDIUM_LIMIT ? has : 0;
        usable_large += size <= SIZES_MEDIUM_LIMIT ? 0 : has;
        large += size > SIZES_MEDIUM_LIMIT;
    }
    EXPECT(moat_stats_get(&now));
    EXPECT_EQ(now.bytes, sizeof now);
    EXPECT_EQ(now.heaps - before.heaps, 1);
    EXPECT(now.thread_heaps >= 1);
    EXPECT_EQ(now.large_blocks - before.large_blocks, large);
    EXPECT_EQ(count_of("large blocks opened") - opened, large);
    EXPECT(now.large_bytes - before.large_bytes >= usable_large);
    EXPECT(now.live_bytes - before.live_bytes >= usable);
    EXPECT(now.live_bytes <= now.page_bytes);

    struct mallinfo2 same = moat_mallinfo2();
    EXPECT_EQ(same.uordblks, now.live_bytes);
    EXPECT_EQ(same.arena, now.page_bytes);
    EXPECT_EQ(same.hblkhd, now.large_bytes);
    moat_heap_destroy(heap);
    EXPECT(moat_stats_get(&now));
    EXPECT_EQ(now.heaps, before.heaps);
    EXPECT_EQ(now.large_bytes, before.large_bytes);
    EXPECT_EQ(now.live_bytes, before.live_bytes);
}

/* As a program that was built with an older or a newer header asks. */
static void figures_have_versions(void)
{
    struct {
        struct moat_stats known;
        size_t more;
    } newer = {.known.bytes = sizeof newer, .more = 7};
    EXPECT(moat_stats_get(&newer.known));
    EXPECT_EQ(newer.known.bytes, sizeof newer.known);
    EXPECT_EQ(newer.more, 7);
    struct moat_stats older = {.bytes = sizeof older - 1, .page_bytes = 7};
    EXPECT(!moat_stats_get(&older));
    EXPECT_EQ(older.page_bytes, 7);
}

int main(void)
{
    if (!heaps_are_there()) {
        expect_say("the C library answers none of these questions\n");
        return 0;
    }
    good_sizes();
    addresses_are_told_apart();
    figures_are_true();
    figures_have_versions();
    return expect_done();
}
