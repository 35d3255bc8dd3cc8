/* The ordinary path and the documented errors of each function of the malloc family. */
#include "support/expect.h"
#include "support/family.h"
#include "support/memory.h"
#include "support/pattern.h"
#include "support/sizes.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

enum { UNTOUCHED = 12345 };

static const size_t too_large[] = {
    (size_t)PTRDIFF_MAX + 1, (size_t)PTRDIFF_MAX + 2, SIZE_MAX / 2 + 4096, SIZE_MAX - 65536,
    SIZE_MAX - 4096,         SIZE_MAX - 16,           SIZE_MAX - 1,        SIZE_MAX,
};

/* Expects NULL with ENOMEM from an expression that allocates. */
#define EXPECT_NO_MEMORY(call)                \
    do {                                      \
        errno = 0;                            \
        void *answer_ = family_launder(call); \
        EXPECT_EQ(answer_, NULL);             \
        EXPECT_EQ(errno, ENOMEM);             \
        moat_free(answer_);                   \
    } while (0)

static void test_every_size_is_usable(const size_t *sizes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        void *block = family_launder(moat_malloc(sizes[i]));
        if (!EXPECT(block != NULL))
            continue;
        EXPECT(moat_malloc_usable_size(block) >= sizes[i]);
        pattern_fill(block, sizes[i], i);
        EXPECT(pattern_holds(block, sizes[i], i));
        moat_free(block);
    }
}

static void test_zero_size_gives_unique_blocks(void)
{
    enum { COUNT = 1000 };
    static void *blocks[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        switch (i % 4) {
        case 0:
            blocks[i] = moat_malloc(family_launder_size(0));
            break;
        case 1:
            blocks[i] = moat_calloc(family_launder_size(0), 8);
            break;
        case 2:
            blocks[i] = moat_realloc(NULL, family_launder_size(0));
            break;
        default:
            blocks[i] = moat_aligned_alloc(16, family_launder_size(0));
        }
        EXPECT(blocks[i] != NULL);
    }
    for (size_t i = 0; i < COUNT; i++) {
        for (size_t j = 0; j < i; j++) {
            if (blocks[i] == blocks[j])
                expect_fail("malloc(0) gave %p twice", blocks[i]);
        }
    }
    for (size_t i = 0; i < COUNT; i++)
        moat_free(blocks[i]);
}

static void test_too_large_is_refused(void)
{
    for (size_t i = 0; i < SIZES_COUNT(too_large); i++) {
        size_t size = family_launder_size(too_large[i]);
        void *out = &out;
        EXPECT_NO_MEMORY(moat_malloc(size));
        EXPECT_NO_MEMORY(moat_calloc(1, size));
        EXPECT_NO_MEMORY(moat_calloc(size, 1));
        EXPECT_NO_MEMORY(moat_realloc(NULL, size));
        EXPECT_NO_MEMORY(moat_reallocarray(NULL, 1, size));
        EXPECT_NO_MEMORY(moat_aligned_alloc(64, size));
        EXPECT_NO_MEMORY(moat_memalign(64, size));
        EXPECT_NO_MEMORY(moat_valloc(size));
        EXPECT_NO_MEMORY(moat_pvalloc(size));
        EXPECT_EQ(moat_posix_memalign(&out, 64, size), ENOMEM);
        EXPECT_EQ(out, &out);
    }
}

/* Allowed by PTRDIFF_MAX, but no machine has so many addresses. */
static void test_more_than_there_are_addresses_is_refused(void)
{
    static const size_t sizes[] = {(size_t)PTRDIFF_MAX, (size_t)PTRDIFF_MAX - 4096, (size_t)1 << 62, (size_t)1 << 56,
                                   (size_t)1 << 48};
    for (size_t i = 0; i < SIZES_COUNT(sizes); i++) {
        size_t size = family_launder_size(sizes[i]);
        void *out = &out;
        EXPECT_NO_MEMORY(moat_malloc(size));
        EXPECT_NO_MEMORY(moat_calloc(size, 1));
        EXPECT_NO_MEMORY(moat_realloc(NULL, size));
        EXPECT_NO_MEMORY(moat_aligned_alloc(4096, size));
        EXPECT_EQ(moat_posix_memalign(&out, 4096, size), ENOMEM);
        EXPECT_EQ(out, &out);
    }
}

/* From 64 GiB to 64 TiB either answer is right, but a block that is given must be one. */
static void test_huge_is_given_or_refused(void)
{
    for (unsigned bits = 36; bits <= 46; bits++) {
        size_t size = family_launder_size((size_t)1 << bits);
        errno = 0;
        char *block = family_launder(moat_malloc(size));
        if (block == NULL) {
            EXPECT_EQ(errno, ENOMEM);
            continue;
        }
        block[0] = 1;
        block[size - 1] = 2;
        EXPECT(block[0] == 1 && block[size - 1] == 2);
        moat_free(block);
    }
}

