/* slices.h - the frontier, where unused slices begin, and the pools of released ones.
 *
 * A slice is bound to its class the first time it is used, for ever. Slices are handed out upward; a class takes runs of
 * 1, 1, 2, 4 .. 16 slices out of shared chunks, from then on whole chunks of its own, so that a small process touches few
 * page tables and a large one has chunks of one class. Medium blocks take runs of just their size.
 *
 * A released page waits in the pool of its class. It stays hot while all pools have little and it is young; beyond
 * that the oldest of the largest pool are purged, at a bounded rate, since purging at once makes a program that changes
 * phases 35 times slower. Where addresses are not bound a medium block may take a slightly larger one's. A chunk of one class all of whose slices are released leaves the pool as a whole (chunks.h).
 */
#ifndef MOAT_SLICES_H
#define MOAT_SLICES_H

#include "record.h"

/* A run for one page of `class`: one slice for a small class, `slices` of them for a medium one. Its memory is usable;
 * what its record says of blocks is from an earlier use, or zero. NULL when addresses or memory run out. */
struct record *slices_take(unsigned class, uint32_t slices);
/* The page goes to the pool of its class; its owner word is OWNER_NONE by now, or OWNER_MEDIUM with its state free. */
void slices_release(struct record *page);
/* Purges what has been idle for long, a bounded part at each call. Called now and then by the slow paths. */
void slices_tick(void);
/* Atomic: the last tick left some, so the next one should not be far. */
extern uint32_t slices_wait;
/* Gives the memory of all waiting slices back. Answers true if there was any. */
bool slices_trim(void);
/* Before a fork: memory that is kept for speed alone would cost copies. */
void slices_before_fork(void);

#endif
