/* api_heap.c - first-class heaps, and questions to Moat. The contract of each function stands in include/moat.h.
 *
 * A handle is a ticket in the clothes of a pointer (heaps.c): it is never followed.
 */
#include "moat.h"

#include "blocks.h"
#include "census.h"
#include "heaps.h"
#include "report.h"
#include "shelf.h"
#include "state.h"
#include "stats.h"

#include <errno.h>
#include <string.h>

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

static void *no_memory(void)
{
    errno = ENOMEM;
    return NULL;
}

/* What lies on the shelf; NULL where it is empty. */
MOAT_INLINE void *take(struct heap *heap, size_t bytes, const char *function)
{
    unsigned class = moat_fixed.is.class_of[(bytes + MOAT_ALIGN - 1) / MOAT_ALIGN];
    bool is_sound;
    void *block = shelf_take(heap, &heap->shelf, class, &is_sound);
    if (MOAT_LIKELY(block != NULL) && MOAT_UNLIKELY(!is_sound || !hook_allocated(block)))
        blocks_die_of_list(block, function);
    return block;
}

/* The shelf is empty or the request is not small: takes from behind the shelf, or goes the cold way. */
static MOAT_NOINLINE void *take_more(struct heap *heap, size_t bytes, bool *is_zeroed, const char *function)
{
    if (bytes <= MOAT_SMALL_MAX &&
        shelf_restock(heap, &heap->shelf, moat_fixed.is.class_of[(bytes + MOAT_ALIGN - 1) / MOAT_ALIGN])) {
        *is_zeroed = false;
        return take(heap, bytes, function);
    }
    settle();
    return blocks_malloc_in(heap, bytes, is_zeroed, function);
}

static void *malloc_in(struct heap *heap, size_t bytes, bool *is_zeroed, const char *function)
{
    void *block = bytes <= MOAT_SMALL_MAX ? take(heap, bytes, function) : NULL;
    if (!block)
        return take_more(heap, bytes, is_zeroed, function);
    *is_zeroed = false;
    return block;
}

/* Also finds again what is wrong with the heap. */
static MOAT_COLD void *malloc_cold(moat_heap_t *handle, size_t bytes)
{
    bool is_zeroed = false;
    return take_more(heap_of(handle, "moat_heap_malloc"), bytes, &is_zeroed, "moat_heap_malloc");
}

MOAT_EXPORT moat_heap_t *moat_heap_new(void)
{
    uint64_t ticket = heaps_make();
    return ticket != 0 ? (moat_heap_t *)ticket : no_memory();
}

MOAT_EXPORT void *moat_heap_malloc(moat_heap_t *handle, size_t bytes)
{
    struct heap *heap = heaps_find((uintptr_t)handle);
    if (MOAT_UNLIKELY(!heap) || MOAT_UNLIKELY(bytes > MOAT_SMALL_MAX))
        return malloc_cold(handle, bytes);
    void *block = take(heap, bytes, "moat_heap_malloc");
    return MOAT_LIKELY(block != NULL) ? block : malloc_cold(handle, bytes);
}

MOAT_EXPORT void moat_heap_delete(moat_heap_t *handle)
{
    if (!handle)
        return;
    struct heap *heap = heap_of(handle, "moat_heap_delete");
    settle();
    heaps_delete(heap);
}

MOAT_EXPORT void *moat_heap_calloc(moat_heap_t *handle, size_t count, size_t bytes)
{
    struct heap *heap = heap_of(handle, "moat_heap_calloc");
    size_t total;
    bool is_zeroed = true;

    if (!checked_mul(count, bytes, &total))
        return no_memory();
    void *block = malloc_in(heap, total, &is_zeroed, "moat_heap_calloc");
    if (block && !is_zeroed)
        memset(block, 0, total);
    return block;
}

MOAT_EXPORT void *moat_heap_aligned_alloc(moat_heap_t *handle, size_t alignment, size_t bytes)
{
    struct heap *heap = heap_of(handle, "moat_heap_aligned_alloc");
    bool is_zeroed = false;

    if (!is_power_of_two(alignment)) {
        errno = EINVAL;
        return NULL;
    }
    if (alignment <= MOAT_ALIGN)
        return malloc_in(heap, bytes, &is_zeroed, "moat_heap_aligned_alloc");
    settle();
    return blocks_aligned_in(heap, alignment, bytes, "moat_heap_aligned_alloc");
}

MOAT_EXPORT void *moat_heap_realloc(moat_heap_t *handle, void *block, size_t bytes)
{
    struct heap *heap = heap_of(handle, "moat_heap_realloc");
    bool is_zeroed = false;

    if (!block)
        return malloc_in(heap, bytes, &is_zeroed, "moat_heap_realloc");
    settle();
    if (bytes == 0) {
        blocks_free_any(block, "moat_heap_realloc");
        return NULL;
    }
    return blocks_realloc_in(heap, block, bytes, "moat_heap_realloc");
}

MOAT_EXPORT void moat_heap_destroy(moat_heap_t *handle)
{
    if (!handle)
        return;
    struct heap *heap = heap_of(handle, "moat_heap_destroy");
    settle();
    heaps_destroy(heap);
}

MOAT_EXPORT bool moat_heap_visit_blocks(moat_heap_t *handle, bool (*visit)(void *block, size_t bytes, void *argument),
                                        void *argument)
{
    struct heap *heap = heap_of(handle, "moat_heap_visit_blocks");
    settle();
    return heaps_visit(heap, visit, argument);
}

MOAT_EXPORT bool moat_is_in_heap(const void *address)
{
    return blocks_has(address);
}

MOAT_EXPORT size_t moat_usable_size(const void *block)
{
    return blocks_usable(block, "moat_usable_size");
}

MOAT_EXPORT size_t moat_good_size(size_t bytes)
{
    return blocks_good_size(bytes);
}

MOAT_EXPORT bool moat_collect(void)
{
    return blocks_trim();
}

MOAT_EXPORT bool moat_stats_get(struct moat_stats *stats)
{
    if (stats->bytes < sizeof *stats)
        return false;
    struct census census = census_take();
    *stats = (struct moat_stats){
        .bytes = sizeof *stats,
        .page_bytes = census.page_bytes,
        .live_bytes = census.live_bytes,
        .free_blocks = census.free_blocks,
        .large_blocks = census.large_blocks,
        .large_bytes = census.large_bytes,
        .thread_heaps = census.thread_heaps,
        .heaps = census.first_class_heaps,
        .degraded = atomic_get(&moat_shown.head.degraded),
    };
    return true;
}

MOAT_EXPORT bool moat_stats_counter(unsigned index, const char **words, uint64_t *count)
{
    if (index >= STAT_COUNT)
        return false;
    *words = moat_shown.counter[index].name;
    *count = stats_get((enum stat)index);
    return true;
}
