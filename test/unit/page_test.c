/* The life of a heap page in its owner's hands: carved, woken, queued, empty, kept, released, opened again. Each test has a
 * size class of its own, of which it knows every block.
 *
 * A page counts the blocks that are back. Without magazines a freed block is back at once, on the page's list; behind a
 * magazine it is when it has come home, which these tests bring about themselves (unit_come_home). From there on a page's
 * life is one and the same in both kinds of build.
 */
#include "unit/pages.h"
#include "unit/unit.h"

#include "remote.h"
#include "slices.h"

#include <string.h>

static void *allocate(unsigned class)
{
    return moat_malloc(class_bytes(class) - 1);
}

/* Frees blocks `first` to `end` of one page; they are back in it afterwards. */
static void free_blocks(const struct full_pages *full, size_t index, size_t first, size_t end)
{
    for (size_t i = first; i < end; i++)
        moat_free(full->block[index][i]);
    unit_come_home(full->class);
}

static void free_page(const struct full_pages *full, size_t index)
{
    free_blocks(full, index, 0, full->page[index]->capacity);
}

/* From the page's start upward, each block once, and never further than the places for fresh blocks and what was drawn at
 * once need. Without magazines the blocks come in order. With them the last ones come after the next page was begun. */
static void page_is_carved_upward_to_its_end(unsigned class)
{
    bool came[MOAT_SLICE / MOAT_ALIGN] = {false};
    char *block = allocate(class);
    struct record *page = unit_page_of(block);
    const size_t block_bytes = class_bytes(class), capacity = page->capacity;
    size_t count = 0;

    EXPECT_EQ(page->block_bytes, block_bytes);
    EXPECT_EQ(capacity, (MOAT_SLICE - HOOK_GUARD_BYTES) / block_bytes);
    EXPECT_EQ(page->threshold, max_size(1, min_size(capacity / 16, 32)));
    for (size_t taken = 0; count < capacity && EXPECT(taken < 2 * capacity + 1000); taken++, block = allocate(class)) {
        if (unit_page_of(block) != page) {
            EXPECT(HOOK_HAS_MAGAZINES && page->carved == capacity);
            continue;
        }
        size_t place = unit_offset_of(block) / block_bytes;
        EXPECT(unit_offset_of(block) % block_bytes == 0 && place < page->carved && page->carved <= capacity);
        EXPECT(HOOK_HAS_MAGAZINES ? !came[place] && page->carved <= count + 2 * UNIT_FRESH : place == count);
        came[place] = true;
        count++;
    }
    EXPECT_EQ(page->carved, capacity);
    EXPECT(unit_queue_of(class)->partial != slice_of_record(page));
    EXPECT(unit_page_of(allocate(class)) != page);
    EXPECT(moat_heap_is_valid());
}

struct birth {
    const char *block;
    size_t turn;
};

static int compare_births(const void *a, const void *b)
{
    const struct birth *left = a, *right = b;
    return left->block < right->block ? -1 : left->block > right->block;
}

/* Fresh blocks ascend: descending within a batch cost 60 % in a real program. Behind magazines each of the sixteen places has
 * a run of its own, an OS page long from a class's second page on: of two neighbours in a run the lower one comes first.
 * Between the places the order is drawn, so that near half of the steps descend. */
