/* process.h - a running process as /proc shows it, and the state of Moat in it.
 *
 * The state is read from the process's memory (/proc/PID/mem), and so is the table of symbols that leads to it: the file
 * of the library may have been replaced since, or lie in another mount namespace. The process may be hostile: nothing
 * that it says is believed beyond its bounds, and no more of it is read than a budget allows (reads.h).
 */
#ifndef MOAT_COMMAND_PROCESS_H
#define MOAT_COMMAND_PROCESS_H

#include "moat_state.h"

#include <limits.h>
#include <stdbool.h>

enum { PROCESS_STATE_BYTES = 64 << 10 };

struct process {
    long id;
    int folder;        /* /proc/PID, so that all files are of one process */
    int memory;        /* /proc/PID/mem; -1: it has none */
    char command[128]; /* plain (say.h), as `library` */
    char library[4 * PATH_MAX];
    bool is_replaced; /* the library's file was deleted or replaced since */
    unsigned others;  /* further files of the process that hold a state */
    /* A copy: of it `bytes` were there, and the tables lie within. */
    union {
        struct moat_state head;
        char bytes[PROCESS_STATE_BYTES];
    } state;
};

enum process_finding {
    PROCESS_HAS_MOAT,
    PROCESS_OTHER_LAYOUT,  /* it has, and this command cannot read it */
    PROCESS_HAS_NO_MEMORY, /* a kernel thread, or a process that has ended */
    PROCESS_IS_STATIC,
    PROCESS_IS_FOREIGN, /* not for 64-bit x86 */
    PROCESS_DROPPED,    /* its environment names the library, and the loader did not load it */
    PROCESS_WITHOUT,
};

/* Ends the command with a line when there is no such process, or it may not be looked at. */
void process_open(struct process *process, long id);
/* Ends the command with a line when looking would take too much reading. */
enum process_finding process_find_state(struct process *process);

/* Entry `index` of a table of the state. The texts in them end, and are clean for a terminal. */
const struct moat_state_protection *process_protection(const struct process *process, unsigned index);
const struct moat_state_counter *process_counter(const struct process *process, unsigned index);

#endif
