/* heap.h - a thread's heap: the lists that only its thread touches, and the way to its own.
 *
 * Page lists. heap.free[class] is a bare list of blocks of one page; malloc pops it and looks at no record. free pushes
 * on the page's own list and counts `needed` down. When the wake threshold is back the page joins the tail of its class's
 * queue; malloc's slow path takes the first page's whole list at once, and `needed` then counts to "all that was carved is back",
 * the second and last event. A page that re-entered at its first free, and at the head, made every malloc slow: 16 ns a pair
 * in churn against 7.
 */
#ifndef MOAT_HEAP_H
#define MOAT_HEAP_H

#include "record.h"
#include "secure/hooks.h"

struct class_queue {
    uint32_t head, tail; /* pages with blocks to hand out, by record.queue_next */
    uint32_t owned;      /* all pages of the class, by record.owned_next */
    uint32_t partial;    /* pages not carved to their end, by record.partial_next; the first one is carved next */
    uint32_t page_count;
    uint32_t empty_count; /* of the queued ones */
};

struct heap {
    void *free[MOAT_LIST_CLASSES]; /* lists that malloc takes from; none where there are magazines */
    uint64_t number;               /* 0 while no thread has it */
    struct class_queue queue[MOAT_SMALL_CLASSES];

    uint32_t medium[MOAT_MEDIUM_CLASSES]; /* free medium blocks kept by this thread, by record.queue_next */
    size_t medium_bytes;
    uint32_t looked_at_ms;          /* shelf.c */
    uint8_t until_tick, until_look; /* slow paths until the next look at the clock */
    uint8_t to_look_at;             /* classes below this one were not looked at yet in this look */

    struct heap *next;      /* LOCK_HEAPS: in the pool of heaps without a thread */
    struct sec_shelf shelf; /* as in moat_self */

    /* First-class heaps (heaps.h). */
    uint64_t creator;                       /* atomic: the number of its thread's own heap */
    uint64_t ticket;                        /* atomic: 0 for a thread's own heap */
    struct heap *made_next, *made_previous; /* a thread's own heap, then those that the thread made */
    uint32_t index;                         /* in the table of tickets, for life; 0 for none yet */
    uint32_t medium_low, medium_high;       /* its medium blocks lie in these slices */
    uint8_t has_large;                      /* it may have large blocks */
    uint8_t is_ending;                      /* a thread's own: its end was put off once (process.c) */

    /* The only word that other threads write: the heap's number and the first page of its woken stack (remote.h). */
    uint64_t woken MOAT_ALIGNED(MOAT_CACHE_LINE);

    struct sec_magazines magazines; /* nothing without random order; the empty heap has none */
};

struct self {
    struct heap *heap; /* never NULL: the empty heap before the thread's first allocation and after its end */
    uint64_t number;   /* heap->number, so that a free reads one line less */
    struct sec_shelf shelf;
    uint32_t is_torn; /* the thread's end has begun: its frees go the remote way and claim nothing */
};

extern MOAT_THREAD struct self moat_self;

/* Of so many slow paths of a kind one looks at the clock: at each it took 5 % of a burst. */
enum { MOAT_CALLS_TO_CLOCK = 8 };

MOAT_STATIC_ASSERT(offsetof(struct heap, magazines) <= MOAT_EMPTY_HEAP_BYTES,
                   "the empty heap has room in the read-only page");
MOAT_STATIC_ASSERT((size_t)HOOK_BARE_DESK_BYTES <= MOAT_EMPTY_HEAP_BYTES,
                   "the empty heap serves as a desk with nothing on it");
MOAT_STATIC_ASSERT(sizeof(struct self) <= 64, "little enough static TLS that any program has it to spare");

/* The heap of a thread that has none: all its lists are empty for ever. */
#define MOAT_EMPTY_HEAP ((struct heap *)(void *)moat_fixed.is.empty_heap)

MOAT_INLINE bool heap_is_empty_heap(const struct heap *heap)
{
    return heap == MOAT_EMPTY_HEAP;
}

/* A heap under a new number, owned by nobody yet; NULL when there is no memory, or, if it is not for a thread itself, little.
 * And back to the pool, when it owns nothing. */
struct heap *heap_take(bool is_thread);
void heap_put_back(struct heap *heap);
/* Heaps that are not in the pool. */
size_t heap_count(void);
/* The calling thread's heap, made or taken over if it has none; starts Moat first. NULL when there is no memory. */
struct heap *heap_of_thread(void);
/* A heap for one call: the thread's own, or, when that is torn down, one that such threads share; heap_leave must follow
 * then. NULL (and nothing to leave) when there is no memory. */
struct heap *heap_enter(void);
void heap_leave(void);
/* Fills the class's shelf (shelf.h) with at least one block. Answers false when there is no memory. */
bool heap_refill(struct heap *heap, unsigned class);
/* Looks at the clock: what lies idle goes back. */
void heap_tick(void);
/* Gives everything that the thread holds to others; its heap goes to the pool. */
void heap_end(struct heap *heap);
/* In the child of a fork, on the one thread that lives: what the others had is left alone from now on. */
void heap_forget_others(void);
/* Gives back what the calling thread holds without need. Answers true if a page was released. */
bool heap_trim(struct heap *heap);

#endif
