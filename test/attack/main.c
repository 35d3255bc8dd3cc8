/* The driver of the attacks.
 *
 * usage: attack [--lib FILE [--on PROTECTION]...] [--control NAME[=FILE]]... [--technique NAME] [--only PREFIX]
 *               [--runs N] [--out FILE] [--verbose]
 *
 * Each attack runs so often against the library under test, each time in a process of its own, and must never reach its
 * goal; then against the controls (a library, or without FILE the C library's heap) until it succeeds there: an attack
 * that works nowhere proves nothing. A success is forgiven, and shown, where a protection that the case needs is not
 * --on, and where the block had been handed out again and the case is about that. --out appends one line of JSON a case.
 */
#include "run.h"
#include "../support/expect.h"
#include "../support/pace.h"

#include <gnu/libc-version.h>
#include <string.h>

/* A second control is for the table. */
enum { RUNS_FULL = 40, RUNS_QUICK = 10, RUNS_PROVEN = 5, CONTROLS_MAX = 4, KINDS_MAX = 12 };

static const struct attack_case *const tables[] = {
    attacks_double_free, attacks_links,  attacks_lists,   attacks_copied, attacks_remote,
    attacks_races,       attacks_spirit, attacks_headers, attacks_bounds, attacks_processes,
    attacks_stale,       attacks_types,  attacks_leaks,   attacks_reuse,
};
enum { TABLES = sizeof tables / sizeof tables[0] };

static const size_t sizes_tiny[] = {24, 40, 56, 72, 104};
static const size_t sizes_small[] = {24, 56, 104, 40, 200, 360, 1000};
static const size_t sizes_big[] = {1100, 2000, 3000, 6000, 9000};
static const size_t sizes_medium[] = {20000, 50000, 100000, 300000, 900000};
static const size_t sizes_large[] = {1500000, 2100000, 5000000};

static const struct {
    const size_t *sizes;
    unsigned count;
} size_tables[] = {
    [SIZES_TINY] = {sizes_tiny, sizeof sizes_tiny / sizeof sizes_tiny[0]},
    [SIZES_SMALL] = {sizes_small, sizeof sizes_small / sizeof sizes_small[0]},
    [SIZES_BIG] = {sizes_big, sizeof sizes_big / sizeof sizes_big[0]},
    [SIZES_MEDIUM] = {sizes_medium, sizeof sizes_medium / sizeof sizes_medium[0]},
    [SIZES_LARGE] = {sizes_large, sizeof sizes_large / sizeof sizes_large[0]},
};

static struct {
    struct library tested;
    struct library controls[CONTROLS_MAX];
    unsigned control_count;
    unsigned on; /* of NEEDS_* */
    unsigned runs;
    const char *technique;
    const char *only;
    const char *out;
    bool verbose;
} options = {.only = ""};

/* What the runs of one case against one library came to. */
struct tally {
    unsigned runs;
    unsigned of[VERDICTS];
    const char *kinds[KINDS_MAX]; /* of violations, and how often */
    unsigned kind_runs[KINDS_MAX];
    char goal[REPORT_TEXT_MAX]; /* of the first success or reuse, or what was measured */
    unsigned figure_count;
    uint64_t figures[RUNS_FULL * 8];
};

static struct aim aim_of(const struct attack_case *attack, unsigned run)
{
    const size_t *sizes = size_tables[attack->sizes].sizes;
    return (struct aim){
        .size = sizes[run % size_tables[attack->sizes].count],
        .run = run,
        /* Not in step with the sizes. */
        .style = (enum style)((run + run / STYLES) % STYLES),
    };
}

static void count_kind(struct tally *tally, const char *kind)
{
    for (unsigned i = 0; i < KINDS_MAX; i++) {
        if (tally->kinds[i] == NULL)
            tally->kinds[i] = kind;
        if (tally->kinds[i] == kind) {
            tally->kind_runs[i]++;
            return;
        }
    }
}

