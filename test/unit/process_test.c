/* Children by fork, _Fork and raw clone: they allocate and free at once, whatever other threads of the parent held, and
 * draw other random numbers. A child that hangs is ended by its alarm.
 */
#include "unit/unit.h"

#include "moat.h"
#include "os/lock.h"
#include "os/os.h"
#include "random/random.h"
#include "support/pattern.h"

#include <sched.h>
#include <stdatomic.h>
#include <string.h>

enum { HANGS_AFTER_S = 5, BLOCKS = 300, LARGE = 3 << 20, SAMPLE = 4 };

/* What the parent made; each child frees its copy. */
static struct {
    char *small[BLOCKS];
    char *medium, *large;
} inherited;

static void inherit(void)
{
    for (size_t i = 0; i < BLOCKS; i++) {
        inherited.small[i] = moat_malloc(1000);
        pattern_fill(inherited.small[i], 1000, i);
    }
    inherited.medium = moat_malloc(100000);
    pattern_fill(inherited.medium, 100000, 1000);
    inherited.large = moat_malloc(LARGE);
    pattern_fill(inherited.large, LARGE, 1001);
}

static void give_up_inheritance(void)
{
    for (size_t i = 0; i < BLOCKS; i++)
        moat_free(inherited.small[i]);
    moat_free(inherited.medium);
    moat_free(inherited.large);
}

typedef pid_t (*way_to_fork)(void);

static pid_t by_clone(void)
{
    return (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
}

static const struct {
    const char *name;
    way_to_fork fork;
} ways[] = {{"fork", fork}, {"_Fork", _Fork}, {"clone", by_clone}};

/* Runs `work` in a child made by `way`; true if it came back and answered true. */
static bool child_does(way_to_fork way, bool (*work)(void))
{
    pid_t child = way();
    if (child == 0) {
        alarm(HANGS_AFTER_S);
        _exit(work() ? 0 : 1);
    }
    int status = child > 0 ? child_wait(child) : CHILD_HUNG;
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
        expect_say("  the child hangs\n");
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static bool inheritance_is_whole(void)
{
    bool whole = pattern_holds(inherited.medium, 100000, 1000) && pattern_holds(inherited.large, LARGE, 1001);
    for (size_t i = 0; i < BLOCKS; i++)
        whole = whole && pattern_holds(inherited.small[i], 1000, i);
    return whole;
}

static bool allocates_and_frees(void)
{
    char *block[64];
    bool good = inheritance_is_whole();

    for (size_t i = 0; i < 64; i++) {
        size_t bytes = i < 56 ? 16 + i * 290 : i < 62 ? i * 3000 : LARGE;
        block[i] = moat_malloc(bytes);
        good = good && block[i];
        pattern_fill(block[i], bytes, i);
    }
    for (size_t i = 0; i < 64; i++) {
        size_t bytes = i < 56 ? 16 + i * 290 : i < 62 ? i * 3000 : LARGE;
        block[i] = moat_realloc(block[i], bytes + 5000);
        good = good && block[i] && pattern_prefix_holds(block[i], bytes, bytes, i);
        moat_free(block[i]);
    }
    good = good && inheritance_is_whole();
    give_up_inheritance();
    return moat_heap_is_valid() && good;
}

static bool frees_first(void)
{
    give_up_inheritance();
    void *small = moat_malloc(1000), *medium = moat_malloc(100000), *large = moat_malloc(LARGE);
    return moat_heap_is_valid() && small && medium && large;
}

static bool has_a_child_of_its_own(void)
{
    void *block = moat_malloc(100);
    bool good = child_does(_Fork, allocates_and_frees) && child_does(fork, allocates_and_frees);
    moat_free(block);
    return good && allocates_and_frees();
}

static void *allocate_in_thread(void *answer)
{
    *(bool *)answer = allocates_and_frees();
    return NULL;
}

static bool starts_a_thread(void)
{
    bool good = false;
    pthread_t thread;
    if (pthread_create(&thread, NULL, allocate_in_thread, &good) == 0)
        pthread_join(thread, NULL);
    return good;
}

static void children_use_the_heap(void)
{
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        expect_say("children by %s\n", ways[i].name);
        EXPECT(child_does(ways[i].fork, allocates_and_frees));
        EXPECT(child_does(ways[i].fork, frees_first));
        EXPECT(child_does(ways[i].fork, has_a_child_of_its_own));
        /* glibc promises no threads in a child of a raw clone. */
        if (ways[i].fork == fork)
            EXPECT(child_does(ways[i].fork, starts_a_thread));
    }
    EXPECT(inheritance_is_whole());
    EXPECT(moat_heap_is_valid());
}

/* ---- blocks of a thread that the child does not have ---- */

static char *_Atomic block_of_other;
static atomic_bool may_end;

static void *hold_block(void *unused)
{
    block_of_other = moat_malloc(1000);
    while (!may_end)
        sched_yield();
    moat_free(block_of_other);
    return unused;
}

static bool counts_what_is_lost(void)
{
    moat_free(moat_malloc(5000));
    uint64_t before = stats_get(STAT_FREED_INTO_LOST);
    moat_free(block_of_other);
    return stats_get(STAT_FREED_INTO_LOST) == before + 1;
}

/* Their thread ends in the parent only: what it would have collected is counted. In the parent nothing is lost. */
static void frees_into_lost_pages_are_counted(void)
{
    pthread_t thread;
    uint64_t before = stats_get(STAT_FREED_INTO_LOST);
    if (!EXPECT_EQ(pthread_create(&thread, NULL, hold_block, NULL), 0))
        return;
    while (!block_of_other)
        sched_yield();
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++)
        EXPECT(child_does(ways[i].fork, counts_what_is_lost));
    may_end = true;
    pthread_join(thread, NULL);
    EXPECT_EQ(stats_get(STAT_FREED_INTO_LOST), before);
}

