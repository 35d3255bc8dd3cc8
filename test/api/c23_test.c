/* C23: free_sized, free_aligned_sized, memalignment. That wrong sizes and alignments end the process is a matter of the
 * death tests. */
#include "support/expect.h"
#include "support/family.h"
#include "support/memory.h"
#include "support/pattern.h"
#include "support/sizes.h"

#include <errno.h>
#include <stdint.h>

static void test_free_sized_frees(const size_t *sizes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        void *block = family_launder(moat_malloc(sizes[i]));
        void *zeroed = family_launder(moat_calloc(1, sizes[i]));
        void *grown = family_launder(moat_realloc(moat_malloc(1), sizes[i]));
        pattern_fill(block, sizes[i], i);
        EXPECT(pattern_holds(block, sizes[i], i));
        errno = 77;
        moat_free_sized(block, sizes[i]);
        moat_free_sized(zeroed, sizes[i]);
        moat_free_sized(grown, sizes[i]);
        EXPECT_EQ(errno, 77);
    }
}

static void test_free_aligned_sized_frees(void)
{
    for (size_t alignment = 1; alignment <= 65536; alignment *= 2) {
        for (size_t size = 1; size < 40000; size = size * 3 + 1) {
            void *block = family_launder(moat_aligned_alloc(alignment, size));
            pattern_fill(block, size, alignment);
            EXPECT(pattern_holds(block, size, alignment));
            errno = 77;
            moat_free_aligned_sized(block, alignment, size);
            EXPECT_EQ(errno, 77);
        }
    }
}

static void test_sized_frees_of_null_do_nothing(void)
{
    moat_free_sized(NULL, 100);
    moat_free_aligned_sized(NULL, 64, 100);
    expect_reached();
}

/* 2.4 GB would be resident otherwise. */
static void test_sized_frees_give_memory_back(void)
{
    unsigned long before = memory_resident_kib();
    for (size_t i = 0; i < 150000; i++) {
        char *block = family_launder(moat_malloc(8000));
        char *aligned = family_launder(moat_aligned_alloc(64, 8000));
        if (block == NULL || aligned == NULL) {
            expect_fail("no memory after %zu sized frees", i);
            return;
        }
        block[0] = aligned[0] = block[7999] = aligned[7999] = 1;
        moat_free_sized(block, 8000);
        moat_free_aligned_sized(aligned, 64, 8000);
    }
    EXPECT(memory_resident_kib() < before + 65536);
}

static void test_memalignment(void)
{
    EXPECT_EQ(moat_memalignment(NULL), 0);
    for (unsigned bit = 0; bit < 47; bit++) {
        uintptr_t address = ((uintptr_t)5 << bit) & (((uintptr_t)1 << 47) - 1);
        if (address == 0)
            continue;
        size_t wanted = (size_t)(address & -address);
        EXPECT_EQ(moat_memalignment((const void *)address), wanted);
    }
    void *block = family_launder(moat_aligned_alloc(4096, 10));
    EXPECT(moat_memalignment(block) >= 4096);
    EXPECT_EQ(moat_memalignment((char *)block + 8), 8);
    EXPECT_EQ(moat_memalignment((char *)block + 1), 1);
    moat_free(block);
}

int main(void)
{
    if (!FAMILY_HAS(moat_free_sized) || !FAMILY_HAS(moat_free_aligned_sized) || !FAMILY_HAS(moat_memalignment)) {
        expect_say("skipped: this C library has no C23 functions\n");
        EXPECT(!family_is_moat());
        return expect_done();
    }
    test_free_sized_frees(sizes_small, SIZES_COUNT(sizes_small));
    test_free_sized_frees(sizes_medium, SIZES_COUNT(sizes_medium));
    test_free_sized_frees(sizes_large, SIZES_COUNT(sizes_large));
    test_free_aligned_sized_frees();
    test_sized_frees_of_null_do_nothing();
    test_sized_frees_give_memory_back();
    test_memalignment();
    return expect_done();
}
