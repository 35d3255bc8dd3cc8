/* First-class heaps: what they hand out is a block like any other, whoever frees it, and whatever becomes of the heap. */
#include "support/expect.h"
#include "support/heaps.h"
#include "support/pace.h"
#include "support/pattern.h"
#include "support/sizes.h"

#include <errno.h>
#include <pthread.h>

enum { BLOCKS = 200 };

static struct {
    unsigned char *block[BLOCKS];
    size_t size[BLOCKS];
} stock;

/* A few large ones, more medium ones, mostly small ones. */
static size_t stock_size(size_t i)
{
    if (i % 50 == 7)
        return sizes_large[i % 8];
    if (i % 10 == 3)
        return sizes_medium[i % SIZES_COUNT(sizes_medium)];
    return sizes_small[i % SIZES_COUNT(sizes_small)];
}

static void stock_fill(moat_heap_t *heap)
{
    for (size_t i = 0; i < BLOCKS; i++) {
        stock.size[i] = stock_size(i);
        stock.block[i] = family_launder(moat_heap_malloc(heap, stock.size[i]));
        if (stock.block[i] == NULL) {
            expect_fail("no memory for %zu bytes", stock.size[i]);
            exit(expect_done());
        }
        EXPECT_EQ((uintptr_t)stock.block[i] % 16, 0);
        EXPECT(moat_malloc_usable_size(stock.block[i]) >= stock.size[i]);
        pattern_fill(stock.block[i], stock.size[i], i);
    }
}

static void stock_free(void)
{
    for (size_t i = 0; i < BLOCKS; i++) {
        EXPECT(pattern_holds(stock.block[i], stock.size[i], i));
        moat_free(stock.block[i]);
    }
}

static void *stock_free_in_thread(void *argument)
{
    stock_free();
    return argument;
}

static void in_thread(void *(*work)(void *), void *argument)
{
    pthread_t thread;
    if (EXPECT_EQ(pthread_create(&thread, NULL, work, argument), 0))
        pthread_join(thread, NULL);
}

static void blocks_are_freed_by_anybody(void)
{
    moat_heap_t *heap = moat_heap_new();
    EXPECT(heap != NULL);
    stock_fill(heap);
    stock_free();
    stock_fill(heap);
    in_thread(stock_free_in_thread, NULL);
    stock_fill(heap);
    stock_free();
    moat_heap_delete(heap);
}

static void blocks_outlive_their_heap(void)
{
    moat_heap_t *heap = moat_heap_new();
    stock_fill(heap);
    moat_heap_delete(heap);
    stock_free();

    heap = moat_heap_new();
    stock_fill(heap);
    moat_heap_delete(heap);
    in_thread(stock_free_in_thread, NULL);
}

static void *leave_stock(void *argument)
{
    moat_heap_t *heap = moat_heap_new();
    stock_fill(heap);
    return argument;
}

static void blocks_outlive_their_thread(void)
{
    in_thread(leave_stock, NULL);
    stock_free();
    in_thread(leave_stock, NULL);
    in_thread(stock_free_in_thread, NULL);
}

static void many_heaps_at_once(void)
{
    enum { HEAPS = 300 };
    static moat_heap_t *heaps[HEAPS];
    static unsigned char *blocks[HEAPS];

    for (size_t i = 0; i < HEAPS; i++) {
        heaps[i] = moat_heap_new();
        blocks[i] = moat_heap_malloc(heaps[i], 24 + i);
        pattern_fill(blocks[i], 24 + i, i);
        for (size_t j = 0; j < i; j++)
            EXPECT(heaps[j] != heaps[i]);
    }
    for (size_t i = 0; i < HEAPS; i += 2)
        moat_heap_delete(heaps[i]);
    for (size_t i = 1; i < HEAPS; i += 2)
        moat_free(moat_heap_malloc(heaps[i], 24 + i));
    for (size_t i = 0; i < HEAPS; i++) {
        EXPECT(pattern_holds(blocks[i], 24 + i, i));
        moat_free(blocks[i]);
    }
    for (size_t i = 1; i < HEAPS; i += 2)
        moat_heap_delete(heaps[i]);
}

