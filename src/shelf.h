/* shelf.h - where malloc finds the blocks of a class at once.
 *
 * Without magazines it is heap.free[class], a bare list of blocks of one page (heap.h). With magazines
 * (secure/order.h) it is the class's stack; behind it lie the depot, the blocks that are at home in queued pages, found by
 * their states, and fresh ones. HOOK_HAS_MAGAZINES is a constant: of the two halves a build has one.
 *
 * Behind a magazine a page has no list. A block is *at home* when its state says free; page.needed counts those as it
 * counts a list's. One page a class is being looked through at a time (PAGE_SCANNED); blocks that come home behind the
 * place already reached are found when the page has been queued again.
 */
#ifndef MOAT_SHELF_H
#define MOAT_SHELF_H

#include "page.h"
#include "remote.h"

/* Takes one block off the shelf; NULL if it is empty. `is_sound` says whether what it left behind is a list. */
MOAT_INLINE void *shelf_take(struct heap *heap, const struct sec_shelf *shelf, unsigned class, bool *is_sound)
{
    *is_sound = true;
    if (HOOK_HAS_MAGAZINES)
        return hook_take(shelf, class);

    void *block = heap->free[class];
    if (MOAT_UNLIKELY(!block))
        return NULL;
    /* Off the list first: a signal handler that allocates here may die, but never gets a block twice. */
    void *next = hook_next_of(block, *(void **)block);
    heap->free[class] = next;
    *is_sound = hook_link_stays(block, next, moat_fixed.is.reciprocal_of[class]);
    return block;
}

MOAT_INLINE bool shelf_is_stocked(const struct heap *heap, unsigned class)
{
    return HOOK_HAS_MAGAZINES ? hook_is_stocked(&heap->shelf, class) : heap->free[class] != NULL;
}

/* The shelf is empty: puts on it what lies nearest, without a call. False: that takes the cold way. */
MOAT_INLINE bool shelf_restock(struct heap *heap, const struct sec_shelf *shelf, unsigned class)
{
    if (MOAT_UNLIKELY(heap_has_woken(heap)))
        return false;
    if (HOOK_HAS_MAGAZINES)
        return hook_take_from_depot(shelf, class);
    void *list = page_take_first(&heap->queue[class]);
    if (MOAT_UNLIKELY(!list))
        return false;
    heap->free[class] = list; /* so this is never the empty heap, which cannot be written */
    return true;
}

/* The shelf is empty: puts at least one block on it, from what the heap's pages have. False: they have none. */
bool shelf_fill(struct heap *heap, unsigned class);
/* A free by its owner was refused: makes room for it. False where there is nothing to make room in. */
bool shelf_make_room(struct heap *heap, unsigned class);
/* Sends everything home to its pages. */
void shelf_clear(struct heap *heap, unsigned class);

#endif
