/* medium.h - blocks of 16 KiB to 1 MiB: whole OS pages, each in a run of slices of its own.
 *
 * No thread owns a medium block: its record says what was handed out, its state changes by compare-and-swap, and whoever
 * frees it keeps it for its own next request or gives it to all. So there is no remote list and nothing to abandon.
 * In a build with guards a block ends at its guard (16-byte steps) until a realloc makes it grow: then it begins at the
 * start of its run for good, with a quarter of room, so that a loop of small steps does not copy each time.
 */
#ifndef MOAT_MEDIUM_H
#define MOAT_MEDIUM_H

#include "heap.h"

/* `bytes` up to MOAT_MEDIUM_MAX, `alignment` a power of two up to a slice. *is_zeroed says that all of it reads zero. */
void *medium_malloc(struct heap *heap, size_t bytes, size_t alignment, bool *is_zeroed);
/* For a block that grows: room for a quarter more, at the start of its run. */
void *medium_malloc_growing(struct heap *heap, size_t bytes);
/* `page` is the run's first record; `heap` may be NULL. Dies if `block` is not what was handed out. */
void medium_free(struct heap *heap, struct record *page, void *block, const char *function);
/* The block belongs to a first-class heap of the calling thread from now on. Dies as medium_free does. */
void medium_adopt(struct heap *heap, struct record *page, const void *block, const char *function);
/* All blocks of a first-class heap of the calling thread: frees them; or one after another, for a place that begins as 0:
 * answers the next one and its usable bytes, NULL after the last. */
void medium_destroy(struct heap *heap);
void *medium_next(const struct heap *heap, uint32_t *place, size_t *usable);
/* Bytes from `block` to the end of its run. Dies as medium_free does. */
size_t medium_usable(const struct record *page, const void *block, const char *function);
/* The record of the run that `page`, of a medium block's slice, belongs to. */
struct record *medium_head(struct record *page);
/* A thread ends, or memory is asked back: gives what the heap keeps to all, or back. True if it kept any. */
bool medium_flush(struct heap *heap);

#endif
