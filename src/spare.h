/* spare.h - memory of freed large blocks, kept for the next ones.
 *
 * Giving 16 MiB back and touching them again costs 4,096 page faults, 8 ms; keeping them costs memory. So what a large
 * block leaves is kept for half a second, up to SPARE_BYTES. It moves at once to addresses that nobody knows (mremap, by
 * page-table entries: some 16 us), so the block's own fault from its free on and rest; for a block of another size it
 * moves once more.
 *
 * What is spare is not cleared: a block that must read zero takes fresh memory.
 */
#ifndef MOAT_SPARE_H
#define MOAT_SPARE_H

#include "ranges.h"

/* The range of a freed block. LOCK_LARGE is held, and dropped while memory moves. False: there is enough, or it may not
 * move; nothing has changed. */
bool spare_keep(struct large *large);
/* A range of `bytes`, `opened` of them open, with spare memory that is not cleared; NULL when none fits. LOCK_LARGE is
 * held. */
struct large *spare_take(size_t bytes, size_t opened);
/* Gives back what nobody took for half a second. Called now and then by the slow paths, without the lock. */
void spare_tick(void);
/* Gives all of it back. Answers true if there was any. */
bool spare_trim(void);
/* A fork left the list half changed. */
void spare_forget(void);

#endif
