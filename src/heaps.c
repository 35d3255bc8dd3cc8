/* heaps.c - see heaps.h. First-class heaps: made by a thread, used by that thread alone, ended as a whole.
 *
 * What it is. A `struct heap` as a thread's own, with its own number, so its pages, magazines and woken stack are its own
 * and nothing in page.c, remote.c or shelf.c knows the difference. Two things differ: it never claims an orphan, since
 * that has other heaps' blocks in it, and what it hands out above the small sizes carries its ticket.
 *
 * What the program holds is not an address but a ticket: the heap's number, which is never used twice, over an index
 * into a table. A wild handle, one of another thread and one of a heap that has ended are told apart from a good one by
 * two compares, so they are fatal in every build; and a handle that is overwritten in the program's memory never makes
 * Moat read a heap that lies there. Heap structs are never unmapped and an index is a struct's for life, so the look-up
 * takes no lock. (The address of the struct would spare the table and trust what it is given.)
 *
 * Who owns what
 *   small pages    owner = the heap's number, on the heap's lists
 *   medium blocks  nobody, as ever; record.ticket holds the ticket while the block is handed out
 *   large blocks   the table's entry holds the ticket (LOCK_LARGE)
 *   the heap       `creator`, the number of its thread's own heap; the thread's list of them hangs on that
 *
 * free() by any thread. For the fast path a page of this heap is another's. The slow one sees whether the calling thread made
 * the heap: then the block goes back as it does to a thread's own (try_free_made in blocks.c). All others free it the
 * remote way, and the heap's next slow path collects it.
 *
 * The ticket of a medium block decides who may take it away: a free swaps it to 0 before it changes the state, and so
 * does the end of the heap. One of them wins. (The state alone is not enough: between a look at the ticket and the swap
 * of the state the block may be freed and handed out again, and numbers, unlike states, do not come back.) It is set
 * before the block becomes live.
 *
 * Ending a heap
 *   delete   is what the end of a thread is: the woken stack is closed, each page is given to the pool or abandoned. Blocks
 *            live on. The thread's end does this to each of its heaps, one round of destructors late (process.c), so that
 *            destructors of the program may still use or end them.
 *   destroy  takes live blocks too. With states: each live block of a page becomes free by compare-and-swap; then the page
 *            is abandoned as above, which gives it to the pool, since all of its blocks are back. A block that another
 *            thread is freeing in that moment is `remote` and not yet on the list: it is missed in the count, so the page
 *            becomes an orphan, which takes that push like any other. So a free that races with destroy is accepted or
 *            fatal, and never touches memory that was given away. Without states nobody can see such a free: there it
 *            must have returned before, which is what the manual asks for in every build.
 *            Later frees find a block that is free, a page that is not in use, or a block that was never handed out.
 *
 * Visiting. While the program's function runs, `creator` is 0, so every call that names the heap is refused, and a free of
 * its blocks by whatever thread goes the remote way: no list of the heap changes under the walk.
 *
 * Fork. The child's one thread has its number still, and so its heaps; their desks are wiped and counted again as its
 * own is. Heaps of other threads have tickets that nobody can use, and their pages are left alone.
 */
#include "heaps.h"

#include "cage.h"
#include "large.h"
#include "medium.h"
#include "remote.h"

struct heap **moat_heap_table[HEAPS_PARTS];

static uint32_t last_index; /* 0 is nobody's, so NULL is no heap's ticket */
static size_t count;

/* The part of the table that has the index; made by whoever needs it first. */
static struct heap **part_of(uint32_t index)
{
    struct heap ***place = &moat_heap_table[index >> HEAPS_PART_BITS];
    struct heap **part = atomic_get_acquire(place);
    if (part)
        return part;
    struct heap **fresh = meta_allocate(HEAPS_PART * sizeof *fresh);
    if (!fresh || atomic_cas_acq_rel(place, &part, fresh))
        return fresh;
    return part; /* another thread's; ours, one page, stays unused */
}

/* Gives the struct its index, if it has none. False: no memory, or no index is left. */
static bool give_index(struct heap *heap)
{
    if (heap->index != 0)
        return true;
    uint32_t last = atomic_get(&last_index);
    struct heap **part;
    do {
        part = last + 1 < 1u << HEAPS_INDEX_BITS ? part_of(last + 1) : NULL;
        if (!part)
            return false;
    } while (!atomic_cas_acq_rel(&last_index, &last, last + 1));
    heap->index = last + 1;
    atomic_set_release(&part[heap->index & (HEAPS_PART - 1)], heap);
    return true;
}

static void enter_list(struct heap *own, struct heap *heap)
{
    heap->made_previous = own;
    heap->made_next = own->made_next;
    if (own->made_next)
        own->made_next->made_previous = heap;
    own->made_next = heap;
}

