/* ranges.h - address ranges for large blocks, and the table that knows each of them.
 *
 * A range is whole chunks in the cage's upper half, of which the last OS page at least is never opened. Sizes are rounded
 * like size classes (eight to a doubling), so a range that has rested fits every later one of its bin. The bins are queues:
 * one of the CHOICE ranges that have rested longest is used, and not before REST_RANGES others rest behind all of these.
 * That bound is a count for each size, so a few huge blocks that nobody touched cannot flush the queue of another size.
 * Where the cage has no such area, or it is full, a range is a mapping of its own.
 *
 * Everything here is under LOCK_LARGE, which ranges_lock takes.
 */
#ifndef MOAT_RANGES_H
#define MOAT_RANGES_H

#include "base/bits.h"
#include "base/compiler.h"
#include "base/config.h"

enum large_state {
    LARGE_UNUSED,
    LARGE_LIVE,
    LARGE_RESTING, /* freed: its addresses wait, or another thread is about to lay them away */
    LARGE_SPARE,   /* open, its memory waits for the next block (spare.h), its addresses for their first */
};

struct large {
    uintptr_t user; /* what malloc returned; 0 for a range that no block has had since it last rested */
    char *start;    /* first byte of the range */
    size_t opened;  /* usable bytes from start, whole OS pages */
    size_t seam;    /* where memory that moved here ends and other begins: two mappings; 0 for none */
    size_t range;   /* bytes of addresses */
    size_t requested;
    uint64_t ticket;     /* of the first-class heap that the block belongs to, or 0 */
    struct large *chain; /* in its bucket */
    struct large *next;  /* in its bin's queue, among the spare or the unused */
    enum large_state state;
    uint32_t idle_since_ms; /* while spare */
    bool is_mapping;        /* outside the cage */
    bool is_dirty;          /* the system refused to take its old contents */
};

void ranges_lock(void);
void ranges_unlock(void);
/* Room in the table for one more range. False when there is no memory. */
bool ranges_make_room(void);
/* A range of `bytes` or more, of which nothing is open; `alignment` is a power of two. NULL when addresses run out. */
struct large *ranges_take(size_t bytes, size_t alignment);
/* The same in the cage only, and of what has rested: NULL rather than a mapping or a rest cut short. */
struct large *ranges_take_for_spare(size_t bytes);
/* The size that a range of `bytes` is rounded to. */
size_t ranges_rounded(size_t bytes);
/* Gives a range's memory back; any access faults from now on. The lock need not be held. */
void ranges_close(struct large *large);
/* Closes the range and lays it at the back of its queue. */
void ranges_rest(struct large *large);
/* A range that ranges_take answered and that could not be used. */
void ranges_give_up(struct large *large);

/* The table: by what malloc returned. */
struct large *ranges_find(const void *block);
void ranges_enter(struct large *large);
enum { RANGES_BUCKETS = 1 << 15 };
size_t ranges_bucket_of(uintptr_t user);
/* The entries of a bucket, of any state, by `chain`. */
struct large *ranges_chain(size_t bucket);
/* True if the address lies in the cage's area for large blocks. */
bool large_area_has(const void *address);

#endif
