/* blocks.c - see blocks.h. This is where a pointer's place decides what it is:
 *
 *     outside the open part of the cage   large, or foreign
 *     page of a heap or an orphan         small; it must be a block's start, then it is local or remote
 *     run of a medium block               medium; it must be what was handed out
 *     slice not in use                    stale
 */
#include "blocks.h"

#include "base/atomic.h"
#include "classes.h"
#include "fast.h"
#include "large.h"
#include "medium.h"
#include "os/lock.h"
#include "passive.h"
#include "remote.h"
#include "report.h"
#include "shelf.h"
#include "slices.h"
#include "spare.h"
#include "start.h"
#include "stats.h"

#include <errno.h>
#include <string.h>

enum {
    BORROW_CLASSES = 16,
    SMALL_STEP = 8,
    CHEAP_TO_COPY = 512,
    FOREIGN_LINES = 100, /* foreign pointers that are ignored with a line each; from then on each doubling has one */
};

enum place { PLACE_OUTSIDE, PLACE_SMALL, PLACE_MEDIUM };

/* The C library's own, for foreign=pass; weak, since asking for them would draw its malloc into a static program. */
__attribute__((weak)) void __libc_free(void *block);
__attribute__((weak)) void *__libc_realloc(void *block, size_t bytes);

static void *no_memory(void)
{
    errno = ENOMEM;
    return NULL;
}

/* A block off the class's shelf, which is not empty. */
static void *pop(struct heap *heap, unsigned class, const char *function)
{
    bool is_sound;
    void *block = shelf_take(heap, &heap->shelf, class, &is_sound);
    if (!block) /* a signal handler took the last one in between */
        lock_reentered();
    if (!is_sound || !hook_allocated(block))
        blocks_die_of_list(block, function);
    return block;
}

static void *large_in(struct heap *heap, size_t bytes, size_t alignment, bool *is_zeroed)
{
    heap->has_large = 1;
    return large_malloc(bytes, alignment, heap->ticket, is_zeroed);
}

/* No slice is left for the class, as can be in a cage that a limit made small: a block of a larger class that the heap
 * has at hand, or a mapping of its own. Counted, since an address may so serve another size. */
static void *borrow(struct heap *heap, unsigned class, size_t bytes, const char *function)
{
    unsigned last = class + BORROW_CLASSES < MOAT_SMALL_CLASSES ? class + BORROW_CLASSES : MOAT_SMALL_CLASSES - 1;
    for (unsigned larger = class + 1; larger <= last; larger++) {
        if (shelf_is_stocked(heap, larger) || shelf_fill(heap, larger)) {
            stats_add(STAT_BORROWED, 1);
            return pop(heap, larger, function);
        }
    }
    bool is_zeroed = false;
    void *block = large_in(heap, max_size(bytes, 1), MOAT_ALIGN, &is_zeroed);
    if (block)
        stats_add(STAT_BORROWED, 1);
    return block;
}

static void *malloc_small(struct heap *heap, unsigned class, size_t bytes, const char *function)
{
    if (shelf_is_stocked(heap, class) || heap_refill(heap, class) || (spare_trim() && heap_refill(heap, class)))
        return pop(heap, class, function);
    return borrow(heap, class, bytes, function);
}

void *blocks_malloc_in(struct heap *heap, size_t bytes, bool *is_zeroed, const char *function)
{
    void *block = NULL;

    if (bytes <= MOAT_SMALL_MAX) {
        *is_zeroed = false;
        block = malloc_small(heap, moat_fixed.is.class_of[(bytes + MOAT_ALIGN - 1) / MOAT_ALIGN], bytes, function);
    } else if (bytes <= MOAT_MEDIUM_MAX) {
        block = medium_malloc(heap, bytes, MOAT_ALIGN, is_zeroed);
        if (!block && spare_trim())
            block = medium_malloc(heap, bytes, MOAT_ALIGN, is_zeroed);
        if (!block && (block = large_in(heap, bytes, MOAT_ALIGN, is_zeroed)))
            stats_add(STAT_BORROWED, 1);
    } else {
        block = large_in(heap, bytes, MOAT_ALIGN, is_zeroed);
    }
    return block ? block : no_memory();
}

void *blocks_malloc(size_t bytes, bool *is_zeroed, const char *function)
{
    struct heap *heap = heap_enter();
    if (!heap) {
        *is_zeroed = false;
        return passive_is_on() ? passive_malloc(bytes) : no_memory();
    }
    void *block = blocks_malloc_in(heap, bytes, is_zeroed, function);
    heap_leave();
    return block;
}