static void leave_list(struct heap *heap)
{
    heap->made_previous->made_next = heap->made_next;
    if (heap->made_next)
        heap->made_next->made_previous = heap->made_previous;
    heap->made_next = heap->made_previous = NULL;
}

uint64_t heaps_make(void)
{
    struct heap *own = moat_self.is_torn ? NULL : heap_of_thread();
    struct heap *heap = own ? heap_take(false) : NULL;
    if (!heap)
        return 0;
    if (!give_index(heap)) {
        heap_put_back(heap);
        return 0;
    }
    heap->medium_low = heap->medium_high = 0;
    heap->has_large = 0;
    enter_list(own, heap);
    atomic_add(&count, 1);
    atomic_set(&heap->creator, own->number);
    atomic_set(&heap->ticket, heap->number << HEAPS_INDEX_BITS | heap->index);
    return heap->ticket;
}

/* The heap has nothing left: no ticket leads to it any more. */
static void unmake(struct heap *heap)
{
    atomic_set(&heap->ticket, 0);
    leave_list(heap);
    heap_put_back(heap);
    atomic_add(&count, (size_t)-1);
}

void heaps_delete(struct heap *heap)
{
    heap_close_woken(heap);
    heap_abandon_pages(heap);
    unmake(heap);
}

void heaps_destroy(struct heap *heap)
{
    heap_close_woken(heap);
    heap_destroy_pages(heap);
    medium_destroy(heap);
    if (heap->has_large)
        large_destroy(heap->ticket);
    unmake(heap);
}

/* Free blocks of a page: one bit each. */
struct marks {
    const struct record *page;
    uint64_t is_free[(MOAT_SLICE >> MOAT_ALIGN_BITS) / 64];
};

static unsigned index_of(const struct record *page, const void *block)
{
    return (unsigned)(size_t)((const char *)block - page_start(page)) / page->block_bytes;
}

static void mark(void *block, void *argument)
{
    struct marks *marks = argument;
    unsigned index = index_of(marks->page, block);
    marks->is_free[index / 64] |= 1ull << index % 64;
}

static void mark_list(struct marks *marks, void *first)
{
    unsigned left = marks->page->carved;
    for (void *block = first; block && slice_of_address(block) == slice_of_record(marks->page) && left > 0; left--) {
        mark(block, marks);
        block = hook_next_of(block, *(void **)block);
    }
}

/* Without states only the lists say which blocks are free. */
static void mark_free(const struct heap *heap, struct marks *marks)
{
    if (HOOK_IS_EXACT)
        return;
    mark_list(marks, marks->page->free);
    mark_list(marks, heap->free[marks->page->class]);
    remote_each(marks->page, mark, marks);
}

static bool visit_page(const struct heap *heap, const struct record *page,
                       bool (*see)(void *block, size_t bytes, void *argument), void *argument)
{
    struct marks marks = {.page = page};
    mark_free(heap, &marks);
    for (unsigned i = 0; i < page->carved; i++) {
        char *block = page_start(page) + (size_t)i * page->block_bytes;
        bool is_live = HOOK_IS_EXACT ? hook_is_live(block) : !(marks.is_free[i / 64] >> i % 64 & 1);
        if (is_live && !see(block, page->block_bytes, argument))
            return false;
    }
    return true;
}

static bool visit_small(const struct heap *heap, bool (*see)(void *block, size_t bytes, void *argument), void *argument)
{
    for (unsigned class = 0; class < MOAT_SMALL_CLASSES; class ++)
        for (uint32_t slice = heap->queue[class].owned; slice != 0; slice = record_of_slice(slice)->owned_next)
            if (!visit_page(heap, record_of_slice(slice), see, argument))
                return false;
    return true;
}

static bool visit_others(const struct heap *heap, bool (*see)(void *block, size_t bytes, void *argument),
                         void *argument)
{
    uint32_t medium = 0;
    struct large_place large = {0};
    size_t bytes;
    void *block;

    while ((block = medium_next(heap, &medium, &bytes)) != NULL)
        if (!see(block, bytes, argument))
            return false;
    while (heap->has_large && (block = large_next(heap->ticket, &large, &bytes)) != NULL)
        if (!see(block, bytes, argument))
            return false;
    return true;
}

bool heaps_visit(struct heap *heap, bool (*see)(void *block, size_t bytes, void *argument), void *argument)
{
    atomic_set(&heap->creator, 0);
    bool saw_all = visit_small(heap, see, argument) && visit_others(heap, see, argument);
    atomic_set(&heap->creator, moat_self.number);
    return saw_all;
}

size_t heaps_count(void)
{
    return atomic_get(&count);
}
