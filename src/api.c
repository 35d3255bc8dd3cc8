/* api.c - the malloc family. The contract of each function stands in include/moat.h.
 *
 * Every public function has its own cold exit, so that a report names what the program called.
 */
#include "moat.h"

#include "blocks.h"
#include "census.h"
#include "fast.h"
#include "passive.h"
#include "report.h"
#include "stats.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static MOAT_COLD void *malloc_cold(size_t bytes)
{
    bool is_zeroed = false;
    return blocks_malloc(bytes, &is_zeroed, "malloc");
}

static MOAT_COLD void *malloc_corrupted(void *block)
{
    blocks_die_of_list(block, "malloc");
}

static MOAT_NOINLINE void *malloc_warm(size_t bytes)
{
    return heap_malloc_warm(bytes, malloc_cold, malloc_corrupted);
}

static MOAT_COLD void free_cold(void *block)
{
    blocks_free(block, "free");
}

static MOAT_NOINLINE void free_warm(void *block)
{
    heap_free_warm(block, free_cold);
}

MOAT_EXPORT void *malloc(size_t bytes)
{
    return heap_malloc(bytes, malloc_warm, malloc_corrupted);
}

MOAT_EXPORT void free(void *block)
{
    heap_free(block, free_warm, free_cold);
}

static MOAT_COLD void cfree_cold(void *block)
{
    blocks_free(block, "cfree");
}

MOAT_EXPORT void cfree(void *block)
{
    heap_free(block, cfree_cold, cfree_cold);
}

/* Not small, so there is no fast path: fresh memory is not cleared again. */
static MOAT_COLD void *calloc_cold(size_t bytes)
{
    bool is_zeroed = true;
    if (passive_is_on())
        return passive_calloc(1, bytes);
    void *block = blocks_malloc(bytes, &is_zeroed, "calloc");
    if (block && !is_zeroed)
        memset(block, 0, bytes);
    return block;
}

MOAT_EXPORT void *calloc(size_t count, size_t bytes)
{
    size_t total;
    if (MOAT_UNLIKELY(!checked_mul(count, bytes, &total))) {
        errno = ENOMEM;
        return NULL;
    }
    if (MOAT_UNLIKELY(total > MOAT_SMALL_MAX))
        return calloc_cold(total);
    void *block = heap_malloc(total, malloc_warm, malloc_corrupted);
    if (MOAT_LIKELY(block != NULL))
        memset(block, 0, total);
    return block;
}

static void *resize(void *block, size_t bytes, const char *function)
{
    if (!block)
        return malloc(bytes);
    if (bytes == 0) {
        blocks_free_any(block, function);
        return NULL;
    }
    return blocks_realloc(block, bytes, function);
}

MOAT_EXPORT void *realloc(void *block, size_t bytes)
{
    return resize(block, bytes, "realloc");
}

MOAT_EXPORT void *reallocarray(void *block, size_t count, size_t bytes)
{
    size_t total;
    if (MOAT_UNLIKELY(passive_is_on()))
        return passive_reallocarray(block, count, bytes);
    if (!checked_mul(count, bytes, &total)) {
        errno = ENOMEM;
        return NULL;
    }
    return resize(block, total, "reallocarray");
}

static void *aligned(size_t alignment, size_t bytes, const char *function)
{
    return alignment <= MOAT_ALIGN ? malloc(bytes) : blocks_aligned(alignment, bytes, function);
}

MOAT_EXPORT void *aligned_alloc(size_t alignment, size_t bytes)
{
    if (!is_power_of_two(alignment)) {
        errno = EINVAL;
        return NULL;
    }
    return aligned(alignment, bytes, "aligned_alloc");
}

MOAT_EXPORT void *memalign(size_t alignment, size_t bytes)
{
    if (alignment > SIZE_MAX / 2 + 1) { /* cannot be rounded up */
        errno = EINVAL;
        return NULL;
    }
    if (alignment > 1 && !is_power_of_two(alignment))
        alignment = (size_t)2 << log2_floor(alignment);
    return aligned(alignment, bytes, "memalign");
}

MOAT_EXPORT int posix_memalign(void **out, size_t alignment, size_t bytes)
{
    if (!is_power_of_two(alignment) || alignment % sizeof(void *) != 0)
        return EINVAL;
    int saved = errno;
    void *block = aligned(alignment, bytes, "posix_memalign");
    errno = saved;
    if (!block)
        return ENOMEM;
    *out = block;
    return 0;
}

