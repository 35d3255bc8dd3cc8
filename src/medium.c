/* medium.c - see medium.h.
 *
 * A freed block stays dirty with the thread that freed it up to KEEP_BYTES, then goes to the pool of its class
 * (slices.c), which purges at its own pace.
 */
#include "medium.h"

#include "base/atomic.h"
#include "classes.h"
#include "report.h"
#include "secure/hooks.h"
#include "slices.h"
#include "stats.h"

enum { KEEP_BYTES = 2 << 20, KEEP_LARGEST = 512 << 10, CHOICE = 8 };

static uint32_t slices_of_class(unsigned class)
{
    return (uint32_t)(round_up(class_bytes(class) + HOOK_GUARD_BYTES, MOAT_SLICE) >> MOAT_SLICE_BITS);
}

/* The link to the kept block that is used next; NULL if none is. */
static uint32_t *choose_kept(uint32_t *link)
{
    unsigned count = 0;

    for (uint32_t slice = *link; slice != 0 && count < CHOICE; slice = record_of_slice(slice)->queue_next)
        count++;
    unsigned chosen = count == 0 ? 0 : hook_choose_rested(count, record_of_slice(*link)->block_bytes);
    if (chosen >= count)
        return NULL;
    for (; chosen > 0; chosen--)
        link = &record_of_slice(*link)->queue_next;
    return link;
}

/* Who keeps freed blocks: the thread, for all of its heaps. */
static struct heap *keeper_of(struct heap *heap)
{
    return heap->ticket != 0 ? moat_self.heap : heap;
}

static struct record *take_kept(struct heap *heap, unsigned class)
{
    uint32_t *kept = choose_kept(&heap->medium[class - MOAT_SMALL_CLASSES]);
    if (!kept)
        return NULL;
    struct record *page = record_of_slice(*kept);
    *kept = page->queue_next;
    heap->medium_bytes -= page->block_bytes;
    return page;
}

static struct record *take_run(unsigned class)
{
    uint32_t slices = slices_of_class(class);
    struct record *page = slices_take(class, slices);
    if (!page)
        return NULL;
    if (page->block_bytes == 0) {
        page->block_bytes = (uint32_t)class_bytes(class);
        page->class = (uint8_t) class;
        for (uint32_t i = 1; i < slices; i++) {
            page[i].head = slice_of_record(page);
            atomic_set(&page[i].owner, OWNER_INSIDE);
        }
        hook_page_opened(page_start(page) + page->block_bytes, &page->has_guard);
        hook_carved(page_start(page));
    }
    return page;
}

static struct record *take(struct heap *heap, unsigned class)
{
    struct record *page = take_kept(keeper_of(heap), class);
    return page ? page : take_run(class);
}

/* A first-class heap remembers where its blocks lie. */
static void note(struct heap *heap, const struct record *page)
{
    uint32_t slice = slice_of_record(page);
    if (heap->ticket == 0)
        return;
    if (heap->medium_high == 0 || slice < heap->medium_low)
        heap->medium_low = slice;
    if (slice >= heap->medium_high)
        heap->medium_high = slice + 1;
}

static void *hand_out(struct heap *heap, struct record *page, char *block, size_t bytes)
{
    note(heap, page);
    atomic_set(&page->ticket, heap->ticket); /* before the block is live: see heaps.c */
    if (!hook_allocated(page_start(page)))
        moat_die(KIND_CORRUPTED_FREE_LIST, "malloc", block, DETAIL_BYTES, page->block_bytes);
    atomic_set_release(&page->user, (uintptr_t)block); /* for medium_next */
    page->requested = bytes;
    atomic_set(&page->is_handed_out, 1);
    atomic_set_release(&page->owner, OWNER_MEDIUM);
    return block;
}

void *medium_malloc(struct heap *heap, size_t bytes, size_t alignment, bool *is_zeroed)
{
    struct record *page = take(heap, medium_class_of_bytes(bytes));
    if (!page)
        return NULL;
    *is_zeroed = page->is_zeroed;
    page->is_zeroed = 0;
    return hand_out(heap, page, hook_place(page_start(page), page->block_bytes, bytes, alignment), bytes);
}

void *medium_malloc_growing(struct heap *heap, size_t bytes)
{
    size_t room = min_size(bytes + bytes / 4, MOAT_MEDIUM_MAX);
    struct record *page = take(heap, medium_class_of_bytes(room));
    if (!page)
        return NULL;
    page->is_zeroed = 0;
    return hand_out(heap, page, page_start(page), bytes);
}

