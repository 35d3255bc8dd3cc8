/* record.h - the metadata of one slice, found from an address by arithmetic alone.
 *
 * Two cache lines. The first holds what every free reads (owner, size) and what the owner writes (list, counter), in
 * different 8-byte words: a load that hits a store in flight to its own word waits for it. The second is for everybody
 * else, so that other threads' frees do not take the owner's line away. The remote word stands here and not in an array
 * of its own: a small process then touches one mapping, page table and fault less.
 *
 * Who may touch what:
 *   owner                 atomic; written by the thread that gets or gives up the page, read by all
 *   block_bytes .. class  written while the page is opened, before its first block leaves; read by all
 *   the owner's words     the owner alone, or the holder of LOCK_ORPHANS while the page is abandoned
 *   the second line       atomics, except the list of orphans (LOCK_ORPHANS)
 */
#ifndef MOAT_RECORD_H
#define MOAT_RECORD_H

#include "fixed.h"

/* Heap numbers begin above these and are never used twice. */
enum owner_number {
    OWNER_NONE = 0,   /* not in use: never opened, or released */
    OWNER_ORPHAN = 1, /* in use, its thread has ended */
    OWNER_MEDIUM = 2, /* one medium block; no thread owns it */
    OWNER_INSIDE = 3, /* a later slice of a medium block's run */
    OWNER_NOBODY = 4, /* the number of a thread without a heap: no page ever has it */
    OWNER_FIRST_HEAP = 16
};

enum page_phase {
    PAGE_AWAY,   /* not queued; `needed` counts down to the wake threshold */
    PAGE_QUEUED, /* in its class's queue; `needed` counts down to empty */
    PAGE_EMPTY,  /* queued, and all its carved blocks are back */
    PAGE_SCANNED /* not queued; its states are being looked through (shelf.h) */
};

enum { PAGE_SCAN_BIAS = 1 << 30 };

enum page_contents {
    CONTENTS_NONE,   /* fresh: reads zero */
    CONTENTS_OWN,    /* what blocks of its class left there */
    CONTENTS_OTHER,  /* what another class left there: cleared before use */
    CONTENTS_KEPT,   /* as OWN, but its purge was refused and is not tried again */
    CONTENTS_PURGED, /* no memory, and it may fault: reopened before use */
};

struct record {
    uint64_t owner;

    uint32_t block_bytes;
    uint32_t reciprocal; /* ceil(2^32 / block_bytes): (u32)(offset * reciprocal) < reciprocal only at a block's start */

    void *free;      /* owner: the page's own list, youngest first */
    uint32_t needed; /* owner: blocks that must come back until the next event */

    uint32_t queue_next; /* owner: slice numbers, 0 for none */
    uint32_t queue_previous;
    uint32_t owned_next;
    uint32_t owned_previous;
    uint32_t partial_next; /* owner: pages that are not carved to their end */

    uint16_t capacity;
    uint16_t carved; /* owner: blocks handed out at least once */
    uint16_t threshold;
    uint8_t class;
    uint8_t phase; /* owner: enum page_phase */

    uint8_t contents;      /* LOCK_SLICES, while released: enum page_contents */
    uint8_t has_guard;     /* LOCK_SLICES: the guard behind its blocks stands */
    uint8_t is_zeroed;     /* medium: never written since it was opened or purged */
    uint8_t is_handed_out; /* medium: in the program's hands; for figures, the state decides */
    uint32_t head;         /* a later slice of a run: the first one */

    /* The second line. */
    uint64_t remote; /* atomic: the remote word, see remote.h */
    union {
        struct heap *waker; /* atomic: whose woken stack a push may put the page on */
        uint64_t ticket;    /* atomic, medium: of the first-class heap that the block belongs to, or 0 */
    };
    uint32_t is_woken;    /* atomic: 1 while the page stands on a woken stack */
    uint32_t woken_next;  /* the holder of the page's place on the stack */
    uint32_t orphan_next; /* LOCK_ORPHANS */
    uint32_t orphan_previous;
    uint32_t is_listed;     /* LOCK_ORPHANS: the generation of the lists in which it stands, 0 for none */
    uint32_t run_slices;    /* of the page: 1, or a medium block's */
    uintptr_t user;         /* medium: what malloc returned */
    size_t requested;       /* medium: bytes asked for */
    uint32_t idle_since_ms; /* LOCK_SLICES: when it was released, or its chunk emptied */
    uint8_t chunk_in_use;   /* LOCK_SLICES, in a chunk's first record: slices in use, */
    uint8_t chunk_taken;    /* slices ever taken since its memory came, */
    uint8_t chunk_class;    /* class it serves whole, plus 1; 0 for a shared chunk, */
    uint8_t chunk_is_moved; /* its memory came from another address */
} MOAT_ALIGNED(2 * MOAT_CACHE_LINE);

MOAT_STATIC_ASSERT(sizeof(struct record) == 2 * MOAT_CACHE_LINE, "a record is two cache lines");
MOAT_STATIC_ASSERT(offsetof(struct record, remote) == 64, "the remote words have a line of their own");

MOAT_INLINE size_t slice_of_address(const void *address)
{
    return ((uintptr_t)address - moat_fixed.is.base) >> MOAT_SLICE_BITS;
}

MOAT_INLINE struct record *record_of_slice(size_t slice)
{
    return moat_fixed.is.records + slice;
}

MOAT_INLINE uint32_t slice_of_record(const struct record *page)
{
    return (uint32_t)(page - moat_fixed.is.records);
}

/* First byte of the page's first slice. */
MOAT_INLINE char *page_start(const struct record *page)
{
    return (char *)moat_fixed.is.base + ((size_t)slice_of_record(page) << MOAT_SLICE_BITS);
}

#endif
