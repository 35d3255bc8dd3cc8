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
#include "secure/links.h"
#include "secure/order.h"
#include "secure/states.h"

enum {
    HOOK_GUARD_BYTES = SEC_GUARD_BYTES,                     /* kept free at the end of every page */
    HOOK_STATE_BYTES_PER_SLICE = SEC_STATE_BYTES_PER_SLICE, /* 0: no states are kept */
    HOOK_MOVES_CHUNKS = SEC_MOVES_CHUNKS,                   /* an emptied chunk's memory goes to other addresses */
    HOOK_IS_EXACT = SEC_IS_EXACT,                           /* every wrong pointer is known as such */
    HOOK_HAS_MAGAZINES = SEC_HAS_MAGAZINES,                 /* malloc takes from magazines, not from page lists */
    HOOK_BARE_DESK_BYTES = SEC_BARE_DESK_BYTES,             /* of each heap, in memory that a child finds wiped */
    HOOK_DEPOT_BYTES = SEC_DEPOT_BYTES,                     /* of one class */
    HOOK_SPILL_MOST = SEC_SPILL_MOST                        /* blocks that a full stack gives up at once */
};

/* The shelf of a thread without a heap: nothing is on it, for ever. */
#define HOOK_EMPTY_SHELF SEC_SHELF_AT(moat_fixed.is.empty_heap)

/* At start, with an open OS page that nobody uses yet. */
MOAT_INLINE void hook_start(void *probe_page)
{
    enum guard_policy policy = moat_fixed.is.options.guards;
    sec_guard_start(probe_page, policy == GUARD_AUTO || policy == GUARD_MADVISE,
                    policy == GUARD_AUTO || policy == GUARD_MPROTECT);
}

