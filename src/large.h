/* large.h - blocks above 1 MiB, each in an address range of its own (ranges.h), so with a guard on both sides in every build.
 *
 * Any access faults from the free on, and the addresses are used again only after others of their size; the memory moves
 * away (spare.h) or goes back. A table under one lock knows every block exactly.
 */
#ifndef MOAT_LARGE_H
#define MOAT_LARGE_H

#include "ranges.h"

/* `alignment` is a power of two, `ticket` that of a first-class heap or 0. *is_zeroed: in, all of it should
 * read zero; out, it does. NULL when addresses or memory run out. */
void *large_malloc(size_t bytes, size_t alignment, uint64_t ticket, bool *is_zeroed);
/* False: `block` lies in no range of Moat's. Dies if it lies in one but is not a live block's start. */
bool large_free(void *block, const char *function);
/* Bytes from `block` to its end in *usable. False and dying as large_free. */
bool large_usable(const void *block, const char *function, size_t *usable);
/* Makes a live large block `bytes` long (above MOAT_MEDIUM_MAX), moving pages and not bytes where it must move, and gives
 * it to the heap of *ticket unless that is NULL. NULL when there is no memory: the block is then as it was. */
void *large_resize(void *block, size_t bytes, const uint64_t *ticket);
/* All live blocks of a first-class heap: frees them; or one after another, for a place that begins as {0}: answers the
 * next one and its usable bytes, NULL after the last. */
void large_destroy(uint64_t ticket);
struct large_place {
    size_t bucket;
    uintptr_t block;
};
void *large_next(uint64_t ticket, struct large_place *place, size_t *usable);
/* True if the address lies in a live block. */
bool large_has(const void *address);
/* Live blocks and their bytes. */
void large_count(size_t *blocks, size_t *bytes);

#endif
