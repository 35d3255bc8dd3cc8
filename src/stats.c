/* stats.c - counters, touched on cold paths only. */
#include "stats.h"

#include "base/atomic.h"
#include "base/config.h"
#include "report.h"

static uint64_t counters[STAT_COUNT];

static const char *const stat_words[STAT_COUNT] = {
    [STAT_GUARDS_PLACED] = "guards placed: ",
    [STAT_GUARDS_MISSING] = "guards missing: ",
    [STAT_SEALS_REFUSED] = "read-only page left writable: ",
    [STAT_RANDOM_WEAK] = "keys without the kernel's generator: ",
    [STAT_PURGES_REFUSED] = "purges refused: ",
    [STAT_FOREIGN_IGNORED] = "foreign pointers ignored: ",
    [STAT_FREED_INTO_LOST] = "frees into pages lost at a fork: ",
    [STAT_FORKS_UNSEEN] = "forks that cannot be seen: ",
    [STAT_ENDS_UNSEEN] = "threads whose end cannot be seen: ",
    [STAT_REUSED_EARLY] = "large addresses reused early: ",
    [STAT_BORROWED] = "blocks borrowed for want of addresses: ",
    [STAT_OPTIONS_LOWERED] = "options that lower a protection: ",
    [STAT_PAGES_OPENED] = "pages opened: ",
    [STAT_PAGES_RELEASED] = "pages released: ",
    [STAT_PAGES_ABANDONED] = "pages abandoned: ",
    [STAT_PAGES_CLAIMED] = "pages claimed: ",
    [STAT_PAGES_PURGED] = "pages purged: ",
    [STAT_CHUNKS_MOVED] = "chunks moved: ",
    [STAT_CHUNKS_RESTED] = "chunks given back: ",
    [STAT_MOVES_REFUSED] = "chunk moves refused: ",
    [STAT_LARGE_OPENED] = "large blocks opened: ",
    [STAT_HEAPS] = "thread heaps: ",
};

void stats_add(enum stat stat, uint64_t amount)
{
    atomic_add(&counters[stat], amount);
}

uint64_t stats_get(enum stat stat)
{
    return atomic_get(&counters[stat]);
}

void stats_print(void)
{
    report_line("stats: profile ", MOAT_PROFILE);
    report_line("stats: guard pages ", MOAT_WITH_GUARDS ? "on" : "off");
    report_line("stats: exact double-free and invalid-free detection ", MOAT_WITH_STATES ? "on" : "off");
    report_line("stats: addresses bound to a size class for life ", MOAT_WITH_ISOLATION ? "on" : "off");
    report_line("stats: encoded free-list links ", MOAT_WITH_ENCODED_LINKS ? "on" : "off");
    report_line("stats: random order of allocation ", MOAT_WITH_RANDOM_ORDER ? "on" : "off");
    for (enum stat stat = 0; stat < STAT_COUNT; stat++) {
        if (stats_get(stat) != 0) {
            char words[80] = "stats: ";
            __builtin_strncpy(words + 7, stat_words[stat], sizeof words - 8);
            report_number(words, stats_get(stat));
        }
    }
}