static void *aligned_of(struct heap *heap, size_t alignment, size_t bytes, const char *function)
{
    bool is_zeroed = false;

    if (alignment <= MOAT_OS_PAGE && bytes <= MOAT_SMALL_MAX) {
        unsigned class = class_of_aligned(alignment, bytes);
        if (class < MOAT_SMALL_CLASSES)
            return shelf_is_stocked(heap, class) || heap_refill(heap, class) ? pop(heap, class, function) : NULL;
    }
    if (alignment <= MOAT_SLICE && bytes <= MOAT_MEDIUM_MAX)
        return medium_malloc(heap, bytes, max_size(alignment, MOAT_ALIGN), &is_zeroed);
    return large_in(heap, bytes, max_size(alignment, MOAT_ALIGN), &is_zeroed);
}

void *blocks_aligned_in(struct heap *heap, size_t alignment, size_t bytes, const char *function)
{
    bool is_zeroed = false;
    bytes = max_size(bytes, 1);
    void *block = aligned_of(heap, alignment, bytes, function);
    if (!block && spare_trim())
        block = aligned_of(heap, alignment, bytes, function);
    if (!block && bytes <= MOAT_MEDIUM_MAX &&
        (block = large_in(heap, bytes, max_size(alignment, MOAT_ALIGN), &is_zeroed)))
        stats_add(STAT_BORROWED, 1);
    return block ? block : no_memory();
}

void *blocks_aligned(size_t alignment, size_t bytes, const char *function)
{
    struct heap *heap = heap_enter();
    if (!heap)
        return passive_is_on() ? passive_aligned(alignment, bytes) : no_memory();
    void *block = blocks_aligned_in(heap, alignment, bytes, function);
    heap_leave();
    return block;
}

_Noreturn void blocks_die_of_list(const void *block, const char *function)
{
    moat_die(KIND_CORRUPTED_FREE_LIST, function, block, DETAIL_CLASS,
             record_of_slice(slice_of_address(block))->block_bytes);
}

/* Finds what lies at `block`. Dies for a slice that is not in use and for what is inside a small block. */
static enum place locate(const void *block, struct record **found, const char *function)
{
    size_t slice = slice_of_address(block);
    if (slice >= atomic_get(&moat_fixed.is.slice_limit)) {
        if (HOOK_IS_EXACT && slice < moat_fixed.is.slice_count)
            moat_die(KIND_STALE_POINTER, function, block, DETAIL_UNKNOWN, 0);
        return PLACE_OUTSIDE;
    }

    struct record *page = record_of_slice(slice);
    uint64_t owner = atomic_get_acquire(&page->owner);
    if (owner == OWNER_NONE) {
        if (HOOK_IS_EXACT)
            moat_die(KIND_STALE_POINTER, function, block, DETAIL_UNKNOWN, 0);
        return PLACE_OUTSIDE;
    }
    if (owner == OWNER_MEDIUM || owner == OWNER_INSIDE) {
        *found = medium_head(page);
        return PLACE_MEDIUM;
    }
    if (!hook_is_block_start(block, page->reciprocal))
        moat_die(KIND_INTERIOR_POINTER, function, block, DETAIL_CLASS, page->block_bytes);
    *found = page;
    return PLACE_SMALL;
}

static _Noreturn void die_not_live(const struct record *page, const void *block, const char *function)
{
    moat_die(hook_was_never_used(block) ? KIND_NEVER_ALLOCATED : KIND_DOUBLE_FREE, function, block, DETAIL_CLASS,
             page->block_bytes);
}

/* A pointer that is none of Moat's. Answers if the owner chose that such are left alone. */
static void meet_foreign(const void *block, const char *function)
{
    if (moat_fixed.is.options.foreign == FOREIGN_ENFORCE)
        moat_die(KIND_FOREIGN_POINTER, function, block, DETAIL_UNKNOWN, 0);
    stats_add(STAT_FOREIGN_IGNORED, 1);
    uint64_t count = stats_get(STAT_FOREIGN_IGNORED);
    if (count <= FOREIGN_LINES || is_power_of_two(count))
        report_ignored(function, block);
}

/* A pointer that is none of Moat's: true, and counted, if it is to be the C library's. */
static bool is_passed_on(void)
{
    if (moat_fixed.is.options.foreign != FOREIGN_PASS || !__libc_free || !__libc_realloc)
        return false;
    stats_add(STAT_FOREIGN_PASSED, 1);
    return true;
}

