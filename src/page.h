/* page.h - a heap page in its owner's hands: open, carve, take back, queue, release. Owner thread only. */
#ifndef MOAT_PAGE_H
#define MOAT_PAGE_H

#include "heap.h"

/* Takes the first queued page off its queue and answers its list; NULL if none is queued. The list's blocks are out of
 * the page's hands then. Short, and without a call, since malloc comes here once for every `threshold` blocks. */
MOAT_INLINE void *page_take_first(struct class_queue *queue)
{
    uint32_t slice = queue->head;
    if (slice == 0)
        return NULL;

    struct record *page = record_of_slice(slice);
    /* The next page's way back is left as it is: it is not looked at in the first of a queue. */
    queue->head = page->queue_next;
    if (queue->head == 0)
        queue->tail = 0;
    if (page->phase == PAGE_EMPTY)
        queue->empty_count--;
    page->phase = PAGE_AWAY;
    page->needed = page->threshold;
    void *list = page->free;
    page->free = NULL;
    return list;
}

/* A fresh page of `class` for `heap`. NULL when there is no memory. */
struct record *page_open(struct heap *heap, unsigned class);
/* The class's first page that is not carved to its end; NULL if there is none. */
struct record *page_partial(const struct heap *heap, unsigned class);
/* The next `count` blocks of that page were made. */
void page_count_carved(struct heap *heap, struct record *page, unsigned count);
/* Blocks on the page's own list, or at home in it. */
unsigned page_back(const struct record *page);
/* `count` blocks were pushed on the page's list, or came home to it, at once. The page may be queued, or released, by that. */
void page_took_back(struct heap *heap, struct record *page, unsigned count);
/* The fast free counted `needed` down to 0. */
void page_event(struct heap *heap, struct record *page);
/* Makes a page that came without an owner one of the heap's; its list has `back` blocks. */
void page_adopt(struct heap *heap, struct record *page, unsigned back);
/* Takes the page out of all of the heap's lists. */
void page_disown(struct heap *heap, struct record *page);
/* Gives a page, all of whose blocks are back, to the pool of its class. Answers false, and changes nothing, while the
 * page stands on a woken stack or is on its way there. */
bool page_release(struct heap *heap, struct record *page);
/* The page, on nobody's lists, goes to the pool of its class. The caller holds its place on the woken stacks. */
void page_give_up(struct record *page);

bool page_is_valid(const struct record *page);

#endif
