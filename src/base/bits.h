/* bits.h - rounding, powers of two, and arithmetic on a user's numbers that cannot wrap unnoticed. */
#ifndef MOAT_BASE_BITS_H
#define MOAT_BASE_BITS_H

#include "base/compiler.h"

MOAT_INLINE bool is_power_of_two(size_t n)
{
    return n != 0 && (n & (n - 1)) == 0;
}

/* The caller knows that n + to does not wrap; `to` is a power of two. */
MOAT_INLINE size_t round_up(size_t n, size_t to)
{
    return (n + to - 1) & ~(to - 1);
}

MOAT_INLINE size_t round_down(size_t n, size_t to)
{
    return n & ~(to - 1);
}

/* Index of the highest set bit; n is not 0. */
MOAT_INLINE unsigned log2_floor(size_t n)
{
    return 63u - (unsigned)__builtin_clzl(n);
}

/* Index of the lowest one. */
MOAT_INLINE unsigned lowest_bit(uint32_t n)
{
    return (unsigned)__builtin_ctz(n);
}

MOAT_INLINE bool checked_mul(size_t a, size_t b, size_t *product)
{
    return !__builtin_mul_overflow(a, b, product);
}

MOAT_INLINE bool checked_add(size_t a, size_t b, size_t *sum)
{
    return !__builtin_add_overflow(a, b, sum);
}

MOAT_INLINE size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

MOAT_INLINE size_t max_size(size_t a, size_t b)
{
    return a > b ? a : b;
}

#endif