static void destroy_takes_everything(void)
{
    for (int round = 0; round < 3; round++) {
        moat_heap_t *heap = moat_heap_new(), *other = moat_heap_new();
        unsigned char *kept = moat_heap_malloc(other, 100), *own = moat_malloc(100);
        pattern_fill(kept, 100, 1);
        pattern_fill(own, 100, 2);
        stock_fill(heap);
        for (size_t i = 0; i < BLOCKS; i += 3)
            moat_free(stock.block[i]);
        moat_heap_destroy(heap);
        /* What others had is theirs still; what was taken serves again. */
        EXPECT(pattern_holds(kept, 100, 1));
        EXPECT(pattern_holds(own, 100, 2));
        stock_fill(other);
        stock_free();
        moat_free(kept);
        moat_free(own);
        moat_heap_destroy(other);
    }
    moat_heap_destroy(NULL);
}

static void expect_refused(void *answer, int reason)
{
    EXPECT(answer == NULL);
    EXPECT_EQ(errno, reason);
    errno = 0;
}

static void too_much_is_refused(void)
{
    const size_t half = family_launder_size(SIZE_MAX / 2 + 1);
    moat_heap_t *heap = moat_heap_new();
    void *kept = moat_heap_malloc(heap, 50);

    errno = 0;
    expect_refused(moat_heap_malloc(heap, half), ENOMEM);
    expect_refused(moat_heap_calloc(heap, half, 2), ENOMEM);
    expect_refused(moat_heap_calloc(heap, 1, half), ENOMEM);
    expect_refused(moat_heap_realloc(heap, kept, half), ENOMEM);
    expect_refused(moat_heap_aligned_alloc(heap, 64, half), ENOMEM);
    expect_refused(moat_heap_aligned_alloc(heap, 48, 48), EINVAL);
    expect_refused(moat_heap_aligned_alloc(heap, 0, 48), EINVAL);
    void *nothing = moat_heap_malloc(heap, 0);
    EXPECT(nothing != NULL && nothing != kept);
    moat_free(nothing);
    moat_free(kept);
    moat_heap_delete(heap);
    moat_heap_delete(NULL);
}

static void calloc_clears(void)
{
    moat_heap_t *heap = moat_heap_new();
    for (size_t i = 0; i < SIZES_COUNT(sizes_small) + SIZES_COUNT(sizes_medium); i++) {
        size_t small = SIZES_COUNT(sizes_small), size = i < small ? sizes_small[i] : sizes_medium[i - small];
        unsigned char *dirty = moat_heap_malloc(heap, size);
        memset(dirty, 0xee, size);
        moat_free(dirty);
        unsigned char *blocks[50];
        for (size_t j = 0; j < 50; j++) {
            blocks[j] = moat_heap_calloc(heap, j % 2 ? size : 1, j % 2 ? 1 : size);
            EXPECT(pattern_is_zero(blocks[j], size));
            memset(blocks[j], 0xdd, size);
        }
        for (size_t j = 0; j < 50; j++)
            moat_free(blocks[j]);
    }
    moat_heap_destroy(heap);
}

static void alignments_are_kept(void)
{
    moat_heap_t *heap = moat_heap_new();
    for (size_t alignment = 1; alignment <= (size_t)4 << 20; alignment *= 2) {
        for (size_t size = 1; size < 3000000; size = size * 7 + 1) {
            unsigned char *block = moat_heap_aligned_alloc(heap, alignment, size);
            EXPECT(block != NULL && (uintptr_t)block % alignment == 0);
            EXPECT(moat_usable_size(block) >= size);
            pattern_fill(block, size, alignment);
            EXPECT(pattern_holds(block, size, alignment));
            moat_free(block);
        }
    }
    moat_heap_destroy(heap);
}

struct count {
    size_t blocks, bytes;
    size_t stop_at; /* 0: never */
    const void *wanted;
    bool saw_wanted, frees;
};

static bool count_one(void *block, size_t bytes, void *argument)
{
    struct count *count = argument;
    count->blocks++;
    count->bytes += bytes;
    count->saw_wanted |= block == count->wanted;
    EXPECT_EQ(bytes, moat_usable_size(block));
    EXPECT(moat_is_in_heap(block));
    if (count->frees)
        moat_free(block);
    return count->blocks != count->stop_at;
}

static size_t count_blocks(moat_heap_t *heap)
{
    struct count count = {0};
    EXPECT(moat_heap_visit_blocks(heap, count_one, &count));
    return count.blocks;
}