/* At start, once the generator has a key and while the read-only page is open. */
MOAT_INLINE void hook_make_keys(uint64_t *keys)
{
    sec_link_keys(keys);
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

/* What a free block on a page's list holds for its next one, NULL at the end; */
MOAT_INLINE void *hook_link_of(const void *block, void *next)
{
    return sec_link_to_block(moat_fixed.is.link_keys, block, next);
}

/* and the next one for what was read there. Ask hook_link_stays before it is used. */
MOAT_INLINE void *hook_next_of(const void *block, void *word)
{
    return sec_block_of_link(moat_fixed.is.link_keys, block, word);
}

/* False if a free list of that page cannot lead from the block to `next`. */
MOAT_INLINE bool hook_link_stays(const void *block, const void *next, uint32_t reciprocal)
{
    if (SEC_LINKS_ARE_ENCODED)
        return sec_link_is_whole(next);
    return sec_link_stays(block, next, reciprocal);
}

/* The same for a page's remote list, whose links are slots. */
MOAT_INLINE uint64_t hook_remote_link_of(const void *block, unsigned next, uint32_t epoch)
{
    return sec_link_to_slot(moat_fixed.is.link_keys, block, next, epoch);
}

MOAT_INLINE unsigned hook_remote_next_of(const void *block, uint64_t word, uint32_t epoch)
{
    return sec_slot_of_link(moat_fixed.is.link_keys, block, word, epoch);
}

/* Magazines (secure/order.h says how they work). The caller holds LOCK_HEAPS for these two. A new heap takes a desk: false
 * where memory for desks has to be given first, which reads zero, and again in every child. */
MOAT_INLINE bool hook_shelf_open(struct sec_shelf *shelf, struct sec_magazines *magazines)
{
    return sec_shelf_open(shelf, magazines);
}

MOAT_INLINE void hook_desk_give(void *memory, size_t bytes)
{
    sec_desk_give(memory, bytes);
}

MOAT_INLINE void *hook_take(const struct sec_shelf *shelf, unsigned class)
{
    return sec_take(shelf, class);
}

MOAT_INLINE bool hook_is_stocked(const struct sec_shelf *shelf, unsigned class)
{
    return sec_is_stocked(shelf, class);
}

MOAT_INLINE bool hook_stack_is_full(const struct sec_shelf *shelf, unsigned class)
{
    return sec_stack_is_full(shelf, class);
}

MOAT_INLINE bool hook_find_place(const struct sec_shelf *shelf, unsigned class, struct sec_place *place)
{
    return sec_find_place(shelf, class, place);
}

MOAT_INLINE void hook_put(const struct sec_place *place, void *block)
{
    sec_put(place, block);
}

MOAT_INLINE bool hook_draw_on(const struct sec_shelf *shelf)
{
    return sec_draw_on(shelf);
}

MOAT_INLINE bool hook_take_from_depot(const struct sec_shelf *shelf, unsigned class)
{
    return sec_take_from_depot(shelf, class);
}

/* The heap has a page of the class from now on. */
MOAT_INLINE void hook_magazine_open(const struct sec_shelf *shelf, unsigned class)
{
    sec_magazine_open(shelf, class);
}

/* Cold: there are draws afterwards. False: each stack that may hold something is to be counted again. */
MOAT_INLINE bool hook_desk_ready(const struct sec_shelf *shelf)
{
    return sec_desk_ready(shelf);
}

MOAT_INLINE void hook_stack_recount(const struct sec_shelf *shelf, unsigned class)
{
    sec_stack_recount(shelf, class);
}

/* In a child, also where the kernel wipes nothing. */
MOAT_INLINE void hook_desk_wipe(const struct sec_shelf *shelf)
{
    sec_desk_wipe(shelf);
}

MOAT_INLINE unsigned hook_refill(const struct sec_shelf *shelf, unsigned class)
{
    return sec_refill(shelf, class);
}

MOAT_INLINE bool hook_exchange(const struct sec_shelf *shelf, unsigned class, void *const *blocks, unsigned count)
{
    return sec_exchange(shelf, class, blocks, count);
}

MOAT_INLINE void hook_fill_begin(const struct sec_shelf *shelf, unsigned class, struct sec_fill *fill)
{
    sec_fill_begin(shelf, class, fill);
}

MOAT_INLINE bool hook_fill_lacks_run(struct sec_fill *fill)
{
    return sec_fill_lacks_run(fill);
}

MOAT_INLINE void hook_fill_give(struct sec_fill *fill, char *first, unsigned count)
{
    sec_fill_give(fill, first, count);
}

MOAT_INLINE void hook_fill_draw(struct sec_fill *fill, size_t bytes)
{
    sec_fill_draw(fill, bytes);
}

MOAT_INLINE bool hook_fill_wants(const struct sec_fill *fill)
{
    return sec_fill_wants(fill);
}

MOAT_INLINE unsigned hook_fill_count(const struct sec_fill *fill)
{
    return sec_fill_count(fill);
}

MOAT_INLINE void *hook_fill_block(const struct sec_fill *fill, unsigned i)
{
    return sec_fill_block(fill, i);
}

MOAT_INLINE bool hook_fill_end(const struct sec_shelf *shelf, unsigned class, const struct sec_fill *fill)
{
    for (unsigned i = 0; i < sec_fill_count(fill); i++)
        hook_carved(sec_fill_block(fill, i));
    return sec_fill_end(shelf, class, fill);
}

MOAT_INLINE unsigned hook_drain_run(const struct sec_shelf *shelf, unsigned class, char **first)
{
    return sec_drain_run(shelf, class, first);
}

MOAT_INLINE unsigned hook_stack_spill(const struct sec_shelf *shelf, unsigned class, void **out)
{
    return sec_stack_spill(shelf, class, out);
}

MOAT_INLINE void **hook_depot_place(const struct sec_shelf *shelf, unsigned class, size_t bytes)
{
    return sec_depot_place(shelf, class, bytes);
}

MOAT_INLINE unsigned hook_depot_cool(const struct sec_shelf *shelf, unsigned class, void **out)
{
    return sec_depot_cool(shelf, class, out);
}

MOAT_INLINE bool hook_is_idle(const struct sec_shelf *shelf, unsigned class)
{
    return sec_is_idle(shelf, class);
}

MOAT_INLINE bool hook_depot_lacks_memory(const struct sec_shelf *shelf, unsigned class)
{
    return sec_depot_lacks_memory(shelf, class);
}

MOAT_INLINE void hook_depot_give_memory(const struct sec_shelf *shelf, unsigned class, void *memory)
{
    sec_depot_give_memory(shelf, class, memory);
}

MOAT_INLINE void *hook_drain(const struct sec_shelf *shelf, unsigned class)
{
    return sec_drain(shelf, class);
}

MOAT_INLINE unsigned hook_kept(const struct sec_shelf *shelf, unsigned class)
{
    return sec_kept(shelf, class);
}

MOAT_INLINE unsigned hook_set_aside(const struct sec_shelf *shelf, unsigned class)
{
    return sec_set_aside(shelf, class);
}

MOAT_INLINE uint32_t *hook_scan_of(const struct sec_shelf *shelf, unsigned class)
{
    return sec_scan_of(shelf, class);
}

/* A number below `limit`: which page, which slice. */
MOAT_INLINE unsigned hook_choose(unsigned limit)
{
    return sec_choose(limit);
}

/* Which of `count` freed medium blocks of `bytes` (1 or more, newest first) is used again; `count` or more for none yet. */
MOAT_INLINE unsigned hook_choose_rested(unsigned count, size_t bytes)
{
    return sec_choose_rested(count, bytes);
}

/* In its page -> in a magazine, and back. */
MOAT_INLINE bool hook_shelved(const void *block)
{
    return sec_state_shelve(moat_fixed.is.states, block);
}

MOAT_INLINE bool hook_sent_home(const void *block)
{
    return sec_state_send_home(moat_fixed.is.states, block);
}

/* Of a run that no fill used up. */
MOAT_INLINE bool hook_set_free(const void *block)
{
    return sec_state_set_free(moat_fixed.is.states, block);
}

MOAT_INLINE unsigned hook_find_free(const void *start, uint32_t *granule, uint32_t end, uint32_t *found,
                                    unsigned wanted)
{
    return sec_states_find_free(moat_fixed.is.states, start, granule, end, found, wanted);
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

/* Free, in a magazine. */
MOAT_INLINE bool hook_is_kept(const void *block)
{
    return sec_state_is_kept(moat_fixed.is.states, block);
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

/* A heap is destroyed: the live blocks of a page are free. How many there were; */
MOAT_INLINE unsigned hook_took_live(const void *start)
{
    return sec_states_take_live(moat_fixed.is.states, start);
}

/* and how many there are, for figures. */
MOAT_INLINE unsigned hook_count_live(const void *start)
{
    return sec_states_count_live(moat_fixed.is.states, start);
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
