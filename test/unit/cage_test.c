/* What the allocator keeps for itself lies between pages that nobody can touch: an access that runs on out of one part meets one
 * before it meets the next part. Tables are opened from their beginning on, so their ends are looked at in the smallest cage,
 * where they can be filled.
 */
#include "unit/unit.h"

#include "cage.h"

static const char *const small_cage = "cage=64M";

static char *states_start(void)
{
    return (char *)(moat_fixed.is.states + (moat_fixed.is.base >> MOAT_GRANULE_BITS));
}

static void expect_edges(char *first, char *last, bool first_is_open, bool last_is_open)
{
    EXPECT_EQ(unit_faults(first, false), !first_is_open);
    EXPECT(unit_faults(first - 1, false));
    EXPECT(unit_faults(first - 1, true));
    EXPECT_EQ(unit_faults(last, false), !last_is_open);
    EXPECT(unit_faults(last + 1, false));
    EXPECT(unit_faults(last + 1, true));
}

/* Metadata, records and states of all slices. */
static void tables_lie_between_guards(bool are_full)
{
    char *records = (char *)moat_fixed.is.records;
    size_t count = moat_fixed.is.slice_count;
    expect_edges(records, records + count * sizeof(struct record) - 1, true, are_full);
    if (HOOK_STATE_BYTES_PER_SLICE > 0)
        expect_edges(states_start(), states_start() + count * HOOK_STATE_BYTES_PER_SLICE - 1, true, are_full);
    else
        unit_skip("the states' guards", "no states in this build");
}

/* Thread heaps, the table of large blocks, magazines. */
static void each_part_of_the_metadata_ends_at_a_guard(void)
{
    for (size_t bytes = 100; bytes < 100000; bytes = bytes * 3 + 1) {
        char *memory = meta_allocate(bytes);
        if (!EXPECT(memory != NULL))
            return;
        size_t room = round_up(bytes, MOAT_OS_PAGE);
        EXPECT(!unit_faults(memory, true));
        EXPECT(!unit_faults(memory + room - 1, true));
        if (MOAT_WITH_GUARDS)
            EXPECT(unit_faults(memory + room, true));
    }
    if (!MOAT_WITH_GUARDS)
        unit_skip("guards within the metadata", "no guards in this build");
}

/* Until every slice has its record open. */
static void fill_the_cage(void)
{
    for (size_t i = 0; moat_fixed.is.slice_limit < moat_fixed.is.slice_count && i < 10000; i++)
        EXPECT(moat_malloc(60000) != NULL);
    EXPECT_EQ(moat_fixed.is.slice_limit, moat_fixed.is.slice_count);
}

/* The metadata's end too: nothing that is handed out reaches the records' guard. */
static void use_up_the_metadata(void)
{
    size_t had = 0;
    while (meta_allocate(MOAT_OS_PAGE))
        had++;
    EXPECT(had > 100);
}

int main(void)
{
    bool is_small = getenv("MOAT_OPTIONS") && strcmp(getenv("MOAT_OPTIONS"), small_cage) == 0;

    moat_free(moat_malloc(100));
    if (is_small) {
        fill_the_cage();
        use_up_the_metadata();
        tables_lie_between_guards(true);
        return expect_done();
    }
    tables_lie_between_guards(moat_fixed.is.slice_limit == moat_fixed.is.slice_count);
    each_part_of_the_metadata_ends_at_a_guard();
    if (expect_failures() != 0)
        return expect_done();
    /* The options are read at the start, so the same again is another process. */
    EXPECT_EQ(setenv("MOAT_OPTIONS", small_cage, 1), 0);
    execl("/proc/self/exe", "cage", (char *)NULL);
    expect_fail("execl: %s", strerror(errno));
    return expect_done();
}
