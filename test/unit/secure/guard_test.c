/* Guards: behind every heap page, where a block begins so that it ends at one, and purges that protect. */
#include "unit/unit.h"

#include "os/os.h"

#include <string.h>

/* Some kernels, and emulators, have no guards by advice; then PROT_NONE pages are placed while their budget lasts. */
static bool guards_are_all_placed(void)
{
    return stats_get(STAT_GUARDS_MISSING) == 0 && stats_get(STAT_GUARDS_PLACED) > 0;
}

static void every_page_ends_at_a_guard(void)
{
    for (unsigned class = class_of_bytes(1); class < MOAT_SMALL_CLASSES; class ++) {
        char *block = moat_malloc(min_size(class_bytes(class), MOAT_SMALL_MAX));
        const struct record *page = unit_page_of(block);
        char *end = page_start(page) + (size_t)page->capacity * page->block_bytes;
        char *guard = page_start(page) + MOAT_SLICE - MOAT_OS_PAGE;
        EXPECT(end <= guard);
        EXPECT((size_t)(guard - end) < page->block_bytes);
        EXPECT(!unit_faults(guard - 1, true));
        EXPECT(unit_faults(guard, false));
        EXPECT(unit_faults(guard + MOAT_OS_PAGE - 1, true));
        EXPECT(!unit_faults(page_start(page), true));
    }
}

static void guards_are_counted(void)
{
    uint64_t placed = stats_get(STAT_GUARDS_PLACED), opened = stats_get(STAT_PAGES_OPENED);
    for (int i = 0; i < 100; i++)
        moat_malloc(16000);
    EXPECT(stats_get(STAT_PAGES_OPENED) - opened >= 100 / 4);
    EXPECT_EQ(stats_get(STAT_GUARDS_PLACED) - placed, stats_get(STAT_PAGES_OPENED) - opened);
}

/* As far right as the alignment allows, never left of the room. */
static void block_is_placed_at_the_right(void)
{
    struct rng rng = rng_stream(rng_seed(), 0);
    char *start = (char *)((uintptr_t)1 << 32);
    for (int i = 0; i < 100000; i++) {
        size_t room = (1 + rng_below(&rng, 300)) * MOAT_OS_PAGE;
        size_t bytes = 1 + rng_below(&rng, room);
        size_t alignment = (size_t)16 << rng_below(&rng, 13);
        char *block = hook_place(start, room, bytes, alignment);
        EXPECT((uintptr_t)block % alignment == 0);
        EXPECT(block >= start && block + bytes <= start + room);
        if (MOAT_WITH_GUARDS)
            EXPECT((size_t)(start + room - (block + bytes)) < alignment);
        else
            EXPECT(block == start);
    }
}

/* True: the memory is gone and any access faults. False, where that cannot be had: the range is as it was. */
static void purge_protects_or_changes_nothing(void)
{
    enum { BYTES = 16 * MOAT_OS_PAGE };
    char *range = os_map(BYTES);
    size_t wrong = 0;

    memset(range, 0x77, BYTES);
    bool purged = hook_purge(range, BYTES);
    EXPECT_EQ(purged, MOAT_WITH_GUARDS && guards_are_all_placed());
    if (purged) {
        EXPECT(unit_faults(range, false));
        EXPECT(unit_faults(range + BYTES - 1, true));
    }
    EXPECT(hook_reopen(range, BYTES));
    for (size_t i = 0; i < BYTES; i++)
        wrong += range[i] != (purged ? 0 : 0x77);
    EXPECT_EQ(wrong, 0);
    memset(range, 0x77, BYTES);
    EXPECT_EQ(os_unmap(range, BYTES), 0);
}

static void pools_keep_classes_apart(void)
{
    for (unsigned class = 0; class < MOAT_SMALL_CLASSES; class ++)
        EXPECT_EQ(hook_pool_of_class(class), MOAT_WITH_ISOLATION ? class : 0);
    EXPECT_EQ(HOOK_MOVES_CHUNKS, MOAT_WITH_ISOLATION);
}

int main(void)
{
    moat_free(moat_malloc(1));
    if (!MOAT_WITH_GUARDS) {
        unit_skip("every page ends at a guard", "no guards in this build");
        EXPECT_EQ(HOOK_GUARD_BYTES, 0);
        EXPECT(stats_get(STAT_GUARDS_PLACED) == 0 && stats_get(STAT_GUARDS_MISSING) == 0);
    } else if (!guards_are_all_placed()) {
        unit_skip("every page ends at a guard", "guards are missing on this kernel");
        EXPECT(stats_get(STAT_GUARDS_MISSING) > 0);
    } else {
        every_page_ends_at_a_guard();
        guards_are_counted();
    }
    block_is_placed_at_the_right();
    purge_protects_or_changes_nothing();
    pools_keep_classes_apart();
    return expect_done();
}
