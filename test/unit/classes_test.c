/* Which block serves which request: every small size, sampled medium sizes, the table that malloc uses. */
#include "unit/unit.h"

/* The class is the smallest that holds the request, and wastes at most an eighth of it above 128 bytes. */
static void class_serves(size_t bytes)
{
    unsigned class = class_of_bytes(bytes);
    size_t block = class_bytes(class);

    EXPECT(block >= bytes);
    EXPECT(class == 0 || class_bytes(class - 1) < bytes || block == MOAT_MIN_BLOCK);
    if (bytes > 128)
        EXPECT(8 * (block - bytes) <= bytes);
    else
        EXPECT(block - bytes < MOAT_ALIGN || block == MOAT_MIN_BLOCK);
    EXPECT_EQ(block % MOAT_ALIGN, 0);
}

static void every_small_request_has_its_class(void)
{
    unsigned last = 0;
    for (size_t bytes = 1; bytes <= MOAT_SMALL_MAX; bytes++) {
        unsigned class = class_of_bytes(bytes);
        class_serves(bytes);
        EXPECT(class < MOAT_SMALL_CLASSES);
        EXPECT(class >= last);
        EXPECT_EQ(moat_fixed.is.class_of[(bytes + MOAT_ALIGN - 1) / MOAT_ALIGN], class);
        last = class;
    }
    EXPECT_EQ(last, MOAT_SMALL_CLASSES - 1);
    EXPECT_EQ(class_bytes(moat_fixed.is.class_of[0]), MOAT_MIN_BLOCK);
}

/* A medium block is whole OS pages, so up to one of those comes on top of the eighth. */
static void medium_class_serves(size_t bytes)
{
    unsigned class = medium_class_of_bytes(bytes);
    size_t block = class_bytes(class);

    EXPECT(class >= MOAT_SMALL_CLASSES && class < MOAT_CLASSES);
    EXPECT(block >= bytes);
    EXPECT_EQ(block % MOAT_OS_PAGE, 0);
    EXPECT(block <= round_up(bytes + bytes / 8, MOAT_OS_PAGE));
    EXPECT(medium_class_of_bytes(bytes - 1) <= class || bytes == MOAT_SMALL_MAX + 1);
}

static void medium_requests_have_their_class(void)
{
    struct rng rng = rng_stream(rng_seed(), 0);
    for (size_t edge = MOAT_SMALL_MAX + 1; edge <= MOAT_MEDIUM_MAX; edge += 1024)
        for (size_t bytes = edge; bytes <= edge + 1 && bytes <= MOAT_MEDIUM_MAX; bytes++)
            medium_class_serves(bytes);
    for (int i = 0; i < 100000; i++)
        medium_class_serves(MOAT_SMALL_MAX + 1 + rng_below(&rng, MOAT_MEDIUM_MAX - MOAT_SMALL_MAX));
    EXPECT_EQ(medium_class_of_bytes(MOAT_MEDIUM_MAX), MOAT_CLASSES - 1);
    EXPECT_EQ(class_bytes(MOAT_CLASSES - 1), MOAT_MEDIUM_MAX);
}

static void classes_rise(void)
{
    for (unsigned class = 1; class < MOAT_SMALL_CLASSES; class ++)
        EXPECT(class_bytes(class) > class_bytes(class - 1));
    for (unsigned class = MOAT_SMALL_CLASSES; class < MOAT_CLASSES; class ++)
        EXPECT(class_bytes(class) >= class_bytes(class - 1));
    /* Every class that a request can meet is the class of its own size. */
    for (unsigned class = class_of_bytes(1); class < MOAT_SMALL_CLASSES; class ++)
        EXPECT_EQ(class_of_bytes(class_bytes(class)), class);
}

static void powers_of_two_are_classes_of_their_own(void)
{
    for (size_t power = MOAT_MIN_BLOCK; power <= MOAT_MEDIUM_MAX; power *= 2)
        EXPECT_EQ(class_bytes(class_of_bytes(power)), power);
}

/* By trying all classes: the first that holds the bytes and divides by the alignment. */
static unsigned aligned_class_by_search(size_t alignment, size_t bytes)
{
    for (unsigned class = 0; class < MOAT_SMALL_CLASSES; class ++) {
        size_t block = class_bytes(class);
        if (block >= bytes && block >= MOAT_MIN_BLOCK && block % alignment == 0)
            return class;
    }
    return MOAT_SMALL_CLASSES;
}

static void aligned_requests_have_the_first_class_that_fits(void)
{
    for (size_t alignment = 1; alignment <= MOAT_OS_PAGE; alignment *= 2)
        for (size_t bytes = 1; bytes <= MOAT_SMALL_MAX; bytes++)
            EXPECT_EQ(class_of_aligned(alignment, bytes), aligned_class_by_search(alignment, bytes));
}

/* The plain build's promise; a hardened one may give it up. */
static void powers_of_two_are_aligned_to_themselves(void)
{
    if (MOAT_IS_HARDENED) {
        unit_skip("powers of two are aligned to themselves", "a promise of the plain build");
        return;
    }
    for (size_t power = 16; power <= MOAT_OS_PAGE; power *= 2) {
        for (int i = 0; i < 1000; i++) {
            void *block = moat_malloc(power);
            EXPECT((uintptr_t)block % power == 0 && block != NULL);
        }
    }
}

int main(void)
{
    every_small_request_has_its_class();
    medium_requests_have_their_class();
    classes_rise();
    powers_of_two_are_classes_of_their_own();
    aligned_requests_have_the_first_class_that_fits();
    powers_of_two_are_aligned_to_themselves();
    return expect_done();
}
