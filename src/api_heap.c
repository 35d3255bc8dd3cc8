/* api_heap.c - first-class heaps, and questions to Moat. The contract of each function stands in include/moat.h.
 *
 * A handle is a ticket in the clothes of a pointer (heaps.c): it is never followed.
 */
#include "moat.h"

#include "blocks.h"
#include "heaps.h"
#include "report.h"
#include "shelf.h"

#include <errno.h>

/* The heap, if the calling thread may use it; dies otherwise, in every build. */
static struct heap *heap_of(const moat_heap_t *handle, const char *function)
{
    struct heap *heap = heaps_find((uintptr_t)handle);
    if (MOAT_UNLIKELY(!heap))
        moat_die(KIND_FOREIGN_HEAP, function, handle, DETAIL_UNKNOWN, 0);
    return heap;
}

/* Before a slow path: sees a fork, and whether another thread is dying. */
static void settle(void)
{
    heap_of_thread();
}

/* What lies on the shelf, or nearest behind it; NULL where the cold way has to be gone. */
static void *take_small(struct heap *heap, size_t bytes, const char *function)
{
    unsigned class = moat_fixed.is.class_of[(bytes + MOAT_ALIGN - 1) / MOAT_ALIGN];
    bool is_sound;
    void *block = shelf_take(heap, &heap->shelf, class, &is_sound);
    if (!block && shelf_restock(heap, &heap->shelf, class))
        block = shelf_take(heap, &heap->shelf, class, &is_sound);
    if (block && MOAT_UNLIKELY(!is_sound || !hook_allocated(block)))
        blocks_die_of_list(block, function);
    return block;
}

static void *malloc_in(struct heap *heap, size_t bytes, bool *is_zeroed, const char *function)
{
    void *block = bytes <= MOAT_SMALL_MAX ? take_small(heap, bytes, function) : NULL;
    if (block) {
        *is_zeroed = false;
        return block;
    }
    settle();
    return blocks_malloc_in(heap, bytes, is_zeroed, function);
}

MOAT_EXPORT moat_heap_t *moat_heap_new(void)
{
    uint64_t ticket = heaps_make();
    if (ticket == 0)
        errno = ENOMEM;
    return (moat_heap_t *)ticket;
}

MOAT_EXPORT void *moat_heap_malloc(moat_heap_t *handle, size_t bytes)
{
    bool is_zeroed;
    return malloc_in(heap_of(handle, "moat_heap_malloc"), bytes, &is_zeroed, "moat_heap_malloc");
}

MOAT_EXPORT void moat_heap_delete(moat_heap_t *handle)
{
    if (!handle)
        return;
    struct heap *heap = heap_of(handle, "moat_heap_delete");
    settle();
    heaps_delete(heap);
}
