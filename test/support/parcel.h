/* A block that carries its own size and identity, so that one pointer is all that threads pass on. The rest of it is
 * pattern. */
#ifndef TEST_SUPPORT_PARCEL_H
#define TEST_SUPPORT_PARCEL_H

#include "expect.h"
#include "family.h"
#include "pace.h"
#include "pattern.h"

struct parcel {
    struct parcel *next; /* for whoever has it, to keep it in a list */
    size_t size;         /* of the whole block */
    uint64_t identity;
    unsigned char contents[];
};

static inline size_t parcel_least(size_t size)
{
    return size < sizeof(struct parcel) ? sizeof(struct parcel) : size;
}

/* Makes one of a fresh block of parcel_least(size) bytes. NULL, and a failure counted, if that is NULL. */
static inline struct parcel *parcel_of(void *block, size_t size, uint64_t identity)
{
    struct parcel *parcel = block;
    size = parcel_least(size);
    if (parcel == NULL) {
        expect_fail("no memory for %zu bytes", size);
        return NULL;
    }
    parcel->next = NULL;
    parcel->size = size;
    parcel->identity = identity;
    pattern_fill(parcel->contents, size - sizeof *parcel, identity ^ size);
    return parcel;
}

static inline struct parcel *parcel_new(size_t size, uint64_t identity)
{
    return parcel_of(moat_malloc(parcel_least(size)), size, identity);
}

/* Mostly small, now and then medium or large. */
static inline size_t parcel_size(struct rng *rng)
{
    unsigned kind = (unsigned)rng_below(rng, 1000);
    return rng_size(rng, kind < 900 ? 9 : kind < 980 ? 14 : kind < 999 ? 18 : 21);
}

static inline bool parcel_holds(const struct parcel *parcel)
{
    size_t contents = parcel->size - sizeof *parcel;
    size_t wrong = pattern_wrong(parcel->contents, contents, parcel->identity ^ parcel->size);
    if (wrong == contents)
        return true;
    expect_fail("block %p of %zu bytes, identity %llx: contents wrong at %zu", (const void *)parcel, parcel->size,
                (unsigned long long)parcel->identity, wrong);
    return false;
}

/* Checks and frees; answers whether the contents held. */
static inline bool parcel_end(struct parcel *parcel)
{
    if (parcel == NULL)
        return true;
    bool holds = parcel_holds(parcel);
    moat_free(parcel);
    return holds;
}

/* As parcel_end for a whole list; answers how many of its parcels were good. */
static inline size_t parcel_end_list(struct parcel *list)
{
    size_t good = 0;
    while (list != NULL) {
        struct parcel *next = list->next;
        good += parcel_end(list) ? 1 : 0;
        list = next;
    }
    return good;
}

#endif
