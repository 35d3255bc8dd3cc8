/* The driver of the death tests.
 *
 * usage: death [--lib FILE] [--runs N] [--off PROTECTION]... [--deaths | --controls | --record] [--only PREFIX]
 *              [--verbose]
 *
 * Each run is a process of its own, started with the library under test preloaded and calling malloc and free by their
 * ordinary names, so that what is tested is what users run, with a layout of its own each time. The driver itself runs
 * on the C library's heap. A death must be SIGABRT (or SIGSEGV, for guards) with exactly the promised line on stderr; a
 * control must exit 0 with nothing on stderr. Without --lib the C library alone is under test, which makes sense for
 * controls only. A case whose protection is --off is reported as skipped, its control runs. --record judges nothing: it
 * prints what each misuse led to (record.c), with the C library too.
 */
#include "cases.h"
#include "run.h"
#include "../support/expect.h"
#include "../support/pace.h"
#include "../support/sizes.h"

#include <dlfcn.h>
#include <limits.h>
#include <string.h>

enum {
    RUNS_FULL = 100,
    RUNS_QUICK = 4,
    OFF_MAX = 16,
    /* Each of some 400 edge sizes gets this many runs, so a class gets several times as many. */
    EDGE_RUNS_FULL = 2,
    EDGE_STRIDE_QUICK = 16,
    CONTROL_RUNS_MAX = 30 /* a control that passes 30 times of 30 sizes is no better after 100 */
};

static const struct death_case *const tables[] = {
    cases_double_free, cases_races, cases_processes, cases_interior, cases_stale,
    cases_foreign,     cases_sized, cases_operators, cases_guards,   cases_heaps,
};

static struct {
    const char *library;
    unsigned runs;
    const char *off[OFF_MAX];
    unsigned off_count;
    bool deaths;
    bool controls;
    bool record;
    const char *only;
    bool verbose;
} options = {.runs = 0, .deaths = true, .controls = true, .only = ""};

static unsigned skipped;

/* ---- the child ---- */

static const struct death_case *find_case(const char *name)
{
    for (size_t i = 0; i < SIZES_COUNT(tables); i++) {
        for (const struct death_case *death_case = tables[i]; death_case->name != NULL; death_case++) {
            if (strcmp(death_case->name, name) == 0)
                return death_case;
        }
    }
    return NULL;
}

/* Not dlsym, which finds a symbol that the program is not bound to: the address that this program's own calls go to. */
static bool is_bound_to(const char *library)
{
    Dl_info information;
    char bound[PATH_MAX], wanted[PATH_MAX];
    if (dladdr(launder((const void *)(uintptr_t)&malloc), &information) == 0)
        return false;
    return realpath(information.dli_fname, bound) != NULL && realpath(library, wanted) != NULL &&
           strcmp(bound, wanted) == 0;
}

/* argv: program --child NAME SIZE RUN MISUSE LIBRARY */
static int child(char *const argv[])
{
    const struct death_case *death_case = find_case(argv[2]);
    struct subject subject = {
        .size = strtoull(argv[3], NULL, 10),
        .run = (unsigned)strtoul(argv[4], NULL, 10),
        .misuse = argv[5][0] == '1',
    };
    death_leave_no_core();
    if (death_case == NULL)
        case_end(CASE_NOT_SET_UP);
    if (argv[6][0] != '\0' && !is_bound_to(argv[6]))
        case_end(CASE_NOT_BOUND);
    death_case->run(&subject);
    /* A control ends through exit, with all its destructors. */
    return subject.misuse ? CASE_SURVIVED : 0;
}

/* ---- all runs ---- */

static void say_failure(const struct death_case *death_case, const struct subject *subject,
                        const struct outcome *outcome, const char *wrong)
{
    int status = outcome->death.status;
    expect_fail("%s size %zu run %u %s: %s; %s %d%s; wanted address 0x%llx thread %d; stderr %zu bytes: %.200s",
                death_case->name, subject->size, subject->run, subject->misuse ? "misuse" : "control", wrong,
                WIFSIGNALED(status) ? "signal" : "exit", WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
                verdict_on_status(status), (unsigned long long)outcome->report.address, outcome->report.thread,
                outcome->death.length, outcome->death.text);
}

static void check_once(const struct death_case *death_case, size_t size, unsigned run, bool misuse)
{
    struct subject subject = {.size = size, .run = run, .misuse = misuse};
    struct outcome outcome = run_once(death_case, &subject, options.library);
    const char *wrong = misuse ? verdict_on_death(death_case, &outcome) : verdict_on_control(&outcome);
    if (wrong == NULL)
        expect_passed++;
    else
        say_failure(death_case, &subject, &outcome, wrong);
}

/* Sizes in an order that meets different ones early, so that few runs see many kinds. */
static void check_sizes(const struct death_case *death_case, const size_t *sizes, size_t count, unsigned runs,
                        bool misuse)
{
    for (unsigned run = 0; run < runs; run++)
        check_once(death_case, sizes[(size_t)run * 29 % count], run, misuse);
}

static void check_edges(const struct death_case *death_case, unsigned runs, bool misuse)
{
    static size_t edges[SIZES_EDGES_MAX];
    size_t count = sizes_edges(edges);
    bool is_quick = runs < RUNS_FULL / 4;
    size_t stride = is_quick || !misuse ? EDGE_STRIDE_QUICK : 1;
    for (unsigned run = 0; run < (is_quick ? 1 : EDGE_RUNS_FULL); run++) {
        /* Another residue for each case, so that quick runs of all cases together still meet each edge. */
        for (size_t i = strlen(death_case->name) % stride; i < count; i += stride)
            check_once(death_case, edges[i], run * 7 + (unsigned)i, misuse);
    }
}

