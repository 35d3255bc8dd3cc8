/* secure/links.h - links between free blocks that cannot be read, forged, moved or used again.
 *
 * A link lies in the free block itself, where a dangling pointer can read and write it. In a build with magazines only
 * blocks that other threads freed carry one, until the page's owner collects them; elsewhere each free block does.
 *
 * On:  64 bits: a tag of 48 over (page, slot of the block, slot of the next one, epoch, which list), and the next slot
 *      under a mask of its own. A link is right in one block, after one block, in one epoch of one list only. But only
 *      remote lists have epochs, a new one at each collection of the page (2^31 of them). Local links, which only builds
 *      without magazines have, are all of epoch 0: a word that was right in a block is right again whenever that block is
 *      free, and may be written back then. What it leads to must still be a free block of the same page, where states are built.
 * Off: the next block's address or slot, as it is.
 *
 * The tag is two chained folded multiplies, fold(a, b) being the xor of the halves of the 128-bit product:
 *     t = fold(x ^ page * k3, k0)      tag = fold(t ^ k1, rotate(t, 32) + k2)
 * One is not enough: from 16 links of neighbouring slots its structure comes out in milliseconds and forgeries follow.
 * With two nobody sees the inner value (unit.secure.link_attacks attacks both). It is no proof; what a forged link can
 * still reach is bounded by the states: only a free block of the same page ever leaves a list.
 */
#ifndef MOAT_SECURE_LINKS_H
#define MOAT_SECURE_LINKS_H

#include "base/compiler.h"
#include "base/config.h"
#include "random/random.h"

#if MOAT_SECURE_ENCODED_LINKS

enum { SEC_LINKS_ARE_ENCODED = 1 };

enum {
    SEC_SLOT_BITS = MOAT_SLICE_BITS - MOAT_ALIGN_BITS + 1, /* 1 + place in the page in steps of 16 bytes; 0 is none */
    SEC_SLOTS = MOAT_SLICE >> MOAT_ALIGN_BITS,
    SEC_EPOCH_BITS = 31,
    SEC_TAG_SHIFT = 16,
};

enum sec_list { SEC_LIST_LOCAL = 0, SEC_LIST_REMOTE = 1 };

MOAT_STATIC_ASSERT(2 * SEC_SLOT_BITS + SEC_EPOCH_BITS + 1 <= 64, "what the tag covers fits its word");
MOAT_STATIC_ASSERT(SEC_SLOT_BITS <= SEC_TAG_SHIFT, "the next slot fits under the tag");

/* What a broken link decodes to: no address of a block, and not NULL. */
#define SEC_LINK_BROKEN ((void *)1)

MOAT_INLINE void sec_link_keys(uint64_t *keys)
{
    for (unsigned i = 0; i < MOAT_LINK_KEYS; i++)
        keys[i] = random_draw();
    keys[3] |= 1; /* a multiplier that is even would lose bits */
    keys[4] |= 1;
}

