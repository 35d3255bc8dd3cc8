/* realloc between all kinds of sizes keeps contents; growth by one byte reaches 3 MiB. */
#include "support/expect.h"
#include "support/family.h"
#include "support/pace.h"
#include "support/pattern.h"
#include "support/sizes.h"

#include <stdint.h>
#include <string.h>

static const size_t grid[] = {
    1,       8,       16,      24,      32,      33,      48,      64,      100,      128,      200,    256,
    512,     513,     1000,    1024,    2000,    4096,    5000,    8192,    12000,    14336,    16000,  16383,
    16384,   16385,   20000,   40000,   65535,   65536,   65537,   131072,  200000,   262144,   500000, 1000000,
    1048575, 1048576, 1048577, 1500000, 2097152, 3000000, 4194304, 5000000, 10000000, 70000000,
};

/* Full contents, not only samples: the pattern of the smaller of both sizes must be there. */
static void check_pair(size_t from, size_t to, bool by_array)
{
    unsigned char *block = family_launder(moat_malloc(from));
    if (!EXPECT(block != NULL))
        return;
    pattern_fill(block, from, from * 31 + to);
    block = family_launder(by_array && to % 2 == 0 ? moat_reallocarray(block, to / 2, 2) : moat_realloc(block, to));
    if (block == NULL) {
        expect_fail("realloc from %zu to %zu gave nothing", from, to);
        return;
    }
    if (!pattern_prefix_holds(block, from, to, from * 31 + to))
        expect_fail("realloc from %zu to %zu lost contents", from, to);
    if (moat_malloc_usable_size(block) < to || (uintptr_t)block % 16 != 0)
        expect_fail("realloc from %zu to %zu: too small or not aligned", from, to);
    /* All of it is usable, and goes back again unharmed. */
    pattern_fill(block, to, 5);
    block = family_launder(moat_realloc(block, from));
    if (!EXPECT(block != NULL))
        return;
    EXPECT(pattern_prefix_holds(block, to, from, 5));
    moat_free(block);
}

static void test_all_pairs(void)
{
    for (size_t i = 0; i < SIZES_COUNT(grid); i++) {
        for (size_t j = 0; j < SIZES_COUNT(grid); j++)
            check_pair(grid[i], grid[j], (i + j) % 2);
    }
}

static unsigned char byte_at(size_t place)
{
    return (unsigned char)(place * 167 + (place >> 8) * 13);
}

static size_t wrong_bytes(const unsigned char *block, size_t size)
{
    size_t wrong = 0;
    for (size_t i = 0; i < size; i++)
        wrong += block[i] != byte_at(i);
    return wrong;
}

static unsigned char *grow(unsigned char *block, size_t from, size_t limit, size_t step, unsigned *moves)
{
    for (size_t size = from + step; size <= limit; size += step) {
        unsigned char *grown = family_launder(moat_realloc(block, size));
        if (grown == NULL) {
            expect_fail("no memory to grow to %zu", size);
            moat_free(block);
            return NULL;
        }
        *moves += grown != block;
        block = grown;
        for (size_t i = size - step; i < size; i++)
            block[i] = byte_at(i);
        if ((size & (size - 1)) == 0)
            EXPECT_EQ(wrong_bytes(block, size), 0);
    }
    return block;
}

static void test_growth_by_one_byte(void)
{
    enum { LIMIT = 3 * 1024 * 1024 };
    unsigned moves = 0;
    size_t by_one = pace(LIMIT, 200000);
    unsigned char *block = grow(NULL, 0, by_one, 1, &moves);
    size_t rest = by_one < LIMIT ? (LIMIT - by_one) / 61 * 61 : 0;
    block = block != NULL ? grow(block, by_one, by_one + rest, 61, &moves) : NULL;
    if (block == NULL)
        return;
    EXPECT_EQ(wrong_bytes(block, by_one + rest), 0);
    expect_say("growth to %zu bytes moved the block %u times\n", by_one + rest, moves);
    /* One move a class at most, with classes an eighth apart: anything near one a step would be quadratic. */
    EXPECT(moves < 2000);
    moat_free(block);
}

static void test_shrinking(void)
{
    enum { START = 3 * 1024 * 1024 };
    unsigned char *block = family_launder(moat_malloc(START));
    if (!EXPECT(block != NULL))
        return;
    for (size_t i = 0; i < START; i++)
        block[i] = byte_at(i);
    for (size_t size = START; size > 1; size = size * 9 / 10) {
        block = family_launder(moat_realloc(block, size));
        if (!EXPECT(block != NULL))
            return;
        EXPECT_EQ(wrong_bytes(block, size), 0);
    }
    moat_free(block);
}

/* Many blocks that change their sizes in turn: what one gives up another takes. */
static void test_random_walk(void)
{
    enum { LIVE = 500 };
    static unsigned char *blocks[LIVE];
    static size_t sizes[LIVE];
    struct rng rng = rng_stream(rng_seed(), 2);
    unsigned rounds = pace(400000, 60000);
    for (unsigned i = 0; i < rounds; i++) {
        size_t place = rng_below(&rng, LIVE);
        size_t size = rng_size(&rng, i % 100 == 0 ? 22 : 14);
        unsigned char *block = family_launder(moat_realloc(blocks[place], size));
        if (block == NULL) {
            expect_fail("no memory for %zu", size);
            continue;
        }
        if (!pattern_prefix_holds(block, sizes[place], size, place))
            expect_fail("block %zu from %zu to %zu lost contents", place, sizes[place], size);
        pattern_fill(block, size, place);
        blocks[place] = block;
        sizes[place] = size;
    }
    for (size_t i = 0; i < LIVE; i++) {
        EXPECT(pattern_holds(blocks[i], sizes[i], i));
        moat_free(blocks[i]);
    }
}

int main(void)
{
    test_all_pairs();
    test_growth_by_one_byte();
    test_shrinking();
    test_random_walk();
    return expect_done();
}