MOAT_EXPORT void *valloc(size_t bytes)
{
    return blocks_aligned(MOAT_OS_PAGE, bytes, "valloc");
}

MOAT_EXPORT void *pvalloc(size_t bytes)
{
    if (bytes > PTRDIFF_MAX) {
        errno = ENOMEM;
        return NULL;
    }
    return blocks_aligned(MOAT_OS_PAGE, round_up(bytes, MOAT_OS_PAGE), "pvalloc");
}

MOAT_EXPORT size_t malloc_usable_size(void *block)
{
    return blocks_usable(block, "malloc_usable_size");
}

MOAT_EXPORT void free_sized(void *block, size_t bytes)
{
    blocks_check_sized(block, 1, bytes, "free_sized");
    free(block);
}

MOAT_EXPORT void free_aligned_sized(void *block, size_t alignment, size_t bytes)
{
    blocks_check_sized(block, alignment, bytes, "free_aligned_sized");
    free(block);
}

MOAT_EXPORT size_t memalignment(const void *address)
{
    return (uintptr_t)address & (~(uintptr_t)address + 1);
}

MOAT_EXPORT int malloc_trim(size_t keep)
{
    (void)keep;
    return blocks_trim() ? 1 : 0;
}

MOAT_EXPORT int mallopt(int parameter, int value)
{
    if (passive_is_on())
        return passive_mallopt(parameter, value);
    switch (parameter) {
    case M_MXFAST:
    case M_TRIM_THRESHOLD:
    case M_TOP_PAD:
    case M_MMAP_THRESHOLD:
    case M_MMAP_MAX:
    case M_CHECK_ACTION:
    case M_PERTURB:
    case M_ARENA_TEST:
    case M_ARENA_MAX:
        return 1;
    default:
        return 0;
    }
}

static int clamp(size_t figure)
{
    return (int)min_size(figure, INT32_MAX);
}

MOAT_EXPORT struct mallinfo2 mallinfo2(void)
{
    struct census census = census_take();
    struct mallinfo2 info = {0};
    info.arena = census.page_bytes;
    info.ordblks = census.free_blocks;
    info.hblks = census.large_blocks;
    info.hblkhd = census.large_bytes;
    info.uordblks = census.live_bytes;
    info.fordblks = census.page_bytes - census.live_bytes;
    return info;
}

MOAT_EXPORT struct mallinfo mallinfo(void)
{
    struct mallinfo2 wide = mallinfo2();
    struct mallinfo info = {0};
    info.arena = clamp(wide.arena);
    info.ordblks = clamp(wide.ordblks);
    info.hblks = clamp(wide.hblks);
    info.hblkhd = clamp(wide.hblkhd);
    info.uordblks = clamp(wide.uordblks);
    info.fordblks = clamp(wide.fordblks);
    return info;
}

MOAT_EXPORT int malloc_info(int options, FILE *stream)
{
    if (options != 0)
        return EINVAL;
    struct census census = census_take();
    fprintf(stream,
            "<malloc version=\"moat-%d.%d\">\n"
            "<pages bytes=\"%zu\" live=\"%zu\" free_blocks=\"%zu\"/>\n"
            "<large count=\"%zu\" bytes=\"%zu\"/>\n"
            "<heaps threads=\"%zu\" made=\"%zu\"/>\n"
            "</malloc>\n",
            MOAT_VERSION_MAJOR, MOAT_VERSION_MINOR, census.page_bytes, census.live_bytes, census.free_blocks,
            census.large_blocks, census.large_bytes, census.thread_heaps, census.first_class_heaps);
    return 0;
}

MOAT_EXPORT void malloc_stats(void)
{
    struct census census = census_take();
    report_number("stats: bytes in pages: ", census.page_bytes);
    report_number("stats: of these handed out: ", census.live_bytes);
    report_number("stats: free blocks: ", census.free_blocks);
    report_number("stats: large blocks: ", census.large_blocks);
    report_number("stats: bytes in large blocks: ", census.large_bytes);
    stats_print();
}

MOAT_EXPORT const char *moat_version(void)
{
    return "0.1.0 " MOAT_PROFILE;
}
