/* Figures of the heap: counted exactly for what the calling thread did, in mallinfo2 and what is made of it. */
#include "unit/unit.h"

#include "moat.h"

#include <errno.h>
#include <string.h>

enum { COUNT = 1000, MIB = 1 << 20 };

static void *blocks[COUNT];

static void expect_difference(const struct mallinfo2 *before, size_t live, size_t hblks, size_t hblkhd)
{
    struct mallinfo2 now = moat_mallinfo2();
    EXPECT_EQ(now.uordblks - before->uordblks, live);
    EXPECT_EQ(now.hblks - before->hblks, hblks);
    EXPECT_EQ(now.hblkhd - before->hblkhd, hblkhd);
    EXPECT_EQ(now.fordblks, now.arena - now.uordblks);
}

static void small_blocks_are_counted(size_t bytes)
{
    size_t block = class_bytes(class_of_bytes(bytes));
    struct mallinfo2 before = moat_mallinfo2();

    for (size_t i = 0; i < COUNT; i++)
        blocks[i] = moat_malloc(bytes);
    expect_difference(&before, COUNT * block, 0, 0);
    struct mallinfo2 full = moat_mallinfo2();
    EXPECT(full.arena >= before.arena && full.arena % MOAT_OS_PAGE == 0);
    for (size_t i = 0; i < COUNT; i += 2) /* no page becomes empty by that */
        moat_free(blocks[i]);
    expect_difference(&before, COUNT / 2 * block, 0, 0);
    EXPECT_EQ(moat_mallinfo2().ordblks - full.ordblks, COUNT / 2);
    for (size_t i = 1; i < COUNT; i += 2)
        moat_free(blocks[i]);
    expect_difference(&before, 0, 0, 0);
    EXPECT(moat_heap_is_valid());
}

static void medium_blocks_are_counted(void)
{
    struct mallinfo2 before = moat_mallinfo2();
    size_t room = 0;
    for (size_t i = 0; i < 20; i++) {
        blocks[i] = moat_malloc(20000 + i * 10000);
        room += class_bytes(medium_class_of_bytes(20000 + i * 10000));
    }
    expect_difference(&before, room, 0, 0);
    EXPECT_EQ(moat_mallinfo2().arena - before.arena, room);
    for (size_t i = 0; i < 20; i++)
        moat_free(blocks[i]);
    expect_difference(&before, 0, 0, 0);
    EXPECT_EQ(moat_mallinfo2().arena, before.arena);
}

static void large_blocks_are_counted(void)
{
    struct mallinfo2 before = moat_mallinfo2();
    void *one = moat_malloc(2 * MIB), *other = moat_malloc(7 * MIB + 1);
    expect_difference(&before, 0, 2, 9 * MIB + MOAT_OS_PAGE);
    moat_free(one);
    expect_difference(&before, 0, 1, 7 * MIB + MOAT_OS_PAGE);
    moat_free(other);
    expect_difference(&before, 0, 0, 0);
}

static void *free_all(void *unused)
{
    (void)unused;
    for (size_t i = 0; i < COUNT; i++)
        moat_free(blocks[i]);
    return NULL;
}

static void *allocate_all(void *unused)
{
    (void)unused;
    for (size_t i = 0; i < COUNT; i++)
        blocks[i] = moat_malloc(120);
    return NULL;
}

/* Blocks that others freed count as free before they are collected; an ended thread's live blocks count as live. */
static void other_threads_blocks_are_counted(void)
{
    struct mallinfo2 before = moat_mallinfo2();
    for (size_t i = 0; i < COUNT; i++)
        blocks[i] = moat_malloc(120);
    unit_in_thread(free_all, NULL);
    expect_difference(&before, 0, 0, 0);
    unit_in_thread(allocate_all, NULL);
    expect_difference(&before, COUNT * 128ul, 0, 0);
    free_all(NULL);
    expect_difference(&before, 0, 0, 0);
}

static pthread_barrier_t filled, looked;

/* Keeps what it freed, in magazines or lists, while somebody looks. */
static void *free_most_and_wait(void *unused)
{
    allocate_all(NULL);
    for (size_t i = 1; i < COUNT; i++)
        moat_free(blocks[i]);
    pthread_barrier_wait(&filled);
    pthread_barrier_wait(&looked);
    return unused;
}

