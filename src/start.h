/* start.h - the start of the heap, once a process; fork; the end of the process. */
#ifndef MOAT_START_H
#define MOAT_START_H

#include "base/compiler.h"

/* Starts Moat if nobody has. Answers false in a passive process, and when not even the smallest cage can be had; then the
 * next call tries again. */
bool moat_start(void);
/* True in a process that shares nothing with its parent and has not been set right yet: after fork, _Fork, raw clone. */
bool fork_is_new_child(void);
/* Sets the child right: locks, randomness, heaps of threads that it does not have. */
void fork_settle_child(void);
/* The same, for the handler of fork, which knows where it is. */
void fork_enter_child(void);
/* The calling thread has a heap: its end must be noticed. */
void thread_expect_end(void);

#endif
