/* fast.h - the two fast paths, and nothing else.
 *
 * No loop, no call but the cold exit, and that is a tail call before the first side effect: a call in the middle would
 * make the compiler save six registers on every malloc (30 instructions). `cold` is the public function's own exit, so
 * that a report can name it. Checks after a side effect end the process.
 */
#ifndef MOAT_FAST_H
#define MOAT_FAST_H

#include "base/atomic.h"
#include "heap.h"
#include "page.h"
#include "remote.h"
#include "secure/hooks.h"
#include "shelf.h"
#include "slices.h"

MOAT_INLINE void *heap_malloc(size_t bytes, void *(*cold)(size_t), void *(*corrupted)(void *))
{
    if (MOAT_UNLIKELY(bytes > MOAT_SMALL_MAX))
        return cold(bytes);

    struct heap *heap = moat_self.heap;
    unsigned class = moat_fixed.is.class_of[(bytes + MOAT_ALIGN - 1) / MOAT_ALIGN];
    bool is_sound;
    void *block = shelf_take(heap, &moat_self.shelf, class, &is_sound);
    if (MOAT_UNLIKELY(!block))
        return cold(bytes);
    if (MOAT_UNLIKELY(!is_sound || !hook_allocated(block)))
        return corrupted(block);
    return block;
}

/* The warm half of malloc: the class's shelf is used up and more is at hand. `cold` is for everything else. */
MOAT_INLINE void *heap_malloc_warm(size_t bytes, void *(*cold)(size_t), void *(*corrupted)(void *))
{
    if (bytes > MOAT_SMALL_MAX)
        return cold(bytes);

    struct heap *heap = moat_self.heap;
    unsigned class = moat_fixed.is.class_of[(bytes + MOAT_ALIGN - 1) / MOAT_ALIGN];
    if (MOAT_UNLIKELY(!shelf_restock(heap, &moat_self.shelf, class)))
        return cold(bytes);
    bool is_sound;
    void *block = shelf_take(heap, &moat_self.shelf, class, &is_sound);
    if (MOAT_UNLIKELY(!block)) /* a signal handler took the last one */
        return cold(bytes);
    if (MOAT_UNLIKELY(!is_sound || !hook_allocated(block)))
        return corrupted(block);
    return block;
}

/* False, and nothing done, where the slow path has to look. */
MOAT_INLINE bool heap_try_free(void *block)
{
    size_t slice = slice_of_address(block);
    if (MOAT_UNLIKELY(slice >= atomic_get(&moat_fixed.is.slice_limit)))
        return false;

    struct record *page = record_of_slice(slice);
    if (MOAT_UNLIKELY(atomic_get(&page->owner) != moat_self.number))
        return false;
    if (MOAT_UNLIKELY(!hook_is_block_start(block, page->reciprocal)))
        return false;
    struct sec_place place;
    if (MOAT_UNLIKELY(!hook_find_place(&moat_self.shelf, page->class, &place)))
        return false;
    if (MOAT_UNLIKELY(!hook_freed_local(block)))
        return false;
    if (HOOK_HAS_MAGAZINES) {
        hook_put(&place, block);
        return true;
    }

    *(void **)block = hook_link_of(block, page->free);
    page->free = block;
    if (MOAT_UNLIKELY(--page->needed == 0))
        page_event(moat_self.heap, page);
    return true;
}

/* `warm` is heap_free_warm, and called where there are magazines: one free in twelve uses up a word of draws. */
MOAT_INLINE void heap_free(void *block, void (*warm)(void *), void (*cold)(void *))
{
    if (MOAT_UNLIKELY(!heap_try_free(block)))
        (HOOK_HAS_MAGAZINES ? warm : cold)(block);
}

MOAT_INLINE void heap_free_warm(void *block, void (*cold)(void *))
{
    if (MOAT_UNLIKELY(atomic_get(&slices_wait) != 0))
        slices_tick();
    if (!hook_draw_on(&moat_self.shelf) || !heap_try_free(block))
        cold(block);
}

#endif