static void fresh_blocks_ascend(void)
{
    enum { COUNT = 20000 };
    static struct birth births[COUNT];
    const unsigned class = class_of_bytes(56);
    const size_t run = MOAT_OS_PAGE / class_bytes(class);
    const struct record *first = unit_page_of(allocate(class)); /* its runs have one block */
    size_t descending = 0, early = 0, neighbours = 0;

    for (size_t i = 0; i < COUNT; i++) {
        births[i] = (struct birth){allocate(class), i};
        descending += i > 0 && births[i].block < births[i - 1].block;
    }
    qsort(births, COUNT, sizeof births[0], compare_births);
    for (size_t i = 1; i < COUNT; i++) {
        const char *block = births[i].block;
        if (unit_page_of(block) == first || unit_offset_of(block) / class_bytes(class) % run == 0)
            continue;
        neighbours++;
        early += births[i - 1].block != block - class_bytes(class) || births[i - 1].turn > births[i].turn;
    }
    expect_say("%zu descending steps in %d fresh blocks\n", descending, COUNT);
    EXPECT(neighbours > COUNT / 2);
    EXPECT_EQ(early, 0);
    EXPECT(HOOK_HAS_MAGAZINES ? descending > COUNT / 4 : descending < COUNT / 100);
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
    /* The page leaves the queue, whole; what is not handed out of it by then waits in the reserve. */
    size_t from_page = 0;
    while (unit_page_of(allocate(class)) == page) {
        EXPECT_EQ(queue->head, 0);
        EXPECT(page->phase == PAGE_AWAY || (HOOK_HAS_MAGAZINES && page->phase == PAGE_SCANNED));
        from_page++;
    }
    EXPECT_EQ(from_page + unit_kept_in(page) + page_back(page), threshold);
    EXPECT(unit_kept_in(page) <= UNIT_RESERVE + 2 * UNIT_FRESH);
    EXPECT(moat_heap_is_valid());
    forget(&full);
}

/* So many of each page that a refill behind a magazine, a reserve and half a stack at most, does not reach a third page. */
static void queue_serves_in_the_order_of_waking(unsigned class)
{
    enum { FREED = 100, PAGES = 4 };
    static const size_t order[PAGES] = {2, 0, 3, 1};
    struct full_pages full;
    struct class_queue *queue = unit_queue_of(class);
    fill_pages(&full, class, PAGES);

    for (size_t i = 0; i < PAGES; i++)
        free_blocks(&full, order[i], 0, full.page[0]->threshold);
    EXPECT_EQ(queue->head, slice_of_record(full.page[2]));
    EXPECT_EQ(queue->tail, slice_of_record(full.page[1]));
    /* More frees of a queued page do not move it. */
    for (size_t i = 0; i < PAGES; i++)
        free_blocks(&full, i, full.page[0]->threshold, FREED);
    EXPECT(moat_heap_is_valid());

    size_t next = 0;
    uint32_t head = 0;
    for (size_t i = 0; i == 0 || queue->head != 0; i++) {
        if (queue->head != head && EXPECT(next < PAGES)) {
            head = queue->head;
            EXPECT_EQ(head, slice_of_record(full.page[order[next++]]));
        }
        const struct record *page = unit_page_of(allocate(class));
        EXPECT(HOOK_HAS_MAGAZINES ? page->class == class : page == full.page[order[i / FREED]]);
        if (!EXPECT(i < PAGES * FREED))
            break;
    }
    EXPECT_EQ(next, PAGES);
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
    EXPECT_EQ(page->phase, HOOK_HAS_MAGAZINES ? PAGE_SCANNED : PAGE_AWAY); /* it has more than a refill takes */
    EXPECT_EQ(queue->empty_count, 0);
    EXPECT(moat_heap_is_valid());
    forget(&full);
}

/* All that was carved is back, and the rest was never carved: empty as well, and carving goes on from there. */
static void page_carved_in_part_can_be_empty(unsigned class)
{
    void *blocks[64];
    size_t count = 0;
    const struct record *page;

    /* A page that has fewer blocks than its threshold does not wake. */
    do {
        blocks[count++] = allocate(class);
        page = unit_page_of(blocks[0]);
    } while (count + unit_kept_in(page) < page->carved || page->carved < page->threshold);
    EXPECT(page->carved < page->capacity && count + unit_kept_in(page) == page->carved);
    for (size_t i = 0; i < count; i++)
        moat_free(blocks[i]);
    unit_come_home(class);
    EXPECT_EQ(page->phase, PAGE_EMPTY);
    EXPECT(moat_heap_is_valid());
    size_t from_page = 0;
    while (unit_page_of(allocate(class)) == page)
        from_page++;
    EXPECT_EQ(page->carved, page->capacity);
    EXPECT_EQ(from_page + unit_kept_in(page) + page_back(page), page->capacity);
    EXPECT(unit_kept_in(page) <= UNIT_RESERVE + 2 * UNIT_FRESH);
    EXPECT(moat_heap_is_valid());
}

