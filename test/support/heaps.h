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
#pragma weak moat_heap_delete
#endif

static inline bool heaps_are_there(void)
{
    return FAMILY_HAS(moat_heap_new);
}

#endif
