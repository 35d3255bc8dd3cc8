/* Every system call of the heap fails once, and for good.
 *
 * A fixed scenario that makes the heap do all that it does (small, medium, large and huge blocks, growth, shrinking,
 * trim, threads that end, children) is run once to count its calls of each kind. Then it is run again for the k-th call
 * of each kind failing, alone or with all that follow, with each errno, in a child of its own: once with a heap that
 * has already started (forked), and once with one that starts under the failures (a new process). A request may be
 * answered with NULL and ENOMEM, or be served; contents stay, no blocks overlap, and when the failures stop the heap
 * serves everything again and takes all back. No abort, nothing on stderr.
 */
#include "inject/plan.h"
#include "support/child.h"
#include "support/death.h"
#include "support/expect.h"
#include "support/family.h"
#include "support/pace.h"
#include "support/pattern.h"
#include "support/sizes.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

enum { HELD_MAX = 1024, THREAD_BLOCKS = 24, REPORT_DESCRIPTOR = 9, HUGE = 70 * 1024 * 1024 };

extern char **environ;

static const struct {
    long nr;
    const char *name;
} kinds[] = {
    {SYS_mmap, "mmap"},       {SYS_munmap, "munmap"}, {SYS_mprotect, "mprotect"},
    {SYS_madvise, "madvise"}, {SYS_mremap, "mremap"}, {SYS_getrandom, "getrandom"},
};
static const struct {
    int number;
    const char *name;
} errors[] = {{ENOMEM, "ENOMEM"}, {EINVAL, "EINVAL"}, {EPERM, "EPERM"}};

/* ---- the scenario ---- */

struct held {
    unsigned char *block;
    size_t size;
    uint64_t identity;
};

static struct held held[HELD_MAX];
static size_t held_count;
static unsigned long refused;

/* True if there is a block; otherwise it must have been refused in the right way. */
static bool is_served(const void *block, const char *what, size_t size)
{
    if (block != NULL)
        return true;
    refused++;
    if (errno != ENOMEM)
        expect_fail("%s of %zu refused with errno %d instead of ENOMEM", what, size, errno);
    return false;
}

static void hold(void *block, size_t size, const char *what)
{
    if (!is_served(block, what, size))
        return;
    if (held_count == HELD_MAX) {
        expect_fail("the scenario holds too many blocks");
        return;
    }
    struct held *entry = &held[held_count];
    *entry = (struct held){.block = block, .size = size, .identity = held_count * 977 + size};
    pattern_fill(block, size, entry->identity);
    held_count++;
}

static void check_held(const struct held *entry)
{
    if (!pattern_holds(entry->block, entry->size, entry->identity))
        expect_fail("block of %zu bytes: contents are gone", entry->size);
}

static void release(size_t index)
{
    check_held(&held[index]);
    moat_free(held[index].block);
    held[index] = held[--held_count];
}

static void release_all(void)
{
    while (held_count > 0)
        release(held_count - 1);
}

static void take(size_t size)
{
    errno = 0;
    hold(family_launder(moat_malloc(size)), size, "malloc");
}

static void take_zeroed(size_t size)
{
    errno = 0;
    unsigned char *block = family_launder(moat_calloc(1, size));
    if (block != NULL && !pattern_is_zero(block, size))
        expect_fail("calloc of %zu is not zero", size);
    hold(block, size, "calloc");
}

static void take_aligned(size_t alignment, size_t size)
{
    errno = 0;
    void *block = family_launder(moat_aligned_alloc(alignment, size));
    if ((uintptr_t)block % alignment != 0)
        expect_fail("%p is not aligned to %zu", block, alignment);
    hold(block, size, "aligned_alloc");
}

static void resize(size_t index, size_t size)
{
    struct held old = held[index];
    errno = 0;
    unsigned char *block = family_launder(moat_realloc(old.block, size));
    if (!is_served(block, "realloc", size)) {
        check_held(&old);
        return;
    }
    if (!pattern_prefix_holds(block, old.size, size, old.identity))
        expect_fail("realloc from %zu to %zu lost contents", old.size, size);
    held[index].block = block;
    held[index].size = size;
    pattern_fill(block, size, old.identity);
}

