/* Seccomp filters that a test puts on itself: what services, sandboxes and old kernels refuse.
 *
 * A filter has a name. Whole sandboxes:
 *     eight       the eight system calls that Moat may make after its start, and what ends a process; anything else is a
 *                 SIGSYS (filter_watch tells which)
 *     eight+threads, eight+fork   the same and what the C library needs to end a thread, and to fork and wait
 *     eight+line  the same and what a report asks before its line is out; anything else kills
 *     old_advice  kills for the advice of Linux 6.13, guards
 *     openssh, tor, renderer   shaped like the filters of sshd's child before the login, of tor, and of a browser's renderer
 * One refusal, WHAT:ERRNO, as in guard_install:EPERM; the names stand in filter.c. all:ERRNO is every refusal together.
 * Everything else passes then.
 */
#ifndef TEST_HOST_FILTER_H
#define TEST_HOST_FILTER_H

#include <stdbool.h>

/* Puts the filter on all threads of the process, for good. False, with a line on standard output, if there is no such
 * filter or the kernel refuses. */
bool filter_install(const char *name);

/* A call that `eight` does not allow writes a line and ends the process with this status. */
enum { FILTER_BROKEN = 33 };
void filter_watch(void);

/* From now on the process ends: Moat may ask what file its lines go to (fstat), and is told nothing. */
void filter_process_ends(void);

#endif
