/* The life of a heap page in its owner's hands: carved, woken, queued, empty, kept, released, opened again. Each test has a
 * size class of its own, of which it knows every block.
 */
#include "unit/unit.h"

#include "remote.h"
#include "slices.h"

#include <string.h>

enum { PAGE_BLOCKS_MAX = MOAT_SLICE / MOAT_ALIGN, PAGES_MAX = 64 };

/* Blocks of whole pages, by page and in the order of their birth. */
struct full_pages {
    unsigned class;
    size_t count;
    struct record *page[PAGES_MAX];
    char **block[PAGES_MAX];
};

static void *allocate(unsigned class)
{
    return moat_malloc(class_bytes(class) - 1);
}

/* Fills `count` fresh pages of a class that nobody has used. */
static void fill_pages(struct full_pages *full, unsigned class, size_t count)
{
    full->class = class;
    full->count = count;
    EXPECT_EQ(unit_queue_of(class)->page_count, 0);
    for (size_t i = 0; i < count; i++) {
        char *first = allocate(class);
        struct record *page = unit_page_of(first);
        full->page[i] = page;
        full->block[i] = malloc(page->capacity * sizeof(char *));
        full->block[i][0] = first;
        for (size_t j = 1; j < page->capacity; j++) {
            full->block[i][j] = allocate(class);
            EXPECT(unit_page_of(full->block[i][j]) == page);
        }
        EXPECT_EQ(page->carved, page->capacity);
        for (size_t j = 0; j < i; j++)
            EXPECT(full->page[j] != page);
    }
}

/* Frees blocks `first` to `end` of one page. */
static void free_blocks(const struct full_pages *full, size_t index, size_t first, size_t end)
{
    for (size_t i = first; i < end; i++)
        moat_free(full->block[index][i]);
}

static void free_page(const struct full_pages *full, size_t index)
{
    free_blocks(full, index, 0, full->page[index]->capacity);
}

static void forget(struct full_pages *full)
{
    for (size_t i = 0; i < full->count; i++)
        free(full->block[i]);
}

static void page_is_carved_upward_to_its_end(unsigned class)
{
    size_t block_bytes = class_bytes(class);
    char *first = allocate(class);
    struct record *page = unit_page_of(first);
    size_t capacity = page->capacity;

    EXPECT_EQ(page->block_bytes, block_bytes);
    EXPECT_EQ(capacity, (MOAT_SLICE - HOOK_GUARD_BYTES) / block_bytes);
    EXPECT(first == page_start(page));
    EXPECT_EQ(page->threshold, max_size(1, min_size(capacity / 16, 32)));
    for (size_t i = 1; i < capacity; i++) {
        char *block = allocate(class);
        EXPECT(block == first + i * block_bytes);
        EXPECT(page->carved >= i + 1 && page->carved <= capacity);
    }
    EXPECT_EQ(page->carved, capacity);
    EXPECT_EQ(unit_queue_of(class)->partial, 0);
    EXPECT(unit_page_of(allocate(class)) != page);
    EXPECT(moat_heap_is_valid());
}

/* Fresh blocks come in ascending order: descending within a batch cost 60 % in a real program. */
static void fresh_blocks_ascend(void)
{
    const size_t bytes = 56;
    size_t descending = 0;
    char *last = moat_malloc(bytes);
    for (int i = 0; i < 20000; i++) {
        char *block = moat_malloc(bytes);
        descending += block < last;
        last = block;
    }
    expect_say("%zu descending steps in 20000 fresh blocks\n", descending);
    EXPECT_EQ(descending, 0);
}

static void page_wakes_exactly_at_its_threshold(unsigned class)
{
    struct full_pages full;
    fill_pages(&full, class, 1);
    struct record *page = full.page[0];
    struct class_queue *queue = unit_queue_of(class);
    size_t threshold = page->threshold;

    free_blocks(&full, 0, 0, threshold - 1);
    EXPECT_EQ(page->phase, PAGE_AWAY);
    EXPECT_EQ(page->needed, 1);
    EXPECT_EQ(queue->head, 0);
    free_blocks(&full, 0, threshold - 1, threshold);
    EXPECT_EQ(page->phase, threshold < page->capacity ? PAGE_QUEUED : PAGE_EMPTY);
    EXPECT_EQ(queue->head, slice_of_record(page));
    EXPECT_EQ(queue->tail, slice_of_record(page));
    EXPECT_EQ(page_back(page), threshold);
    EXPECT(moat_heap_is_valid());
    for (size_t i = 0; i < threshold; i++) {
        EXPECT(unit_page_of(allocate(class)) == page);
        EXPECT_EQ(queue->head, 0);
        EXPECT_EQ(page->phase, PAGE_AWAY);
    }
    EXPECT(unit_page_of(allocate(class)) != page);
    EXPECT(moat_heap_is_valid());
    forget(&full);
}

