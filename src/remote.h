/* remote.h - what threads may do to a page that is not theirs, and how a page changes hands.
 *
 * The remote word (64 bits, one a page):
 *
 *     head: 16, granule of 16 bytes + 1 of the youngest remotely freed block, 0 for none
 *     count: 16, pushes since the last collect
 *     epoch: 31, raised at each collect
 *     owned: 1
 *
 * A bare list head loses double frees: an old compare-and-swap succeeds after collect, reuse and push (SPIN found it with
 * two threads, one block and five operations). With count and epoch it cannot, the nodes walked must equal the count, and
 * the walk is bounded. The states, edges and memory orders are drawn in docs/ownership.md and checked by test/model.
 *
 * The woken word of a heap: its number (36 bits) over the slice of the first page that waits to be collected (28 bits).
 * A heap that ends stores number 0, so that a late waker of its old pages cannot land on whoever has the heap next.
 */
#ifndef MOAT_REMOTE_H
#define MOAT_REMOTE_H

#include "heap.h"

enum {
    REMOTE_OWNED_BITS = 1,
    REMOTE_COUNT_SHIFT = 32,
    REMOTE_HEAD_SHIFT = 48,
    WOKEN_NUMBER_SHIFT = 28,
};

MOAT_INLINE unsigned remote_head(uint64_t word)
{
    return (unsigned)(word >> REMOTE_HEAD_SHIFT);
}

MOAT_INLINE unsigned remote_count(uint64_t word)
{
    return (unsigned)(word >> REMOTE_COUNT_SHIFT) & 0xffff;
}

MOAT_INLINE bool remote_is_owned(uint64_t word)
{
    return (word & REMOTE_OWNED_BITS) != 0;
}

/* Owner: true if another thread has freed blocks of the page since the last collect. */
bool remote_is_waiting(const struct record *page);
/* Owner: takes all remotely freed blocks to the page's own list. Returns how many. Dies if they are not what they were. */
unsigned remote_collect(struct record *page);

/* Owner: shows the blocks that stand on the remote list, and changes nothing. */
void remote_each(const struct record *page, void (*see)(void *block, void *argument), void *argument);

/* A page is opened by `heap`: from here on frees find an owner. Dies if its remote word is not as it was left. */
void remote_open(struct record *page, struct heap *heap);
/* Owner: no thread will put the page on a woken stack until remote_open. False: one is doing so, or it stands there. */
bool remote_hold_wakes(struct record *page);
/* Owner, wakes held: the page has no owner any more. Answers false if something was pushed. */
bool remote_close(struct record *page);

/* Any thread but the owner: frees a block of an open page. `function` is the public function's name. */
void remote_free(struct record *page, void *block, const char *function);

/* The heap's thread: collects the pages on its woken stack. */
void heap_drain_woken(struct heap *heap);
MOAT_INLINE bool heap_has_woken(const struct heap *heap)
{
    return (__atomic_load_n(&heap->woken, __ATOMIC_RELAXED) & ((1u << WOKEN_NUMBER_SHIFT) - 1)) != 0;
}
/* Opens the woken stack for a heap that has a number; closes it, and looks after what stood there. */
void heap_open_woken(struct heap *heap);
void heap_close_woken(struct heap *heap);

/* The heap's thread ends: gives all its pages of all classes away. */
void heap_abandon_pages(struct heap *heap);
/* The heap is destroyed: the same, and all blocks of these pages are free. Where others are freeing some in this moment,
 * a page stays an orphan until they have; without states they must not. */
void heap_destroy_pages(struct heap *heap);
/* Takes a page of the class that lost its thread. Answers false if there is none. */
bool heap_claim_orphan(struct heap *heap, unsigned class);

/* In a fork's child: heaps below this number, but for `survivor`, have no thread any more. */
void remote_forget_others(uint64_t below, uint64_t survivor);

#endif