static void test_calloc_overflow_is_refused(void)
{
    EXPECT_NO_MEMORY(moat_calloc(family_launder_size(SIZE_MAX / 2), 3));
    EXPECT_NO_MEMORY(moat_calloc(family_launder_size(SIZE_MAX), family_launder_size(SIZE_MAX)));
    EXPECT_NO_MEMORY(moat_calloc(family_launder_size((size_t)1 << 32), (size_t)1 << 32));
    /* The product wraps to a small number. */
    EXPECT_NO_MEMORY(moat_calloc(family_launder_size(SIZE_MAX / 16 + 2), 16));
}

static void check_old_block_is_kept(size_t size)
{
    void *block = family_launder(moat_malloc(size));
    pattern_fill(block, size, 7);
    for (size_t i = 0; i < SIZES_COUNT(too_large); i++) {
        size_t huge = family_launder_size(too_large[i]);
        errno = 0;
        EXPECT_EQ(family_launder(moat_realloc(family_launder(block), huge)), NULL);
        EXPECT_EQ(errno, ENOMEM);
        errno = 0;
        EXPECT_EQ(family_launder(moat_reallocarray(family_launder(block), huge, 1)), NULL);
        EXPECT_EQ(errno, ENOMEM);
    }
    errno = 0;
    EXPECT_EQ(family_launder(moat_reallocarray(family_launder(block), family_launder_size(SIZE_MAX / 16 + 2), 16)),
              NULL);
    EXPECT_EQ(errno, ENOMEM);
    errno = 0;
    EXPECT_EQ(family_launder(moat_realloc(family_launder(block), family_launder_size((size_t)1 << 60))), NULL);
    EXPECT_EQ(errno, ENOMEM);
    EXPECT(pattern_holds(block, size, 7));
    EXPECT(moat_malloc_usable_size(block) >= size);
    moat_free(block);
}

static void test_failed_realloc_keeps_the_block(void)
{
    check_old_block_is_kept(1);
    check_old_block_is_kept(100);
    check_old_block_is_kept(5000);
    check_old_block_is_kept(100000);
    check_old_block_is_kept(3000000);
}

/* Each of the ways frees: 1.5 GB would be resident otherwise. */
static void test_realloc_to_zero_frees(void)
{
    unsigned long before = memory_resident_kib();
    for (size_t round = 0; round < 300000; round++) {
        char *block = family_launder(moat_malloc(5000));
        if (!EXPECT(block != NULL))
            return;
        block[0] = block[4999] = 1;
        void *answer = round % 3 == 0   ? moat_realloc(block, family_launder_size(0))
                       : round % 3 == 1 ? moat_reallocarray(block, family_launder_size(0), 8)
                                        : moat_reallocarray(block, 8, family_launder_size(0));
        if (!EXPECT_EQ(family_launder(answer), NULL))
            return;
    }
    EXPECT(memory_resident_kib() < before + 65536);
    static const size_t sizes[] = {1, 16000, 100000, 3000000};
    for (size_t i = 0; i < SIZES_COUNT(sizes); i++) {
        void *block = family_launder(moat_malloc(sizes[i]));
        EXPECT_EQ(family_launder(moat_realloc(block, family_launder_size(0))), NULL);
    }
}

static void test_realloc_of_null_allocates(void)
{
    for (size_t i = 0; i < SIZES_COUNT(sizes_small); i++) {
        void *one = family_launder(moat_realloc(NULL, sizes_small[i]));
        void *two = family_launder(moat_reallocarray(NULL, sizes_small[i], 3));
        EXPECT(moat_malloc_usable_size(one) >= sizes_small[i]);
        EXPECT(moat_malloc_usable_size(two) >= sizes_small[i] * 3);
        pattern_fill(one, sizes_small[i], 1);
        pattern_fill(two, sizes_small[i] * 3, 2);
        EXPECT(pattern_holds(one, sizes_small[i], 1));
        moat_free(one);
        moat_free(two);
    }
}

static void test_wrong_alignments_are_refused(void)
{
    static const size_t wrong[] = {0,  1,  2,  4,   3,    5,    7,     9,        12,
                                   24, 40, 48, 100, 4095, 4097, 65537, SIZE_MAX, SIZE_MAX - 7};
    for (size_t i = 0; i < SIZES_COUNT(wrong); i++) {
        size_t alignment = family_launder_size(wrong[i]);
        void *out = &out;
        EXPECT_EQ(moat_posix_memalign(&out, alignment, 100), EINVAL);
        EXPECT_EQ(out, &out);
        if (!family_is_moat() || alignment == 1 || alignment == 2 || alignment == 4)
            continue;
        errno = 0;
        EXPECT_EQ(family_launder(moat_aligned_alloc(alignment, 100)), NULL);
        EXPECT_EQ(errno, EINVAL);
    }
}

