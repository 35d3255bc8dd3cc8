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

static void too_much_is_refused(void)
{
    moat_heap_t *heap = moat_heap_new();
    errno = 0;
    EXPECT(moat_heap_malloc(heap, family_launder_size((size_t)PTRDIFF_MAX + 1)) == NULL);
    EXPECT_EQ(errno, ENOMEM);
    void *nothing = moat_heap_malloc(heap, 0);
    EXPECT(nothing != NULL);
    moat_free(nothing);
    moat_heap_delete(heap);
    moat_heap_delete(NULL);
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
    too_much_is_refused();
    destructors_may_use_heaps();
    return expect_done();
}
