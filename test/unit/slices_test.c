/* Slices: in which runs a class takes them, whom a released one serves, and what a purge does to its memory. */
#include "unit/unit.h"

#include "slices.h"

#include <string.h>

static struct record *open_page(unsigned class)
{
    struct record *page = page_open(heap_of_thread(), class);
    EXPECT(page != NULL);
    return page;
}

static void release(struct record *page)
{
    EXPECT(page_release(heap_of_thread(), page));
    EXPECT_EQ(page->owner, OWNER_NONE);
}

/* Two classes that grow in turn: runs of 1, 1, 2, 4, 8, 16 slices out of shared chunks, then whole chunks of their own.
 * With random order any of a run's slices may be next. Slice 0 is never used, so the second class's run of 8 finds only 7 left in the first chunk, and it ends first.
 */
static void class_takes_longer_and_longer_runs(void)
{
    static const struct {
        uint32_t first, length;
    } runs[2][7] = {{{1, 1}, {3, 1}, {5, 2}, {9, 4}, {17, 8}, {48, 16}, {96, 32}},
                    {{2, 1}, {4, 1}, {7, 2}, {13, 4}, {25, 7}, {32, 16}, {64, 32}}};
    const unsigned class[2] = {class_of_bytes(100), class_of_bytes(5000)};
    size_t run[2] = {0, 0};
    uint32_t in_run[2] = {0, 0}, seen[2] = {0, 0};

    while (run[0] < 7 || run[1] < 7) {
        for (size_t i = 0; i < 2; i++) {
            if (run[i] == 7)
                continue;
            uint32_t taken = slice_of_record(open_page(class[i])) - runs[i][run[i]].first;
            EXPECT(taken < runs[i][run[i]].length && !(seen[i] & 1u << taken));
            if (!HOOK_HAS_MAGAZINES)
                EXPECT_EQ(taken, in_run[i]);
            seen[i] |= 1u << taken;
            if (++in_run[i] == runs[i][run[i]].length) {
                in_run[i] = 0;
                seen[i] = 0;
                run[i]++;
            }
        }
    }
    EXPECT(moat_heap_is_valid());
}

/* Medium blocks have runs of their own size, in chunks apart from the small classes'. */
static void medium_block_takes_a_run_of_its_size(void)
{
    const struct record *small = unit_page_of(moat_malloc(300));
    for (size_t bytes = MOAT_SMALL_MAX + 1; bytes <= MOAT_MEDIUM_MAX; bytes += 50000) {
        const struct record *page = unit_page_of(moat_malloc(bytes));
        size_t needed = class_bytes(medium_class_of_bytes(bytes)) + HOOK_GUARD_BYTES;
        EXPECT_EQ(page->run_slices, round_up(needed, MOAT_SLICE) / MOAT_SLICE);
        EXPECT(slice_of_record(page) / MOAT_CHUNK_SLICES != slice_of_record(small) / MOAT_CHUNK_SLICES);
        for (uint32_t i = 1; i < page->run_slices; i++)
            EXPECT(page[i].owner == OWNER_INSIDE && page[i].head == slice_of_record(page));
    }
}

static void released_slice_serves_its_class(void)
{
    unsigned class = class_of_bytes(200), other = class_of_bytes(400);
    struct record *page = open_page(class);

    release(page);
    struct record *next = open_page(other);
    if (MOAT_WITH_ISOLATION) {
        EXPECT(next != page);
        EXPECT(open_page(class) == page);
    } else {
        unit_skip("a slice serves one class for life", "no isolation in this build");
        EXPECT(next == page);
        EXPECT_EQ(next->block_bytes, class_bytes(other));
        EXPECT(open_page(class) != page);
    }
    EXPECT(moat_heap_is_valid());
}

/* Whatever classes come and go, an address that served one is never seen in another. */
static void slice_keeps_its_class_for_life(void)
{
    static uint8_t class_of_slice[4096];
    struct record *pages[256] = {NULL};
    struct rng rng = rng_stream(rng_seed(), 0);

    if (!MOAT_WITH_ISOLATION)
        return;
    for (int i = 0; i < 20000; i++) {
        struct record **page = &pages[rng_below(&rng, 256)];
        if (*page) {
            release(*page);
            *page = NULL;
            continue;
        }
        unsigned class = class_of_bytes(1) + (unsigned)rng_below(&rng, 40);
        *page = open_page(class);
        uint32_t slice = slice_of_record(*page);
        if (slice < 4096) {
            EXPECT(class_of_slice[slice] == 0 || class_of_slice[slice] == class + 1);
            class_of_slice[slice] = (uint8_t)(class + 1);
        }
    }
    for (int i = 0; i < 256; i++)
        if (pages[i])
            release(pages[i]);
    EXPECT(moat_heap_is_valid());
}

/* As guard.c finds out at start: whether this kernel makes purged memory fault. */
static bool purge_protects(void)
{
    return MOAT_WITH_GUARDS && moat_fixed.is.options.guards != GUARD_OFF && stats_get(STAT_GUARDS_MISSING) == 0 &&
           stats_get(STAT_GUARDS_PLACED) > 0;
}