/* ---- a lock that another thread of the parent held when the child was made ---- */

static atomic_int rank_to_hold;
static atomic_bool is_held, may_drop;

static void *hold_lock(void *unused)
{
    (void)unused;
    lock_take((enum lock_rank)rank_to_hold);
    is_held = true;
    while (!may_drop)
        sched_yield();
    lock_drop((enum lock_rank)rank_to_hold);
    return NULL;
}

static bool first_frees_large(void)
{
    moat_free(inherited.large);
    return true;
}

static bool first_asks_size_of_large(void)
{
    return moat_malloc_usable_size(inherited.large) >= LARGE;
}

static bool first_resizes_large(void)
{
    return moat_realloc(inherited.large, LARGE + 100000) != NULL;
}

static bool first_frees_medium(void)
{
    moat_free(inherited.medium);
    return true;
}

static bool first_empties_pages(void)
{
    for (size_t i = 0; i < BLOCKS; i++)
        moat_free(inherited.small[i]);
    return true;
}

static bool first_allocates(void)
{
    return moat_malloc(777) && moat_malloc(200000) && moat_malloc(LARGE);
}

static bool first_trims(void)
{
    moat_malloc_trim(0);
    return true;
}

static bool first_counts(void)
{
    return moat_mallinfo2().hblks > 0;
}

static const struct {
    const char *name;
    bool (*work)(void);
} beginnings[] = {
    {"malloc", first_allocates},
    {"free of a medium block", first_frees_medium},
    {"frees of small pages", first_empties_pages},
    {"free of a large block", first_frees_large},
    {"realloc of a large block", first_resizes_large},
    {"malloc_usable_size", first_asks_size_of_large},
    {"malloc_trim", first_trims},
    {"mallinfo2", first_counts},
};

static void lock_of_a_lost_thread_stops_no_child(enum lock_rank rank)
{
    pthread_t thread;

    rank_to_hold = (int)rank;
    is_held = may_drop = false;
    EXPECT_EQ(pthread_create(&thread, NULL, hold_lock, NULL), 0);
    while (!is_held)
        sched_yield();
    for (size_t i = 0; i < sizeof beginnings / sizeof beginnings[0]; i++)
        if (!EXPECT(child_does(_Fork, beginnings[i].work)))
            expect_say("  lock %d was held, the child begins with %s\n", (int)rank, beginnings[i].name);
    may_drop = true;
    pthread_join(thread, NULL);
}