static void check_case(const struct death_case *death_case, bool misuse)
{
    static const size_t none[] = {0};
    unsigned runs = misuse || options.runs < CONTROL_RUNS_MAX ? options.runs : CONTROL_RUNS_MAX;
    unsigned long passed = expect_passed, failed = expect_failed;

    if (death_case->flags & CASE_SMALL)
        check_sizes(death_case, sizes_small, SIZES_COUNT(sizes_small), runs, misuse);
    if (death_case->flags & CASE_MEDIUM)
        check_sizes(death_case, sizes_medium, SIZES_COUNT(sizes_medium), runs, misuse);
    if (death_case->flags & CASE_LARGE)
        check_sizes(death_case, sizes_large, SIZES_COUNT(sizes_large), runs, misuse);
    if (death_case->flags & CASE_NO_SIZE)
        check_sizes(death_case, none, 1, runs, misuse);
    if (death_case->flags & CASE_EVERY_CLASS)
        check_edges(death_case, runs, misuse);
    if (options.verbose || expect_failed != failed)
        expect_say("%s %s: %lu right, %lu wrong\n", misuse ? "death  " : "control", death_case->name,
                   expect_passed - passed, expect_failed - failed);
}

static bool is_off(const char *protection)
{
    for (unsigned i = 0; i < options.off_count; i++) {
        if (strstr(protection, options.off[i])) /* a case may need several */
            return true;
    }
    return false;
}

static void check_everything(void)
{
    for (size_t i = 0; i < SIZES_COUNT(tables); i++) {
        for (const struct death_case *death_case = tables[i]; death_case->name != NULL; death_case++) {
            if (strncmp(death_case->name, options.only, strlen(options.only)) != 0)
                continue;
            if (options.record) {
                record_case(death_case, options.runs, options.library);
                continue;
            }
            if (options.controls)
                check_case(death_case, false);
            if (options.deaths && !is_off(death_case->protection))
                check_case(death_case, true);
            else if (options.deaths) {
                skipped++;
                expect_say("skipped %s: %s is off\n", death_case->name, death_case->protection);
            }
        }
    }
}

static _Noreturn void refuse(const char *why, const char *what)
{
    expect_say("death: %s%s\nusage: death [--lib FILE] [--runs N] [--off PROTECTION]... [--deaths | --controls | "
               "--record] [--only PREFIX] [--verbose]\n",
               why, what);
    exit(2);
}

static unsigned number_or_refuse(const char *text)
{
    char *end;
    unsigned long number = strtoul(text, &end, 10);
    if (*text == '\0' || *end != '\0' || number == 0 || number > 1000000)
        refuse("not a number of runs: ", text);
    return (unsigned)number;
}

/* The loader takes a name with a slash only for a file, and that from the folder of each run. */
static const char *whole_path(const char *library)
{
    static char path[PATH_MAX];
    if (realpath(library, path) == NULL)
        refuse("there is no library ", library);
    return path;
}

static void add_off(const char *protection)
{
    static const char *const known[] = {"double_free", "guard_pages", "isolation", "encoded_links", "random_order"};
    bool is_known = false;

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        is_known |= strcmp(protection, known[i]) == 0;
    if (!is_known)
        refuse("no such protection: ", protection);
    if (options.off_count < OFF_MAX)
        options.off[options.off_count++] = protection;
}

static void read_options(int argc, char *argv[])
{
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--deaths") == 0)
            options.controls = false;
        else if (strcmp(argv[i], "--controls") == 0)
            options.deaths = false;
        else if (strcmp(argv[i], "--record") == 0)
            options.record = true;
        else if (strcmp(argv[i], "--verbose") == 0)
            options.verbose = true;
        else if (strcmp(argv[i], "--runs") == 0)
            options.runs = number_or_refuse(value), i++;
        else if (strcmp(argv[i], "--off") == 0)
            add_off(value), i++;
        else if (strcmp(argv[i], "--only") == 0)
            options.only = value, i++;
        else if (strcmp(argv[i], "--lib") == 0)
            options.library = whole_path(value), i++;
        else
            refuse("unknown argument: ", argv[i]);
    }
    if (!options.deaths && !options.controls)
        refuse("--deaths and --controls exclude each other", "");
    if (options.record && !(options.deaths && options.controls))
        refuse("--record goes with neither --deaths nor --controls", "");
    if (options.library == NULL && options.deaths && !options.record)
        refuse("deaths need a library: give --lib FILE, or --controls", "");
    if (options.library != NULL && access(options.library, R_OK) != 0)
        refuse("cannot read the library: ", options.library);
    if (options.runs == 0)
        options.runs = pace_is_quick() ? RUNS_QUICK : RUNS_FULL;
}

int main(int argc, char *argv[])
{
    if (argc == 7 && strcmp(argv[1], "--child") == 0)
        return child(argv);
    read_options(argc, argv);
    check_everything();
    if (options.record)
        return fflush(stdout) == 0 ? 0 : 2;
    if (skipped > 0)
        expect_say("%u cases skipped, their protection is off\n", skipped);
    /* A build without any protection has no deaths to check. */
    if (skipped > 0 && expect_passed == 0 && expect_failed == 0) {
        expect_say("0 passed, 0 failed\n");
        return 0;
    }
    return expect_done();
}
