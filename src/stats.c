/* stats.c - counters, touched on cold paths only. */
#include "stats.h"

#include "base/atomic.h"
#include "base/text.h"
#include "report.h"
#include "state.h"

void stats_add(enum stat stat, uint64_t amount)
{
    struct moat_state_counter *counter = &moat_shown.counter[stat];
    atomic_add(&counter->count, amount);
    if (counter->kind == MOAT_COUNTS_DEGRADED)
        atomic_add(&moat_shown.head.degraded, amount);
}

uint64_t stats_get(enum stat stat)
{
    return atomic_get(&moat_shown.counter[stat].count);
}

/* "stats: <words><more>", ready to be followed by a value. */
static const char *begin(struct text *text, const char *words, const char *more)
{
    text_start(text);
    text_add(text, "stats: ");
    text_add(text, words);
    text_add(text, more);
    text->line[text->used] = '\0'; /* there is room: one byte is kept for a newline */
    return text->line;
}

void stats_print(void)
{
    struct text text;

    report_line("stats: profile ", MOAT_PROFILE);
    for (enum state_protection protection = 0; protection < STATE_PROTECTIONS; protection++)
        report_line(begin(&text, moat_shown.protection[protection].words, " "),
                    state_has(protection) && !state_is_passive() ? "on" : "off");
    for (enum stat stat = 0; stat < STAT_COUNT; stat++) {
        if (stats_get(stat) != 0)
            report_number(begin(&text, moat_shown.counter[stat].name, ": "), stats_get(stat));
    }
}