static void queue_serves_in_the_order_of_waking(unsigned class)
{
    static const size_t order[] = {2, 0, 3, 1};
    struct full_pages full;
    fill_pages(&full, class, 4);
    size_t threshold = full.page[0]->threshold;

    for (size_t i = 0; i < 4; i++)
        free_blocks(&full, order[i], 0, threshold);
    EXPECT_EQ(unit_queue_of(class)->head, slice_of_record(full.page[2]));
    EXPECT_EQ(unit_queue_of(class)->tail, slice_of_record(full.page[1]));
    /* More frees of a queued page do not move it. */
    free_blocks(&full, 0, threshold, threshold + 1);
    EXPECT(moat_heap_is_valid());
    for (size_t i = 0; i < 4; i++)
        for (size_t j = 0; j < threshold + (order[i] == 0); j++)
            EXPECT(unit_page_of(allocate(class)) == full.page[order[i]]);
    EXPECT_EQ(unit_queue_of(class)->head, 0);
    EXPECT(moat_heap_is_valid());
    forget(&full);
}

static void last_block_back_is_the_second_event(unsigned class)
{
    struct full_pages full;
    fill_pages(&full, class, 1);
    struct record *page = full.page[0];
    struct class_queue *queue = unit_queue_of(class);

    free_blocks(&full, 0, 0, page->capacity - 1u);
    EXPECT_EQ(page->phase, PAGE_QUEUED);
    EXPECT_EQ(queue->empty_count, 0);
    free_blocks(&full, 0, page->capacity - 1u, page->capacity);
    EXPECT_EQ(page->phase, PAGE_EMPTY);
    EXPECT_EQ(queue->empty_count, 1);
    EXPECT_EQ(page_back(page), page->capacity);
    EXPECT(page->owner == moat_self.number);
    EXPECT(moat_heap_is_valid());
    EXPECT(unit_page_of(allocate(class)) == page);
    EXPECT_EQ(page->phase, PAGE_AWAY);
    EXPECT_EQ(queue->empty_count, 0);
    EXPECT(moat_heap_is_valid());
    forget(&full);
}

/* All that was carved is back, and the rest was never carved: empty as well, and carving goes on from there. */
static void page_carved_in_part_can_be_empty(unsigned class)
{
    char *first = allocate(class);
    struct record *page = unit_page_of(first);
    size_t carved = page->carved;
    void *blocks[64];

    EXPECT(carved < page->capacity && carved <= 64);
    for (size_t i = 1; i < carved; i++)
        blocks[i] = allocate(class);
    EXPECT_EQ(page->carved, carved);
    moat_free(first);
    for (size_t i = 1; i < carved; i++)
        moat_free(blocks[i]);
    EXPECT_EQ(page->phase, PAGE_EMPTY);
    EXPECT(moat_heap_is_valid());
    for (size_t i = 0; i < page->capacity; i++)
        EXPECT(unit_page_of(allocate(class)) == page);
    EXPECT_EQ(page->carved, page->capacity);
    EXPECT(moat_heap_is_valid());
}

/* After each free of a class that shrinks: the empty pages that are kept are two, or an eighth of the class. */
static void few_empty_pages_are_kept(unsigned class, size_t pages, bool from_the_end)
{
    struct full_pages full;
    fill_pages(&full, class, pages);
    struct class_queue *queue = unit_queue_of(class);
    uint64_t released = stats_get(STAT_PAGES_RELEASED);

    EXPECT_EQ(queue->page_count, pages);
    for (size_t i = 0; i < pages; i++) {
        free_page(&full, from_the_end ? pages - 1 - i : i);
        EXPECT_EQ(queue->page_count + stats_get(STAT_PAGES_RELEASED) - released, pages);
        EXPECT(queue->empty_count >= min_size(i + 1, MOAT_KEEP_EMPTY));
        if (!EXPECT(queue->empty_count <= max_size(2, pages / 8)))
            expect_say("  %u empty of %u pages, %zu at first\n", queue->empty_count, queue->page_count, pages);
    }
    if (!EXPECT(queue->empty_count <= max_size(2, queue->page_count / 8)))
        expect_say("  all is free: %u empty of %u pages, %zu at first\n", queue->empty_count, queue->page_count, pages);
    EXPECT(moat_heap_is_valid());
    forget(&full);
}

static void released_page_is_nobodys_and_opens_again(unsigned class)
{
    struct full_pages full;
    fill_pages(&full, class, MOAT_KEEP_EMPTY + 1);
    struct record *page = full.page[MOAT_KEEP_EMPTY];
    uint64_t released = stats_get(STAT_PAGES_RELEASED), guards = stats_get(STAT_GUARDS_PLACED);
    uint64_t missing = stats_get(STAT_GUARDS_MISSING);
    uint64_t epoch = page->remote >> 1 & 0x7fffffff;

    for (size_t i = 0; i <= MOAT_KEEP_EMPTY; i++)
        free_page(&full, i);
    EXPECT_EQ(stats_get(STAT_PAGES_RELEASED) - released, 1);
    EXPECT_EQ(page->owner, OWNER_NONE);
    EXPECT_EQ(page->is_woken, 1); /* nobody wakes anybody for it */
    EXPECT(page->free == NULL && remote_is_owned(page->remote) && remote_count(page->remote) == 0);
    EXPECT((page->remote >> 1 & 0x7fffffff) != epoch);
    for (size_t i = 0; MOAT_WITH_STATES && i < page->capacity; i++)
        EXPECT(hook_was_never_used(full.block[MOAT_KEEP_EMPTY][i]));
    EXPECT(moat_heap_is_valid());

    EXPECT(page_open(heap_of_thread(), class) == page);
    EXPECT(page->owner == moat_self.number && page->carved == 0 && page->is_woken == 0 && page->phase == PAGE_AWAY);
    EXPECT_EQ(page->class, class);
    EXPECT_EQ(stats_get(STAT_GUARDS_PLACED), guards);
    EXPECT_EQ(stats_get(STAT_GUARDS_MISSING), missing);
    EXPECT(moat_heap_is_valid());
    forget(&full);
}