MOAT_INLINE uint64_t sec_link_fold(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

MOAT_INLINE unsigned sec_link_slot(const void *block)
{
    return ((unsigned)(uintptr_t)block & (MOAT_SLICE - 1)) / MOAT_ALIGN + 1;
}

/* 64 bits that only the keys give. */
MOAT_INLINE uint64_t sec_link_mix(const uint64_t *keys, uint64_t x)
{
    uint64_t t = sec_link_fold(x, keys[0]);
    return sec_link_fold(t ^ keys[1], (t << 32 | t >> 32) + keys[2]);
}

/* As strong as the tag: of masks by a product three tell a fourth, of one fold many tell some. Asked at a slot that no block
 * has, so that it never answers for a tag. */
MOAT_INLINE uint64_t sec_link_mask(const uint64_t *keys, uint64_t place)
{
    const uint64_t no_slot = (1u << SEC_SLOT_BITS) - 1;
    return sec_link_mix(keys, (place ^ no_slot << SEC_SLOT_BITS) ^ keys[4]) & no_slot;
}

/* `next` is a slot or 0. Answers the word that `block` has to hold. */
MOAT_INLINE uint64_t sec_link_encode(const uint64_t *keys, const void *block, unsigned next, uint32_t epoch,
                                     enum sec_list list)
{
    uint64_t page = ((uint64_t)(uintptr_t)block >> MOAT_SLICE_BITS) * keys[3];
    uint64_t place = sec_link_slot(block) | (uint64_t)epoch << (2 * SEC_SLOT_BITS) |
                     (uint64_t)list << (2 * SEC_SLOT_BITS + SEC_EPOCH_BITS);
    uint64_t tag = sec_link_mix(keys, (place | (uint64_t)next << SEC_SLOT_BITS) ^ page);
    uint64_t mask = sec_link_mask(keys, place ^ page);
    return tag << SEC_TAG_SHIFT | (next ^ mask);
}

/* Reads the word of a free block. False: it is not what was written there. */
MOAT_INLINE bool sec_link_decode(const uint64_t *keys, const void *block, uint64_t word, uint32_t epoch,
                                 enum sec_list list, unsigned *next)
{
    uint64_t page = ((uint64_t)(uintptr_t)block >> MOAT_SLICE_BITS) * keys[3];
    uint64_t place = sec_link_slot(block) | (uint64_t)epoch << (2 * SEC_SLOT_BITS) |
                     (uint64_t)list << (2 * SEC_SLOT_BITS + SEC_EPOCH_BITS);
    uint64_t mask = sec_link_mask(keys, place ^ page);
    *next = (unsigned)((word ^ mask) & ((1u << SEC_TAG_SHIFT) - 1));
    return *next <= SEC_SLOTS && word == sec_link_encode(keys, block, *next, epoch, list);
}

MOAT_INLINE uint64_t sec_link_to_slot(const uint64_t *keys, const void *block, unsigned next, uint32_t epoch)
{
    return sec_link_encode(keys, block, next, epoch, SEC_LIST_REMOTE);
}

/* The next slot on a remote list, or one that no page has. */
MOAT_INLINE unsigned sec_slot_of_link(const uint64_t *keys, const void *block, uint64_t word, uint32_t epoch)
{
    unsigned next;
    return sec_link_decode(keys, block, word, epoch, SEC_LIST_REMOTE, &next) ? next : SEC_SLOTS + 1;
}

MOAT_INLINE void *sec_link_to_block(const uint64_t *keys, const void *block, const void *next)
{
    return (void *)sec_link_encode(keys, block, next ? sec_link_slot(next) : 0, 0, SEC_LIST_LOCAL);
}

MOAT_INLINE void *sec_block_of_link(const uint64_t *keys, const void *block, void *word)
{
    unsigned next;
    if (MOAT_UNLIKELY(!sec_link_decode(keys, block, (uint64_t)word, 0, SEC_LIST_LOCAL, &next)))
        return SEC_LINK_BROKEN;
    uintptr_t page = (uintptr_t)block & ~(uintptr_t)(MOAT_SLICE - 1);
    return next ? (void *)(page + (uintptr_t)(next - 1) * MOAT_ALIGN) : NULL;
}

MOAT_INLINE bool sec_link_is_whole(const void *next)
{
    return next != SEC_LINK_BROKEN;
}

#else

enum { SEC_LINKS_ARE_ENCODED = 0 };

MOAT_INLINE void sec_link_keys(uint64_t *keys)
{
    (void)keys;
}

MOAT_INLINE uint64_t sec_link_to_slot(const uint64_t *keys, const void *block, unsigned next, uint32_t epoch)
{
    (void)keys, (void)block, (void)epoch;
    return next;
}

MOAT_INLINE unsigned sec_slot_of_link(const uint64_t *keys, const void *block, uint64_t word, uint32_t epoch)
{
    (void)keys, (void)block, (void)epoch;
    return (unsigned)word;
}

MOAT_INLINE void *sec_link_to_block(const uint64_t *keys, const void *block, void *next)
{
    (void)keys, (void)block;
    return next;
}

MOAT_INLINE void *sec_block_of_link(const uint64_t *keys, const void *block, void *word)
{
    (void)keys, (void)block;
    return word;
}

MOAT_INLINE bool sec_link_is_whole(const void *next)
{
    (void)next;
    return true;
}

#endif

#endif
