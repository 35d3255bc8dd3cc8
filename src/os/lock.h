/* lock.h - the locks of the cold paths.
 *
 * A thread takes them in rising rank only, so they cannot deadlock. None is held over a call into the program, and none
 * over fork: handlers of the program and the C library run between its beginning and its end, and may wait for a thread
 * that allocates.
 *
 * So the child of a fork, by whatever call, may find one held by a thread that it does not have. The kernel wipes a word there
 * (lock_watch_fork); whoever takes a lock first sets all free, and each lock that was held then says so, once, to its next
 * holder, who must not trust what lies under it.
 */
#ifndef MOAT_OS_LOCK_H
#define MOAT_OS_LOCK_H

#include "base/compiler.h"

enum lock_rank {
    LOCK_LATE,    /* the heap of threads that have torn theirs down */
    LOCK_INIT,    /* the start of the heap */
    LOCK_HEAPS,   /* the pool of thread heaps */
    LOCK_ORPHANS, /* pages whose thread has ended */
    LOCK_LARGE,   /* the table of large blocks */
    LOCK_SLICES,  /* the frontier and released slices */
    LOCK_META,    /* the allocator's own memory */
    LOCK_RANDOM,  /* the process-wide generator */
    LOCK_FIXED,   /* the read-only page while it is open */
    LOCK_RANKS
};

/* Answers true if what lies under the lock may have been left half changed: the caller, who holds it, starts that afresh. */
bool lock_take(enum lock_rank rank);
void lock_drop(enum lock_rank rank);
/* The calling thread holds one, or sets all free: this is a signal handler that interrupted the heap. Exact at each
 * instruction: where it answers true, taking that lock ends in lock_reentered; where it does not, no lock waits for the caller. */
bool lock_is_inside(void);
/* The thread holds that lock already. In report.c. */
_Noreturn MOAT_COLD void lock_reentered(void);
/* The 8 bytes at `mark`, aligned, read 0 in a child of fork, by whatever means; lock.c alone writes them from now on. */
void lock_watch_fork(void *mark);
/* For fork's own handler in the child: what taking a lock there would do, also where the kernel wipes nothing. */
void lock_enter_child(void);

#endif
