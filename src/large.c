/* large.c - see large.h. All under LOCK_LARGE, except the clearing and copying of memory. */
#include "large.h"

#include "base/bits.h"
#include "os/os.h"
#include "ranges.h"
#include "report.h"
#include "secure/hooks.h"
#include "spare.h"
#include "stats.h"

#include <errno.h>
#include <string.h>

enum { HUGE_BYTES = 16 << 20 }; /* from here on huge pages gain more than they cost */

/* Opens a range for a block, unless it is a spare one, and enters it in the table. */
static bool open_range(struct large *large, size_t bytes, size_t alignment)
{
    size_t opened = round_up(bytes, MOAT_OS_PAGE);
    if (large->opened == 0) {
        if (os_open(large->start, opened) != 0)
            return false;
        if (opened >= HUGE_BYTES)
            os_prefer_huge(large->start, opened);
        large->opened = opened;
    }
    large->requested = bytes;
    large->user = (uintptr_t)hook_place(large->start, opened, bytes, alignment);
    large->state = LARGE_LIVE;
    ranges_enter(large);
    stats_add(STAT_LARGE_OPENED, 1);
    return true;
}

static void *take(size_t range, size_t bytes, size_t alignment, uint64_t ticket, bool *is_zeroed)
{
    void *answer = NULL;

    ranges_lock();
    bool has_room = ranges_make_room(), may_be_spare = !*is_zeroed && alignment <= MOAT_CHUNK;
    struct large *large = has_room && may_be_spare ? spare_take(range, round_up(bytes, MOAT_OS_PAGE)) : NULL;
    bool is_spare = large != NULL;
    if (has_room && !large)
        large = ranges_take(range, alignment);
    if (large && open_range(large, bytes, alignment)) {
        large->ticket = ticket;
        answer = (void *)large->user;
        *is_zeroed = !is_spare && !large->is_dirty;
    } else if (large) {
        ranges_give_up(large);
    }
    ranges_unlock();
    return answer;
}

void *large_malloc(size_t bytes, size_t alignment, uint64_t ticket, bool *is_zeroed)
{
    size_t range;

    if (!checked_add(bytes, 2 * MOAT_OS_PAGE, &range) || range > PTRDIFF_MAX || alignment > PTRDIFF_MAX / 2)
        return NULL;
    spare_tick();
    range = round_up(range, MOAT_OS_PAGE);
    void *block = take(range, bytes, alignment, ticket, is_zeroed);
    return block || !spare_trim() ? block : take(range, bytes, alignment, ticket, is_zeroed);
}

/* The range that the address lies in, as far as it is open. */
static const struct large *around(const void *address)
{
    for (size_t i = 0; i < RANGES_BUCKETS; i++)
        for (const struct large *large = ranges_chain(i); large; large = large->chain)
            if ((uintptr_t)address - (uintptr_t)large->start < large->opened)
                return large;
    return NULL;
}

/* Why an address that is no live block's start lies in the area; the process is about to end, so a walk is fine. */
static _Noreturn void die_of(const void *block, const struct large *found, const char *function)
{
    const struct large *other = found ? NULL : around(block);
    if (other)
        moat_die(KIND_INTERIOR_POINTER, function, block, DETAIL_BYTES, other->requested);
    if (found)
        moat_die(KIND_DOUBLE_FREE, function, block, DETAIL_BYTES, found->requested);
    moat_die(KIND_STALE_POINTER, function, block, DETAIL_UNKNOWN, 0);
}

/* The live block at `block`; NULL if the address is none of Moat's. LOCK_LARGE is held, and kept when this dies. */
static struct large *live_block(const void *block, const char *function)
{
    struct large *large = ranges_find(block);
    if (large && large->state == LARGE_LIVE)
        return large;
    if (large || large_area_has(block))
        die_of(block, large, function);
    return NULL;
}

/* Frees a live block. The lock is held, but not while memory is given back: that takes milliseconds for a large block. */
static void retire(struct large *large)
{
    large->state = LARGE_RESTING;
    if (spare_keep(large))
        return;
    ranges_unlock();
    ranges_close(large);
    ranges_lock();
    ranges_rest(large);
}

bool large_free(void *block, const char *function)
{
    ranges_lock();
    struct large *large = live_block(block, function);
    if (large)
        retire(large);
    ranges_unlock();
    spare_tick();
    return large != NULL;
}

/* The heap's live block with the lowest address above `place` in place's bucket, else the lowest of a later bucket: in
 * this order nothing that lives on is met twice or left out, whatever is freed or made between two steps. */
