/* MOAT_OPTIONS: every key with good and bad values, sizes, repeated and unknown keys, and the lines that are said. */
#include "unit/unit.h"

#include "options.h"
#include "report.h"

#include <string.h>

enum { SAID_BYTES = 8192 };

/* What options_read made of a text, and the lines that it wrote to a pipe in the place of stderr. */
struct reading {
    struct options options;
    uint64_t lowered;
    char said[SAID_BYTES];
};

static struct reading read_options(const char *text)
{
    struct reading reading;
    int ends[2];
    int saved = dup(2);

    memset(&reading, 0, sizeof reading);
    EXPECT_EQ(pipe(ends), 0);
    dup2(ends[1], 2);
    report_start(2);
    if (text)
        setenv("MOAT_OPTIONS", text, 1);
    else
        unsetenv("MOAT_OPTIONS");
    reading.lowered = stats_get(STAT_OPTIONS_LOWERED);
    options_default(&reading.options);
    options_read(&reading.options);
    reading.lowered = stats_get(STAT_OPTIONS_LOWERED) - reading.lowered;
    dup2(saved, 2);
    close(saved);
    close(ends[1]);
    report_start(2);
    size_t length;
    death_read(ends[0], reading.said, sizeof reading.said, &length);
    close(ends[0]);
    return reading;
}

static bool options_are(const struct options *options, const struct options *wanted)
{
    return options->cage_bytes == wanted->cage_bytes && options->foreign == wanted->foreign &&
           options->guards == wanted->guards && options->report == wanted->report &&
           options->verbose == wanted->verbose && options->stats == wanted->stats;
}

static struct options defaults(void)
{
    struct options options;
    options_default(&options);
    return options;
}

/* The line about an entry that is ignored; `value` is what stood behind the first `=`. */
static bool says_ignored(const struct reading *reading, const char *key, const char *value)
{
    char line[256];
    snprintf(line, sizeof line, "moat: option %s=%s: ignored", key, value);
    const char *found = strstr(reading->said, line);
    return found && (found == reading->said || found[-1] == '\n');
}

static size_t lines_of(const char *said)
{
    size_t lines = 0;
    for (; *said; said++)
        lines += *said == '\n';
    return lines;
}

static void entry_is_ignored(const char *key, const char *value)
{
    char text[128];
    struct options none = defaults();

    snprintf(text, sizeof text, "%s=%s", key, value);
    struct reading reading = read_options(text);
    bool said = EXPECT(says_ignored(&reading, key, value));
    bool once = EXPECT_EQ(lines_of(reading.said), 1);
    bool nothing_else = EXPECT(options_are(&reading.options, &none));
    if (!said || !once || !nothing_else)
        expect_say("  %s said: %s\n", text, reading.said);
}

static struct options options_of(const char *text)
{
    struct reading reading = read_options(text);
    /* Lines about lowered protections are no complaint. */
    if (!EXPECT(strstr(reading.said, "ignored") == NULL))
        expect_say("  %s said: %s\n", text, reading.said);
    return reading.options;
}

static void without_the_variable_all_is_default(void)
{
    struct options none = defaults();
    EXPECT_EQ(none.foreign, MOAT_IS_HARDENED ? FOREIGN_ENFORCE : FOREIGN_LEAK);
    EXPECT_EQ(none.guards, GUARD_AUTO);
    EXPECT(none.report == 2 && none.cage_bytes == 0 && !none.verbose && !none.stats);
    struct reading reading = read_options(NULL);
    EXPECT(options_are(&reading.options, &none) && reading.said[0] == '\0');
    reading = read_options("");
    EXPECT(options_are(&reading.options, &none) && reading.said[0] == '\0');
}

static void good_values_are_taken(void)
{
    EXPECT_EQ(options_of("foreign=enforce").foreign, FOREIGN_ENFORCE);
    EXPECT_EQ(options_of("foreign=leak").foreign, FOREIGN_LEAK);
    EXPECT_EQ(options_of("foreign=pass").foreign, FOREIGN_PASS);
    EXPECT_EQ(options_of("guards=auto").guards, GUARD_AUTO);
    EXPECT_EQ(options_of("guards=madvise").guards, GUARD_MADVISE);
    EXPECT_EQ(options_of("guards=mprotect").guards, GUARD_MPROTECT);
    EXPECT_EQ(options_of("guards=off").guards, GUARD_OFF);
    EXPECT(options_of("verbose=1").verbose && !options_of("verbose=0").verbose);
    EXPECT(options_of("stats=1").stats && !options_of("stats=0").stats);
    EXPECT_EQ(options_of("report=2").report, 2);
    struct options all = options_of("foreign=pass:cage=3G:guards=off:verbose=1:stats=1");
    struct options wanted = {.cage_bytes = 3ul << 30,
                             .foreign = FOREIGN_PASS,
                             .guards = GUARD_OFF,
                             .report = 2,
                             .verbose = true,
                             .stats = true};
    EXPECT(options_are(&all, &wanted));
}