static void count_outcome(struct tally *tally, const struct outcome *outcome)
{
    bool has_goal = outcome->verdict == SUCCESS || outcome->verdict == REUSED;
    tally->runs++;
    if (outcome->kind != NULL && outcome->verdict == STOPPED)
        count_kind(tally, outcome->kind);
    if (has_goal && tally->of[SUCCESS] + tally->of[REUSED] == 0)
        memcpy(tally->goal, outcome->report.text, sizeof tally->goal);
    if (outcome->verdict == HARMLESS && outcome->report.text[0] != '\0' && tally->goal[0] == '\0')
        memcpy(tally->goal, outcome->report.text, sizeof tally->goal);
    bool has_figure = outcome->verdict == REUSED || (outcome->verdict == HARMLESS && outcome->report.text[0] != '\0');
    if (has_figure && tally->figure_count < sizeof tally->figures / sizeof tally->figures[0])
        tally->figures[tally->figure_count++] = outcome->report.figure;
    tally->of[outcome->verdict]++;
}

static int compare_figures(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

/* ---- output ---- */

static void write_tally(FILE *out, const char *name, const struct tally *tally)
{
    fprintf(out, "\"%s\": {\"runs\": %u", name, tally->runs);
    for (int i = 0; i < VERDICTS; i++)
        fprintf(out, ", \"%s\": %u", verdict_names[i], tally->of[i]);
    fprintf(out, ", \"kinds\": {");
    for (unsigned i = 0; i < KINDS_MAX && tally->kinds[i] != NULL; i++)
        fprintf(out, "%s\"%s\": %u", i > 0 ? ", " : "", tally->kinds[i], tally->kind_runs[i]);
    fprintf(out, "}, \"goal\": \"%s\", \"figures\": [", tally->goal);
    for (unsigned i = 0; i < tally->figure_count; i++)
        fprintf(out, "%s%llu", i > 0 ? ", " : "", (unsigned long long)tally->figures[i]);
    fprintf(out, "]}");
}

static void write_case(const struct attack_case *attack, const struct tally *tested, const struct tally *controls)
{
    FILE *out = fopen(options.out, "a");
    if (out == NULL) {
        expect_fail("cannot write %s", options.out);
        return;
    }
    fprintf(out, "{\"case\": \"%s\", \"counted\": %s, ", attack->name,
            attack->flags & CASE_UNCOUNTED ? "false" : "true");
    fprintf(out, "\"open\": %s, \"protected\": %s, \"libraries\": {", attack->flags & CASE_OPEN ? "true" : "false",
            (attack->needs & ~options.on) == 0 ? "true" : "false");
    if (options.tested.file != NULL)
        write_tally(out, options.tested.name, tested);
    for (unsigned i = 0; i < options.control_count; i++) {
        fprintf(out, i > 0 || options.tested.file != NULL ? ", " : "");
        write_tally(out, options.controls[i].name, &controls[i]);
    }
    fprintf(out, "}}\n");
    fclose(out);
}

static void say_tally(const char *library, const struct attack_case *attack, struct tally *tally)
{
    expect_say("%-8s %-38s", library, attack->name);
    for (int i = 0; i < VERDICTS; i++) {
        if (tally->of[i] > 0)
            expect_say(" %u %s", tally->of[i], verdict_names[i]);
    }
    if (tally->goal[0] != '\0')
        expect_say(": %s", tally->goal);
    if (tally->figure_count > 0) {
        qsort(tally->figures, tally->figure_count, sizeof tally->figures[0], compare_figures);
        expect_say("; least %llu, middle %llu, most %llu", (unsigned long long)tally->figures[0],
                   (unsigned long long)tally->figures[tally->figure_count / 2],
                   (unsigned long long)tally->figures[tally->figure_count - 1]);
    }
    expect_say("\n");
}

static void say_wrong(const struct attack_case *attack, const struct aim *aim, const struct outcome *outcome,
                      const char *library)
{
    int status = outcome->death.status;
    expect_fail("%s on %s, size %zu run %u style %d: %s: %.100s; %s %d; stderr %zu bytes: %.150s", attack->name,
                library, aim->size, aim->run, (int)aim->style, verdict_names[outcome->verdict], outcome->report.text,
                WIFSIGNALED(status) ? "signal" : "exit", WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
                outcome->death.length, outcome->death.text);
}

/* ---- all runs ---- */

static bool is_right(const struct attack_case *attack, enum verdict verdict)
{
    switch (verdict) {
    case STOPPED:
    case HARMLESS:
    case NOT_SET_UP:
        return true;
    case FAULTED:
        return (attack->flags & CASE_FAULTS) != 0;
    case REUSED:
        return (attack->flags & CASE_REUSES) != 0;
    case SUCCESS:
    case ACCIDENT:
    case VERDICTS:
        break;
    }
    return false;
}

static void check_tested(const struct attack_case *attack, struct tally *tally)
{
    bool is_protected = (attack->needs & ~options.on) == 0;
    bool is_open = (attack->flags & CASE_OPEN) != 0;
    for (unsigned run = 0; run < options.runs; run++) {
        struct aim aim = aim_of(attack, run);
        struct outcome outcome = run_once(attack, &aim, &options.tested, false);
        count_outcome(tally, &outcome);
        bool is_known = is_open && outcome.verdict == SUCCESS;
        if (!is_protected || is_known || is_right(attack, outcome.verdict))
            expect_passed++;
        else
            say_wrong(attack, &aim, &outcome, options.tested.name);
    }
    if (tally->of[NOT_SET_UP] == tally->runs)
        expect_fail("%s on %s was never tried: it could not be set up", attack->name, options.tested.name);
    if (options.verbose || attack->flags & CASE_FIGURES || tally->of[SUCCESS] + tally->of[REUSED] > 0)
        say_tally(options.tested.name, attack, tally);
    if (!is_protected && tally->of[SUCCESS] > 0)
        expect_say("         (a protection that this case needs is off)\n");
    if (is_protected && is_open && tally->of[SUCCESS] > 0)
        expect_say("         (a known hole)\n");
    if (is_protected && is_open && tally->of[SUCCESS] == 0)
        expect_fail("%s does not succeed any more: take CASE_OPEN from it", attack->name);
}

static bool succeeds_on(const struct attack_case *attack, const struct library *library, struct tally *tally,
                        unsigned runs)
{
    for (unsigned run = 0; run < runs && tally->of[SUCCESS] + tally->of[REUSED] == 0; run++) {
        struct aim aim = aim_of(attack, run);
        struct outcome outcome = run_once(attack, &aim, library, true);
        count_outcome(tally, &outcome);
        if (outcome.verdict == ACCIDENT && options.verbose && tally->of[ACCIDENT] == 1)
            expect_say("         on %s: size %zu run %u style %d status %x: %.100s\n", library->name, aim.size, run,
                       (int)aim.style, (unsigned)outcome.death.status, outcome.death.text);
    }
    if (options.verbose)
        say_tally(library->name, attack, tally);
    return tally->of[SUCCESS] + tally->of[REUSED] > 0;
}

/* What the C library's heap lets through changes with its version; the attacks on it were made for this one. */
static bool is_known_libc(void)
{
    return strcmp(gnu_get_libc_version(), "2.36") == 0;
}

static void check_case(const struct attack_case *attack)
{
    static struct tally tested, controls[CONTROLS_MAX];
    unsigned successes = 0;
    memset(&tested, 0, sizeof tested);
    memset(controls, 0, sizeof controls);
    if (options.tested.file != NULL)
        check_tested(attack, &tested);
    for (unsigned i = 0; i < options.control_count; i++) {
        unsigned runs = successes == 0 ? RUNS_FULL : pace_is_quick() ? 0 : RUNS_PROVEN;
        bool succeeds = succeeds_on(attack, &options.controls[i], &controls[i], runs);
        successes += succeeds;
        if (!succeeds && strcmp(options.controls[i].name, "plain") == 0 &&
            !(attack->flags & (CASE_PLAIN_LOSES | CASE_UNCOUNTED)))
            expect_fail("%s must succeed on the plain library, and does not: is the attack any good?", attack->name);
        expect_passed++;
    }
    if (options.control_count > 0 && successes == 0 && !(attack->flags & CASE_UNCOUNTED)) {
        if (is_known_libc())
            expect_fail("%s succeeds on no control: is the attack any good?", attack->name);
        else
            expect_say("%s succeeds on no control with this C library (%s)\n", attack->name, gnu_get_libc_version());
    }
    if (options.out != NULL)
        write_case(attack, &tested, controls);
}

static bool is_of_technique(const struct attack_case *attack)
{
    if (options.technique == NULL)
        return true;
    size_t length = strlen(options.technique);
    return strncmp(attack->name, options.technique, length) == 0 && attack->name[length] == '.';
}

static const struct attack_case *find_case(const char *name)
{
    for (size_t i = 0; i < TABLES; i++) {
        for (const struct attack_case *attack = tables[i]; attack->name != NULL; attack++) {
            if (strcmp(attack->name, name) == 0)
                return attack;
        }
    }
    return NULL;
}

static void check_everything(void)
{
    for (size_t i = 0; i < TABLES; i++) {
        for (const struct attack_case *attack = tables[i]; attack->name != NULL; attack++) {
            if (is_of_technique(attack) && strncmp(attack->name, options.only, strlen(options.only)) == 0)
                check_case(attack);
        }
    }
}

/* ---- options ---- */

static _Noreturn void refuse(const char *why, const char *what)
{
    expect_say("attack: %s%s\nusage: attack [--lib FILE [--on PROTECTION]...] [--control NAME[=FILE]]... "
               "[--technique NAME] [--only PREFIX] [--runs N] [--out FILE] [--verbose]\n",
               why, what);
    exit(2);
}

static void add_on(const char *protection)
{
    static const struct {
        const char *name;
        unsigned bit;
    } known[] = {
        {"double_free", NEEDS_STATES},  {"guard_pages", NEEDS_GUARDS}, {"isolation", NEEDS_ISOLATION},
        {"encoded_links", NEEDS_LINKS}, {"random_order", NEEDS_ORDER},
    };
    /* Others there may be, of which no case has need. */
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(protection, known[i].name) == 0)
            options.on |= known[i].bit;
    }
}