static void every_size(void)
{
    for (size_t size = 16; size <= 16384; size += size / 4 > 16 ? size / 4 : 16) {
        for (unsigned i = 0; i < 3; i++)
            take(size - i);
    }
    for (size_t size = 20000; size < 1048576; size += size / 2)
        take(size);
    take(1048577);
    take(3000000);
    take(20000000);
    take(HUGE);
    for (size_t alignment = 32; alignment <= 2097152; alignment *= 4)
        take_aligned(alignment, alignment / 2 + 100);
}

static void grow_and_shrink(void)
{
    /* The steps between large sizes are few: a heap that copies there makes thousands of runs long. */
    static const size_t steps[] = {10,      100,     5000, 15000,  17000, 60000, 300000, 1000000,
                                   1100000, 3000000, HUGE, 900000, 20000, 3000,  50};
    take(1);
    if (held_count == 0)
        return;
    for (size_t i = 0; i < SIZES_COUNT(steps); i++)
        resize(held_count - 1, steps[i]);
    for (size_t i = 0; i < held_count; i += 9) {
        if (held[i].size < HUGE / 4)
            resize(i, held[i].size < 100000 ? held[i].size * 2 + 1 : held[i].size - held[i].size / 8);
    }
}

/* Many blocks of one size, so that whole pages fill and empty. */
static void fill_pages(void)
{
    size_t first = held_count;
    for (unsigned i = 0; i < 250; i++)
        take(1000);
    for (unsigned i = 0; i < 30; i++)
        take(9000);
    while (held_count > first + 10)
        release(held_count - 1);
    moat_malloc_trim(0);
    for (unsigned i = 0; i < 60; i++)
        take_zeroed(2000);
}

static void *from_thread[THREAD_BLOCKS];

static void *take_in_thread(void *unused)
{
    for (size_t i = 0; i < THREAD_BLOCKS; i++) {
        errno = 0;
        from_thread[i] = family_launder(moat_malloc(i * i * 100 + 1));
        if (is_served(from_thread[i], "malloc in a thread", i * i * 100 + 1))
            pattern_fill(from_thread[i], i * i * 100 + 1, i);
    }
    return unused;
}

/* The thread ends with live blocks; half of them go back at once. */
static void use_thread(void)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, take_in_thread, NULL) != 0) {
        expect_fail("cannot create a thread");
        return;
    }
    pthread_join(thread, NULL);
    for (size_t i = 0; i < THREAD_BLOCKS; i++) {
        if (from_thread[i] == NULL)
            continue;
        if (!pattern_holds(from_thread[i], i * i * 100 + 1, i))
            expect_fail("block %zu of a thread: contents are gone", i);
        if (i % 2 == 0) {
            moat_free(from_thread[i]);
            from_thread[i] = NULL;
        }
    }
}

static void free_rest_of_thread(void)
{
    for (size_t i = 0; i < THREAD_BLOCKS; i++) {
        moat_free(from_thread[i]);
        from_thread[i] = NULL;
    }
}

/* A child with the same failures before it: new keys, inherited pages. */
static void use_child(void)
{
    pid_t child = fork();
    if (child == 0) {
        unsigned long before = expect_failures();
        for (size_t i = 0; i < held_count; i += 2)
            check_held(&held[i]);
        for (size_t i = 0; i < held_count && i < 40; i++)
            moat_free(held[i].block);
        held_count = 0;
        for (size_t size = 1; size < 3000000; size = size * 3 + 1)
            take(size);
        release_all();
        _exit(expect_failures() != before);
    }
    int status = child < 0 ? CHILD_HUNG : child_wait(child);
    if (status != 0)
        expect_fail("a child of the scenario %s, status 0x%x", status == CHILD_HUNG ? "hung" : "ended badly",
                    (unsigned)status);
}

static int by_address(const void *a, const void *b)
{
    const struct held *x = a, *y = b;
    return x->block < y->block ? -1 : x->block > y->block;
}