static bool is_from(moat_heap_t *heap, const void *block)
{
    struct count count = {.wanted = block};
    moat_heap_visit_blocks(heap, count_one, &count);
    return count.saw_wanted;
}

static void *free_every_second(void *argument)
{
    for (size_t i = 0; i < BLOCKS; i += 2)
        moat_free(stock.block[i]);
    return argument;
}

static void visits_show_each_block(void)
{
    moat_heap_t *heap = moat_heap_new();
    struct count count = {.stop_at = 60};
    size_t usable = 0;

    EXPECT_EQ(count_blocks(heap), 0);
    stock_fill(heap);
    void *own = moat_malloc(100);
    for (size_t i = 0; i < BLOCKS; i++) {
        EXPECT(is_from(heap, stock.block[i]));
        usable += moat_usable_size(stock.block[i]);
    }
    EXPECT(!is_from(heap, own));
    EXPECT(!moat_heap_visit_blocks(heap, count_one, &count));
    EXPECT_EQ(count.blocks, 60);
    count = (struct count){0};
    EXPECT(moat_heap_visit_blocks(heap, count_one, &count));
    EXPECT_EQ(count.blocks, BLOCKS);
    EXPECT_EQ(count.bytes, usable);

    in_thread(free_every_second, NULL);
    EXPECT_EQ(count_blocks(heap), BLOCKS / 2);
    count = (struct count){.frees = true};
    EXPECT(moat_heap_visit_blocks(heap, count_one, &count));
    EXPECT_EQ(count.blocks, BLOCKS / 2);
    EXPECT_EQ(count_blocks(heap), 0);
    moat_free(own);
    moat_heap_delete(heap);
}

struct sweep {
    char *first; /* of what the visitor allocates meanwhile, by links in the blocks themselves */
    size_t shown, foreign;
};

/* Frees what it is shown, collects, and allocates as much from the thread's own heap, where the page may come back. */
static bool free_and_collect(void *block, size_t bytes, void *argument)
{
    struct sweep *sweep = argument;
    for (char *own = sweep->first; own; own = *(char **)(void *)own)
        sweep->foreign += own == block;
    if (++sweep->shown > BLOCKS || sweep->foreign > 0)
        return false;
    moat_free(block);
    moat_malloc_trim(0);
    char *own = moat_malloc(bytes - 1);
    *(char **)(void *)own = sweep->first;
    sweep->first = own;
    return true;
}

/* Pages of a heap under a visit stay: else the walk would go on in whatever heap has them next. */
static void visitors_may_collect(void)
{
    static const size_t sizes[] = {4000, 64, 12000};
    for (size_t i = 0; i < SIZES_COUNT(sizes); i++) {
        moat_heap_t *heap = moat_heap_new();
        struct sweep sweep = {0};
        for (size_t j = 0; j < BLOCKS; j++)
            EXPECT(moat_heap_malloc(heap, sizes[i]) != NULL);
        EXPECT(moat_heap_visit_blocks(heap, free_and_collect, &sweep));
        EXPECT_EQ(sweep.foreign, 0);
        EXPECT_EQ(sweep.shown, BLOCKS);
        while (sweep.first) {
            char *next = *(char **)(void *)sweep.first;
            moat_free(sweep.first);
            sweep.first = next;
        }
        moat_heap_destroy(heap);
    }
}

/* From anywhere into the heap, from any size to any. */
static void realloc_answers_in_the_heap(void)
{
    static const size_t sizes[] = {10, 100, 110, 5000, 20000, 22000, 300000, 2000000, 2100000, 9000000};
    moat_heap_t *heap = moat_heap_new(), *other = moat_heap_new();
    for (size_t i = 0; i < SIZES_COUNT(sizes); i++) {
        for (size_t j = 0; j < SIZES_COUNT(sizes); j++) {
            size_t from = sizes[i], to = sizes[j];
            unsigned char *block = (i + j) % 2 ? moat_malloc(from) : moat_heap_malloc(other, from);
            pattern_fill(block, from, i);
            block = family_launder(moat_heap_realloc(heap, block, to));
            EXPECT(pattern_prefix_holds(block, from, to, i));
            EXPECT(is_from(heap, block) && !is_from(other, block));
            block = family_launder(moat_heap_realloc(other, block, to));
            EXPECT(pattern_prefix_holds(block, from, to, i));
            EXPECT(!is_from(heap, block) && is_from(other, block));
            EXPECT(moat_heap_realloc(heap, block, 0) == NULL);
        }
    }
    void *fresh = moat_heap_realloc(heap, NULL, 40);
    EXPECT(is_from(heap, fresh));
    EXPECT_EQ(count_blocks(heap), 1);
    EXPECT_EQ(count_blocks(other), 0);
    moat_heap_destroy(heap);
    moat_heap_destroy(other);
}

