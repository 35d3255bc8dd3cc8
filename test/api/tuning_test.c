/* malloc_trim, mallopt, mallinfo, mallinfo2, malloc_info, malloc_stats. */
#include "support/death.h"
#include "support/expect.h"
#include "support/family.h"
#include "support/memory.h"

#include <stdio.h>
#include <string.h>

/* glibc's header calls mallinfo deprecated; programs call it all the same. */
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

enum { BLOCKS = 40000, BYTES = 1000, LARGE = 8 * 1024 * 1024 };

static void *blocks[BLOCKS];

static void allocate_all(void)
{
    for (size_t i = 0; i < BLOCKS; i++) {
        blocks[i] = family_launder(moat_malloc(BYTES));
        memset(blocks[i], 1, BYTES);
    }
}

static void free_all(void)
{
    for (size_t i = 0; i < BLOCKS; i++)
        moat_free(blocks[i]);
}

static void test_trim_gives_memory_back(void)
{
    allocate_all();
    unsigned long full = memory_resident_kib();
    free_all();
    EXPECT_EQ(moat_malloc_trim(0), 1);
    unsigned long trimmed = memory_resident_kib();
    expect_say("%lu KiB resident when full, %lu after malloc_trim\n", full, trimmed);
    EXPECT(trimmed + (size_t)BLOCKS * BYTES / 1024 * 3 / 4 < full);
    /* Of two in a row the second finds nothing; what stdio freed above is the first one's. */
    moat_malloc_trim(0);
    if (family_is_moat())
        EXPECT_EQ(moat_malloc_trim(0), 0);
    /* And the heap goes on. */
    allocate_all();
    free_all();
}

static void test_mallopt(void)
{
    static const int known[] = {M_MXFAST,       M_TRIM_THRESHOLD, M_TOP_PAD,    M_MMAP_THRESHOLD, M_MMAP_MAX,
                                M_CHECK_ACTION, M_PERTURB,        M_ARENA_TEST, M_ARENA_MAX};
    /* Values as glibc takes them; a heap may ignore them, but says yes. */
    static const int values[] = {64, 128 * 1024, 0, 128 * 1024, 65536, 3, 0, 8, 8};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        EXPECT_EQ(moat_mallopt(known[i], values[i]), 1);
    if (family_is_moat()) {
        EXPECT_EQ(moat_mallopt(12345, 1), 0);
        EXPECT_EQ(moat_mallopt(-12345, 1), 0);
    }
}

static size_t allocated_bytes(void)
{
    struct mallinfo2 information = moat_mallinfo2();
    return information.uordblks + information.hblkhd;
}

static void test_mallinfo_counts_live_bytes(void)
{
    size_t before = allocated_bytes();
    void *large = family_launder(moat_malloc(LARGE));
    EXPECT(allocated_bytes() >= before + LARGE);
    moat_free(large);
    EXPECT(allocated_bytes() < before + LARGE / 2);
    allocate_all();
    EXPECT(allocated_bytes() >= before + (size_t)BLOCKS * BYTES);
    free_all();
    EXPECT(allocated_bytes() < before + (size_t)BLOCKS * BYTES / 2);
    struct mallinfo old = moat_mallinfo();
    EXPECT(old.uordblks >= 0);
}

static void test_malloc_info_writes_xml(void)
{
    char text[65536] = {0};
    FILE *file = fmemopen(text, sizeof text - 1, "w");
    EXPECT_EQ(moat_malloc_info(0, file), 0);
    fclose(file);
    EXPECT(strncmp(text, "<malloc", 7) == 0);
    EXPECT(strstr(text, "</malloc>") != NULL);
    /* glibc answers EINVAL itself where its manual says -1. */
    EXPECT(moat_malloc_info(1, stdout) != 0);
}

static void call_malloc_stats(void *unused)
{
    (void)unused;
    moat_malloc_stats();
}

static void test_malloc_stats_writes_to_stderr(void)
{
    struct death outcome = death_of(call_malloc_stats, NULL);
    EXPECT(death_is_exit(&outcome, DEATH_SURVIVED));
    EXPECT(outcome.length > 0);
    EXPECT(outcome.length > 0 && outcome.length < sizeof outcome.text && outcome.text[outcome.length - 1] == '\n');
}

int main(void)
{
    test_trim_gives_memory_back();
    test_mallopt();
    test_mallinfo_counts_live_bytes();
    test_malloc_info_writes_xml();
    test_malloc_stats_writes_to_stderr();
    return expect_done();
}