static void check_overlap(void)
{
    static struct held sorted[HELD_MAX];
    memcpy(sorted, held, sizeof sorted);
    qsort(sorted, held_count, sizeof sorted[0], by_address);
    for (size_t i = 0; i + 1 < held_count; i++) {
        if (sorted[i].block + sorted[i].size > sorted[i + 1].block)
            expect_fail("blocks of %zu and %zu bytes overlap", sorted[i].size, sorted[i + 1].size);
    }
}

static void scenario(void)
{
    every_size();
    fill_pages();
    grow_and_shrink();
    use_thread();
    use_child();
    for (size_t i = 0; i < held_count; i += 2)
        release(i);
    every_size();
    check_overlap();
}

/* After the failures: nothing is refused any more, and everything goes back. */
static void recover(void)
{
    unsigned long refused_before = refused;
    inject_disarm();
    for (size_t i = 0; i < held_count; i++)
        check_held(&held[i]);
    every_size();
    fill_pages();
    use_thread();
    check_overlap();
    free_rest_of_thread();
    release_all();
    moat_malloc_trim(0);
    every_size();
    check_overlap();
    release_all();
    if (refused != refused_before)
        expect_fail("%lu requests were refused after the failures had stopped", refused - refused_before);
}

/* ---- one run ---- */

struct result {
    unsigned long calls[SIZES_COUNT(kinds)];
    unsigned long start_calls[SIZES_COUNT(kinds)]; /* those before the scenario */
    unsigned long hits;
    unsigned long refused;
};

/* Runs in the child; the plan is armed. Its lines about failures go to stderr, which must stay empty. */
static _Noreturn void run_scenario(int result_descriptor)
{
    struct result result = {.hits = 0};
    dup2(STDERR_FILENO, STDOUT_FILENO);
    for (size_t i = 0; i < SIZES_COUNT(kinds); i++)
        result.start_calls[i] = inject_calls(kinds[i].nr);
    scenario();
    for (size_t i = 0; i < SIZES_COUNT(kinds); i++)
        result.calls[i] = inject_calls(kinds[i].nr);
    result.hits = inject_hits();
    result.refused = refused;
    recover();
    bool is_sent = write(result_descriptor, &result, sizeof result) == sizeof result;
    /* exit and not _exit: what the heap does at the end of a process belongs to the test. */
    exit(is_sent && expect_failures() == 0 ? 0 : 1);
}

static pid_t start_forked(const struct inject_plan *plan, int error_end, int result_end)
{
    pid_t child = fork();
    if (child == 0) {
        death_leave_no_core();
        dup2(error_end, STDERR_FILENO);
        /* The parent's failures are not this child's. */
        expect_failed = 0;
        inject_arm(plan);
        run_scenario(result_end);
    }
    return child;
}

/* A new process, which reads its plan before its heap starts. */
static pid_t start_new(const struct inject_plan *plan, int error_end, int result_end)
{
    static char variable[128];
    char *environment[256];
    char program[] = "faults", scenario_argument[] = "--scenario";
    char *argv[] = {program, scenario_argument, NULL};
    posix_spawn_file_actions_t actions;
    size_t count = 0;
    pid_t pid = -1;

    for (char **entry = environ; *entry != NULL && count < SIZES_COUNT(environment) - 2; entry++)
        environment[count++] = *entry;
    snprintf(variable, sizeof variable, "MOAT_TEST_INJECT=%ld:%lu:%d:%d", plan->nr, plan->first, plan->persistent,
             plan->error);
    environment[count++] = variable;
    environment[count] = NULL;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, error_end, STDERR_FILENO);
    posix_spawn_file_actions_adddup2(&actions, result_end, REPORT_DESCRIPTOR);
    int error = posix_spawn(&pid, "/proc/self/exe", &actions, NULL, argv, environment);
    posix_spawn_file_actions_destroy(&actions);
    return error == 0 ? pid : -1;
}

