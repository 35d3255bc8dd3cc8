/* heap.c - thread heaps: birth, refill, end. See heap.h.
 *
 * Heap structs are never unmapped, since a thread that is about to wake one may still hold its address; they are used
 * again with a new number.
 */
#include "heap.h"

#include "base/atomic.h"
#include "cage.h"
#include "heaps.h"
#include "medium.h"
#include "os/lock.h"
#include "os/os.h"
#include "page.h"
#include "remote.h"
#include "report.h"
#include "shelf.h"
#include "slices.h"
#include "spare.h"
#include "start.h"
#include "stats.h"

enum {
    DESKS_BYTES = 4 * MOAT_OS_PAGE,
    CLAIM_MOST = 16, /* pages of ended threads, full ones perhaps, that one malloc takes over */
};

MOAT_THREAD struct self moat_self = {.heap = MOAT_EMPTY_HEAP, .number = OWNER_NOBODY, .shelf = HOOK_EMPTY_SHELF};

static struct heap *pool;
/* What destructors allocate after their thread's heap has ended: a heap of their own each would never end. */
static struct heap *late_heap;
static uint64_t last_number = OWNER_FIRST_HEAP;
static size_t in_use; /* atomic */

/* A fork left pool or desks half changed: both begin anew, and what waited there stays unused. */
static void take_lock(void)
{
    if (lock_take(LOCK_HEAPS)) {
        pool = NULL;
        hook_desk_give(NULL, 0);
    }
}

/* Where the kernel wipes nothing, fork's handler in the child does (settle_child in start.c), and start.c has counted it. */
static bool give_desk(struct heap *heap)
{
    take_lock();
    bool done = hook_shelf_open(&heap->shelf, &heap->magazines);
    char *more = done ? NULL : meta_allocate(DESKS_BYTES);
    if (more) {
        os_wipe_on_fork(more, DESKS_BYTES);
        hook_desk_give(more, DESKS_BYTES);
        done = hook_shelf_open(&heap->shelf, &heap->magazines);
    }
    lock_drop(LOCK_HEAPS);
    return done;
}

struct heap *heap_take(bool is_thread)
{
    take_lock();
    struct heap *heap = pool;
    if (heap)
        pool = heap->next;
    uint64_t number = ++last_number;
    lock_drop(LOCK_HEAPS);

    if (!heap) {
        heap = is_thread || !meta_is_scarce() ? meta_allocate(sizeof *heap) : NULL;
        if (!heap || !give_desk(heap))
            return NULL;
        stats_add(STAT_HEAPS, 1);
    }
    heap->number = number;
    atomic_set(&heap->creator, number);
    atomic_add(&in_use, 1);
    heap_open_woken(heap);
    return heap;
}

void heap_put_back(struct heap *heap)
{
    heap->number = 0;
    atomic_set(&heap->creator, 0);
    atomic_add(&in_use, (size_t)-1);
    take_lock();
    heap->next = pool;
    pool = heap;
    lock_drop(LOCK_HEAPS);
}

size_t heap_count(void)
{
    return atomic_get(&in_use);
}

struct heap *heap_of_thread(void)
{
    if (MOAT_UNLIKELY(fork_is_new_child()))
        fork_settle_child();
    report_park_if_dying();
    if (MOAT_LIKELY(!heap_is_empty_heap(moat_self.heap)))
        return moat_self.heap;
    if (!moat_start())
        return NULL;

    struct heap *heap = heap_take(true);
    if (!heap)
        return NULL;
    moat_self = (struct self){.heap = heap, .number = heap->number, .shelf = heap->shelf};
    thread_expect_end();
    return heap;
}

struct heap *heap_enter(void)
{
    if (MOAT_LIKELY(!moat_self.is_torn))
        return heap_of_thread();
    if (fork_is_new_child())
        fork_settle_child();
    if (lock_take(LOCK_LATE))
        late_heap = NULL;
    if (!late_heap)
        late_heap = heap_take(true);
    if (!late_heap)
        lock_drop(LOCK_LATE);
    return late_heap;
}

void heap_leave(void)
{
    if (MOAT_UNLIKELY(moat_self.is_torn))
        lock_drop(LOCK_LATE);
}

/* An orphan has blocks of others: not for a heap that may be destroyed as a whole. */
static bool claim_orphan(struct heap *heap, unsigned class)
{
    return heap->ticket == 0 && heap_claim_orphan(heap, class);
}

void heap_tick(void)
{
    slices_tick();
    spare_tick();
}

static void tick(struct heap *heap)
{
    if (heap->until_tick > 0 && atomic_get(&slices_wait) == 0) {
        heap->until_tick--;
        return;
    }
    heap->until_tick = MOAT_CALLS_TO_CLOCK - 1;
    heap_tick();
}

bool heap_refill(struct heap *heap, unsigned class)
{
    tick(heap);
    for (unsigned claimed = 0;;) {
        if (heap_has_woken(heap))
            heap_drain_woken(heap);
        if (shelf_fill(heap, class))
            return true;
        if (claimed < CLAIM_MOST && claim_orphan(heap, class))
            claimed++;
        else if (!page_open(heap, class) && !claim_orphan(heap, class))
            break;
    }
    /* The last blocks may lie in a magazine that gives none while it lacks others to draw among. */
    shelf_clear(heap, class);
    return shelf_fill(heap, class);
}

void heap_end(struct heap *heap)
{
    while (heap->made_next)
        heaps_delete(heap->made_next);
    moat_self = (struct self){.heap = MOAT_EMPTY_HEAP, .number = OWNER_NOBODY, .shelf = HOOK_EMPTY_SHELF, .is_torn = 1};
    heap->is_ending = 0;
    heap_close_woken(heap);
    medium_flush(heap);
    heap_abandon_pages(heap);
    heap_put_back(heap);
}

/* What others have freed and nobody was woken for. A page may be given up by that, also another one than was looked at: then
 * the walk begins again, with pages that have nothing to collect any more. */
static void collect_waiting(struct heap *heap, unsigned class)
{
    uint32_t slice = heap->queue[class].owned;
    while (slice != 0) {
        struct record *page = record_of_slice(slice);
        uint32_t next = page->owned_next;
        if (remote_is_waiting(page))
            page_took_back(heap, page, remote_collect(page));
        bool is_ours = next == 0 || atomic_get(&record_of_slice(next)->owner) == heap->number;
        slice = is_ours ? next : heap->queue[class].owned;
    }
}

void heap_forget_others(void)
{
    remote_forget_others(last_number + 1, moat_self.number);
}

/* Pages that are wholly back but were kept hot. */
static bool release_empty_pages(struct heap *heap, unsigned class)
{
    bool any = false;
    uint32_t slice = heap->queue[class].head;
    while (slice != 0) {
        struct record *page = record_of_slice(slice);
        slice = page->queue_next;
        if (page->phase == PAGE_EMPTY)
            any |= page_release(heap, page);
    }
    return any;
}

bool heap_trim(struct heap *heap)
{
    bool any = medium_flush(heap);
    heap_drain_woken(heap);
    for (unsigned class = 0; class < MOAT_SMALL_CLASSES; class ++) {
        shelf_clear(heap, class);
        collect_waiting(heap, class);
        any |= release_empty_pages(heap, class);
    }
    return any;
}
