/* secure/states.h - the state of every block, out of band: exact double-free and invalid-free detection.
 *
 * On:  one byte for each granule of 32 bytes, at states + (address >> 5). The byte of a block's first granule is the one
 *      truth about the block; the smallest block is a granule, so it is the block's own. It is reached from the pointer
 *      alone, before any record is, and neighbours lie far enough apart that stores in flight do not meet (dense bytes
 *      made the 64-byte pair twice as slow). It is used for all small classes and for the first granule of a medium
 *      block: 3.1 % of the memory that is in use, one rule for all, where a dense array above 1 KiB would need a second.
 * Off: no bytes, no code; every question is answered with yes.
 *
 * The edges, who takes them and what is fatal are in DESIGN.md section 5 (docs/ownership.md here). The rule behind them:
 * construct before live, destroy after the state has left live.
 */
#ifndef MOAT_SECURE_STATES_H
#define MOAT_SECURE_STATES_H

#include "base/atomic.h"
#include "base/compiler.h"
#include "base/config.h"

#if MOAT_HAS_STATES

enum sec_state {
    SEC_STATE_UNUSED = 0, /* never handed out since the page was opened */
    SEC_STATE_FREE = 1,
    SEC_STATE_REMOTE = 2, /* freed by another thread, not yet collected */
    SEC_STATE_KEPT = 3,   /* free, in a magazine */
    SEC_STATE_LIVE = 0x80
};

/* What malloc hands out, and what a local free leaves. */
#define SEC_STATE_READY (MOAT_HAS_MAGAZINES ? SEC_STATE_KEPT : SEC_STATE_FREE)

enum { SEC_STATE_BYTES_PER_SLICE = MOAT_SLICE >> MOAT_GRANULE_BITS, SEC_IS_EXACT = 1 };

MOAT_INLINE uint8_t *sec_state_at(uintptr_t states, const void *block)
{
    return (uint8_t *)(states + ((uintptr_t)block >> MOAT_GRANULE_BITS));
}

MOAT_INLINE enum sec_state sec_state_of(uintptr_t states, const void *block)
{
    return (enum sec_state)atomic_get(sec_state_at(states, block));
}

/* True if `offset` is the start of a block: the exact divisibility test of D. Lemire, O. Kaser and N. Kurz, "Faster
 * remainder by direct computation" (2019); exact for offsets below 2^16 and the sizes of our classes (tested for all). */
MOAT_INLINE bool sec_is_block_start(uint32_t offset, uint32_t reciprocal)
{
    return offset * reciprocal < reciprocal;
}

/* A link found in a free block: it may lead to another block's start of the same slice only, or nowhere. Which block that
 * is the state at the next pop decides; without this, granules that two blocks' addresses share let a forged link lead
 * into the middle of a block, and a wild one out of the cage. */
MOAT_INLINE bool sec_link_stays(const void *block, const void *next, uint32_t reciprocal)
{
    return !next || (((uintptr_t)block ^ (uintptr_t)next) < MOAT_SLICE &&
                     sec_is_block_start((uint32_t)(uintptr_t)next & (MOAT_SLICE - 1), reciprocal));
}

/* A block that a signal handler carved in between, and has, stays live: one instruction looks and changes. (A look of its
 * own would also be a page fault of its own where the states' memory is new: ten more in a small process.) */
MOAT_INLINE void sec_state_carve(uintptr_t states, const void *block)
{
    uint8_t *state = sec_state_at(states, block), seen = SEC_STATE_UNUSED;
    __asm__("cmpxchgb %2, %0" : "+m"(*state), "+a"(seen) : "q"((uint8_t)SEC_STATE_READY) : "memory", "cc");
}

/* Owner: a block goes from `from` to `to`, as it lies in a magazine or in its page. */
MOAT_INLINE bool sec_state_change(uintptr_t states, const void *block, enum sec_state from, enum sec_state to)
{
    uint8_t *state = sec_state_at(states, block);
    if (MOAT_UNLIKELY(atomic_get(state) != from))
        return false;
    atomic_set(state, (uint8_t)to);
    return true;
}

MOAT_INLINE bool sec_state_shelve(uintptr_t states, const void *block)
{
    return sec_state_change(states, block, SEC_STATE_FREE, SEC_STATE_KEPT);
}

MOAT_INLINE bool sec_state_send_home(uintptr_t states, const void *block)
{
    return sec_state_change(states, block, SEC_STATE_KEPT, SEC_STATE_FREE);
}

/* What was set aside to be carved goes to its page as it is. */
MOAT_INLINE bool sec_state_set_free(uintptr_t states, const void *block)
{
    return sec_state_change(states, block, SEC_STATE_UNUSED, SEC_STATE_FREE);
}