/* What heap_try_free does, for a page of a heap that the thread has made. */
static bool try_free_made(void *block)
{
    size_t slice = slice_of_address(block);
    if (slice >= atomic_get(&moat_fixed.is.slice_limit))
        return false;

    struct record *page = record_of_slice(slice);
    uint64_t owner = atomic_get_acquire(&page->owner);
    if (owner < OWNER_FIRST_HEAP)
        return false;
    struct heap *heap = atomic_get(&page->waker);
    if (atomic_get(&heap->creator) != moat_self.number || heap->number != owner ||
        !hook_is_block_start(block, page->reciprocal))
        return false;
    struct sec_place place;
    if (!hook_find_place(&heap->shelf, page->class, &place) &&
        !(hook_draw_on(&heap->shelf) && hook_find_place(&heap->shelf, page->class, &place)))
        return false;
    if (!hook_freed_local(block))
        return false;
    if (HOOK_HAS_MAGAZINES) {
        hook_put(&place, block);
        return true;
    }
    *(void **)block = hook_link_of(block, page->free);
    page->free = block;
    if (--page->needed == 0)
        page_event(heap, page);
    return true;
}

/* The fast path refused a block of the heap, which is the calling thread's: it is not live, or there was no room for it. */
static void free_again(struct heap *heap, const struct record *page, void *block, const char *function)
{
    if (!HOOK_IS_EXACT || !hook_is_live(block) || !shelf_make_room(heap, page->class) ||
        !(heap_try_free(block) || try_free_made(block)))
        die_not_live(page, block, function);
}

static void free_small(struct record *page, void *block, const char *function)
{
    uint64_t owner = atomic_get_acquire(&page->owner);
    struct heap *heap = atomic_get(&page->waker);

    if (owner == moat_self.number)
        free_again(moat_self.heap, page, block, function);
    else if (moat_self.heap->made_next && owner >= OWNER_FIRST_HEAP && atomic_get(&heap->creator) == moat_self.number)
        free_again(heap, page, block, function);
    else
        remote_free(page, block, function);
}

void blocks_free(void *block, const char *function)
{
    struct record *page;

    if (!block || (moat_self.heap->made_next && try_free_made(block)))
        return;
    if (MOAT_UNLIKELY(fork_is_new_child()))
        fork_settle_child();
    report_park_if_dying();
    switch (locate(block, &page, function)) {
    case PLACE_SMALL:
        free_small(page, block, function);
        return;
    case PLACE_MEDIUM:
        medium_free(moat_self.is_torn ? NULL : heap_of_thread(), page, block, function);
        return;
    case PLACE_OUTSIDE:
        break;
    }
    if (passive_is_on()) {
        passive_free(block);
        return;
    }
    if (large_free(block, function))
        return;
    if (is_passed_on())
        __libc_free(block);
    else
        meet_foreign(block, function);
}

/* Of a small or medium block. */
static size_t usable_at(enum place place, const struct record *page, const void *block, const char *function)
{
    if (place == PLACE_MEDIUM)
        return medium_usable(page, block, function);
    if (!hook_is_live(block))
        die_not_live(page, block, function);
    return page->block_bytes;
}

/* False for a foreign pointer. */
static bool find_usable(const void *block, const char *function, size_t *usable)
{
    struct record *page;
    enum place place = locate(block, &page, function);

    if (place == PLACE_OUTSIDE)
        return large_usable(block, function, usable);
    *usable = usable_at(place, page, block, function);
    return true;
}

size_t blocks_usable(const void *block, const char *function)
{
    size_t usable = 0;

    if (passive_is_on())
        return block ? passive_usable(block) : 0;
    if (block && !find_usable(block, function, &usable))
        meet_foreign(block, function);
    return usable;
}

void blocks_check_sized(const void *block, size_t alignment, size_t bytes, const char *function)
{
    size_t usable;
    if (!HOOK_IS_EXACT || !block || passive_is_on())
        return;
    if (!find_usable(block, function, &usable)) {
        if (moat_fixed.is.options.foreign == FOREIGN_ENFORCE)
            meet_foreign(block, function);
        return; /* the free that follows meets it, once */
    }
    struct record *page;
    enum detail detail = locate(block, &page, function) == PLACE_SMALL ? DETAIL_CLASS : DETAIL_BYTES;
    if (((uintptr_t)block & (alignment - 1)) != 0 || !is_power_of_two(alignment))
        moat_die(KIND_WRONG_ALIGNMENT, function, block, detail, usable);
    if (!hook_size_fits(bytes, usable))
        moat_die(KIND_WRONG_SIZE, function, block, detail, usable);
}

void blocks_free_any(void *block, const char *function)
{
    if (!heap_try_free(block))
        blocks_free(block, function);
}

