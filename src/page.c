/* page.c - see page.h and the head of heap.h.
 *
 * What `needed` means: in PAGE_AWAY, threshold - back; in PAGE_QUEUED, carved - back; in PAGE_EMPTY, 0; in PAGE_SCANNED, PAGE_SCAN_BIAS - back, so that
 * no event comes. Carving more blocks raises it, so that a page that is not carved to its end can be empty too: a thread that only frees what others
 * allocated would otherwise collect such pages without end.
 */
#include "page.h"

#include "classes.h"
#include "remote.h"
#include "report.h"
#include "secure/hooks.h"
#include "slices.h"
#include "stats.h"

enum { PASS_MOST = 4 }; /* queued pages that one look for an empty one passes */

static _Noreturn MOAT_COLD void die_of_list(const struct record *page, const void *block)
{
    moat_die(KIND_CORRUPTED_FREE_LIST, "free", block, DETAIL_CLASS, page->block_bytes);
}

static void queue_append(struct class_queue *queue, struct record *page)
{
    uint32_t slice = slice_of_record(page);
    page->queue_next = 0;
    page->queue_previous = queue->tail;
    if (queue->tail)
        record_of_slice(queue->tail)->queue_next = slice;
    else
        queue->head = slice;
    queue->tail = slice;
}

static void queue_remove(struct class_queue *queue, struct record *page)
{
    uint32_t slice = slice_of_record(page);
    uint32_t previous = queue->head == slice ? 0 : page->queue_previous;
    if (previous)
        record_of_slice(previous)->queue_next = page->queue_next;
    else
        queue->head = page->queue_next;
    if (page->queue_next)
        record_of_slice(page->queue_next)->queue_previous = previous;
    else
        queue->tail = previous;
    if (page->phase == PAGE_EMPTY)
        queue->empty_count--;
    page->phase = PAGE_AWAY;
}

static void own(struct heap *heap, struct record *page)
{
    struct class_queue *queue = &heap->queue[page->class];
    uint32_t slice = slice_of_record(page);
    page->owned_previous = 0;
    page->owned_next = queue->owned;
    if (queue->owned)
        record_of_slice(queue->owned)->owned_previous = slice;
    queue->owned = slice;
    queue->page_count++;
    if (page->carved < page->capacity) {
        page->partial_next = queue->partial;
        queue->partial = slice;
    }
    hook_magazine_open(&heap->shelf, page->class);
}

struct record *page_open(struct heap *heap, unsigned class)
{
    struct record *page = slices_take(class, 1);
    if (!page)
        return NULL;

    size_t block = class_bytes(class);
    size_t capacity = (MOAT_SLICE - HOOK_GUARD_BYTES) / block;
    page->block_bytes = (uint32_t)block;
    page->reciprocal = class_reciprocal(class);
    page->class = (uint8_t) class;
    page->capacity = (uint16_t)capacity;
    page->carved = 0;
    page->threshold = (uint16_t)max_size(1, min_size(capacity / MOAT_WAKE_DIVISOR, MOAT_WAKE_MAX));
    page->free = NULL;
    page->phase = PAGE_AWAY;
    page->needed = page->threshold;
    own(heap, page);
    remote_open(page, heap);
    stats_add(STAT_PAGES_OPENED, 1);
    hook_page_opened(page_start(page) + MOAT_SLICE - HOOK_GUARD_BYTES, &page->has_guard); /* before any block leaves */
    return page;
}

struct record *page_partial(const struct heap *heap, unsigned class)
{
    uint32_t slice = heap->queue[class].partial;
    return slice == 0 ? NULL : record_of_slice(slice);
}

void page_count_carved(struct heap *heap, struct record *page, unsigned count)
{
    struct class_queue *queue = &heap->queue[page->class];
    /* A signal handler may have carved the same blocks in between: then some were counted twice, and the last lie beyond. */
    if (count > (unsigned)page->capacity - page->carved)
        moat_die(KIND_CORRUPTED_PAGE, "malloc", page_start(page), DETAIL_CLASS, page->block_bytes);
    page->carved = (uint16_t)(page->carved + count);
    if (page->phase == PAGE_EMPTY) {
        page->phase = PAGE_QUEUED;
        queue->empty_count--;
    }
    if (page->phase == PAGE_QUEUED)
        page->needed += count;
    if (page->carved == page->capacity)
        queue->partial = page->partial_next;
}

unsigned page_back(const struct record *page)
{
    switch ((enum page_phase)page->phase) {
    case PAGE_AWAY:
        return page->threshold - page->needed;
    case PAGE_QUEUED:
        return page->carved - page->needed;
    case PAGE_SCANNED:
        return PAGE_SCAN_BIAS - page->needed;
    case PAGE_EMPTY:
        break;
    }
    return page->carved;
}

static bool has_many_empty(const struct class_queue *queue)
{
    return queue->empty_count > MOAT_KEEP_EMPTY && queue->empty_count > queue->page_count / MOAT_KEEP_EMPTY_DIVISOR;
}

