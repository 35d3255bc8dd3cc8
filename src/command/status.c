/* status.c - see status.h: what moat_state says, for people and as JSON. */
#include "status.h"

#include "process.h"
#include "say.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "usage: moat status [--json] PID\n"
    "\n"
    "Says whether process PID runs on Moat, which protections it has, and which of them are not as they should be.\n"
    "\n"
    "  --json        the same for programs\n"
    "  -h, --help    this text\n"
    "\n"
    "Exit status 0: it runs on Moat. 1: it does not. 2: that cannot be said, and a line says why.\n";

static const struct {
    const char *word, *sentence;
} reasons[] = {
    [PROCESS_HAS_MOAT] = {"", ""},
    [PROCESS_OTHER_LAYOUT] = {"", ""},
    [PROCESS_HAS_NO_MEMORY] = {"no-memory", "it is a kernel thread, or has ended"},
    [PROCESS_IS_STATIC] = {"static",
                           "its program is statically linked, so nothing was preloaded, and its file shows no moat.o"},
    [PROCESS_IS_FOREIGN] = {"foreign", "its program is not for 64-bit x86"},
    [PROCESS_DROPPED] = {"dropped",
                         "LD_PRELOAD names Moat, and the loader did not load it: the program is privileged, or the "
                         "library was not where LD_PRELOAD says"},
    [PROCESS_WITHOUT] = {"not-preloaded", "it was started without"},
};

static const char *const kind_words[] = {
    [MOAT_COUNTS_WORK] = "count", [MOAT_COUNTS_DEGRADED] = "degraded", [MOAT_COUNTS_TROUBLE] = "trouble"};

static const char *mode_word(uint32_t mode)
{
    static const char *const words[] = {
        [MOAT_STATE_ASLEEP] = "asleep", [MOAT_STATE_ACTIVE] = "active", [MOAT_STATE_PASSIVE] = "passive"};
    return mode < sizeof words / sizeof *words ? words[mode] : "unknown";
}

static const char *mode_sentence(uint32_t mode)
{
    static const char *const sentences[] = {
        [MOAT_STATE_ASLEEP] = "nobody has asked it for memory yet",
        [MOAT_STATE_ACTIVE] = "it is the heap of this process",
        [MOAT_STATE_PASSIVE] = "the program's own malloc answers, and nothing is protected",
    };
    return mode < sizeof sentences / sizeof *sentences ? sentences[mode] : "of a newer version";
}

static bool is_on(const struct process *process, unsigned protection)
{
    return (process->state.head.protections >> protection & 1) != 0;
}

/* ---- for people: every line begins with what it is about ---- */

static void print_counters(const struct process *process, uint32_t kind)
{
    for (unsigned i = 0; i < process->state.head.counters_count; i++) {
        const struct moat_state_counter *counter = process_counter(process, i);
        if (counter->kind == kind && counter->count != 0)
            printf("%-11s %s: %" PRIu64 "\n", kind_words[kind], counter->name, counter->count);
    }
}

static void print_state(const struct process *process)
{
    const struct moat_state *state = &process->state.head;

    printf("%-11s %ld (%s)\n", "process", process->id, process->command);
    printf("%-11s %s, profile %s\n", "moat", state->version, state->profile);
    printf("%-11s %s%s\n", "library", process->library,
           process->is_replaced ? " (deleted or replaced since: a restart takes the new one)" : "");
    if (process->others > 0)
        printf("%-11s %u more files of this process hold a heap of Moat's\n", "trouble", process->others);
    printf("%-11s %s: %s\n", "mode", mode_word(state->mode), mode_sentence(state->mode));
    for (unsigned i = 0; i < state->protections_count; i++) {
        const struct moat_state_protection *protection = process_protection(process, i);
        printf("%-11s %-3s %s (%s)\n", "protection", is_on(process, i) ? "on" : "off", protection->words,
               protection->option);
    }
    printf("%-11s %" PRIu64 " MiB at 0x%" PRIx64 "\n", "cage", state->cage_bytes >> 20, state->cage_base);
    printf("%-11s %" PRIu32 " since the library was loaded\n", "forks", state->forks);
    if (*state->last_words)
        printf("%-11s %s\n", "last words", state->last_words);
    if (state->degraded == 0)
        printf("%-11s nothing\n", kind_words[MOAT_COUNTS_DEGRADED]);
    print_counters(process, MOAT_COUNTS_DEGRADED);
    print_counters(process, MOAT_COUNTS_TROUBLE);
    print_counters(process, MOAT_COUNTS_WORK);
}

