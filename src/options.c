/* options.c - see options.h. */
#include "options.h"

#include "os/os.h"
#include "report.h"
#include "stats.h"

#include <string.h>

enum { VALUE_BYTES = 2048 };

struct choice {
    const char *name;
    int value;
};

static const struct choice foreign_choices[] = {
    {"enforce", FOREIGN_ENFORCE}, {"leak", FOREIGN_LEAK}, {"pass", FOREIGN_PASS}, {NULL, 0}};
static const struct choice guard_choices[] = {
    {"auto", GUARD_AUTO}, {"madvise", GUARD_MADVISE}, {"mprotect", GUARD_MPROTECT}, {"off", GUARD_OFF}, {NULL, 0}};
static const struct choice yes_no[] = {{"0", 0}, {"1", 1}, {NULL, 0}};

static const char *const help_lines[] = {
    "options: foreign=enforce|leak|pass  what a pointer of another heap does: end the process, one line, free of libc",
    "options: cage=SIZE                  the most addresses to reserve (K, M, G, T)",
    "options: guards=auto|madvise|mprotect|off  how guard pages are placed",
    "options: report=FD                  where lines go (2)",
    "options: verbose=0|1  stats=0|1     say more at the start; counts at the end",
    NULL};

void options_default(struct options *options)
{
    *options = (struct options){.foreign = MOAT_IS_HARDENED ? FOREIGN_ENFORCE : FOREIGN_LEAK, .report = 2};
}

static bool choose(const struct choice *choice, const char *value, int *chosen)
{
    for (; choice->name; choice++) {
        if (strcmp(choice->name, value) == 0) {
            *chosen = choice->value;
            return true;
        }
    }
    return false;
}

static bool parse_size(const char *value, size_t *bytes)
{
    size_t number = 0;
    const char *digits = value;
    for (; *value >= '0' && *value <= '9'; value++)
        if (__builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, (size_t)(*value - '0'), &number))
            return false;
    if (value == digits)
        return false;
    static const char units[] = "KMGT";
    const char *unit = *value ? strchr(units, *value) : NULL;
    if (*value && (!unit || value[1] != '\0'))
        return false;
    unsigned shift = unit ? 10 * (unsigned)(unit - units + 1) : 0;
    if (number > SIZE_MAX >> shift)
        return false;
    *bytes = number << shift;
    return true;
}

static bool set_flag(bool *flag, const char *value)
{
    int chosen;
    if (!choose(yes_no, value, &chosen))
        return false;
    *flag = chosen != 0;
    return true;
}

static bool set_foreign(struct options *options, const char *value)
{
    int chosen;
    if (!choose(foreign_choices, value, &chosen))
        return false;
    options->foreign = (enum foreign_policy)chosen;
    return true;
}

static bool set_guards(struct options *options, const char *value)
{
    int chosen;
    if (!choose(guard_choices, value, &chosen))
        return false;
    options->guards = (enum guard_policy)chosen;
    return true;
}

static bool set_report(struct options *options, const char *value)
{
    size_t descriptor;
    if (!parse_size(value, &descriptor) || descriptor > 1 << 20)
        return false;
    options->report = (int)descriptor;
    report_start(options->report);
    return true;
}

static bool set_cage(struct options *options, const char *value)
{
    return parse_size(value, &options->cage_bytes);
}

static bool set_verbose(struct options *options, const char *value)
{
    return set_flag(&options->verbose, value);
}

static bool set_stats(struct options *options, const char *value)
{
    return set_flag(&options->stats, value);
}

static bool print_help(struct options *options, const char *value)
{
    (void)options;
    if (strcmp(value, "1") != 0)
        return false;
    for (const char *const *line = help_lines; *line; line++)
        report_line("", *line);
    return true;
}

/* src/command/option.c says the same of them before a program starts (test/command/check_run.py compares the two). */
static const struct key {
    const char *name;
    bool (*set)(struct options *options, const char *value);
    const char *complaint;
} keys[] = {
    {"foreign", set_foreign, "ignored, the value can be enforce, leak or pass"},
    {"cage", set_cage, "ignored, the value can be a number of bytes, or one with K, M, G or T behind it"},
    {"guards", set_guards, "ignored, the value can be auto, madvise, mprotect or off"},
    {"report", set_report, "ignored, the value can be a descriptor, up to 1048576"},
    {"verbose", set_verbose, "ignored, the value can be 0 or 1"},
    {"stats", set_stats, "ignored, the value can be 0 or 1"},
    {"help", print_help, "ignored, the value can be 1"},
};

static void set(struct options *options, const char *key, const char *value)
{
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        if (strcmp(keys[i].name, key) == 0) {
            if (!value || !keys[i].set(options, value))
                report_option(key, value ? value : "", keys[i].complaint);
            return;
        }
    }
    report_option(key, value ? value : "",
                  "ignored, there is no such key, only foreign, cage, guards, report, verbose, stats and help");
}

/* Whatever lowers a protection of a hardened build is said and counted. */
static void say_lowered(const struct options *options)
{
    if (MOAT_IS_HARDENED && options->foreign != FOREIGN_ENFORCE) {
        report_line("option foreign: frees of foreign pointers are not fatal", "");
        stats_add(STAT_OPTIONS_LOWERED, 1);
    }
    if (MOAT_WITH_GUARDS && options->guards == GUARD_OFF) {
        report_line("option guards: no guard pages are placed", "");
        stats_add(STAT_OPTIONS_LOWERED, 1);
    }
}

void options_read(struct options *options)
{
    char text[VALUE_BYTES];

    long length = os_is_privileged() ? -1 : os_environment("MOAT_OPTIONS", text, sizeof text);
    if (length < 0)
        return;
    if ((size_t)length >= sizeof text) {
        report_line("MOAT_OPTIONS is longer than 2047 bytes: ignored", "");
        return;
    }
    for (char *key = text; key && *key;) {
        char *end = strchr(key, ':');
        if (end)
            *end = '\0';
        char *value = strchr(key, '=');
        if (value)
            *value++ = '\0';
        set(options, key, value);
        key = end ? end + 1 : NULL;
    }
    say_lowered(options);
}