struct record *medium_head(struct record *page)
{
    return atomic_get(&page->owner) == OWNER_INSIDE ? record_of_slice(page->head) : page;
}

static void check(const struct record *page, const void *block, const char *function)
{
    if (page->user != (uintptr_t)block)
        moat_die(KIND_INTERIOR_POINTER, function, block, DETAIL_BYTES, page->requested);
    if (!hook_is_live(page_start(page)))
        moat_die(KIND_DOUBLE_FREE, function, block, DETAIL_BYTES, page->requested);
}

/* Whoever swaps the ticket has the block: a free, or the end of its heap. */
static bool swap_ticket(struct record *page, uint64_t next)
{
    uint64_t ticket = atomic_get(&page->ticket);
    return ticket == next || atomic_cas_acq_rel(&page->ticket, &ticket, next);
}

/* Keeps the block for its thread's next request, or gives it to all. */
static void put_away(struct heap *heap, struct record *page)
{
    atomic_set(&page->is_handed_out, 0);
    if (heap && page->block_bytes <= KEEP_LARGEST && heap->medium_bytes + page->block_bytes <= KEEP_BYTES) {
        uint32_t *kept = &heap->medium[page->class - MOAT_SMALL_CLASSES];
        page->queue_next = *kept;
        *kept = slice_of_record(page);
        heap->medium_bytes += page->block_bytes;
        return;
    }
    slices_release(page);
}

void medium_free(struct heap *heap, struct record *page, void *block, const char *function)
{
    check(page, block, function);
    if (!swap_ticket(page, 0) || !hook_freed_medium(page_start(page)))
        moat_die(KIND_DOUBLE_FREE, function, block, DETAIL_BYTES, page->requested);
    put_away(heap, page);
}

void medium_adopt(struct heap *heap, struct record *page, const void *block, const char *function)
{
    check(page, block, function);
    note(heap, page);
    if (!swap_ticket(page, heap->ticket))
        moat_die(KIND_DOUBLE_FREE, function, block, DETAIL_BYTES, page->requested);
}

/* The first slice from `slice` on that has a block of the heap, medium_high if there is none. */
static uint32_t slice_of_next(const struct heap *heap, uint32_t slice)
{
    for (; slice < heap->medium_high; slice++) {
        const struct record *page = record_of_slice(slice);
        if (atomic_get_acquire(&page->owner) == OWNER_MEDIUM && atomic_get_acquire(&page->ticket) == heap->ticket)
            break;
    }
    return slice;
}

void *medium_next(const struct heap *heap, uint32_t *place, size_t *usable)
{
    uint32_t slice = *place > heap->medium_low ? *place : heap->medium_low;
    while ((slice = slice_of_next(heap, slice)) < heap->medium_high) {
        const struct record *page = record_of_slice(slice++);
        uintptr_t user = atomic_get_acquire(&page->user);
        /* Freed meanwhile, it may have been handed out elsewhere. */
        if (atomic_get(&page->ticket) == heap->ticket) {
            *place = slice;
            *usable = (size_t)((uintptr_t)page_start(page) + page->block_bytes - user);
            return (void *)user;
        }
    }
    return NULL;
}

void medium_destroy(struct heap *heap)
{
    for (uint32_t slice = heap->medium_low; (slice = slice_of_next(heap, slice)) < heap->medium_high; slice++) {
        struct record *page = record_of_slice(slice);
        uint64_t ticket = heap->ticket;
        if (!atomic_cas_acq_rel(&page->ticket, &ticket, 0))
            continue; /* another thread's free was first */
        if (!hook_freed_medium(page_start(page)))
            moat_die(KIND_CORRUPTED_PAGE, "moat_heap_destroy", (void *)page->user, DETAIL_BYTES, page->requested);
        put_away(keeper_of(heap), page);
    }
    heap->medium_low = heap->medium_high = 0;
}

size_t medium_usable(const struct record *page, const void *block, const char *function)
{
    check(page, block, function);
    return (size_t)(page_start(page) + page->block_bytes - (const char *)block);
}

bool medium_flush(struct heap *heap)
{
    bool any = heap->medium_bytes != 0;
    for (unsigned i = 0; i < MOAT_MEDIUM_CLASSES; i++) {
        while (heap->medium[i]) {
            struct record *page = record_of_slice(heap->medium[i]);
            heap->medium[i] = page->queue_next;
            slices_release(page);
        }
    }
    heap->medium_bytes = 0;
    return any;
}