/* The loader looks for a name without a slash elsewhere. */
static const char *file_or_refuse(const char *name)
{
    const char *file = realpath(name, NULL);
    if (file == NULL || access(file, R_OK) != 0)
        refuse("cannot read the library: ", name);
    return file;
}

static void add_control(char *text)
{
    char *equals = strchr(text, '=');
    if (options.control_count == CONTROLS_MAX)
        refuse("too many controls: ", text);
    if (equals != NULL)
        *equals = '\0';
    const char *file = equals != NULL ? file_or_refuse(equals + 1) : NULL;
    options.controls[options.control_count++] = (struct library){text, file};
}

static unsigned number_or_refuse(const char *text)
{
    char *end;
    unsigned long number = strtoul(text, &end, 10);
    if (*text == '\0' || *end != '\0' || number == 0 || number > RUNS_FULL * 8)
        refuse("not a number of runs: ", text);
    return (unsigned)number;
}

static void read_option(const char *option, char *value)
{
    if (strcmp(option, "--runs") == 0)
        options.runs = number_or_refuse(value);
    else if (strcmp(option, "--on") == 0)
        add_on(value);
    else if (strcmp(option, "--technique") == 0)
        options.technique = value;
    else if (strcmp(option, "--only") == 0)
        options.only = value;
    else if (strcmp(option, "--out") == 0)
        options.out = value;
    else if (strcmp(option, "--lib") == 0)
        options.tested = (struct library){"secure", file_or_refuse(value)};
    else if (strcmp(option, "--control") == 0)
        add_control(value);
    else
        refuse("unknown argument: ", option);
}

static void read_options(int argc, char *argv[])
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--verbose") == 0) {
            options.verbose = true;
            continue;
        }
        if (i + 1 == argc)
            refuse("no value for ", argv[i]);
        read_option(argv[i], argv[i + 1]);
        i++;
    }
    if (options.tested.file == NULL && options.control_count == 0)
        refuse("nothing to attack: give --lib or --control", "");
    if (options.runs == 0)
        options.runs = pace_is_quick() ? RUNS_QUICK : RUNS_FULL;
    if (options.out != NULL)
        unlink(options.out);
}

int main(int argc, char *argv[])
{
    if (argc == 7 && strcmp(argv[1], "--child") == 0) {
        const struct attack_case *attack = find_case(argv[2]);
        return attack != NULL ? run_child(attack, argv) : ENDED_NOT_SET_UP;
    }
    read_options(argc, argv);
    check_everything();
    return expect_done();
}