/* As glibc: memalign takes the next power of two. */
static void test_memalign_rounds_the_alignment_up(void)
{
    static const struct {
        size_t asked, given;
    } cases[] = {{0, 16},    {1, 16},      {3, 16},      {24, 32},       {33, 64},
                 {100, 128}, {4095, 4096}, {4097, 8192}, {65537, 131072}};
    for (size_t i = 0; i < SIZES_COUNT(cases); i++) {
        void *block = family_launder(moat_memalign(family_launder_size(cases[i].asked), 100));
        EXPECT(block != NULL);
        EXPECT_EQ((uintptr_t)block % cases[i].given, 0);
        moat_free(block);
    }
    errno = 0;
    EXPECT_EQ(family_launder(moat_memalign(family_launder_size(SIZE_MAX / 2 + 2), 100)), NULL);
    EXPECT_EQ(errno, EINVAL);
}

/* An alignment that is a power of two, but for which there are no addresses. */
static void test_huge_alignments_are_refused(void)
{
    for (unsigned bits = 48; bits <= 63; bits++) {
        size_t alignment = family_launder_size((size_t)1 << bits);
        void *out = &out;
        EXPECT_EQ(moat_posix_memalign(&out, alignment, 100), ENOMEM);
        EXPECT_EQ(out, &out);
        EXPECT_NO_MEMORY(moat_aligned_alloc(alignment, 100));
        EXPECT_NO_MEMORY(moat_memalign(alignment, 100));
    }
}

static void test_size_need_not_be_a_multiple_of_the_alignment(void)
{
    for (size_t size = 1; size < 300; size += 7) {
        void *block = family_launder(moat_aligned_alloc(256, size));
        EXPECT(block != NULL);
        EXPECT_EQ((uintptr_t)block % 256, 0);
        pattern_fill(block, size, size);
        EXPECT(pattern_holds(block, size, size));
        moat_free(block);
    }
}

static void test_valloc_and_pvalloc_give_pages(void)
{
    for (size_t size = 0; size < 20000; size += 1111) {
        void *block = family_launder(moat_valloc(size));
        void *rounded = family_launder(moat_pvalloc(size));
        size_t whole = (size + 4095) / 4096 * 4096;
        EXPECT_EQ((uintptr_t)block % 4096, 0);
        EXPECT_EQ((uintptr_t)rounded % 4096, 0);
        EXPECT(block != NULL && rounded != NULL);
        EXPECT(moat_malloc_usable_size(block) >= size);
        EXPECT(moat_malloc_usable_size(rounded) >= whole);
        pattern_fill(rounded, whole, size);
        EXPECT(pattern_holds(rounded, whole, size));
        moat_free(block);
        moat_free(rounded);
    }
}

static void test_free_keeps_errno(const size_t *sizes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        void *block = family_launder(moat_malloc(sizes[i]));
        errno = UNTOUCHED;
        moat_free(block);
        EXPECT_EQ(errno, UNTOUCHED);
    }
    errno = UNTOUCHED;
    moat_free(NULL);
    EXPECT_EQ(errno, UNTOUCHED);
}

static void test_null_is_no_block(void)
{
    EXPECT_EQ(moat_malloc_usable_size(NULL), 0);
    moat_free(NULL);
    if (FAMILY_HAS(moat_cfree))
        moat_cfree(NULL);
}

static void test_cfree_frees(void)
{
    if (!FAMILY_HAS(moat_cfree)) {
        expect_say("skipped: no cfree here\n");
        return;
    }
    unsigned long before = memory_resident_kib();
    for (size_t i = 0; i < 100000; i++) {
        char *block = family_launder(moat_malloc(5000));
        if (!EXPECT(block != NULL))
            return;
        block[0] = block[4999] = 1;
        moat_cfree(block);
    }
    EXPECT(memory_resident_kib() < before + 65536);
}

int main(void)
{
    test_every_size_is_usable(sizes_small, SIZES_COUNT(sizes_small));
    test_every_size_is_usable(sizes_medium, SIZES_COUNT(sizes_medium));
    test_every_size_is_usable(sizes_large, SIZES_COUNT(sizes_large));
    test_zero_size_gives_unique_blocks();
    test_too_large_is_refused();
    test_more_than_there_are_addresses_is_refused();
    test_huge_is_given_or_refused();
    test_calloc_overflow_is_refused();
    test_failed_realloc_keeps_the_block();
    test_realloc_to_zero_frees();
    test_realloc_of_null_allocates();
    test_wrong_alignments_are_refused();
    test_memalign_rounds_the_alignment_up();
    test_huge_alignments_are_refused();
    test_size_need_not_be_a_multiple_of_the_alignment();
    test_valloc_and_pvalloc_give_pages();
    test_free_keeps_errno(sizes_small, SIZES_COUNT(sizes_small));
    test_free_keeps_errno(sizes_medium, SIZES_COUNT(sizes_medium));
    test_free_keeps_errno(sizes_large, SIZES_COUNT(sizes_large));
    test_null_is_no_block();
    test_cfree_frees();
    return expect_done();
}
