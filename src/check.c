/* check.c - see check.h. */
#include "check.h"

#include "base/atomic.h"
#include "heap.h"
#include "page.h"
#include "remote.h"
#include "report.h"
#include "secure/hooks.h"

static bool say(const char *what)
{
    report_line("heap is not valid: ", what);
    return false;
}

/* Every block of a list lies in one page, at a block's start, and is not live. Answers the length, -1 if not so. */
static int list_length(const struct record *page, void *first)
{
    int length = 0;
    for (void *block = first; block; block = hook_next_of(block, *(void **)block)) {
        size_t offset = (size_t)((char *)block - page_start(page));
        if (offset % page->block_bytes != 0 || offset / page->block_bytes >= page->carved || length >= page->capacity)
            return -1;
        if (HOOK_IS_EXACT && hook_is_live(block))
            return -1;
        length++;
    }
    return length;
}

/* Free blocks that are the page's: on its list, or behind a magazine by their states. */
static int blocks_home(const struct record *page)
{
    int home = 0;

    if (!HOOK_HAS_MAGAZINES)
        return list_length(page, page->free);
    for (unsigned i = 0; i < page->carved; i++)
        home += hook_is_free(page_start(page) + (size_t)i * page->block_bytes);
    return home;
}

/* Blocks of which a magazine knows: free ones that it keeps, and ones that it has set aside. */
struct kept {
    unsigned free, unused;
};

static void count_kept(const struct record *page, struct kept *kept)
{
    for (unsigned i = 0; HOOK_HAS_MAGAZINES && i < page->carved; i++) {
        const char *block = page_start(page) + (size_t)i * page->block_bytes;
        kept->free += hook_is_kept(block);
        kept->unused += hook_was_never_used(block);
    }
}

static bool page_is_consistent(const struct heap *heap, const struct record *page, unsigned class)
{
    if (atomic_get(&page->owner) != heap->number)
        return say("a page in the heap's list has another owner");
    if (!remote_is_owned(atomic_get(&page->remote)))
        return say("an owned page's remote word says that it is not");
    if (page->class != class || page->carved > page->capacity)
        return say("a page's class or capacity");
    if (!page_is_valid(page) || blocks_home(page) != (int)page_back(page))
        return say("a page does not have the free blocks that its counter says");
    return true;
}

/* The page that is looked through is the one that the magazine names, and no other. */
static bool scan_is_consistent(const struct heap *heap, const struct record *page)
{
    if (!HOOK_HAS_MAGAZINES)
        return page->phase != PAGE_SCANNED;
    bool is_named = hook_scan_of(&heap->shelf, page->class)[0] == slice_of_record(page);
    return is_named == (page->phase == PAGE_SCANNED);
}

/* A stack that the desk does not show, in a young child, is not counted yet. */
static bool magazine_is_consistent(const struct heap *heap, unsigned class, const struct kept *kept)
{
    unsigned counted = hook_kept(&heap->shelf, class);
    if (hook_set_aside(&heap->shelf, class) != kept->unused)
        return false;
    bool is_shown = hook_refill(&heap->shelf, class) > 0;
    return is_shown ? counted == kept->free : counted <= kept->free;
}

static bool pages_are_consistent(const struct heap *heap, unsigned class, uint32_t *queued_pages)
{
    const struct class_queue *queue = &heap->queue[class];
    uint32_t count = 0, empty = 0, previous = 0;
    struct kept kept = {0};

    for (uint32_t slice = queue->owned; slice; slice = record_of_slice(slice)->owned_next) {
        const struct record *page = record_of_slice(slice);
        if (page->owned_previous != previous || !page_is_consistent(heap, page, class))
            return say("the list of owned pages");
        if (!scan_is_consistent(heap, page))
            return say("the page that is looked through");
        count_kept(page, &kept);
        *queued_pages += page->phase == PAGE_QUEUED || page->phase == PAGE_EMPTY;
        empty += page->phase == PAGE_EMPTY;
        previous = slice;
        if (++count > queue->page_count)
            return say("more pages than are counted");
    }
    if (count != queue->page_count || empty != queue->empty_count)
        return say("the number of pages or of empty pages");
    if (!magazine_is_consistent(heap, class, &kept))
        return say("a magazine does not hold the blocks whose states say so");
    return true;
}

static bool queue_is_consistent(const struct class_queue *queue, uint32_t queued_pages)
{
    uint32_t previous = 0;
    for (uint32_t slice = queue->head; slice; slice = record_of_slice(slice)->queue_next) {
        const struct record *page = record_of_slice(slice);
        if ((page->phase != PAGE_QUEUED && page->phase != PAGE_EMPTY) || queued_pages-- == 0)
            return say("the queue has a page that should not be there");
        if (previous && page->queue_previous != previous)
            return say("the queue's way back");
        previous = slice;
    }
    if (queued_pages != 0 || queue->tail != previous)
        return say("the queue lacks pages");
    return true;
}

static bool heap_is_consistent(const struct heap *heap)
{
    for (unsigned class = 0; class < MOAT_SMALL_CLASSES; class ++) {
        uint32_t queued_pages = 0;
        if (!pages_are_consistent(heap, class, &queued_pages) ||
            !queue_is_consistent(&heap->queue[class], queued_pages))
            return false;
        void *first = HOOK_HAS_MAGAZINES ? NULL : heap->free[class];
        if (first && list_length(record_of_slice(slice_of_address(first)), first) < 0)
            return say("the list that malloc takes from");
    }
    return true;
}

bool moat_heap_is_valid(void)
{
    /* A thread that has not allocated yet has the empty heap, without magazines to count. */
    for (const struct heap *heap = moat_self.heap; heap && !heap_is_empty_heap(heap); heap = heap->made_next)
        if (!heap_is_consistent(heap))
            return false;
    return true;
}
