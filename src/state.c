/* state.c - see state.h. A protection or a count is added by one line here and one in its enum. */
#include "state.h"

#include "base/atomic.h"

#include <string.h>

#define TEXT_OF(number) #number
#define TEXT(number) TEXT_OF(number)
#define PROTECTION(name, words_of_it)                   \
    {                                                   \
        .option = "SECURE_" #name, .words = words_of_it \
    }
#define BIT(protection, is_on) ((uint64_t)(is_on) << (protection))
#define WORK(words)                             \
    {                                           \
        .kind = MOAT_COUNTS_WORK, .name = words \
    }
#define DEGRADED(words)                             \
    {                                               \
        .kind = MOAT_COUNTS_DEGRADED, .name = words \
    }
#define TROUBLE(words)                             \
    {                                              \
        .kind = MOAT_COUNTS_TROUBLE, .name = words \
    }

MOAT_ALIGNED(MOAT_CACHE_LINE)
struct state moat_shown = {
    .head =
        {
            .magic = {'M', 'O', 'A', 'T', 'S', 'T', 'A', 'T'},
            .layout = MOAT_STATE_LAYOUT,
            .bytes = sizeof moat_shown,
            .version = TEXT(MOAT_VERSION_MAJOR) "." TEXT(MOAT_VERSION_MINOR) "." TEXT(MOAT_VERSION_PATCH),
            .profile = MOAT_PROFILE,
            .mode = MOAT_STATE_ASLEEP,
            .protections = BIT(STATE_GUARD_PAGES, MOAT_WITH_GUARDS) | BIT(STATE_DOUBLE_FREE, MOAT_WITH_STATES) |
                           BIT(STATE_ISOLATION, MOAT_WITH_ISOLATION) |
                           BIT(STATE_ENCODED_LINKS, MOAT_WITH_ENCODED_LINKS) |
                           BIT(STATE_RANDOM_ORDER, MOAT_WITH_RANDOM_ORDER),
            .protections_at = offsetof(struct state, protection),
            .protections_count = STATE_PROTECTIONS,
            .protection_bytes = sizeof(struct moat_state_protection),
            .counters_at = offsetof(struct state, counter),
            .counters_count = STAT_COUNT,
            .counter_bytes = sizeof(struct moat_state_counter),
        },
    .protection =
        {
            [STATE_GUARD_PAGES] = PROTECTION(GUARD_PAGES, "guard pages"),
            [STATE_DOUBLE_FREE] = PROTECTION(DOUBLE_FREE, "exact double-free and invalid-free detection"),
            [STATE_ISOLATION] = PROTECTION(ISOLATION, "addresses bound to a size class for life"),
            [STATE_ENCODED_LINKS] = PROTECTION(ENCODED_LINKS, "encoded free-list links"),
            [STATE_RANDOM_ORDER] = PROTECTION(RANDOM_ORDER, "random order of allocation"),
        },
    .counter =
        {
            [STAT_GUARDS_PLACED] = WORK("guards placed"),
            [STAT_GUARDS_MISSING] = DEGRADED("guards missing"),
            [STAT_SEALS_REFUSED] = DEGRADED("read-only page left writable"),
            [STAT_RANDOM_WEAK] = DEGRADED("keys without the kernel's generator"),
            [STAT_PURGES_REFUSED] = DEGRADED("purges refused"),
            [STAT_FOREIGN_IGNORED] = DEGRADED("foreign pointers ignored"),
            [STAT_FOREIGN_PASSED] = DEGRADED("foreign pointers passed on"),
            [STAT_FREED_INTO_LOST] = TROUBLE("frees into pages lost at a fork"),
            [STAT_FORKS_UNSEEN] = DEGRADED("forks that cannot be seen"),
            [STAT_ENDS_UNSEEN] = TROUBLE("threads whose end cannot be seen"),
            [STAT_REUSED_EARLY] = DEGRADED("large addresses reused early"),
            [STAT_BORROWED] = DEGRADED("blocks borrowed for want of addresses"),
            [STAT_OPTIONS_LOWERED] = DEGRADED("options that lower a protection"),
            [STAT_OTHER_OPERATORS] = DEGRADED("C++ operators of the program's own"),
            [STAT_PASSIVE] = DEGRADED("passive, another malloc comes first"),
            [STAT_PAGES_OPENED] = WORK("pages opened"),
            [STAT_PAGES_RELEASED] = WORK("pages released"),
            [STAT_PAGES_ABANDONED] = WORK("pages abandoned"),
            [STAT_PAGES_CLAIMED] = WORK("pages claimed"),
            [STAT_PAGES_PURGED] = WORK("pages purged"),
            [STAT_CHUNKS_MOVED] = WORK("chunks moved"),
            [STAT_CHUNKS_RESTED] = WORK("chunks given back"),
            [STAT_MOVES_REFUSED] = TROUBLE("chunk moves refused"),
            [STAT_LARGE_OPENED] = WORK("large blocks opened"),
            [STAT_HEAPS] = WORK("heaps made"),
        },
};

/* The public name of the same object. */
extern MOAT_EXPORT struct state moat_state __attribute__((alias("moat_shown")));

MOAT_STATIC_ASSERT(sizeof MOAT_STATE_MAGIC == sizeof moat_shown.head.magic + 1, "the magic is the one of the header");
MOAT_STATIC_ASSERT(sizeof(struct moat_state_counter) == MOAT_CACHE_LINE, "counts share no line");
MOAT_STATIC_ASSERT(sizeof(struct state) <= MOAT_OS_PAGE - 512, "with the rest of the library's data it is one OS page");

void state_start(uintptr_t cage_base, size_t cage_bytes)
{
    atomic_set(&moat_shown.head.cage_base, cage_base);
    atomic_set(&moat_shown.head.cage_bytes, cage_bytes);
    atomic_set_release(&moat_shown.head.mode, (uint32_t)MOAT_STATE_ACTIVE);
}

void state_passive(void)
{
    atomic_set_release(&moat_shown.head.mode, (uint32_t)MOAT_STATE_PASSIVE);
}

void state_forked(void)
{
    atomic_add(&moat_shown.head.forks, 1);
}

/* Several threads may die at once; the last writer stays, its text cut at the end of the field. */
void state_keep_last_words(const char *line, size_t bytes)
{
    char *words = moat_shown.head.last_words;
    size_t kept = bytes - 1 < sizeof moat_shown.head.last_words ? bytes - 1 : sizeof moat_shown.head.last_words - 1;
    memcpy(words, line, kept);
    words[kept] = '\0';
}