static void *free_in_thread(void *argument)
{
    struct full_pages *full = argument;
    free_page(full, full->count - 1);
    return NULL;
}

/* A page that stands on a woken stack is not given up: its owner would meet it there as somebody else's. */
static void page_on_a_woken_stack_is_not_released(unsigned class)
{
    struct full_pages full;
    struct heap *heap = heap_of_thread();
    fill_pages(&full, class, MOAT_KEEP_EMPTY + 1);
    struct record *page = full.page[MOAT_KEEP_EMPTY];
    uint32_t pages = heap->queue[class].page_count;

    for (size_t i = 0; i < MOAT_KEEP_EMPTY; i++)
        free_page(&full, i);
    unit_in_thread(free_in_thread, &full);
    EXPECT_EQ(page->is_woken, 1);
    EXPECT(!page_release(heap, page));
    EXPECT(page->owner == moat_self.number && heap->queue[class].page_count == pages);
    EXPECT(moat_heap_is_valid());
    heap_drain_woken(heap);
    EXPECT_EQ(page->owner, OWNER_NONE);
    EXPECT_EQ(heap->queue[class].page_count, MOAT_KEEP_EMPTY);
    EXPECT(moat_heap_is_valid());
    forget(&full);
}

static void trim_gives_all_empty_pages_back(unsigned class)
{
    struct full_pages full;
    fill_pages(&full, class, MOAT_KEEP_EMPTY);
    uint64_t released = stats_get(STAT_PAGES_RELEASED);

    for (size_t i = 0; i < MOAT_KEEP_EMPTY; i++)
        free_page(&full, i);
    EXPECT_EQ(unit_queue_of(class)->empty_count, MOAT_KEEP_EMPTY);
    EXPECT_EQ(moat_malloc_trim(0), 1);
    EXPECT_EQ(unit_queue_of(class)->page_count, 0);
    EXPECT(stats_get(STAT_PAGES_RELEASED) - released >= MOAT_KEEP_EMPTY);
    EXPECT(full.page[0]->owner == OWNER_NONE && full.page[1]->owner == OWNER_NONE);
    EXPECT(moat_heap_is_valid());
    EXPECT_EQ(moat_malloc_trim(0), 0);
    forget(&full);
}

/* A list that was broken behind the counters' back is noticed by the checks that the other tests rely on. */
static void broken_page_is_not_valid(unsigned class)
{
    struct full_pages full;
    fill_pages(&full, class, 1);
    struct record *page = full.page[0];

    free_blocks(&full, 0, 0, page->threshold + 2u);
    EXPECT(page_is_valid(page) && moat_heap_is_valid());
    void *whole = page->free;
    page->free = *(void **)page->free;
    EXPECT(!page_is_valid(page));
    page->free = (char *)whole + MOAT_ALIGN;
    EXPECT(!page_is_valid(page));
    page->free = whole;
    *(void **)whole = whole;
    EXPECT(!page_is_valid(page));
    forget(&full);
}

int main(void)
{
    fresh_blocks_ascend();
    for (unsigned class = class_of_bytes(1); class < MOAT_SMALL_CLASSES; class += 9)
        page_is_carved_upward_to_its_end(class);
    page_wakes_exactly_at_its_threshold(class_of_bytes(33));
    page_wakes_exactly_at_its_threshold(class_of_bytes(300));
    page_wakes_exactly_at_its_threshold(class_of_bytes(9000));
    queue_serves_in_the_order_of_waking(class_of_bytes(400));
    last_block_back_is_the_second_event(class_of_bytes(500));
    page_carved_in_part_can_be_empty(class_of_bytes(240));
    few_empty_pages_are_kept(class_of_bytes(2000), MOAT_KEEP_EMPTY + 1, false);
    few_empty_pages_are_kept(class_of_bytes(2300), 24, false);
    few_empty_pages_are_kept(class_of_bytes(2600), 24, true);
    few_empty_pages_are_kept(class_of_bytes(2900), PAGES_MAX, false);
    few_empty_pages_are_kept(class_of_bytes(3300), PAGES_MAX, true);
    released_page_is_nobodys_and_opens_again(class_of_bytes(5000));
    page_on_a_woken_stack_is_not_released(class_of_bytes(6000));
    trim_gives_all_empty_pages_back(class_of_bytes(7100));
    broken_page_is_not_valid(class_of_bytes(700));
    return expect_done();
}