/* Owner: the granules of the slice at `start`, from `*granule` to `end`, whose state is free: `wanted` at most, to `found`;
 * `*granule` is then behind the last one looked at. Eight at a step; the test for a byte that is 0 is exact. */
MOAT_INLINE unsigned sec_states_find_free(uintptr_t states, const void *start, uint32_t *granule, uint32_t end,
                                          uint32_t *found, unsigned wanted)
{
    const uint64_t low = 0x7f7f7f7f7f7f7f7fu, each = 0x0101010101010101u;
    const uint64_t *words = (const uint64_t *)(void *)sec_state_at(states, start);
    unsigned count = 0;

    while (*granule < end) {
        uint32_t first = *granule & ~7u;
        uint64_t others = atomic_get(&words[first / 8]) ^ each * SEC_STATE_FREE;
        uint64_t is_free = ~(((others & low) + low) | others | low) & ~(uint64_t)0 << (*granule % 8 * 8);
        for (; is_free != 0; is_free &= is_free - 1) {
            uint32_t at = first + (uint32_t)__builtin_ctzl(is_free) / 8;
            if (count == wanted) {
                *granule = at;
                return count;
            }
            found[count++] = at;
        }
        *granule = first + 8;
    }
    return count;
}

/* The release store makes what was built in the block visible before the block is live. */
MOAT_INLINE bool sec_state_hand_out(uintptr_t states, const void *block)
{
    uint8_t *state = sec_state_at(states, block);
    if (MOAT_UNLIKELY(atomic_get(state) != SEC_STATE_READY))
        return false;
    atomic_set_release(state, SEC_STATE_LIVE);
    return true;
}

MOAT_INLINE bool sec_state_is_live(uintptr_t states, const void *block)
{
    return (atomic_get(sec_state_at(states, block)) & SEC_STATE_LIVE) != 0;
}

MOAT_INLINE bool sec_state_is_free(uintptr_t states, const void *block)
{
    return atomic_get(sec_state_at(states, block)) == SEC_STATE_FREE;
}

MOAT_INLINE bool sec_state_is_kept(uintptr_t states, const void *block)
{
    return atomic_get(sec_state_at(states, block)) == SEC_STATE_KEPT;
}

/* Owner: the store follows at once, so that a second free finds it (stored late, 23 % of racing pairs both passed). */
MOAT_INLINE bool sec_state_free_local(uintptr_t states, const void *block)
{
    uint8_t *state = sec_state_at(states, block);
    if (MOAT_UNLIKELY(!(atomic_get(state) & SEC_STATE_LIVE)))
        return false;
    atomic_set(state, SEC_STATE_READY);
    return true;
}

/* Any thread: live becomes `next`, exactly once. */
MOAT_INLINE bool sec_state_free_shared(uintptr_t states, const void *block, enum sec_state next)
{
    uint8_t *state = sec_state_at(states, block);
    uint8_t seen = atomic_get(state);
    return (seen & SEC_STATE_LIVE) && atomic_cas_acq_rel(state, &seen, (uint8_t)next);
}

MOAT_INLINE bool sec_state_free_remote(uintptr_t states, const void *block)
{
    return sec_state_free_shared(states, block, SEC_STATE_REMOTE);
}

MOAT_INLINE bool sec_state_free_medium(uintptr_t states, const void *block)
{
    return sec_state_free_shared(states, block, SEC_STATE_READY);
}

/* Owner, at collect. */
MOAT_INLINE bool sec_state_collect(uintptr_t states, const void *block)
{
    uint8_t *state = sec_state_at(states, block);
    if (MOAT_UNLIKELY(atomic_get(state) != SEC_STATE_REMOTE))
        return false;
    atomic_set(state, SEC_STATE_FREE);
    return true;
}

/* Owner, when the page is released: every byte must be free or unused; all become unused. */
MOAT_INLINE bool sec_states_release(uintptr_t states, const void *start, size_t bytes)
{
    uint64_t *word = (uint64_t *)(void *)sec_state_at(states, start);
    const uint64_t free_in_each_byte = 0x0101010101010101u * SEC_STATE_FREE;
    uint64_t wrong = 0;

    const size_t bytes_of_word = sizeof *word << MOAT_GRANULE_BITS; /* the last one may reach into the page's tail */

    for (size_t i = 0; i < (bytes + bytes_of_word - 1) / bytes_of_word; i++) {
        wrong |= atomic_get(&word[i]) & ~free_in_each_byte;
        atomic_set(&word[i], 0);
    }
    return wrong == 0;
}

/* Owner: each live block of the slice becomes free, exactly once though others may be freeing it: eight at a step by
 * compare-and-swap. Answers how many. */