/* After each page of a class that shrinks: the empty ones that are kept are two, or an eighth of the class. */
static void few_empty_pages_are_kept(unsigned class, size_t pages, bool from_the_end)
{
    struct full_pages full;
    fill_pages(&full, class, pages);
    struct class_queue *queue = unit_queue_of(class);
    heap_trim(heap_of_thread()); /* so that no page of another class goes meanwhile */
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

/* Pages that wait with one block missing hold up none of those that empty behind them. */
static void empty_pages_go_past_queued_ones(unsigned class)
{
    enum { PAGES = 40, WAITING = 6 };
    struct full_pages full;
    fill_pages(&full, class, PAGES);
    const struct class_queue *queue = unit_queue_of(class);

    for (size_t i = 0; i < WAITING; i++)
        free_blocks(&full, i, 0, full.page[i]->capacity - 1u);
    for (size_t i = WAITING; i < PAGES; i++)
        free_page(&full, i);
    EXPECT_EQ(queue->empty_count, MOAT_KEEP_EMPTY);
    EXPECT_EQ(queue->page_count, WAITING + MOAT_KEEP_EMPTY);
    for (size_t i = 0; i < WAITING; i++)
        EXPECT_EQ(full.page[i]->phase, PAGE_QUEUED);
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

    /* Where released pages are drawn, others may come first. */
    for (size_t i = 0; i < PAGES_MAX && page_open(heap_of_thread(), class) != page; i++)
        EXPECT(HOOK_HAS_MAGAZINES);
    EXPECT(page->owner == moat_self.number && page->carved == 0 && page->is_woken == 0 && page->phase == PAGE_AWAY);
    EXPECT_EQ(page->class, class);
    EXPECT_EQ(stats_get(STAT_GUARDS_PLACED), guards);
    EXPECT_EQ(stats_get(STAT_GUARDS_MISSING), missing);
    EXPECT(moat_heap_is_valid());
    forget(&full);
}

static void *free_in_thread(void *argument)
{
    const struct full_pages *full = argument;
    for (size_t i = 0; i < full->page[full->count - 1]->capacity; i++)
        moat_free(full->block[full->count - 1][i]);
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

/* Also those of which a magazine has blocks. */
static void trim_gives_all_empty_pages_back(unsigned class)
{
    struct full_pages full;
    fill_pages(&full, class, MOAT_KEEP_EMPTY);
    struct class_queue *queue = unit_queue_of(class);
    uint64_t released = stats_get(STAT_PAGES_RELEASED);

    for (size_t i = 0; i < MOAT_KEEP_EMPTY; i++)
        for (size_t j = 0; j < full.page[i]->capacity; j++)
            moat_free(full.block[i][j]);
    if (HOOK_HAS_MAGAZINES)
        EXPECT(unit_kept_in(full.page[0]) + unit_kept_in(full.page[1]) > 0);
    else
        EXPECT_EQ(queue->empty_count, MOAT_KEEP_EMPTY);
    EXPECT_EQ(moat_malloc_trim(0), 1);
    EXPECT_EQ(queue->page_count, 0);
    EXPECT(stats_get(STAT_PAGES_RELEASED) - released >= MOAT_KEEP_EMPTY);
    EXPECT(full.page[0]->owner == OWNER_NONE && full.page[1]->owner == OWNER_NONE);
    EXPECT(moat_heap_is_valid());
    EXPECT_EQ(moat_malloc_trim(0), 0);
    forget(&full);
}

/* What the other tests rely on notices a page that was broken behind the counters' back: */
static void page_with_broken_list_is_not_valid(struct record *page)
{
    void *whole = page->free;
    page->free = hook_next_of(whole, *(void **)whole);
    EXPECT(!page_is_valid(page));
    page->free = (char *)whole + MOAT_ALIGN;
    EXPECT(!page_is_valid(page));
    page->free = whole;
    *(void **)whole = hook_link_of(whole, whole);
    EXPECT(!page_is_valid(page));
}

/* without a list it is the states that the counter must agree with. */
static void page_with_wrong_states_is_not_valid(struct record *page, void *home)
{
    EXPECT(hook_shelved(home));
    EXPECT(!moat_heap_is_valid());
    EXPECT(hook_sent_home(home));
    EXPECT(moat_heap_is_valid());
    page->needed--;
    EXPECT(!moat_heap_is_valid());
    page->needed++;
    EXPECT(moat_heap_is_valid());
    page->free = home;
    EXPECT(!page_is_valid(page));
    page->free = NULL;
    EXPECT(page_is_valid(page));
}

/* A block that is said to be kept and lies in no magazine, and one that lies there and is said to be the program's. */
static void magazine_with_wrong_states_is_not_valid(char *block)
{
    struct heap *heap = heap_of_thread();

    moat_free(block);
    EXPECT(unit_is_kept(block) && moat_heap_is_valid());
    EXPECT(hook_allocated(block));
    EXPECT(!moat_heap_is_valid());
    EXPECT(hook_freed_local(block) && moat_heap_is_valid());
    EXPECT(hook_drain(&heap->shelf, unit_page_of(block)->class) == block);
    EXPECT(!moat_heap_is_valid());
    EXPECT(hook_allocated(block) && moat_heap_is_valid());
}

/* A page that is looked through stands in no queue, though the number of pages there be right. */
static void queue_with_scanned_page_is_not_valid(unsigned class)
{
    struct full_pages full;
    fill_pages(&full, class, 2);
    struct record *page = full.page[0], *other = full.page[1];
    struct class_queue *queue = unit_queue_of(class);

    for (size_t i = 0; i < 2; i++)
        free_blocks(&full, i, 0, full.page[i]->capacity - 1u);
    EXPECT(queue->head == slice_of_record(page) && queue->tail == slice_of_record(other) && moat_heap_is_valid());
    uint32_t needed = page->needed;
    if (HOOK_HAS_MAGAZINES)
        *hook_scan_of(&heap_of_thread()->shelf, class) = slice_of_record(page);
    page->needed = PAGE_SCAN_BIAS - page_back(page);
    page->phase = PAGE_SCANNED;
    page->queue_next = 0;
    queue->tail = queue->head;
    EXPECT(!moat_heap_is_valid());
    page->needed = needed;
    page->phase = PAGE_QUEUED;
    page->queue_next = slice_of_record(other);
    queue->tail = slice_of_record(other);
    EXPECT(!HOOK_HAS_MAGAZINES || !moat_heap_is_valid());
    if (HOOK_HAS_MAGAZINES)
        *hook_scan_of(&heap_of_thread()->shelf, class) = 0;
    EXPECT(moat_heap_is_valid());
    forget(&full);
}

static void broken_page_is_not_valid(unsigned class)
{
    struct full_pages full;
    fill_pages(&full, class, 1);
    struct record *page = full.page[0];

    free_blocks(&full, 0, 0, page->threshold + 2u);
    EXPECT(page_is_valid(page) && moat_heap_is_valid());
    if (HOOK_HAS_MAGAZINES) {
        page_with_wrong_states_is_not_valid(page, full.block[0][0]);
        magazine_with_wrong_states_is_not_valid(full.block[0][page->capacity - 1]);
    } else {
        page_with_broken_list_is_not_valid(page);
    }
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
    empty_pages_go_past_queued_ones(class_of_bytes(1400));
    released_page_is_nobodys_and_opens_again(class_of_bytes(5000));
    page_on_a_woken_stack_is_not_released(class_of_bytes(6000));
    trim_gives_all_empty_pages_back(class_of_bytes(7100));
    queue_with_scanned_page_is_not_valid(class_of_bytes(1500));
    broken_page_is_not_valid(class_of_bytes(700));
    return expect_done();
}
