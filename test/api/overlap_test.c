/* 100,000 live blocks of random sizes share no byte, keep their contents, and neither do those that replace them. */
#include "support/expect.h"
#include "support/family.h"
#include "support/pace.h"
#include "support/pattern.h"

#include <stdint.h>
#include <stdlib.h>

enum { BLOCKS = 100000, LARGE_EVERY = 1000 };

struct entry {
    unsigned char *block;
    size_t size;
    uint64_t identity;
};

static struct entry entries[BLOCKS];
static struct entry sorted[BLOCKS];

static int by_address(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    return x->block < y->block ? -1 : x->block > y->block;
}

static void fill(struct entry *entry, struct rng *rng, size_t number)
{
    entry->size = number % LARGE_EVERY == 0 ? rng_size(rng, 21)
                  : number % 50 == 0        ? rng_size(rng, 16)
                                            : rng_size(rng, 11);
    entry->identity = rng_next(rng);
    if (number % 7 == 0)
        entry->block = moat_aligned_alloc((size_t)16 << rng_below(rng, 6), entry->size);
    else if (number % 7 == 1)
        entry->block = moat_calloc(1, entry->size);
    else
        entry->block = moat_malloc(entry->size);
    if (entry->block == NULL) {
        expect_fail("no memory for %zu", entry->size);
        entry->size = 0;
        return;
    }
    pattern_fill(entry->block, entry->size, entry->identity);
}

static void check_contents(void)
{
    size_t wrong = 0;
    for (size_t i = 0; i < BLOCKS; i++)
        wrong += !pattern_holds(entries[i].block, entries[i].size, entries[i].identity);
    EXPECT_EQ(wrong, 0);
}

/* Usable size counts, since the program may use it. */
static void check_overlap(void)
{
    size_t overlaps = 0;
    for (size_t i = 0; i < BLOCKS; i++)
        sorted[i] = entries[i];
    qsort(sorted, BLOCKS, sizeof sorted[0], by_address);
    for (size_t i = 0; i + 1 < BLOCKS; i++)
        overlaps += sorted[i].block + moat_malloc_usable_size(sorted[i].block) > sorted[i + 1].block;
    EXPECT_EQ(overlaps, 0);
}

static void replace_some(struct rng *rng, size_t one_in)
{
    for (size_t i = 0; i < BLOCKS; i++) {
        if (rng_below(rng, one_in) == 0) {
            moat_free(entries[i].block);
            fill(&entries[i], rng, i);
        }
    }
}

int main(void)
{
    struct rng rng = rng_stream(rng_seed(), 3);
    unsigned rounds = pace(6, 2);
    for (size_t i = 0; i < BLOCKS; i++)
        fill(&entries[i], &rng, i);
    check_contents();
    check_overlap();
    for (unsigned round = 0; round < rounds; round++) {
        replace_some(&rng, 2 + round);
        check_contents();
        check_overlap();
    }
    for (size_t i = 0; i < BLOCKS; i++)
        moat_free(entries[i].block);
    return expect_done();
}