static void what_others_keep_is_free(void)
{
    struct mallinfo2 before = moat_mallinfo2();
    pthread_t thread;

    pthread_barrier_init(&filled, NULL, 2);
    pthread_barrier_init(&looked, NULL, 2);
    if (!EXPECT_EQ(pthread_create(&thread, NULL, free_most_and_wait, NULL), 0))
        return;
    pthread_barrier_wait(&filled);
    if (HOOK_IS_EXACT)
        expect_difference(&before, 128, 0, 0);
    else /* but for the list that it allocates from */
        EXPECT(moat_mallinfo2().uordblks - before.uordblks <= MOAT_SLICE);
    pthread_barrier_wait(&looked);
    pthread_join(thread, NULL);
    expect_difference(&before, 128, 0, 0);
    moat_free(blocks[0]);
    expect_difference(&before, 0, 0, 0);
}

static void first_class_heaps_are_counted(void)
{
    struct mallinfo2 before = moat_mallinfo2();
    moat_heap_t *heap = moat_heap_new();

    for (size_t i = 0; i < COUNT; i++)
        blocks[i] = moat_heap_malloc(heap, 120);
    expect_difference(&before, COUNT * 128ul, 0, 0);
    for (size_t i = 0; i < COUNT; i += 2)
        moat_free(blocks[i]);
    expect_difference(&before, COUNT / 2 * 128ul, 0, 0);
    for (size_t i = 1; i < COUNT; i += 2)
        moat_free(blocks[i]);
    moat_free(moat_heap_malloc(heap, 100000));
    expect_difference(&before, 0, 0, 0);
    moat_heap_delete(heap);
    expect_difference(&before, 0, 0, 0);
}

static void narrow_figures_are_the_same(void)
{
    struct mallinfo2 wide = moat_mallinfo2();
    struct mallinfo narrow = moat_mallinfo();
    EXPECT_EQ((size_t)narrow.arena, wide.arena);
    EXPECT_EQ((size_t)narrow.ordblks, wide.ordblks);
    EXPECT_EQ((size_t)narrow.uordblks, wide.uordblks);
    EXPECT_EQ((size_t)narrow.fordblks, wide.fordblks);
    /* What does not fit is the most that fits. */
    void *huge = moat_malloc((size_t)3 << 30);
    if (EXPECT(huge != NULL)) {
        EXPECT_EQ(moat_mallinfo2().hblkhd - wide.hblkhd, (size_t)3 << 30);
        EXPECT_EQ(moat_mallinfo().hblkhd, INT32_MAX);
        moat_free(huge);
    }
}

/* A thread that has allocated nothing has no lists and no magazines of its own to count. */
static void *count_without_heap(void *counted)
{
    EXPECT(heap_is_empty_heap(moat_self.heap));
    *(struct mallinfo2 *)counted = moat_mallinfo2();
    EXPECT(moat_heap_is_valid());
    EXPECT(heap_is_empty_heap(moat_self.heap));
    return NULL;
}

static void thread_without_heap_counts_too(void)
{
    struct mallinfo2 counted, own = moat_mallinfo2();
    unit_in_thread(count_without_heap, &counted);
    EXPECT_EQ(counted.arena, own.arena);
    EXPECT(counted.uordblks >= own.uordblks); /* it takes for live what another thread has at hand */
}

static void malloc_info_says_the_same(void)
{
    char text[1024] = "", wanted[64];
    moat_heap_t *heap = moat_heap_new();
    struct mallinfo2 info = moat_mallinfo2();
    FILE *file = fmemopen(text, sizeof text, "w");
    EXPECT_EQ(moat_malloc_info(0, file), 0);
    fclose(file);
    snprintf(wanted, sizeof wanted, "live=\"%zu\"", info.uordblks);
    EXPECT(strstr(text, wanted) != NULL);
    snprintf(wanted, sizeof wanted, "<pages bytes=\"%zu\"", info.arena);
    EXPECT(strstr(text, wanted) != NULL);
    EXPECT(strstr(text, "<heaps threads=\"1\" made=\"1\"/>") != NULL);
    EXPECT_EQ(moat_malloc_info(1, stdout), EINVAL);
    moat_heap_delete(heap);
}

int main(void)
{
    moat_free(moat_malloc(1));
    small_blocks_are_counted(40);
    small_blocks_are_counted(1000);
    small_blocks_are_counted(9000);
    medium_blocks_are_counted();
    large_blocks_are_counted();
    other_threads_blocks_are_counted();
    what_others_keep_is_free();
    first_class_heaps_are_counted();
    narrow_figures_are_the_same();
    thread_without_heap_counts_too();
    malloc_info_says_the_same();
    return expect_done();
}