/* False, with a line, if anything was not as it must be. */
static bool run(const struct inject_plan *plan, bool is_new, struct result *result, const char *words)
{
    struct death outcome;
    int error_ends[2], result_ends[2];
    memset(result, 0, sizeof *result);
    if (pipe2(error_ends, O_CLOEXEC) != 0 || pipe2(result_ends, O_CLOEXEC) != 0)
        abort();
    pid_t child =
        is_new ? start_new(plan, error_ends[1], result_ends[1]) : start_forked(plan, error_ends[1], result_ends[1]);
    close(error_ends[1]);
    close(result_ends[1]);
    if (child < 0)
        abort();
    death_collect(child, error_ends[0], &outcome);
    bool is_told = read(result_ends[0], result, sizeof *result) == sizeof *result;
    close(error_ends[0]);
    close(result_ends[0]);
    if (death_is_exit(&outcome, 0) && outcome.length == 0 && is_told) {
        expect_passed++;
        return true;
    }
    expect_fail("%s: %s, status 0x%x; it said: %.300s", words, outcome.hung ? "it hangs" : "ended badly",
                (unsigned)outcome.status, outcome.text);
    return false;
}

/* ---- all runs ---- */

static void fail_every_call(size_t kind, unsigned long calls, bool is_new, unsigned long step)
{
    struct result result;
    unsigned long runs = 0, refusals = 0, missed = 0;
    for (unsigned long first = 1; first <= calls; first += step) {
        for (size_t i = 0; i < SIZES_COUNT(errors); i++) {
            for (int persistent = 0; persistent <= 1; persistent++) {
                char words[128];
                struct inject_plan plan = {
                    .nr = kinds[kind].nr, .first = first, .persistent = persistent, .error = errors[i].number};
                snprintf(words, sizeof words, "%s, %s %lu of %lu%s, %s", is_new ? "new process" : "forked child",
                         kinds[kind].name, first, calls, persistent ? " and all later" : "", errors[i].name);
                run(&plan, is_new, &result, words);
                runs++;
                refusals += result.refused;
                missed += result.hits == 0;
            }
        }
    }
    expect_say("%s %-9s: %lu calls, %lu runs, %lu requests refused, %lu runs without the call\n",
               is_new ? "new process " : "forked child", kinds[kind].name, calls, runs, refusals, missed);
    /* Layout is random, so the last calls of one run may not come in another; most must. */
    if (missed * 4 > runs)
        expect_fail("%s: too many runs did not make the call that was to fail", kinds[kind].name);
}

/* In a new process only the heap's start is of interest, and a little more: the forked children see the rest. */
enum { NEW_MORE = 6 };

static void test_all(bool is_new, unsigned runs_wanted)
{
    struct result counts;
    struct inject_plan none = {.nr = -1, .first = 1, .error = ENOMEM};
    unsigned long total = 0;
    if (!run(&none, is_new, &counts, "without failures"))
        return;
    EXPECT_EQ(counts.refused, 0);
    for (size_t i = 0; i < SIZES_COUNT(kinds); i++) {
        if (is_new && counts.calls[i] > counts.start_calls[i] + NEW_MORE)
            counts.calls[i] = counts.start_calls[i] + NEW_MORE;
        total += counts.calls[i];
    }
    /* The heap must get its memory by calls that can be made to fail. */
    EXPECT(counts.calls[0] + counts.calls[2] > 0);
    unsigned long runs_each = 2 * SIZES_COUNT(errors);
    unsigned long step = runs_wanted > 0 ? 1 + total * runs_each / runs_wanted : 1;
    for (size_t i = 0; i < SIZES_COUNT(kinds); i++)
        fail_every_call(i, counts.calls[i], is_new, step);
}

int main(int argc, char **argv)
{
    /* Children inherit it: the kernel would clear 2 MiB for each byte that is written into a huge block, which is most
     * of a run's time. */
    prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
    if (argc == 2 && strcmp(argv[1], "--scenario") == 0) {
        death_leave_no_core();
        run_scenario(REPORT_DESCRIPTOR);
    }
    /* Every call of all kinds; in the short form about as many runs as named, evenly spread. */
    unsigned runs = pace_is_quick() ? 200 : 0;
    moat_free(moat_malloc(1));
    test_all(false, runs);
    test_all(true, runs);
    return expect_done();
}
