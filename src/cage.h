/* cage.h - the one reservation: where it lies, how big it is, and the tables beside it.
 *
 *     guard | metadata | guard | records | guard | states | guard || slack | slices ... | area of large blocks
 *
 * Everything is reserved inaccessible and opened upward as it is needed. The first slice lies at a random chunk of the
 * slack, so the base is drawn twice: by the kernel and by us. Nothing of the allocator's lies in memory it hands out.
 */
#ifndef MOAT_CAGE_H
#define MOAT_CAGE_H

#include "record.h"

/* Reserves the cage, as large as `wish` (0: the most that the ladder gives; less in an emulator), and fills in moat_fixed,
 * which must be open. Answers false when not even the smallest fits. */
bool cage_start(size_t wish, bool is_emulated);

/* Gives the reservation up again: the start failed. */
void cage_abandon(void);

/* Memory for the allocator itself: zeroed, page aligned, followed by a guard page, never given back. NULL if none. */
void *meta_allocate(size_t bytes);
/* Three quarters of that memory's addresses are used: the rest is for what cannot be refused without harm. */
bool meta_is_scarce(void);

/* Makes the records and states of slices below `end` usable. LOCK_SLICES is held. */
bool cage_open_tables(size_t end);

MOAT_INLINE bool cage_has_large_area(void)
{
    return moat_fixed.is.cage_bytes > moat_fixed.is.slice_count << MOAT_SLICE_BITS;
}

#endif
