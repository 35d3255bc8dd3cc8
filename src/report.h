/* report.h - the one exit, and the lines that Moat writes.
 *
 * A violation writes one line and aborts, always. moat_die builds the line on its stack, takes no lock, allocates nothing
 * and never returns; the first thread that dies parks the others on their slow paths.
 */
#ifndef MOAT_REPORT_H
#define MOAT_REPORT_H

#include "base/compiler.h"

/* What is known of the block that a violation is about. */
enum detail { DETAIL_UNKNOWN, DETAIL_CLASS, DETAIL_BYTES };

enum kind {
    KIND_DOUBLE_FREE,
    KIND_INTERIOR_POINTER,
    KIND_NEVER_ALLOCATED,
    KIND_STALE_POINTER,
    KIND_FOREIGN_POINTER,
    KIND_WRONG_SIZE,
    KIND_WRONG_ALIGNMENT,
    KIND_CORRUPTED_FREE_LIST,
    KIND_CORRUPTED_REMOTE_LIST,
    KIND_CORRUPTED_PAGE,
    KIND_REENTERED,    /* a signal handler came in while its thread held a lock of the heap */
    KIND_FOREIGN_HEAP, /* the address is what the program handed in as a heap */
    KIND_OUT_OF_MEMORY /* operator new without a C++ library to throw */
};

/* `function` is the public function that was called, without parentheses. */
_Noreturn MOAT_COLD void moat_die(enum kind kind, const char *function, const void *address, enum detail detail,
                                  size_t bytes);

/* A line that is no violation: "moat: <words><text>\n", to the report descriptor. The text, unlike the words, may be anybody's:
 * of it everything but printable ASCII is shown as \xNN. */
MOAT_COLD void report_line(const char *words, const char *text);
MOAT_COLD void report_number(const char *words, uint64_t number);
/* "moat: option <key>=<value>: <more>", with as much of the key and the value as leaves room for the rest, shown so too. */
MOAT_COLD void report_option(const char *key, const char *value, const char *more);
/* A foreign pointer that the owner chose to leave alone: one line, nothing done. */
MOAT_COLD void report_ignored(const char *function, const void *address);

/* At start: remembers which file the report descriptor is, since it may be a database by the time of a report. */
void report_start(int descriptor);

/* In a fork's child: a thread that was about to end the parent is not here. */
void report_restart(void);

/* Slow paths call this: parks the caller for good when another thread is dying. */
void report_park_if_dying(void);

#endif
