/* lock.h - the locks of the cold paths.
 *
 * A thread takes them in rising rank only, so they cannot deadlock, and fork takes all of them. No lock is held over a
 * call into the program. The child of a raw clone or _Fork may find one held by a thread that it does not have: it then
 * sets all locks free (lock_reset), which is why every structure under a lock is changed by one last store.
 */
#ifndef MOAT_OS_LOCK_H
#define MOAT_OS_LOCK_H

#include "base/compiler.h"

enum lock_rank {
    LOCK_LATE,    /* the heap of threads that have torn theirs down */
    LOCK_INIT,    /* the start of the heap */
    LOCK_HEAPS,   /* the pool of thread heaps */
    LOCK_ORPHANS, /* pages whose thread has ended */
    LOCK_MEDIUM,  /* free medium blocks */
    LOCK_LARGE,   /* the table of large blocks */
    LOCK_SLICES,  /* the frontier and released slices */
    LOCK_META,    /* the allocator's own memory */
    LOCK_RANDOM,  /* the process-wide generator */
    LOCK_FIXED,   /* the read-only page while it is open */
    LOCK_RANKS
};

void lock_take(enum lock_rank rank);
void lock_drop(enum lock_rank rank);
/* For fork alone: all of them, in order. Until it drops them the thread passes every lock, since a handler of the program
 * that runs between may allocate. lock_reset_all is a child's fresh start. */
void lock_take_all(void);
void lock_drop_all(void);
void lock_reset_all(void);

#endif