static void purged_slice_faults_and_reads_zero_when_opened(void)
{
    unsigned class = class_of_bytes(700);
    struct record *page = open_page(class);
    size_t bytes = MOAT_SLICE - HOOK_GUARD_BYTES;
    uint64_t purged = stats_get(STAT_PAGES_PURGED);

    memset(page_start(page), 0xaa, bytes);
    release(page);
    EXPECT(slices_trim());
    EXPECT(stats_get(STAT_PAGES_PURGED) > purged);
    EXPECT_EQ(stats_get(STAT_PURGES_REFUSED), 0);
    EXPECT_EQ(page->contents, CONTENTS_PURGED);
    if (purge_protects()) {
        for (size_t at = 0; at < bytes; at += 15 * 1024) {
            EXPECT(unit_faults(page_start(page) + at, false));
            EXPECT(unit_faults(page_start(page) + at, true));
        }
    } else {
        unit_skip("a purged slice faults", "no guards in this build or on this kernel");
    }
    struct record *again = open_page(class);
    while (again != page && slice_of_record(again) < 1u << 20)
        again = open_page(class); /* without isolation others wait in the same pool */
    EXPECT(again == page);
    size_t wrong = 0;
    for (size_t i = 0; i < bytes; i++)
        wrong += page_start(page)[i] != 0;
    EXPECT_EQ(wrong, 0);
    memset(page_start(page), 0xbb, bytes);
    EXPECT_EQ(page->contents, CONTENTS_OWN);
    EXPECT(!MOAT_WITH_GUARDS || unit_faults(page_start(page) + bytes, true));
    EXPECT(moat_heap_is_valid());
}

/* A slice that was only released stays hot: nothing is cleared, nothing faults. */
static void released_slice_stays_hot(void)
{
    unsigned class = class_of_bytes(900);
    struct record *page = open_page(class);

    memset(page_start(page), 0xcc, 1000);
    release(page);
    EXPECT_EQ(page->contents, CONTENTS_OWN);
    EXPECT(open_page(class) == page);
    EXPECT_EQ(page_start(page)[999], (char)0xcc);
    EXPECT_EQ(page->is_zeroed, 0);
}

static void trim_answers_whether_there_was_anything(void)
{
    slices_trim();
    EXPECT(!slices_trim());
    release(open_page(class_of_bytes(1500)));
    EXPECT(slices_trim());
    EXPECT(!slices_trim());
    release(open_page(class_of_bytes(1500)));
    EXPECT_EQ(moat_malloc_trim(0), 1);
    EXPECT_EQ(moat_malloc_trim(0), 0);
}

/* More slices released than the pools keep together: the oldest are purged, 8 MiB or an eighth of what is in use stays. */
static void pools_keep_few_slices_hot(void)
{
    enum { SLICES = 540, RELEASED = 180, KEPT = 128 };
    struct record *pages[SLICES];
    size_t hot = 0;
    unsigned class = class_of_bytes(1900);

    slices_trim();
    uint64_t purged = stats_get(STAT_PAGES_PURGED);
    for (size_t i = 0; i < SLICES; i++)
        pages[i] = open_page(class);
    for (size_t i = 0; i < RELEASED; i++)
        release(pages[i * 3]);
    for (size_t i = 0; i < RELEASED; i++) {
        hot += pages[i * 3]->contents == CONTENTS_OWN;
        /* Nothing that is younger than a hot one was purged. */
        EXPECT(i == 0 || pages[i * 3]->contents == CONTENTS_OWN || pages[i * 3 - 3]->contents == CONTENTS_PURGED);
    }
    EXPECT_EQ(hot + stats_get(STAT_PAGES_PURGED) - purged, RELEASED);
    EXPECT(hot >= KEPT && hot <= max_size(KEPT, stats_get(STAT_PAGES_OPENED) / 8));
}

/* A freed medium block serves a request of its class; a slightly smaller one only where addresses are not bound and
 * it need not end at a guard. With random order it would have to rest first. */
static void medium_block_takes_a_larger_one(void)
{
    char *larger = moat_malloc(600 << 10);
    struct record *page = unit_page_of(larger);
    unsigned class = page->class;
    memset(larger, 0x55, 600 << 10);
    moat_free(larger);
    slices_trim();
    larger = moat_malloc(600 << 10); /* above what the thread keeps for itself, so it goes to the pool again */
    page = unit_page_of(larger);
    memset(larger, 0x55, 600 << 10);
    moat_free(larger);
    char *smaller = moat_malloc(class_bytes(class - 2));
    EXPECT_EQ(unit_page_of(smaller) == page, !MOAT_WITH_ISOLATION && !MOAT_WITH_GUARDS && !MOAT_WITH_RANDOM_ORDER);
    memset(smaller, 0x66, class_bytes(class - 2));
    moat_free(smaller);
    char *much_smaller = moat_malloc(class_bytes(class - 4));
    EXPECT(unit_page_of(much_smaller) != page);
    moat_free(much_smaller);
    EXPECT(moat_heap_is_valid());
}

int main(void)
{
    class_takes_longer_and_longer_runs();
    medium_block_takes_a_run_of_its_size();
    released_slice_serves_its_class();
    purged_slice_faults_and_reads_zero_when_opened();
    released_slice_stays_hot();
    trim_answers_whether_there_was_anything();
    pools_keep_few_slices_hot();
    medium_block_takes_a_larger_one();
    slice_keeps_its_class_for_life();
    return expect_done();
}
