/* How much memory the process really has, by the kernel's account: what a heap loses shows here and nowhere else. */
#ifndef TEST_SUPPORT_MEMORY_H
#define TEST_SUPPORT_MEMORY_H

#include "expect.h"
#include "pace.h"

#include <stdio.h>

static inline unsigned long memory_resident_kib(void)
{
    unsigned long size = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL || fscanf(file, "%lu %lu", &size, &resident) != 2)
        expect_fail("cannot read /proc/self/statm");
    if (file != NULL)
        fclose(file);
    return resident * 4;
}

/* For a test that does the same again and again: `early` is what it had after a quarter. Live data comes and goes by
 * chance, and a quarter of the run may not have met every size; what is lost each time grows to four times as much. */
static inline void memory_expect_no_growth(unsigned long early)
{
    unsigned long late = memory_resident_kib();
    expect_say("%lu KiB resident after a quarter, %lu at the end\n", early, late);
    /* ThreadSanitizer keeps its shadow of every address that was ever used, and freed addresses rest. */
    if (!pace_has_tsan())
        EXPECT(late < early + early / 2 + 16384);
}

#endif