MOAT_INLINE unsigned sec_states_take_live(uintptr_t states, const void *start)
{
    const uint64_t each = 0x0101010101010101u;
    uint64_t *word = (uint64_t *)(void *)sec_state_at(states, start);
    unsigned taken = 0;

    for (size_t i = 0; i < SEC_STATE_BYTES_PER_SLICE / sizeof *word; i++) {
        uint64_t seen = atomic_get(&word[i]), found;
        do {
            found = (seen & each * SEC_STATE_LIVE) / SEC_STATE_LIVE; /* 1 in each byte of a live block */
        } while (found != 0 && !atomic_cas_acq_rel(&word[i], &seen, (seen & ~(found * 0xff)) | found * SEC_STATE_FREE));
        taken += (unsigned)(found * each >> 56);
    }
    return taken;
}

/* Any thread: how many blocks of the slice are live at the moment. */
MOAT_INLINE unsigned sec_states_count_live(uintptr_t states, const void *start)
{
    const uint64_t each = 0x0101010101010101u;
    const uint64_t *word = (const uint64_t *)(void *)sec_state_at(states, start);
    unsigned count = 0;

    for (size_t i = 0; i < SEC_STATE_BYTES_PER_SLICE / sizeof *word; i++)
        count += (unsigned)((atomic_get(&word[i]) & each * SEC_STATE_LIVE) / SEC_STATE_LIVE * each >> 56);
    return count;
}

/* Sized frees: more bytes than the block has cannot be what was asked for. */
MOAT_INLINE bool sec_size_fits(size_t bytes, size_t block_bytes)
{
    return bytes <= block_bytes;
}

/* Why a pointer to a block's start may not be freed, for the report. */
MOAT_INLINE bool sec_state_was_never_used(uintptr_t states, const void *block)
{
    return sec_state_of(states, block) == SEC_STATE_UNUSED;
}

#else

enum { SEC_STATE_BYTES_PER_SLICE = 0, SEC_IS_EXACT = 0 };

MOAT_INLINE bool sec_is_block_start(uint32_t offset, uint32_t reciprocal)
{
    (void)offset, (void)reciprocal;
    return true;
}

MOAT_INLINE bool sec_link_stays(const void *block, const void *next, uint32_t reciprocal)
{
    (void)block, (void)next, (void)reciprocal;
    return true;
}

MOAT_INLINE void sec_state_carve(uintptr_t states, const void *block)
{
    (void)states, (void)block;
}

MOAT_INLINE bool sec_state_shelve(uintptr_t states, const void *block)
{
    (void)states, (void)block;
    return true;
}

MOAT_INLINE bool sec_state_send_home(uintptr_t states, const void *block)
{
    (void)states, (void)block;
    return true;
}

MOAT_INLINE bool sec_state_set_free(uintptr_t states, const void *block)
{
    (void)states, (void)block;
    return true;
}

MOAT_INLINE unsigned sec_states_find_free(uintptr_t states, const void *start, const uint32_t *granule, uint32_t end,
                                          const uint32_t *found, unsigned wanted)
{
    (void)states, (void)start, (void)granule, (void)end, (void)found, (void)wanted;
    return 0;
}

MOAT_INLINE bool sec_state_hand_out(uintptr_t states, const void *block)
{
    (void)states, (void)block;
    return true;
}

MOAT_INLINE bool sec_state_is_live(uintptr_t states, const void *block)
{
    (void)states, (void)block;
    return true;
}

MOAT_INLINE bool sec_state_is_free(uintptr_t states, const void *block)
{
    (void)states, (void)block;
    return true;
}

MOAT_INLINE bool sec_state_is_kept(uintptr_t states, const void *block)
{
    (void)states, (void)block;
    return false;
}

MOAT_INLINE bool sec_state_free_local(uintptr_t states, const void *block)
{
    (void)states, (void)block;
    return true;
}

MOAT_INLINE bool sec_state_free_remote(uintptr_t states, const void *block)
{
    (void)states, (void)block;
    return true;
}

MOAT_INLINE bool sec_state_free_medium(uintptr_t states, const void *block)
{
    (void)states, (void)block;
    return true;
}

MOAT_INLINE bool sec_state_collect(uintptr_t states, const void *block)
{
    (void)states, (void)block;
    return true;
}

MOAT_INLINE bool sec_states_release(uintptr_t states, const void *start, size_t bytes)
{
    (void)states, (void)start, (void)bytes;
    return true;
}

MOAT_INLINE unsigned sec_states_take_live(uintptr_t states, const void *start)
{
    (void)states, (void)start;
    return 0;
}

MOAT_INLINE unsigned sec_states_count_live(uintptr_t states, const void *start)
{
    (void)states, (void)start;
    return 0;
}

MOAT_INLINE bool sec_size_fits(size_t bytes, size_t block_bytes)
{
    (void)bytes, (void)block_bytes;
    return true;
}

MOAT_INLINE bool sec_state_was_never_used(uintptr_t states, const void *block)
{
    (void)states, (void)block;
    return false;
}

#endif

#endif
