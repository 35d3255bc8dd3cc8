/* The driver of the death tests.
 *
 * usage: death [--lib FILE] [--runs N] [--off PROTECTION]... [--deaths | --controls] [--only PREFIX] [--verbose]
 *
 * Each run is a process of its own, started with the library under test preloaded and calling malloc and free by their
 * ordinary names, so that what is tested is what users run, with a layout of its own each time. The driver itself runs
 * on the C library's heap. A death must be SIGABRT (or SIGSEGV, for guards) with exactly the promised line on stderr; a
 * control must exit 0 with nothing on stderr. Without --lib the C library alone is under test, which makes sense for
 * controls only. A case whose protection is --off is reported as skipped, its control runs.
 */
#include "cases.h"
#include "../support/death.h"
#include "../support/expect.h"
#include "../support/pace.h"
#include "../support/sizes.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
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
    cases_foreign,     cases_sized, cases_operators, cases_guards,
};

static struct {
    const char *library;
    unsigned runs;
    const char *off[OFF_MAX];
    unsigned off_count;
    bool deaths;
    bool controls;
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

/* ---- one run ---- */

struct outcome {
    struct death death;
    struct report report;
    bool reported;
};

extern char **environ;

/* The driver's environment with the library preloaded. */
static char **child_environment(void)
{
    static char *environment[4096];
    static char preload[PATH_MAX + 16];
    size_t count = 0;
    for (char **entry = environ; *entry != NULL && count < SIZES_COUNT(environment) - 2; entry++) {
        if (strncmp(*entry, "LD_PRELOAD=", 11) != 0)
            environment[count++] = *entry;
    }
    if (options.library != NULL) {
        snprintf(preload, sizeof preload, "LD_PRELOAD=%s", options.library);
        environment[count++] = preload;
    }
    environment[count] = NULL;
    return environment;
}

static pid_t spawn(char *const argv[], int stderr_end, int report_end)
{
    static char **environment;
    posix_spawn_file_actions_t actions;
    pid_t pid = -1;
    if (environment == NULL)
        environment = child_environment();
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, stderr_end, STDERR_FILENO);
    posix_spawn_file_actions_adddup2(&actions, report_end, REPORT_DESCRIPTOR);
    int error = posix_spawn(&pid, "/proc/self/exe", &actions, NULL, argv, environment);
    posix_spawn_file_actions_destroy(&actions);
    if (error != 0) {
        expect_say("cannot start a child: %s\n", strerror(error));
        exit(2);
    }
    return pid;
}

/* Both ends close at exec, and both lie above the numbers that the child's ends get. */
static void open_pipe(int ends[2])
{
    int low[2];
    if (pipe2(low, O_CLOEXEC) != 0)
        exit(2);
    for (int i = 0; i < 2; i++) {
        ends[i] = fcntl(low[i], F_DUPFD_CLOEXEC, 10);
        close(low[i]);
    }
}

static struct outcome run_once(const struct death_case *death_case, const struct subject *subject)
{
    struct outcome outcome;
    int errors[2], reports[2];
    char size[32], run[32];
    snprintf(size, sizeof size, "%zu", subject->size);
    snprintf(run, sizeof run, "%u", subject->run);
    const char *arguments[] = {
        "death",
        "--child",
        death_case->name,
        size,
        run,
        subject->misuse ? "1" : "0",
        options.library != NULL ? options.library : "",
        NULL,
    };
    char *argv[SIZES_COUNT(arguments)];
    memcpy(argv, arguments, sizeof argv);

    memset(&outcome, 0, sizeof outcome);
    open_pipe(errors);
    open_pipe(reports);
    pid_t pid = spawn(argv, errors[1], reports[1]);
    close(errors[1]);
    close(reports[1]);
    death_collect(pid, errors[0], &outcome.death);
    outcome.reported = read(reports[0], &outcome.report, sizeof outcome.report) == sizeof outcome.report;
    close(errors[0]);
    close(reports[0]);
    return outcome;
}

