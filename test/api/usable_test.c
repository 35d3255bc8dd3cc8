/* What malloc_usable_size says may be written, to the last byte, without touching a neighbour; and calloc's memory is
 * zero. */
#include "support/expect.h"
#include "support/family.h"
#include "support/pace.h"
#include "support/pattern.h"
#include "support/sizes.h"

#include <pthread.h>
#include <string.h>

enum { NEIGHBOURS_MAX = 64 };

static size_t neighbours(size_t size)
{
    return size < 16384 ? 32 : size <= 1048576 ? 6 : 2;
}

static void check_usable(size_t size)
{
    unsigned char *blocks[NEIGHBOURS_MAX];
    size_t usable[NEIGHBOURS_MAX];
    size_t count = neighbours(size);
    for (size_t i = 0; i < count; i++) {
        blocks[i] = family_launder(moat_malloc(size));
        usable[i] = moat_malloc_usable_size(blocks[i]);
        if (blocks[i] == NULL || usable[i] < size) {
            expect_fail("usable size of %zu bytes is %zu", size, usable[i]);
            return;
        }
        memset(blocks[i], (int)(i + 1), usable[i]);
    }
    for (size_t i = 0; i < count; i++) {
        EXPECT_EQ(moat_malloc_usable_size(blocks[i]), usable[i]);
        size_t wrong = 0;
        for (size_t j = 0; j < usable[i]; j++)
            wrong += blocks[i][j] != i + 1;
        EXPECT_EQ(wrong, 0);
    }
    for (size_t i = 0; i < count; i++)
        moat_free(blocks[i]);
}

/* The bytes beyond the request survive realloc too, since the program may have used them. */
static void check_usable_through_realloc(size_t size)
{
    unsigned char *block = family_launder(moat_malloc(size));
    size_t usable = moat_malloc_usable_size(block);
    pattern_fill(block, usable, size);
    block = family_launder(moat_realloc(block, usable + 1));
    EXPECT(pattern_prefix_holds(block, usable, usable, size));
    moat_free(block);
}

static void check_zero(const unsigned char *block, size_t size, const char *why)
{
    if (block == NULL)
        expect_fail("no memory for calloc of %zu", size);
    else if (!pattern_is_zero(block, size))
        expect_fail("calloc of %zu bytes is not zero: %s", size, why);
    else
        expect_reached();
}

struct dirt {
    unsigned char *blocks[NEIGHBOURS_MAX];
    size_t count;
};

static void *free_dirt(void *argument)
{
    struct dirt *dirt = argument;
    for (size_t i = 0; i < dirt->count; i++)
        moat_free(dirt->blocks[i]);
    return NULL;
}

/* Fresh; then on memory that was full of ones, freed by this thread or by another. */
static void check_calloc(size_t size, bool by_other)
{
    struct dirt dirt = {.count = neighbours(size)};
    check_zero(dirt.blocks[0] = moat_calloc(1, size), size, "fresh");
    moat_free(dirt.blocks[0]);
    for (size_t i = 0; i < dirt.count; i++) {
        dirt.blocks[i] = family_launder(moat_malloc(size));
        if (dirt.blocks[i] == NULL) {
            expect_fail("no memory for %zu", size);
            return;
        }
        memset(dirt.blocks[i], 0xff, moat_malloc_usable_size(dirt.blocks[i]));
    }
    if (by_other) {
        pthread_t thread;
        pthread_create(&thread, NULL, free_dirt, &dirt);
        pthread_join(thread, NULL);
    } else {
        free_dirt(&dirt);
    }
    for (size_t i = 0; i < dirt.count; i++)
        check_zero(dirt.blocks[i] = moat_calloc(i % 2 ? 1 : size, i % 2 ? size : 1), size,
                   by_other ? "freed by another thread" : "recycled");
    free_dirt(&dirt);
}

/* What calloc may skip to zero must be known to be zero: mix all ways by which memory of a size comes back. */
static void test_calloc_among_other_calls(void)
{
    enum { LIVE = 128 };
    static unsigned char *blocks[LIVE];
    struct rng rng = rng_stream(rng_seed(), 1);
    unsigned rounds = pace(60000, 10000);
    for (unsigned i = 0; i < rounds; i++) {
        size_t place = rng_below(&rng, LIVE);
        size_t size = rng_size(&rng, i % 50 == 0 ? 21 : 13);
        if (blocks[place] != NULL && rng_below(&rng, 3) == 0) {
            blocks[place] = family_launder(moat_realloc(blocks[place], size));
            memset(blocks[place], 0xee, size);
            continue;
        }
        moat_free(blocks[place]);
        blocks[place] = family_launder(moat_calloc(1, size));
        check_zero(blocks[place], size, "among other calls");
        memset(blocks[place], 0xdd, size);
        if (i % 5000 == 0)
            moat_malloc_trim(0);
    }
    for (size_t i = 0; i < LIVE; i++)
        moat_free(blocks[i]);
}

static void check_all(size_t size)
{
    check_usable(size);
    check_usable_through_realloc(size);
    check_calloc(size, false);
    check_calloc(size, true);
}

int main(void)
{
    static size_t edges[SIZES_EDGES_MAX];
    size_t count = sizes_edges(edges);
    for (size_t i = 0; i < count; i += pace_is_quick() ? 3 : 1)
        check_all(edges[i]);
    for (size_t i = 0; i < SIZES_COUNT(sizes_medium); i++)
        check_all(sizes_medium[i]);
    for (size_t i = 0; i < SIZES_COUNT(sizes_large); i++) {
        if (sizes_large[i] < 10000000 || !pace_is_quick())
            check_all(sizes_large[i]);
    }
    test_calloc_among_other_calls();
    return expect_done();
}
