/* secure/hooks.h - the only joint between the heap core and its protections.
 *
 * The events of a block's life, and which protection runs in which order at each:
 *
 *     page opened -> block carved -> allocated -> freed (local | remote) -> collected ... -> page emptied -> purged
 *
 * A hook takes no heap lock, allocates nothing, keeps errno, and answers or lets its caller end the process. Its
 * arguments are pure: those of an empty inline function are still evaluated. Changing the order inside a hook changes
 * what an attacker can do: it needs a change of SECURITY.md and a death test.
 */
#ifndef MOAT_SECURE_HOOKS_H
#define MOAT_SECURE_HOOKS_H

#include "fixed.h"
#include "secure/guard.h"
#include "secure/isolation.h"
#include "secure/states.h"

enum {
    HOOK_GUARD_BYTES = SEC_GUARD_BYTES,                     /* kept free at the end of every page */
    HOOK_STATE_BYTES_PER_SLICE = SEC_STATE_BYTES_PER_SLICE, /* 0: no states are kept */
    HOOK_MOVES_CHUNKS = SEC_MOVES_CHUNKS,                   /* an emptied chunk's memory goes to other addresses */
    HOOK_IS_EXACT = SEC_IS_EXACT                            /* every wrong pointer is known as such */
};

/* At start, with an open OS page that nobody uses yet. */
MOAT_INLINE void hook_start(void *probe_page)
{
    enum guard_policy policy = moat_fixed.is.options.guards;
    sec_guard_start(probe_page, policy == GUARD_AUTO || policy == GUARD_MADVISE,
                    policy == GUARD_AUTO || policy == GUARD_MPROTECT);
}

/* A page is opened: `end` is the first byte behind its blocks, `has_guard` remembers that its guard stands. */
MOAT_INLINE void hook_page_opened(char *end, uint8_t *has_guard)
{
    sec_guard_place_once(end, has_guard);
}

MOAT_INLINE unsigned hook_pool_of_class(unsigned class)
{
    return sec_pool_of_class(class);
}

MOAT_INLINE void hook_carved(const void *block)
{
    sec_state_carve(moat_fixed.is.states, block);
}

/* `next` was read from the free block: false if a free list of that page cannot hold it. */
MOAT_INLINE bool hook_link_stays(const void *block, const void *next, uint32_t reciprocal)
{
    return sec_link_stays(block, next, reciprocal);
}

/* free -> live. False: the block was on a list but is not free. */
MOAT_INLINE bool hook_allocated(const void *block)
{
    return sec_state_hand_out(moat_fixed.is.states, block);
}

/* True if `address`, inside an open page of small blocks, is the start of one. */
MOAT_INLINE bool hook_is_block_start(const void *address, uint32_t reciprocal)
{
    return sec_is_block_start((uint32_t)(uintptr_t)address & (MOAT_SLICE - 1), reciprocal);
}

MOAT_INLINE bool hook_is_live(const void *block)
{
    return sec_state_is_live(moat_fixed.is.states, block);
}

MOAT_INLINE bool hook_is_free(const void *block)
{
    return sec_state_is_free(moat_fixed.is.states, block);
}

/* live -> free by the page's owner. False: it was not live. */
MOAT_INLINE bool hook_freed_local(const void *block)
{
    return sec_state_free_local(moat_fixed.is.states, block);
}

/* live -> remote by any other thread; afterwards the block's first word may be written. */
MOAT_INLINE bool hook_freed_remote(const void *block)
{
    return sec_state_free_remote(moat_fixed.is.states, block);
}

/* live -> free of a medium block, by any thread. */
MOAT_INLINE bool hook_freed_medium(const void *block)
{
    return sec_state_free_medium(moat_fixed.is.states, block);
}

/* remote -> free by the owner. False: a node of the remote list is not a remotely freed block. */
MOAT_INLINE bool hook_collected(const void *block)
{
    return sec_state_collect(moat_fixed.is.states, block);
}

/* A page is given up: all its blocks must be free or unused, and are unused afterwards. */
MOAT_INLINE bool hook_page_emptied(const void *start, size_t bytes)
{
    return sec_states_release(moat_fixed.is.states, start, bytes);
}

/* A sized free: false if the block cannot have been asked for with `bytes`. */
MOAT_INLINE bool hook_size_fits(size_t bytes, size_t block_bytes)
{
    return sec_size_fits(bytes, block_bytes);
}

MOAT_INLINE bool hook_was_never_used(const void *block)
{
    return sec_state_was_never_used(moat_fixed.is.states, block);
}

/* Where a medium or large block of `bytes` begins in `room` bytes at `start`. */
MOAT_INLINE char *hook_place(char *start, size_t room, size_t bytes, size_t alignment)
{
    return sec_guard_align(start, room, bytes, alignment);
}

MOAT_INLINE bool hook_purge(void *start, size_t bytes)
{
    return sec_guard_purge(start, bytes);
}

/* An emptied chunk: may its memory move? */
MOAT_INLINE bool hook_may_move(char *chunk_end)
{
    return sec_guard_may_move(chunk_end);
}

MOAT_INLINE bool hook_reopen(void *start, size_t bytes)
{
    return sec_guard_reopen(start, bytes);
}

#endif