static void realloc_works_on_heaps_blocks(void)
{
    moat_heap_t *heap = moat_heap_new();
    stock_fill(heap);
    for (size_t i = 0; i < BLOCKS; i++) {
        size_t to = stock_size(i * 7 + 3);
        stock.block[i] = family_launder(moat_realloc(stock.block[i], to));
        EXPECT(pattern_prefix_holds(stock.block[i], stock.size[i], to, i));
        stock.size[i] = to;
        pattern_fill(stock.block[i], to, i);
    }
    moat_heap_delete(heap);
    stock_free();
}

static void collect_gives_back(void)
{
    moat_heap_t *heap = moat_heap_new();
    for (int round = 0; round < 2; round++) {
        void *blocks[300];
        for (size_t i = 0; i < 300; i++)
            blocks[i] = moat_heap_malloc(heap, 4000);
        for (size_t i = 0; i < 300; i++)
            moat_free(blocks[i]);
        EXPECT(moat_collect());
        EXPECT(!moat_collect());
    }
    moat_heap_delete(heap);
}

static void *allocate_in_new_thread(void *answer)
{
    void *block = moat_malloc(100);
    *(bool *)answer = block != NULL;
    moat_free(block);
    return NULL;
}

static size_t make_heaps(moat_heap_t **heaps, size_t most)
{
    size_t count = 0;
    while (count < most && (heaps[count] = moat_heap_new()) != NULL)
        count++;
    return count;
}

/* When no more heaps are to be had, a thread that comes new still gets its own. */
static void heaps_leave_memory_for_threads(void)
{
    enum { MORE_THAN_THERE_ARE = 65536 };
    static moat_heap_t *heaps[MORE_THAN_THERE_ARE];
    bool has_block = false;

    errno = 0;
    size_t first = make_heaps(heaps, MORE_THAN_THERE_ARE);
    EXPECT(first > 1000 && first < MORE_THAN_THERE_ARE);
    EXPECT_EQ(errno, ENOMEM);
    in_thread(allocate_in_new_thread, &has_block);
    EXPECT(has_block);
    for (size_t i = 0; i < first; i++)
        moat_heap_delete(heaps[i]);
    size_t second = make_heaps(heaps, MORE_THAN_THERE_ARE);
    EXPECT(second >= first);
    for (size_t i = 0; i < second; i++)
        moat_heap_delete(heaps[i]);
}

static pthread_key_t late_key;

static void use_heap_late(void *heap)
{
    void *block = moat_heap_malloc(heap, 100);
    EXPECT(block != NULL);
    moat_free(block);
    moat_heap_delete(heap);
}

static void *make_heap_for_destructor(void *argument)
{
    EXPECT_EQ(pthread_setspecific(late_key, moat_heap_new()), 0);
    return argument;
}

/* Destructors of thread-specific data still find the thread's heaps. */
static void destructors_may_use_heaps(void)
{
    EXPECT_EQ(pthread_key_create(&late_key, use_heap_late), 0);
    unsigned long passed = expect_passed;
    in_thread(make_heap_for_destructor, NULL);
    EXPECT_EQ(expect_passed - passed, 3); /* setspecific, the destructor's, pthread_create */
    pthread_key_delete(late_key);
}

int main(void)
{
    if (!heaps_are_there()) {
        expect_say("the C library has no first-class heaps: nothing to check\n");
        return 0;
    }
    blocks_are_freed_by_anybody();
    blocks_outlive_their_heap();
    blocks_outlive_their_thread();
    many_heaps_at_once();
    destroy_takes_everything();
    too_much_is_refused();
    calloc_clears();
    alignments_are_kept();
    visits_show_each_block();
    visitors_may_collect();
    realloc_answers_in_the_heap();
    realloc_works_on_heaps_blocks();
    collect_gives_back();
    destructors_may_use_heaps();
    heaps_leave_memory_for_threads();
    return expect_done();
}