/* One that was kept before goes too: as a class shrinks, so does what it keeps. Pages in front that lack a block step behind
 * the others first. Otherwise those of which a magazine holds a block would hold up all empty ones behind them. */
static void release_oldest_empty(struct heap *heap, struct class_queue *queue)
{
    struct record *page = record_of_slice(queue->head);
    for (unsigned i = 0; i < PASS_MOST && page->phase == PAGE_QUEUED; i++) {
        queue_remove(queue, page);
        queue_append(queue, page);
        page->phase = PAGE_QUEUED;
        page = record_of_slice(queue->head);
    }
    if (page->phase == PAGE_EMPTY)
        page_release(heap, page);
}

/* All blocks are back: the page stays queued while the class has few such, else it goes. */
static void release_if_many(struct heap *heap, struct record *page)
{
    struct class_queue *queue = &heap->queue[page->class];
    if (has_many_empty(queue))
        page_release(heap, page);
    if (has_many_empty(queue))
        release_oldest_empty(heap, queue);
}

static void page_emptied(struct heap *heap, struct record *page)
{
    page->phase = PAGE_EMPTY;
    heap->queue[page->class].empty_count++;
    release_if_many(heap, page);
}

void page_took_back(struct heap *heap, struct record *page, unsigned count)
{
    if (page->phase == PAGE_EMPTY) {
        release_if_many(heap, page); /* it stood on a woken stack when it became empty */
        return;
    }
    /* A page that was carved below its threshold would never wake, though all of it is back. */
    bool is_whole = page->phase == PAGE_AWAY && page->threshold - page->needed + count == page->carved;
    if (page->needed > count && !is_whole) {
        page->needed -= count;
        return;
    }
    if (page->phase == PAGE_AWAY) {
        unsigned back = page->threshold - page->needed + count;
        page->phase = PAGE_QUEUED;
        page->needed = page->carved - back;
        queue_append(&heap->queue[page->class], page);
    } else {
        page->needed -= count;
    }
    if (page->needed == 0)
        page_emptied(heap, page);
}

void page_event(struct heap *heap, struct record *page)
{
    if (page->phase == PAGE_AWAY) {
        page->phase = PAGE_QUEUED;
        page->needed = (uint32_t)page->carved - page->threshold;
        queue_append(&heap->queue[page->class], page);
        if (MOAT_LIKELY(page->needed != 0))
            return;
    }
    page_emptied(heap, page);
}

void page_adopt(struct heap *heap, struct record *page, unsigned back)
{
    page->phase = PAGE_AWAY;
    page->needed = page->threshold;
    own(heap, page);
    if (back == 0)
        return;
    /* Queued whatever the threshold says: the blocks came for somebody who wants them. */
    page->phase = PAGE_QUEUED;
    page->needed = page->carved - back;
    queue_append(&heap->queue[page->class], page);
    if (page->needed == 0)
        page_emptied(heap, page);
}

static void forget_partial(struct class_queue *queue, struct record *page)
{
    uint32_t slice = slice_of_record(page);
    uint32_t *link = &queue->partial;
    while (*link != 0 && *link != slice)
        link = &record_of_slice(*link)->partial_next;
    if (*link == slice)
        *link = page->partial_next;
}

void page_disown(struct heap *heap, struct record *page)
{
    struct class_queue *queue = &heap->queue[page->class];
    if (page->phase != PAGE_AWAY)
        queue_remove(queue, page);
    if (page->owned_previous)
        record_of_slice(page->owned_previous)->owned_next = page->owned_next;
    else
        queue->owned = page->owned_next;
    if (page->owned_next)
        record_of_slice(page->owned_next)->owned_previous = page->owned_previous;
    queue->page_count--;
    if (page->carved < page->capacity)
        forget_partial(queue, page);
}

void page_give_up(struct record *page)
{
    if (!remote_close(page) || !hook_page_emptied(page_start(page), (size_t)page->carved * page->block_bytes))
        moat_die(KIND_CORRUPTED_PAGE, "free", page_start(page), DETAIL_CLASS, page->block_bytes);
    page->free = NULL;
    stats_add(STAT_PAGES_RELEASED, 1);
    slices_release(page);
}

bool page_release(struct heap *heap, struct record *page)
{
    if (!remote_hold_wakes(page))
        return false;
    /* All its blocks are on its own list: one on malloc's list means that a forged link brought another back twice. */
    void *next = HOOK_HAS_MAGAZINES ? NULL : heap->free[page->class];
    if (next && slice_of_address(next) == slice_of_record(page))
        die_of_list(page, next);
    page_disown(heap, page);
    page_give_up(page);
    return true;
}

bool page_is_valid(const struct record *page)
{
    unsigned count = 0;
    if (HOOK_HAS_MAGAZINES)
        return !page->free && page_back(page) <= page->carved && page->carved <= page->capacity;
    for (void *block = page->free; block && count <= page->capacity; block = hook_next_of(block, *(void **)block)) {
        size_t offset = (size_t)((char *)block - page_start(page));
        if (offset % page->block_bytes != 0 || offset / page->block_bytes >= page->carved)
            return false;
        count++;
    }
    return count == page_back(page) && page->carved <= page->capacity;
}