static struct large *next_of(uint64_t ticket, struct large_place *place)
{
    struct large *found = NULL;
    for (; place->bucket < RANGES_BUCKETS && !found; place->bucket++, place->block = 0)
        for (struct large *large = ranges_chain(place->bucket); large; large = large->chain)
            if (large->state == LARGE_LIVE && large->ticket == ticket && large->user > place->block &&
                (!found || large->user < found->user))
                found = large;
    if (found)
        *place = (struct large_place){.bucket = ranges_bucket_of(found->user), .block = found->user};
    return found;
}

void *large_next(uint64_t ticket, struct large_place *place, size_t *usable)
{
    ranges_lock();
    const struct large *large = next_of(ticket, place);
    if (large)
        *usable = (size_t)((uintptr_t)large->start + large->opened - large->user);
    ranges_unlock();
    return large ? (void *)place->block : NULL;
}

void large_destroy(uint64_t ticket)
{
    struct large_place place = {0};
    ranges_lock();
    for (struct large *large; (large = next_of(ticket, &place)) != NULL;)
        retire(large);
    ranges_unlock();
}

bool large_has(const void *address)
{
    ranges_lock();
    const struct large *large = around(address);
    bool has = large && large->state == LARGE_LIVE;
    ranges_unlock();
    return has;
}

bool large_usable(const void *block, const char *function, size_t *usable)
{
    ranges_lock();
    const struct large *large = live_block(block, function);
    if (large)
        *usable = (size_t)(large->start + large->opened - (const char *)block);
    ranges_unlock();
    return large != NULL;
}

/* Shrinks or grows a block where it lies. `opened` is what the new size needs. */
static bool resize_in_place(struct large *large, size_t opened)
{
    if (opened <= large->opened) {
        if (opened < large->opened && os_rest(large->start + opened, large->opened - opened) == 0) {
            large->opened = opened;
            large->seam = large->seam < opened ? large->seam : 0;
        }
        return true;
    }
    if (opened > large->range - MOAT_OS_PAGE || os_open(large->start + large->opened, opened - large->opened) != 0)
        return false;
    large->seam = large->seam != 0 ? large->seam : large->opened;
    large->opened = opened;
    return true;
}

/* Moves a block's pages to a new range with a quarter of room, its place in the OS page kept. NULL: nothing changed. */
static struct large *move(struct large *old, size_t opened)
{
    size_t range = round_up(opened + opened / 4, MOAT_OS_PAGE) + MOAT_OS_PAGE;
    struct large *large = ranges_make_room() ? ranges_take(range, MOAT_OS_PAGE) : NULL;

    if (!large)
        return NULL;
    large->opened = 0;
    if (os_open(large->start, opened) != 0) {
        ranges_give_up(large);
        return NULL;
    }
    int error = os_move(old->start, large->start, old->opened);
    if (error == 0) {
        large->seam = old->opened;
        old->opened = 0;
    } else if (error == ENOTRECOVERABLE) {
        moat_die(KIND_OUT_OF_MEMORY, "realloc", (void *)old->user, DETAIL_BYTES, old->requested);
    } else if (os_open(large->start, opened) == 0) {
        memcpy(large->start, old->start, old->opened);
    } else {
        opened = 0;
    }
    if (opened == 0) {
        ranges_rest(large);
        return NULL;
    }
    large->opened = opened;
    large->user = (uintptr_t)large->start + (old->user - (uintptr_t)old->start);
    large->ticket = old->ticket;
    large->state = LARGE_LIVE;
    ranges_enter(large);
    ranges_rest(old);
    return large;
}

static void *resize(void *block, size_t bytes, const uint64_t *ticket)
{
    void *answer = NULL;

    ranges_lock();
    struct large *large = live_block(block, "realloc");
    size_t opened = large ? round_up((size_t)((char *)block - large->start) + bytes, MOAT_OS_PAGE) : 0;
    if (large && !resize_in_place(large, opened))
        large = move(large, opened);
    if (large) {
        large->requested = bytes;
        large->ticket = ticket ? *ticket : large->ticket;
        answer = (void *)large->user;
    }
    ranges_unlock();
    return answer;
}

void *large_resize(void *block, size_t bytes, const uint64_t *ticket)
{
    if (bytes > PTRDIFF_MAX / 2)
        return NULL;
    void *resized = resize(block, bytes, ticket);
    return resized || !spare_trim() ? resized : resize(block, bytes, ticket);
}

void large_count(size_t *blocks, size_t *bytes)
{
    ranges_lock();
    for (size_t i = 0; i < RANGES_BUCKETS; i++)
        for (const struct large *large = ranges_chain(i); large; large = large->chain)
            if (large->state == LARGE_LIVE) {
                *blocks += 1;
                *bytes += large->opened;
            }
    ranges_unlock();
}
