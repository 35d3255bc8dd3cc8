/* Alignment of every block, asked for or not. */
#include "support/expect.h"
#include "support/family.h"
#include "support/pace.h"
#include "support/pattern.h"
#include "support/sizes.h"

#include <stdint.h>

enum { SAME = 8, ALIGNMENT_MAX_BITS = 21 };

/* A build without any protection aligns a power of two to itself. */
static bool is_plain_build(void)
{
#if defined(MOAT_SECURE_GUARD_PAGES) && defined(MOAT_SECURE_DOUBLE_FREE) && defined(MOAT_SECURE_ISOLATION)
    return !MOAT_SECURE_GUARD_PAGES && !MOAT_SECURE_DOUBLE_FREE && !MOAT_SECURE_ISOLATION;
#else
    return false;
#endif
}

/* Several blocks of a size, since the first of a page is aligned by accident. */
static void check_size(size_t size)
{
    void *blocks[SAME];
    bool is_power = size > 0 && (size & (size - 1)) == 0;
    size_t alignment = is_plain_build() && is_power && size > 16 && size <= 4096 ? size : 16;
    for (size_t i = 0; i < SAME; i++) {
        blocks[i] = i % 2 ? moat_malloc(size) : moat_calloc(1, size);
        if (blocks[i] == NULL || (uintptr_t)blocks[i] % alignment != 0)
            expect_fail("a block of %zu bytes at %p is not aligned to %zu", size, blocks[i], alignment);
        if (moat_malloc_usable_size(blocks[i]) < size)
            expect_fail("a block of %zu bytes is too small", size);
    }
    for (size_t i = 0; i < SAME; i++)
        moat_free(blocks[i]);
}

static void test_every_size(void)
{
    size_t step = pace_is_quick() ? 17 : 1;
    for (size_t size = 0; size <= 70000; size += size < 4200 ? 1 : step)
        check_size(size);
    EXPECT_EQ(expect_failures(), 0);
}

static void test_class_edges(void)
{
    static size_t edges[SIZES_EDGES_MAX];
    size_t count = sizes_edges(edges);
    for (size_t i = 0; i < count; i++)
        check_size(edges[i]);
    for (size_t i = 0; i < SIZES_COUNT(sizes_medium); i++)
        check_size(sizes_medium[i]);
    for (size_t i = 0; i < SIZES_COUNT(sizes_large); i++)
        check_size(sizes_large[i]);
    EXPECT_EQ(expect_failures(), 0);
}

static void *allocate_by(unsigned way, size_t alignment, size_t size)
{
    void *block = NULL;
    switch (way) {
    case 0:
        return moat_aligned_alloc(alignment, size);
    case 1:
        return moat_memalign(alignment, size);
    default:
        /* Its smallest alignment is that of a pointer. */
        if (moat_posix_memalign(&block, alignment < sizeof(void *) ? sizeof(void *) : alignment, size) != 0)
            return NULL;
        return block;
    }
}

/* Several alive at once, with contents in all of each, then freed in another order. */
static void check_aligned(unsigned way, size_t alignment, size_t size)
{
    void *blocks[SAME];
    for (size_t i = 0; i < SAME; i++) {
        blocks[i] = family_launder(allocate_by(way, alignment, size));
        if (blocks[i] == NULL || (uintptr_t)blocks[i] % alignment != 0 || (uintptr_t)blocks[i] % 16 != 0) {
            expect_fail("way %u: %zu bytes aligned to %zu came at %p", way, size, alignment, blocks[i]);
            return;
        }
        if (moat_malloc_usable_size(blocks[i]) < size)
            expect_fail("way %u: %zu bytes aligned to %zu: too small", way, size, alignment);
        pattern_fill(blocks[i], size, i);
    }
    for (size_t i = 0; i < SAME; i++)
        EXPECT(pattern_holds(blocks[i], size, i));
    for (size_t i = 0; i < SAME; i++)
        moat_free(blocks[i * 3 % SAME]);
}

static void test_every_alignment(void)
{
    static const size_t sizes[] = {
        0,     1,     8,     16,    17,    24,    31,    32,    33,     48,     64,      100,     128,     200,
        256,   500,   512,   1000,  1024,  1025,  2048,  3000,  4000,   4096,   4097,    6000,    8192,    10000,
        16000, 16383, 16384, 20000, 32768, 40000, 65536, 70000, 131072, 300000, 1048576, 1048577, 2097152, 3000000,
    };
    for (unsigned bits = 0; bits <= ALIGNMENT_MAX_BITS; bits++) {
        for (size_t i = 0; i < SIZES_COUNT(sizes); i++) {
            for (unsigned way = 0; way < 3; way++)
                check_aligned(way, (size_t)1 << bits, sizes[i]);
        }
    }
}

/* An aligned block is a block as any other. */
static void test_realloc_of_aligned_blocks(void)
{
    for (unsigned bits = 5; bits <= 16; bits++) {
        for (size_t size = 10; size < 100000; size = size * 5 + 3) {
            for (size_t to = 10; to < 3000000; to = to * 7 + 1) {
                void *block = family_launder(moat_aligned_alloc((size_t)1 << bits, size));
                pattern_fill(block, size, bits);
                block = family_launder(moat_realloc(block, to));
                EXPECT(block != NULL);
                EXPECT(pattern_prefix_holds(block, size, to, bits));
                moat_free(block);
            }
        }
    }
}

int main(void)
{
    test_every_size();
    test_class_edges();
    test_every_alignment();
    test_realloc_of_aligned_blocks();
    return expect_done();
}
