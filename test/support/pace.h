/* How much a test does, and which random numbers it draws.
 *
 * MOAT_TEST_QUICK=1 asks for the short form. Work is counted in operations, never in seconds. The seed is fixed unless
 * MOAT_TEST_SEED gives one, and is printed, so that a failing run can be repeated.
 */
#ifndef TEST_SUPPORT_PACE_H
#define TEST_SUPPORT_PACE_H

#include "expect.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* gcc defines a macro for each sanitizer, clang answers a question. */
#ifndef __has_feature
#define __has_feature(feature) 0
#endif
#if defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer)
enum { PACE_HAS_TSAN = 1 };
#else
enum { PACE_HAS_TSAN = 0 };
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
enum { PACE_HAS_ASAN = 1 };
#else
enum { PACE_HAS_ASAN = 0 };
#endif

static inline bool pace_has_tsan(void)
{
    return PACE_HAS_TSAN;
}

static inline bool pace_has_asan(void)
{
    return PACE_HAS_ASAN;
}

static inline bool pace_is_quick(void)
{
    const char *quick = getenv("MOAT_TEST_QUICK");
    return quick != NULL && quick[0] == '1';
}

/* The operations to do. A sanitizer makes each about ten times as long. */
static inline unsigned pace(unsigned full, unsigned quick)
{
    unsigned count = pace_is_quick() ? quick : full;
    if (PACE_HAS_TSAN || PACE_HAS_ASAN)
        count = count / 10 > 0 ? count / 10 : 1;
    return count;
}

struct rng {
    uint64_t state;
};

static inline uint64_t rng_seed(void)
{
    const char *given = getenv("MOAT_TEST_SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 0) : 20250101;
    expect_say("seed %llu (repeat with MOAT_TEST_SEED)\n", (unsigned long long)seed);
    return seed;
}

/* A stream of its own for each thread or case, from the one seed of the run. */
static inline struct rng rng_stream(uint64_t seed, uint64_t stream)
{
    struct rng rng = {.state = seed * 0x9e3779b97f4a7c15u + stream * 0xd1342543de82ef95u};
    return rng;
}

/* splitmix64: the whole state is one word and any seed is good. */
static inline uint64_t rng_next(struct rng *rng)
{
    uint64_t x = rng->state += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static inline size_t rng_below(struct rng *rng, size_t limit)
{
    return (size_t)(rng_next(rng) % limit);
}

/* As many sizes from each doubling: 1 to 2^log_max. */
static inline size_t rng_size(struct rng *rng, unsigned log_max)
{
    size_t top = (size_t)1 << rng_below(rng, log_max + 1);
    return top / 2 + 1 + rng_below(rng, top - top / 2);
}

#endif
