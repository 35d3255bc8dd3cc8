/* What the tests of encoded links share: keys and blocks of their own. */
#ifndef TEST_UNIT_SECURE_LINK_H
#define TEST_UNIT_SECURE_LINK_H

#include "support/pace.h"

#include "secure/links.h"

#if MOAT_SECURE_ENCODED_LINKS

enum { KEYS = MOAT_LINK_KEYS, SLOTS = SEC_SLOTS };

static const uint32_t epoch_mask = (1u << SEC_EPOCH_BITS) - 1;

static inline void draw_keys(struct rng *rng, uint64_t keys[KEYS])
{
    for (size_t i = 0; i < KEYS; i++)
        keys[i] = rng_next(rng);
    keys[3] |= 1;
    keys[4] |= 1;
}

/* Slots are counted from 1. */
static inline const char *block_at(uint64_t page, unsigned slot)
{
    return (const char *)(uintptr_t)((page << MOAT_SLICE_BITS) + (uint64_t)(slot - 1) * MOAT_ALIGN);
}

static inline uint64_t draw_page(struct rng *rng)
{
    return 1 + rng_below(rng, (1ul << 31) - 1); /* any slice of user space */
}

static inline uint64_t tag_of(uint64_t word)
{
    return word >> SEC_TAG_SHIFT;
}

#endif

#endif
