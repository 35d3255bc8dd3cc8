/* First-class heaps as tests call them: the public header, and where the library is preloaded its functions by weak
 * reference, since the C library alone has none. Ask heaps_are_there() first.
 */
#ifndef TEST_SUPPORT_HEAPS_H
#define TEST_SUPPORT_HEAPS_H

#include "family.h"

#include "../../include/moat.h"

#ifdef TEST_REAL_NAMES
#pragma weak moat_heap_new
#pragma weak moat_heap_malloc
#pragma weak moat_heap_calloc
#pragma weak moat_heap_aligned_alloc
#pragma weak moat_heap_realloc
#pragma weak moat_heap_delete
#pragma weak moat_heap_destroy
#pragma weak moat_heap_visit_blocks
#pragma weak moat_is_in_heap
#pragma weak moat_usable_size
#pragma weak moat_good_size
#pragma weak moat_collect
#pragma weak moat_stats_get
#pragma weak moat_stats_counter
#endif

static inline bool heaps_are_there(void)
{
    return FAMILY_HAS(moat_heap_new);
}

#endif
