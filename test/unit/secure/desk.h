/* A desk and magazines of a test's own, and blocks that exist nowhere: what the functions of secure/order.h need. */
#ifndef TEST_UNIT_SECURE_DESK_H
#define TEST_UNIT_SECURE_DESK_H

#include "support/expect.h"

#include "secure/order.h"

#include <string.h>

#if MOAT_SECURE_RANDOM_ORDER

enum {
    SMALL = 5,            /* a class with a whole reserve, */
    BIG = MOAT_BIG_CLASS, /* and one with the smaller */
    BYTES = 64,
};

/* All that the functions need. */
static struct sec_desk own_desk;
static struct sec_magazines own_magazines;
static const struct sec_shelf own_shelf = {.desk = &own_desk, .magazines = &own_magazines};

static inline char *block_of(size_t number)
{
    return (char *)(uintptr_t)(0x10000000 + number * BYTES);
}

static inline size_t number_of(const void *block)
{
    return ((uintptr_t)block - 0x10000000) / BYTES;
}

static inline unsigned places_of(unsigned class)
{
    return class < MOAT_BIG_CLASS ? SEC_PLACES : SEC_PLACES_BIG;
}

/* As the core does it before the first use, and in a child. */
static inline void make_ready(void)
{
    if (sec_desk_ready(&own_shelf))
        return;
    for (unsigned class = 0; class < MOAT_SMALL_CLASSES; class ++)
        if (own_magazines.offset[class] != 0)
            sec_stack_recount(&own_shelf, class);
}

static inline void begin(void)
{
    memset(&own_desk, 0, sizeof own_desk);
    memset(&own_magazines, 0, sizeof own_magazines);
    sec_magazine_open(&own_shelf, SMALL);
    sec_magazine_open(&own_shelf, BIG);
    make_ready();
}

/* The stack must have room. */
static inline bool find_place(unsigned class, struct sec_place *place)
{
    if (sec_find_place(&own_shelf, class, place))
        return true;
    if (!sec_draw_on(&own_shelf))
        make_ready();
    return EXPECT(sec_find_place(&own_shelf, class, place));
}

/* Frees a block. */
static inline void put(unsigned class, void *block)
{
    struct sec_place place;
    if (find_place(class, &place))
        sec_put(&place, block);
}

/* A pair: frees one block and takes the one that it evicts, NULL while the reserve fills. */
static inline void *exchange(unsigned class, void *block)
{
    put(class, block);
    return sec_take(&own_shelf, class);
}

/* Fills the reserve with blocks number 0 and up; so many frees leave a place empty once in 10^130 runs. */
static inline void fill_reserve(unsigned class)
{
    size_t frees = 0;
    unsigned filled = 0;
    for (size_t next = 0; filled < places_of(class) && frees < 10000; frees++) {
        void *evicted = exchange(class, block_of(next));
        next = evicted ? number_of(evicted) : ++filled;
    }
    EXPECT_EQ(filled, places_of(class));
}

#endif

#endif
