/* chunks.h - whole chunks of one class whose blocks are all gone: their memory moves, their addresses rest.
 *
 * An emptied chunk keeps its memory in a stock for all classes. When a class grows it takes the youngest chunk's memory at
 * an address of its own (mremap moves a chunk by its page table: 16 us, where giving it back and touching it again costs
 * 1,300), and the old address rests, inaccessible. What nobody took within MOAT_STOCK_MS goes back to the system.
 * A resting address serves its class again, from the older half of at least REST_CHUNKS, drawn at random.
 *
 * Rules, each from a failure seen: the target is opened before the move, and the source stays mapped (os_move); never in
 * locked memory, which a move unlocks as a whole; the stock is dropped at fork, since its pages would cost a copy each;
 * every slice is cleared again when it is opened, since a stale write travels along; the moved chunks that stand are
 * bounded, since each is a mapping. Where a step is refused the memory is given back instead, and counted.
 */
#ifndef MOAT_CHUNKS_H
#define MOAT_CHUNKS_H

#include "record.h"

enum { MOAT_STOCK_MS = 500 };

/* All of LOCK_SLICES' holder. */

/* A chunk of the class for use: its first slice, 0 if there is none. `fresh` is an unused chunk of the frontier, 0 if
 * that is used up; *took_fresh tells if it was taken. */
uint32_t chunks_take(unsigned class, uint32_t fresh, bool *took_fresh);
/* All slices of the chunk are released, and on no list. */
void chunks_emptied(uint32_t first, uint32_t now_ms);
/* What stands in the lists cannot be trusted: it stays unused. */
void chunks_forget(void);
/* Gives stock back that is older than MOAT_STOCK_MS, or all; at most `most` chunks. Answers how many. */
unsigned chunks_give_back(uint32_t now_ms, bool all, unsigned most);

#endif