/* ---- as JSON: an object on one line ---- */

/* The texts are plain: only two characters are left to mask. */
static void json_text(const char *text)
{
    putchar('"');
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            putchar('\\');
        putchar(*text);
    }
    putchar('"');
}

static void json_field(const char *name, const char *text)
{
    printf(",\"%s\":", name);
    json_text(text);
}

static void json_begin(const struct process *process, bool has_moat)
{
    printf("{\"pid\":%ld", process->id);
    json_field("command", process->command);
    printf(",\"moat\":%s", has_moat ? "true" : "false");
}

static void json_counters(const struct process *process, const char *name, bool only_degraded)
{
    const char *comma = "";

    printf(",\"%s\":{", name);
    for (unsigned i = 0; i < process->state.head.counters_count; i++) {
        const struct moat_state_counter *counter = process_counter(process, i);
        if (only_degraded && (counter->kind != MOAT_COUNTS_DEGRADED || counter->count == 0))
            continue;
        printf("%s", comma);
        json_text(counter->name);
        printf(":%" PRIu64, counter->count);
        comma = ",";
    }
    putchar('}');
}

static void json_state(const struct process *process)
{
    const struct moat_state *state = &process->state.head;

    json_begin(process, true);
    json_field("library", process->library);
    printf(",\"library_replaced\":%s,\"other_heaps\":%u", process->is_replaced ? "true" : "false", process->others);
    json_field("version", state->version);
    json_field("profile", state->profile);
    json_field("mode", mode_word(state->mode));
    printf(",\"forks\":%" PRIu32 ",\"cage_base\":\"0x%" PRIx64 "\",\"cage_bytes\":%" PRIu64, state->forks,
           state->cage_base, state->cage_bytes);
    json_field("last_words", state->last_words);
    printf(",\"protections\":{");
    for (unsigned i = 0; i < state->protections_count; i++) {
        printf("%s", i ? "," : "");
        json_text(process_protection(process, i)->option);
        printf(":%s", is_on(process, i) ? "true" : "false");
    }
    printf("},\"degraded\":%" PRIu64, state->degraded);
    json_counters(process, "degraded_by", true);
    json_counters(process, "counters", false);
    puts("}");
}

static void print_without(const struct process *process, enum process_finding finding, bool as_json)
{
    if (as_json) {
        json_begin(process, false);
        json_field("reason", reasons[finding].word);
        puts("}");
    } else {
        printf("process %ld (%s) does not run on Moat: %s\n", process->id, process->command, reasons[finding].sentence);
    }
}

/* ---- command line ---- */

static long read_id(const char *text)
{
    char *end;
    errno = 0;
    long id = strtol(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || errno != 0 || id <= 0 || id > INT32_MAX)
        say_refusal("status wants the number of a process, and got \"%s\"", text);
    return id;
}

static long read_arguments(char **argument, bool *as_json)
{
    const char *id = NULL;

    for (; *argument; argument++) {
        if (strcmp(*argument, "--json") == 0) {
            *as_json = true;
        } else if (strcmp(*argument, "-h") == 0 || strcmp(*argument, "--help") == 0) {
            fputs(help, stdout);
            say_output_is_done();
            exit(0);
        } else if (**argument == '-') {
            say_refusal("status has no option %s (known: --json, --help)", *argument);
        } else if (id) {
            say_refusal("status wants one process, and got \"%s\" and \"%s\"", id, *argument);
        } else {
            id = *argument;
        }
    }
    if (!id)
        say_refusal("status wants the number of a process (moat status --help)");
    return read_id(id);
}

int status_command(char **arguments)
{
    static struct process process;
    bool as_json = false;

    process_open(&process, read_arguments(arguments, &as_json));
    enum process_finding finding = process_find_state(&process);
    if (finding == PROCESS_OTHER_LAYOUT)
        say_refusal("process %ld (%s) runs on Moat %s, whose state this command is too old or too new to read",
                    process.id, process.command, process.state.head.version);
    if (finding != PROCESS_HAS_MOAT)
        print_without(&process, finding, as_json);
    else if (as_json)
        json_state(&process);
    else
        print_state(&process);
    say_output_is_done();
    return finding == PROCESS_HAS_MOAT ? EXIT_MOAT : EXIT_NO_MOAT;
}