/* A block that is to replace one of `usable` bytes. If it is larger it is likely to grow again: then it has a quarter of room. A
 * small one that did not grow in a small step has none, and one that is cheap to copy. */
static void *malloc_instead(struct heap *heap, size_t bytes, size_t usable, const char *function)
{
    bool is_zeroed = false;
    void *block = NULL;

    if (bytes > usable && bytes - usable <= usable / SMALL_STEP && usable >= CHEAP_TO_COPY && bytes <= MOAT_SMALL_MAX)
        bytes = min_size(bytes + bytes / 4, MOAT_SMALL_MAX);
    if (bytes > usable && bytes > MOAT_SMALL_MAX && bytes <= MOAT_MEDIUM_MAX)
        block = medium_malloc_growing(heap, bytes);
    return block ? block : blocks_malloc_in(heap, bytes, &is_zeroed, function);
}

/* A small or medium block stays where it is. False: it does not fit there, or `into` is another heap than its own. */
static bool resize_in_place(struct heap *into, struct record *page, void *block, size_t usable, size_t bytes,
                            const char *function)
{
    bool is_small = page->class < MOAT_SMALL_CLASSES;

    if ((bytes <= MOAT_SMALL_MAX) != is_small || bytes > usable || (bytes <= usable / 2 && usable > MOAT_CACHE_LINE))
        return false;
    if (is_small)
        return !into || atomic_get(&page->owner) == into->number;
    if (into)
        medium_adopt(into, page, block, function);
    page->requested = bytes;
    return true;
}

static void *move_block(struct heap *into, void *block, size_t usable, size_t bytes, const char *function)
{
    struct heap *heap = into ? into : heap_enter();
    if (!heap)
        return no_memory();
    void *moved = malloc_instead(heap, bytes, usable, function);
    if (!into)
        heap_leave();
    if (!moved)
        return NULL;
    memcpy(moved, block, min_size(usable, bytes));
    blocks_free_any(block, function);
    return moved;
}

static void *realloc_outside(struct heap *into, void *block, size_t bytes, const char *function)
{
    size_t usable;

    if (passive_is_on())
        return passive_realloc(block, bytes);
    if (!large_usable(block, function, &usable)) {
        if (is_passed_on())
            return __libc_realloc(block, bytes);
        meet_foreign(block, function);
        return no_memory();
    }
    if (bytes <= MOAT_MEDIUM_MAX)
        return move_block(into, block, usable, bytes, function);
    if (into)
        into->has_large = 1;
    void *resized = large_resize(block, bytes, into ? &into->ticket : NULL);
    return resized ? resized : no_memory();
}

void *blocks_realloc_in(struct heap *into, void *block, size_t bytes, const char *function)
{
    struct record *page;

    enum place place = locate(block, &page, function);
    if (place == PLACE_OUTSIDE)
        return realloc_outside(into, block, bytes, function);
    size_t usable = usable_at(place, page, block, function);
    if (resize_in_place(into, page, block, usable, bytes, function))
        return block;
    return move_block(into, block, usable, bytes, function);
}

void *blocks_realloc(void *block, size_t bytes, const char *function)
{
    return blocks_realloc_in(NULL, block, bytes, function);
}

bool blocks_has(const void *address)
{
    size_t slice = slice_of_address(address);
    if (slice >= atomic_get(&moat_fixed.is.slice_limit))
        return large_has(address);
    struct record *page = record_of_slice(slice);
    uint64_t owner = atomic_get_acquire(&page->owner);
    if (owner == OWNER_MEDIUM || owner == OWNER_INSIDE)
        return atomic_get(&medium_head(page)->is_handed_out);
    return owner != OWNER_NONE;
}

size_t blocks_good_size(size_t bytes)
{
    if (bytes <= MOAT_SMALL_MAX)
        return min_size(class_bytes(class_of_bytes(bytes)), MOAT_SMALL_MAX);
    if (bytes <= MOAT_MEDIUM_MAX)
        return class_bytes(medium_class_of_bytes(bytes));
    return bytes <= PTRDIFF_MAX - MOAT_OS_PAGE ? round_up(bytes, MOAT_OS_PAGE) : bytes;
}

bool blocks_trim(void)
{
    bool any = false;
    if (passive_is_on())
        return passive_trim();
    for (struct heap *heap = moat_self.heap; heap && !heap_is_empty_heap(heap); heap = heap->made_next)
        if (atomic_get(&heap->creator) != 0) /* not under a visitor's feet */
            any |= heap_trim(heap);
    any |= spare_trim();
    return slices_trim() || any;
}