static void bad_values_cost_one_line_each(void)
{
    static const char *const bad[][2] = {
        {"foreign", "maybe"},
        {"foreign", ""},
        {"foreign", "Leak"},
        {"foreign", "leak "},
        {"guards", "on"},
        {"guards", "1"},
        {"verbose", "2"},
        {"verbose", "yes"},
        {"verbose", ""},
        {"stats", "01"},
        {"stats", "1=1"},
        {"report", "x"},
        {"report", "-1"},
        {"report", ""},
        {"report", "1048577"},
        {"help", "0"},
        {"help", "yes"},
        {"colour", "red"},
        {"", "1"},
        {"cag", "1G"},
        {"cagee", "1G"},
        {"STATS", "1"},
        {"cage", ""},
        {"cage", "G"},
        {"cage", "1GG"},
        {"cage", "1g"},
        {"cage", "1 G"},
        {"cage", " 1"},
        {"cage", "-1"},
        {"cage", "+1"},
        {"cage", "0x10"},
        {"cage", "1.5G"},
        {"cage", "1P"},
        {"cage", "1GB"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        entry_is_ignored(bad[i][0], bad[i][1]);
}

static void sizes_take_units(void)
{
    EXPECT_EQ(options_of("cage=0").cage_bytes, 0);
    EXPECT_EQ(options_of("cage=1").cage_bytes, 1);
    EXPECT_EQ(options_of("cage=0012").cage_bytes, 12);
    EXPECT_EQ(options_of("cage=1K").cage_bytes, 1ul << 10);
    EXPECT_EQ(options_of("cage=7M").cage_bytes, 7ul << 20);
    EXPECT_EQ(options_of("cage=64G").cage_bytes, 64ul << 30);
    EXPECT_EQ(options_of("cage=16T").cage_bytes, 16ul << 40);
    EXPECT_EQ(options_of("cage=18446744073709551615").cage_bytes, SIZE_MAX);
    EXPECT_EQ(options_of("cage=18014398509481983K").cage_bytes, SIZE_MAX - 1023);
    EXPECT_EQ(options_of("cage=16777215T").cage_bytes, 16777215ul << 40);
}

static void sizes_that_do_not_fit_are_ignored(void)
{
    entry_is_ignored("cage", "18446744073709551616");
    entry_is_ignored("cage", "184467440737095516160");
    entry_is_ignored("cage", "99999999999999999999999999999999");
    entry_is_ignored("cage", "18014398509481984K");
    entry_is_ignored("cage", "16777216T");
    entry_is_ignored("report", "18446744073709551618");
}

/* Whoever wrote the entry learns which half of it is wrong, and what there is instead. */
static void line_tells_a_wrong_key_from_a_wrong_value(void)
{
    static const char *const lines[][2] = {
        {"guards=on", "moat: option guards=on: ignored, the value can be auto, madvise, mprotect or off\n"},
        {"stats", "moat: option stats=: ignored, the value can be 0 or 1\n"},
        {"cage=big",
         "moat: option cage=big: ignored, the value can be a number of bytes, or one with K, M, G or T behind it\n"},
        {"guard=off",
         "moat: option guard=off: ignored, there is no such key, only foreign, cage, guards, report, verbose, stats "
         "and help\n"},
        {"colour",
         "moat: option colour=: ignored, there is no such key, only foreign, cage, guards, report, verbose, stats and "
         "help\n"},
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct reading reading = read_options(lines[i][0]);
        if (!EXPECT(strcmp(reading.said, lines[i][1]) == 0))
            expect_say("  %s said: %s\n", lines[i][0], reading.said);
    }
}

/* What the environment holds is shown on a terminal, and may be meant for it. */
static void orders_to_a_terminal_are_escaped(void)
{
    struct reading reading = read_options("cage=\x1b]0;x\x07\x7f:\t\x9bkey=\xc3\xa4\r\n~");
    EXPECT(says_ignored(&reading, "cage", "\\x1b]0;x\\x07\\x7f"));
    EXPECT(says_ignored(&reading, "\\x09\\x9bkey", "\\xc3\\xa4\\x0d\\x0a~"));
    EXPECT_EQ(lines_of(reading.said), 2);
}

/* However long the entry is, the line says what is wrong with it. */
static void long_entries_are_shown_in_part(void)
{
    char text[512] = "";
    for (size_t i = 0; i < 120; i++)
        strcat(text, "k");
    strcat(text, "=");
    for (size_t i = 0; i < 120; i++)
        strcat(text, "\x01");
    struct reading reading = read_options(text);
    if (!EXPECT(strstr(reading.said, "kkk...=\\x01") &&
                strstr(reading.said, "\\x01...: ignored, there is no such key, only ") &&
                strstr(reading.said, " and help\n")))
        expect_say("  said: %s\n", reading.said);
    EXPECT_EQ(lines_of(reading.said), 1);
}

static void entry_without_a_value_is_ignored(void)
{
    struct reading reading = read_options("stats");
    EXPECT(says_ignored(&reading, "stats", "") && lines_of(reading.said) == 1 && !reading.options.stats);
}

static void last_of_equal_keys_wins(void)
{
    EXPECT_EQ(options_of("cage=1G:cage=2G").cage_bytes, 2ul << 30);
    EXPECT(!options_of("stats=1:verbose=1:stats=0").stats);
    EXPECT_EQ(options_of("guards=off:guards=mprotect:guards=auto").guards, GUARD_AUTO);
    struct reading reading = read_options("cage=1G:cage=bad");
    EXPECT_EQ(reading.options.cage_bytes, 1ul << 30);
    EXPECT(says_ignored(&reading, "cage", "bad"));
}

static void bad_entry_leaves_its_neighbours(void)
{
    struct reading reading = read_options("cage=1G:nonsense=3:stats=1");
    EXPECT(reading.options.cage_bytes == 1ul << 30 && reading.options.stats);
    EXPECT(says_ignored(&reading, "nonsense", "3") && lines_of(reading.said) == 1);
    reading = read_options("verbose=1::stats=1:");
    EXPECT(reading.options.verbose && reading.options.stats);
    reading = read_options(":stats=1");
    EXPECT(reading.options.stats);
}

/* A text longer than Moat reads must not be taken as something that nobody wrote (cage=64G cut to cage=6), nor lose its end
 * without a word. */
static void long_text_is_not_read_by_half(void)
{
    static char text[4096];

    for (size_t zeros = 480; zeros < 520; zeros++) {
        snprintf(text, sizeof text, "cage=%0*d:cage=64G", (int)zeros, 0);
        struct reading reading = read_options(text);
        bool is_whole = reading.options.cage_bytes == 64ul << 30;
        bool is_refused = reading.options.cage_bytes == 0 && lines_of(reading.said) > 0;
        if (!EXPECT(is_whole || is_refused))
            expect_say("  %zu zeros: cage is %zu, said: %s\n", zeros, reading.options.cage_bytes, reading.said);
    }
}

static void lowered_protection_is_said_and_counted(void)
{
    static const char *const lowering[] = {"foreign=leak", "foreign=pass", "guards=off"};
    for (size_t i = 0; i < 3; i++) {
        bool lowers = i < 2 ? MOAT_IS_HARDENED : MOAT_WITH_GUARDS;
        struct reading reading = read_options(lowering[i]);
        EXPECT_EQ(reading.lowered, lowers ? 1 : 0);
        EXPECT_EQ(lines_of(reading.said), lowers ? 1 : 0);
        EXPECT(!lowers || strncmp(reading.said, "moat: option ", 13) == 0);
    }
    struct reading reading = read_options("foreign=enforce:guards=auto");
    EXPECT(reading.lowered == 0 && reading.said[0] == '\0');
}

static void help_names_every_key(void)
{
    static const char *const keys[] = {"foreign=", "cage=", "guards=", "report=", "verbose=", "stats="};
    struct options none = defaults();
    struct reading reading = read_options("help=1");
    EXPECT(options_are(&reading.options, &none));
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        EXPECT(strstr(reading.said, keys[i]) != NULL);
}

static void report_goes_where_it_was_asked_to_go(void)
{
    int ends[2];
    char text[64], said[SAID_BYTES];
    size_t length;

    EXPECT_EQ(pipe(ends), 0);
    snprintf(text, sizeof text, "report=%d:colour=red", ends[1]);
    struct reading reading = read_options(text);
    EXPECT_EQ(reading.options.report, ends[1]);
    EXPECT_EQ(reading.said[0], '\0');
    close(ends[1]);
    said[0] = '\0';
    EXPECT(death_read(ends[0], said, sizeof said, &length));
    EXPECT(strncmp(said, "moat: option colour=red: ignored", 32) == 0);
    close(ends[0]);
}

int main(void)
{
    without_the_variable_all_is_default();
    good_values_are_taken();
    bad_values_cost_one_line_each();
    sizes_take_units();
    sizes_that_do_not_fit_are_ignored();
    line_tells_a_wrong_key_from_a_wrong_value();
    orders_to_a_terminal_are_escaped();
    long_entries_are_shown_in_part();
    entry_without_a_value_is_ignored();
    last_of_equal_keys_wins();
    bad_entry_leaves_its_neighbours();
    long_text_is_not_read_by_half();
    lowered_protection_is_said_and_counted();
    help_names_every_key();
    report_goes_where_it_was_asked_to_go();
    return expect_done();
}
