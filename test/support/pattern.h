/* Contents that tell whether a block is still what its owner wrote.
 *
 * Each 8-byte word depends on the block's identity and on its place, so a block that was handed out twice, moved
 * wrongly, zeroed or overrun by a neighbour shows. Blocks above 64 KiB are written at both ends and at places between,
 * or a test would measure page faults.
 */
#ifndef TEST_SUPPORT_PATTERN_H
#define TEST_SUPPORT_PATTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PATTERN_WHOLE_MAX = 64 * 1024,
    PATTERN_END = 1024,
    PATTERN_STRIDE = 64 * 1024 - 8,
    PATTERN_STRIDE_BIG = 512 * 1024 - 8,
    PATTERN_BIG = 2 * 1024 * 1024
};

static inline unsigned char pattern_byte(uint64_t identity, size_t place)
{
    uint64_t word = (identity + 1) * 0x9e3779b97f4a7c15u + (place / 8) * 0xd1342543de82ef95u;
    return (unsigned char)(word >> (8 * (place % 8)) ^ word >> 56);
}

/* The place after `place` that carries contents in a block of `size` bytes. */
static inline size_t pattern_next(size_t place, size_t size)
{
    if (size <= PATTERN_WHOLE_MAX || place + 1 < PATTERN_END || place + 1 >= size - PATTERN_END)
        return place + 1;
    size_t next = place + (size > PATTERN_BIG ? PATTERN_STRIDE_BIG : PATTERN_STRIDE);
    return next < size - PATTERN_END ? next : size - PATTERN_END;
}

static inline void pattern_fill(void *block, size_t size, uint64_t identity)
{
    unsigned char *bytes = block;
    for (size_t i = 0; i < size; i = pattern_next(i, size))
        bytes[i] = pattern_byte(identity, i);
}

/* The first wrong place, or `size` if there is none. */
static inline size_t pattern_wrong(const void *block, size_t size, uint64_t identity)
{
    const unsigned char *bytes = block;
    for (size_t i = 0; i < size; i = pattern_next(i, size)) {
        if (bytes[i] != pattern_byte(identity, i))
            return i;
    }
    return size;
}

static inline bool pattern_holds(const void *block, size_t size, uint64_t identity)
{
    return pattern_wrong(block, size, identity) == size;
}

/* The first `kept` bytes of a block that had `size` when it was filled; both sizes decide which places carry contents.
 */
static inline bool pattern_prefix_holds(const void *block, size_t size, size_t kept, uint64_t identity)
{
    const unsigned char *bytes = block;
    for (size_t i = 0; i < size && i < kept; i = pattern_next(i, size)) {
        if (bytes[i] != pattern_byte(identity, i))
            return false;
    }
    return true;
}

static inline bool pattern_is_zero(const void *block, size_t size)
{
    const unsigned char *bytes = block;
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != 0)
            return false;
    }
    return true;
}

#endif
