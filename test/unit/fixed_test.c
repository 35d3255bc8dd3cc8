/* What is decided at start lies in pages that nobody can write afterwards, also while the heap has grown. */
#include "unit/unit.h"

static void page_is_read_only(void)
{
    for (size_t at = 0; at < sizeof moat_fixed; at += sizeof moat_fixed / 8) {
        EXPECT(!unit_faults(&moat_fixed.pages[at], false));
        EXPECT(unit_faults(&moat_fixed.pages[at], true));
    }
    EXPECT(unit_faults(&moat_fixed.pages[sizeof moat_fixed - 1], true));
    EXPECT(unit_faults(&moat_fixed.is.options.foreign, true));
    EXPECT(unit_faults(&moat_fixed.is.base, true));
    EXPECT_EQ((uintptr_t)&moat_fixed % MOAT_OS_PAGE, 0);
    EXPECT_EQ(stats_get(STAT_SEALS_REFUSED), 0);
}

int main(void)
{
    page_is_read_only(); /* since the constructor, before the first block */
    moat_free(moat_malloc(100));
    page_is_read_only();

    /* The tables grow: the page was opened for that and is closed again. */
    size_t limit = moat_fixed.is.slice_limit;
    for (int i = 0; moat_fixed.is.slice_limit < limit + 2000 && i < 10000; i++)
        moat_malloc(100000);
    EXPECT(moat_fixed.is.slice_limit >= limit + 2000);
    page_is_read_only();
    return expect_done();
}