/* ---- what a report must look like ---- */

/* If `text` begins with one of the words, separated by bars, then which one it is, from 1; else 0. The longest that
 * fits counts. */
static unsigned match_one_of(const char **text, const char *words)
{
    unsigned number = 0, found = 0;
    size_t longest = 0;
    while (words != NULL) {
        const char *bar = strchr(words, '|');
        size_t length = bar != NULL ? (size_t)(bar - words) : strlen(words);
        number++;
        if (length > longest && strncmp(*text, words, length) == 0) {
            found = number;
            longest = length;
        }
        words = bar != NULL ? bar + 1 : NULL;
    }
    *text += longest;
    return found;
}

static bool match(const char **text, const char *word)
{
    size_t length = strlen(word);
    if (strncmp(*text, word, length) != 0)
        return false;
    *text += length;
    return true;
}

/* Without leading zeros, sign or anything else that strtoull would take. */
static bool match_number(const char **text, unsigned base, uint64_t *number)
{
    const char *start = *text;
    *number = 0;
    for (;; *text += 1) {
        char c = **text;
        unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                         : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
                                                : 16;
        if (digit >= base)
            break;
        *number = *number * base + digit;
    }
    return *text > start && (*start != '0' || *text == start + 1);
}

/* Small blocks are told by their class, others by their bytes. Which it is for requests close below 16 KiB depends on
 * the rounding. */
static const char *wrong_detail(const char **text, const struct death_case *death_case, const struct outcome *outcome)
{
    uint64_t bytes = 0;
    bool is_small = outcome->report.low < SIZES_SMALL_LIMIT;
    bool is_surely_small = outcome->report.high < SIZES_SMALL_LIMIT && !outcome->report.is_aligned;

    if (match(text, "unknown"))
        return death_case->flags & (CASE_UNKNOWN | CASE_MAYBE_UNKNOWN) ? NULL : "the block is unknown";
    if (death_case->flags & CASE_UNKNOWN)
        return "`unknown` is missing";
    if (match(text, "class ")) {
        if (!is_small)
            return "a class, but the block is not small";
        if (!match_number(text, 10, &bytes))
            return "class without number";
    } else {
        if (is_surely_small)
            return "no class, but the block is small";
        if (!match_number(text, 10, &bytes) || !match(text, " bytes"))
            return "neither class nor bytes";
    }
    if (bytes < outcome->report.low || bytes > outcome->report.high)
        return "the block's bytes are not those of the block";
    return NULL;
}

/* NULL if stderr holds exactly one line, and exactly the promised one; else what is wrong with it. */
static const char *wrong_line(const struct death_case *death_case, const struct outcome *outcome)
{
    const char *text = outcome->death.text;
    uint64_t number = 0;

    if (!match(&text, "moat: "))
        return "the line does not begin with `moat: `";
    unsigned kind = match_one_of(&text, death_case->kinds);
    if (kind == 0 || !match(&text, " in "))
        return "wrong kind";
    if (outcome->report.function[0] != '\0' ? !match(&text, outcome->report.function)
                                            : match_one_of(&text, death_case->functions) == 0)
        return "wrong function";
    if (!match(&text, "(): 0x"))
        return "wrong function or no address";
    if (!match_number(&text, 16, &number))
        return "no address";
    if (number != outcome->report.address && !(outcome->report.any_address && kind > 1))
        return "wrong address";
    if (!match(&text, " ("))
        return "no detail";
    const char *wrong = wrong_detail(&text, death_case, outcome);
    if (wrong != NULL)
        return wrong;
    if (!match(&text, "), thread "))
        return "no thread";
    if (!match_number(&text, 10, &number) ||
        (outcome->report.thread != 0 && number != (uint64_t)outcome->report.thread))
        return "wrong thread";
    if (strcmp(text, "\n") != 0 || outcome->death.length != (size_t)(text + 1 - outcome->death.text))
        return "more than one line";
    return NULL;
}

