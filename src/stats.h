/* stats.h - what is counted: the degraded protections first, since they must never be lost silently. */
#ifndef MOAT_STATS_H
#define MOAT_STATS_H

#include "base/compiler.h"

enum stat {
    STAT_GUARDS_PLACED,   /* guard pages that stand or stood */
    STAT_GUARDS_MISSING,  /* places where none could be put */
    STAT_SEALS_REFUSED,   /* times the read-only page stayed writable */
    STAT_RANDOM_WEAK,     /* keys made without the kernel's generator */
    STAT_PURGES_REFUSED,  /* ranges whose memory could not be given back */
    STAT_FOREIGN_IGNORED, /* foreign pointers left alone */
    STAT_FOREIGN_PASSED,  /* foreign pointers handed to the C library */
    STAT_FREED_INTO_LOST, /* frees into pages whose thread a fork left behind */
    STAT_FORKS_UNSEEN,    /* children of _Fork and clone are not recognised: the kernel wipes nothing */
    STAT_ENDS_UNSEEN,     /* threads whose end will not be noticed: their pages stay theirs */
    STAT_REUSED_EARLY,    /* large addresses used again before their rest was over */
    STAT_BORROWED,        /* blocks from another class's pages or a mapping, for want of addresses */
    STAT_OPTIONS_LOWERED, /* options that lowered a protection */
    STAT_OTHER_OPERATORS, /* the sizes of C++ deletes are not checked: the program replaces these operators */
    STAT_PASSIVE,         /* another malloc comes first */
    STAT_PAGES_OPENED,
    STAT_PAGES_RELEASED,
    STAT_PAGES_ABANDONED,
    STAT_PAGES_CLAIMED,
    STAT_PAGES_PURGED,
    STAT_CHUNKS_MOVED,  /* emptied chunks whose memory went to another address */
    STAT_CHUNKS_RESTED, /* emptied chunks whose memory went back */
    STAT_MOVES_REFUSED, /* of the latter, those that should have moved */
    STAT_LARGE_OPENED,
    STAT_HEAPS, /* heaps made, of threads and first-class; one that has ended is used again and not counted */
    STAT_COUNT
};

void stats_add(enum stat stat, uint64_t amount);
uint64_t stats_get(enum stat stat);
/* Writes every count that is not 0, and the protections of the build, to the report descriptor. */
void stats_print(void);

#endif