/* What the lost thread was changing. The desks: where the next ones begin was written, and the memory is not there yet. */
static void *hold_half_given_desks(void *unused)
{
    void *memory = os_reserve(1 << 20);
    lock_take(LOCK_HEAPS);
    hook_desk_give(memory, 1 << 20);
    is_held = true;
    while (!may_drop)
        sched_yield();
    hook_desk_give(NULL, 0);
    lock_drop(LOCK_HEAPS);
    return unused;
}

static bool makes_heaps(void)
{
    for (int i = 0; i < 200; i++) {
        moat_heap_t *heap = moat_heap_new();
        if (!heap || !moat_heap_malloc(heap, 100))
            return false;
    }
    return moat_heap_is_valid();
}

/* The read-only page: it was open. */
static void *hold_open_page(void *unused)
{
    EXPECT(fixed_open());
    is_held = true;
    while (!may_drop)
        sched_yield();
    fixed_seal();
    return unused;
}

static bool page_is_sealed(void)
{
    moat_free(moat_malloc(100)); /* the first thing that notices, where no handler ran */
    return unit_faults(&moat_fixed.is.base, true);
}

static void what_a_lost_thread_changed_is_not_trusted(void *(*hold)(void *), bool (*work)(void))
{
    pthread_t thread;

    is_held = may_drop = false;
    EXPECT_EQ(pthread_create(&thread, NULL, hold, NULL), 0);
    while (!is_held)
        sched_yield();
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++)
        if (!EXPECT(child_does(ways[i].fork, work)))
            expect_say("  a child by %s\n", ways[i].name);
    may_drop = true;
    pthread_join(thread, NULL);
    EXPECT(work());
}

/* ---- randomness ---- */

static void draws_of_child(way_to_fork way, uint64_t draws[SAMPLE])
{
    int ends[2];
    EXPECT_EQ(pipe(ends), 0);
    pid_t child = way();
    if (child == 0) {
        uint64_t own[SAMPLE];
        moat_free(moat_malloc(5000)); /* the first thing that notices, where no handler ran */
        for (int i = 0; i < SAMPLE; i++)
            own[i] = random_below(UINT64_MAX);
        _exit(write(ends[1], own, sizeof own) == sizeof own ? 0 : 1);
    }
    close(ends[1]);
    EXPECT_EQ(read(ends[0], draws, SAMPLE * sizeof draws[0]), SAMPLE * sizeof draws[0]);
    close(ends[0]);
    EXPECT_EQ(child_wait(child), 0);
}

static void every_child_draws_its_own_numbers(void)
{
    uint64_t draws[7][SAMPLE];
    for (size_t i = 0; i < 6; i++)
        draws_of_child(ways[i % 3].fork, draws[i]);
    for (size_t i = 0; i < SAMPLE; i++)
        draws[6][i] = random_below(UINT64_MAX);
    for (size_t i = 0; i < 7; i++)
        for (size_t j = 0; j < i; j++)
            for (size_t k = 0; k < SAMPLE; k++)
                for (size_t l = 0; l < SAMPLE; l++)
                    EXPECT(draws[i][k] != draws[j][l]);
}

int main(void)
{
    inherit();
    children_use_the_heap();
    frees_into_lost_pages_are_counted();
    every_child_draws_its_own_numbers();
    for (enum lock_rank rank = 0; rank < LOCK_RANKS; rank++)
        lock_of_a_lost_thread_stops_no_child(rank);
    what_a_lost_thread_changed_is_not_trusted(hold_half_given_desks, makes_heaps);
    what_a_lost_thread_changed_is_not_trusted(hold_open_page, page_is_sealed);
    give_up_inheritance();
    EXPECT(moat_heap_is_valid());
    return expect_done();
}