static const char *wrong_death(const struct death_case *death_case, const struct outcome *outcome)
{
    bool is_fault = death_case->flags & CASE_FAULT;
    if (outcome->death.hung)
        return "it hangs";
    if (!death_is_by(&outcome->death, is_fault ? SIGSEGV : SIGABRT))
        return is_fault ? "it did not end by SIGSEGV" : "it did not end by SIGABRT";
    if (!outcome->reported)
        return "it ended before its misuse";
    if (is_fault)
        return outcome->death.length == 0 ? NULL : "something on stderr";
    return wrong_line(death_case, outcome);
}

static const char *wrong_control(const struct outcome *outcome)
{
    if (outcome->death.hung)
        return "the control hangs";
    if (!death_is_exit(&outcome->death, 0))
        return "the control did not exit with 0";
    return outcome->death.length == 0 ? NULL : "the control wrote to stderr";
}

/* ---- all runs ---- */

static const char *status_words(int status)
{
    if (!WIFEXITED(status))
        return "";
    switch (WEXITSTATUS(status)) {
    case CASE_SURVIVED:
        return " (the misuse was not noticed)";
    case CASE_HANDED_TWICE:
        return " (one block had two owners)";
    case CASE_NOT_BOUND:
        return " (malloc is not the library's)";
    case CASE_NOT_SET_UP:
        return " (the case could not be set up)";
    case CASE_NO_MEMORY:
        return " (no memory)";
    case CASE_WRONG_FAULT:
        return " (a fault at another place than promised)";
    default:
        return "";
    }
}

static void say_failure(const struct death_case *death_case, const struct subject *subject,
                        const struct outcome *outcome, const char *wrong)
{
    int status = outcome->death.status;
    expect_fail("%s size %zu run %u %s: %s; %s %d%s; wanted address 0x%llx thread %d; stderr %zu bytes: %.200s",
                death_case->name, subject->size, subject->run, subject->misuse ? "misuse" : "control", wrong,
                WIFSIGNALED(status) ? "signal" : "exit", WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
                status_words(status), (unsigned long long)outcome->report.address, outcome->report.thread,
                outcome->death.length, outcome->death.text);
}

static void check_once(const struct death_case *death_case, size_t size, unsigned run, bool misuse)
{
    struct subject subject = {.size = size, .run = run, .misuse = misuse};
    struct outcome outcome = run_once(death_case, &subject);
    const char *wrong = misuse ? wrong_death(death_case, &outcome) : wrong_control(&outcome);
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
        if (strcmp(options.off[i], protection) == 0)
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
    expect_say("death: %s%s\nusage: death [--lib FILE] [--runs N] [--off PROTECTION]... [--deaths | --controls] "
               "[--only PREFIX] [--verbose]\n",
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

static void add_off(const char *protection)
{
    if (strcmp(protection, "double_free") != 0 && strcmp(protection, "guard_pages") != 0 &&
        strcmp(protection, "isolation") != 0)
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
        else if (strcmp(argv[i], "--verbose") == 0)
            options.verbose = true;
        else if (strcmp(argv[i], "--runs") == 0)
            options.runs = number_or_refuse(value), i++;
        else if (strcmp(argv[i], "--off") == 0)
            add_off(value), i++;
        else if (strcmp(argv[i], "--only") == 0)
            options.only = value, i++;
        else if (strcmp(argv[i], "--lib") == 0)
            options.library = value, i++;
        else
            refuse("unknown argument: ", argv[i]);
    }
    if (!options.deaths && !options.controls)
        refuse("--deaths and --controls exclude each other", "");
    if (options.library == NULL && options.deaths)
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
    if (skipped > 0)
        expect_say("%u cases skipped, their protection is off\n", skipped);
    /* A build without any protection has no deaths to check. */
    if (skipped > 0 && expect_passed == 0 && expect_failed == 0) {
        expect_say("0 passed, 0 failed\n");
        return 0;
    }
    return expect_done();
}
