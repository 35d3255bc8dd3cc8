/* classes.h - which block serves which request.
 *
 * Sizes rise by 16 bytes to 128, then by eight steps to a doubling, so at most an eighth of a block is waste. Classes
 * below MOAT_SMALL_CLASSES are small, the others medium; a medium block is a whole number of OS pages. A power of two is
 * a class of its own, and since a page begins at a multiple of 64 KiB its blocks are aligned to their size (to the OS
 * page at most, where that holds for the class).
 */
#ifndef MOAT_CLASSES_H
#define MOAT_CLASSES_H

#include "base/bits.h"
#include "base/config.h"

/* The class of a request of 1 byte to MOAT_MEDIUM_MAX; arithmetic only, for tables and cold paths. */
MOAT_INLINE unsigned class_of_bytes(size_t bytes)
{
    bytes = max_size(bytes, MOAT_MIN_BLOCK);
    if (bytes <= 128)
        return (unsigned)((bytes + MOAT_ALIGN - 1) / MOAT_ALIGN - 1);
    unsigned top = log2_floor(bytes - 1);
    return (top - 6) * 8 + (unsigned)(((bytes - 1) >> (top - 3)) & 7);
}

/* The bytes of a block of a class. */
MOAT_INLINE size_t class_bytes(unsigned class)
{
    if (class < 8)
        return ((size_t) class + 1) * MOAT_ALIGN;
    size_t bytes = (size_t)(9 + class % 8) << (class / 8 + 3);
    return class < MOAT_SMALL_CLASSES ? bytes : round_up(bytes, MOAT_OS_PAGE);
}

/* ceil(2^32 / bytes): (u32)(offset * reciprocal) < reciprocal only at a block's start. */
MOAT_INLINE uint32_t class_reciprocal(unsigned class)
{
    size_t bytes = class_bytes(class);
    return (uint32_t)(((1ull << 32) + bytes - 1) / bytes);
}

MOAT_INLINE unsigned medium_class_of_bytes(size_t bytes)
{
    unsigned class = class_of_bytes(bytes);
    return class < MOAT_SMALL_CLASSES ? MOAT_SMALL_CLASSES : class;
}

/* The small class whose blocks hold `bytes` and are all aligned to `alignment` (a power of two up to the OS page), or
 * MOAT_SMALL_CLASSES when there is none. */
unsigned class_of_aligned(size_t alignment, size_t bytes);

#endif
