/* heaps.h - first-class heaps: heaps that a thread makes beside its own. The theory stands in heaps.c. */
#ifndef MOAT_HEAPS_H
#define MOAT_HEAPS_H

#include "base/atomic.h"
#include "heap.h"

enum {
    HEAPS_INDEX_BITS = 16, /* of a ticket; the heap's number is above */
    HEAPS_PART_BITS = 9,   /* the table comes in parts of one OS page */
    HEAPS_PARTS = 1 << (HEAPS_INDEX_BITS - HEAPS_PART_BITS),
    HEAPS_PART = 1 << HEAPS_PART_BITS,
};

/* Both steps atomic; an entry, once it is there, stays. */
extern struct heap **moat_heap_table[HEAPS_PARTS];

/* The heap behind a ticket, NULL if the calling thread may not use it: there is none, it was ended, another thread made
 * it, or it is being visited. */
MOAT_INLINE struct heap *heaps_find(uint64_t ticket)
{
    size_t index = ticket & ((1u << HEAPS_INDEX_BITS) - 1);
    struct heap **part = atomic_get_acquire(&moat_heap_table[index >> HEAPS_PART_BITS]);
    struct heap *heap = part ? atomic_get_acquire(&part[index & (HEAPS_PART - 1)]) : NULL;
    if (MOAT_UNLIKELY(!heap) || MOAT_UNLIKELY(atomic_get(&heap->ticket) != ticket) ||
        MOAT_UNLIKELY(atomic_get(&heap->creator) != moat_self.number))
        return NULL;
    return heap;
}

/* A heap for the calling thread; answers its ticket, 0 when there is no memory or the thread's end is past. */
uint64_t heaps_make(void);
/* Ends a heap of the calling thread: its blocks live on, its pages are abandoned as at a thread's end. */
void heaps_delete(struct heap *heap);
/* Ends a heap of the calling thread and all its blocks. */
void heaps_destroy(struct heap *heap);
/* Shows each live block of a heap of the calling thread with its usable bytes, until `see` answers false; so does this then. */
bool heaps_visit(struct heap *heap, bool (*see)(void *block, size_t bytes, void *argument), void *argument);
/* How many there are in the process. */
size_t heaps_count(void);

#endif
