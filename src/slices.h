/* slices.h - the frontier, where unused slices begin, and the pools of released ones.
 *
 * A slice is bound to its class the first time it is used, for ever. Slices are handed out upward; a class takes runs of
 * 1, 1, 2, 4 .. 16 slices out of shared chunks, from then on whole chunks of its own, so that a small process touches few
 * page tables and a large one has chunks of one class. Medium blocks take runs of just their size.
 *
 * A released slice waits in the pool of its class. It stays hot while the class has few of them; beyond that the oldest
 * are purged, at a bounded rate, since purging at once makes a program that changes phases 35 times slower.
 */
#ifndef MOAT_SLICES_H
#define MOAT_SLICES_H

#include "record.h"

/* A run for one page of `class`: one slice for a small class, `slices` of them for a medium one. Its memory is open and
 * its record says is_bound, is_dirty; blocks, states and owner are as released or zero. NULL when addresses or memory
 * run out. */
struct record *slices_take(unsigned class, uint32_t slices);
/* The page goes to the pool of its class; its owner word is OWNER_NONE by now. */
void slices_release(struct record *page);
/* Gives the memory of all waiting slices back. Answers true if there was any. */
bool slices_trim(void);

#endif
