/* state.h - the object that outside readers find under the symbol moat_state (include/moat_state.h), as Moat writes it.
 *
 * It lies in the library's data, in the page that a start writes anyway, and is written on cold paths only. The names
 * stand beside the counts, so that a reader of another version needs no table of its own.
 */
#ifndef MOAT_STATE_OF_PROCESS_H
#define MOAT_STATE_OF_PROCESS_H

#include "base/config.h"
#include "base/compiler.h"
#include "moat_state.h"
#include "stats.h"

enum state_protection {
    STATE_GUARD_PAGES,
    STATE_DOUBLE_FREE,
    STATE_ISOLATION,
    STATE_ENCODED_LINKS,
    STATE_RANDOM_ORDER,
    STATE_PROTECTIONS,
};

struct state {
    struct moat_state head;
    struct moat_state_protection protection[STATE_PROTECTIONS];
    MOAT_ALIGNED(MOAT_CACHE_LINE) struct moat_state_counter counter[STAT_COUNT];
};

/* Inside the library under a hidden name: the public one may be taken by a program. */
extern struct state moat_shown;

MOAT_INLINE bool state_has(enum state_protection protection)
{
    return (moat_shown.head.protections >> protection & 1) != 0;
}

MOAT_INLINE bool state_is_passive(void)
{
    return moat_shown.head.mode == MOAT_STATE_PASSIVE;
}

/* Another malloc answers in this process. */
void state_passive(void);
/* The heap has started. */
void state_start(uintptr_t cage_base, size_t cage_bytes);
/* This process is a settled child. */
void state_forked(void);
/* Keeps the line of a violation for core dumps: `bytes` of text with its newline. */
void state_keep_last_words(const char *line, size_t bytes);

#endif
