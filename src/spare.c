/* spare.c - see spare.h. */
#include "spare.h"

#include "base/atomic.h"
#include "os/lock.h"
#include "os/os.h"
#include "stats.h"

enum {
    SPARE_BYTES = 64 << 20,
    SPARE_LARGEST = 32 << 20,
    SPARE_RANGES = 32,
    SPARE_MS = 500,
    LEAST_PART = 4, /* a move brings at least this part of what is wanted, */
    MOST_TIMES = 4, /* from a range of at most so many times as much */
};

static struct {
    struct large *newest; /* by large.next towards older ones */
    size_t bytes;
    uint64_t next_tick; /* atomic: when the oldest is old enough; 0 while there is none */
} spare;

void spare_forget(void)
{
    spare.newest = NULL;
    spare.bytes = 0;
    atomic_set(&spare.next_tick, 0);
}

static void push(struct large *large)
{
    uint64_t now = os_now_ms();
    large->state = LARGE_SPARE;
    large->idle_since_ms = (uint32_t)now;
    large->next = spare.newest;
    spare.newest = large;
    if (atomic_get(&spare.next_tick) == 0)
        atomic_set(&spare.next_tick, now + SPARE_MS);
}

static struct large *take_out(struct large **link)
{
    struct large *large = *link;
    *link = large->next;
    spare.bytes -= min_size(spare.bytes, large->opened);
    large->state = LARGE_RESTING;
    return large;
}

static bool has_room(size_t bytes)
{
    unsigned count = 0;
    for (const struct large *large = spare.newest; large; large = large->next)
        count++;
    return bytes <= SPARE_LARGEST && spare.bytes + bytes <= SPARE_BYTES && count < SPARE_RANGES;
}

/* Locked memory stays, since a move would carry the lock along. The last page is free, and empty afterwards; where a part is
 * locked, or has other properties of its own, it stays too. What the program asked of its block at a fork must not become
 * the next one's. */
static bool move(char *from, char *to, size_t bytes)
{
    return !os_is_locked(from + bytes - MOAT_OS_PAGE) && os_inherit_at_fork(from, bytes) == 0 &&
           os_is_one_mapping(from, bytes) && os_move(from, to, bytes) == 0;
}

bool spare_keep(struct large *large)
{
    if (large->is_mapping || large->is_dirty || !has_room(large->opened))
        return false;
    struct large *target = ranges_make_room() ? ranges_take_for_spare(large->range) : NULL;
    if (!target)
        return false;
    target->user = 0;
    spare.bytes += large->opened; /* at once, since others may keep theirs meanwhile */
    ranges_unlock();
    size_t first = large->seam != 0 ? large->seam : large->opened, second = large->opened - first;
    bool moved = move(large->start, target->start, first);
    bool moved_all = moved && (second == 0 || move(large->start + first, target->start + first, second));
    ranges_lock();
    size_t kept = moved_all ? large->opened : first;
    spare.bytes -= min_size(spare.bytes, moved ? large->opened - kept : large->opened);
    if (!moved) {
        ranges_give_up(target);
        return false;
    }
    target->opened = kept;
    target->seam = moved_all && second != 0 ? first : 0;
    large->opened -= moved_all ? large->opened : 0;
    ranges_rest(large);
    push(target);
    return true;
}

static bool shrink(struct large *large, size_t opened)
{
    if (os_rest(large->start + opened, large->opened - opened) != 0)
        return false;
    large->opened = opened;
    large->seam = large->seam < opened ? large->seam : 0;
    return true;
}

/* Makes `opened` bytes of a spare range usable, and no more. What grows has one seam at most: only such memory moves again. */
static bool fit(struct large *large, size_t opened)
{
    if (large->opened > opened && !shrink(large, opened))
        return false; /* nothing would fault behind the block */
    if (large->opened == opened)
        return true;
    if (large->seam != 0 && !shrink(large, large->seam))
        return false;
    large->seam = large->opened;
    if (os_open(large->start + large->opened, opened - large->opened) != 0)
        return false;
    large->opened = opened;
    return true;
}

/* A spare range of just that size. */
static struct large **find_range(size_t range)
{
    for (struct large **link = &spare.newest; *link; link = &(*link)->next)
        if ((*link)->range == range)
            return link;
    return NULL;
}

/* The smallest that has all that is wanted, else the largest; none that is much larger, or has little of it. */
static struct large **find_memory(size_t opened)
{
    struct large **best = NULL;
    for (struct large **link = &spare.newest; *link; link = &(*link)->next) {
        size_t has = (*link)->opened, best_has = best ? (*best)->opened : 0;
        bool is_better = best_has < opened ? has > best_has : has >= opened && has < best_has;
        if (is_better && has / MOST_TIMES <= opened && has >= opened / LEAST_PART)
            best = link;
    }
    return best;
}

/* Moves spare memory to a range of the right size. */
static struct large *take_moved(struct large **link, size_t bytes, size_t opened)
{
    struct large *target = ranges_take_for_spare(bytes);
    if (!target)
        return NULL;
    struct large *source = take_out(link);
    size_t moved = min_size(source->seam != 0 ? source->seam : source->opened, opened);
    bool is_done = move(source->start, target->start, moved);
    if (is_done)
        target->opened = moved;
    ranges_rest(source);
    if (is_done && fit(target, opened))
        return target;
    ranges_give_up(target);
    return NULL;
}

struct large *spare_take(size_t bytes, size_t opened)
{
    struct large **link = find_range(ranges_rounded(bytes));
    if (!link) {
        link = find_memory(opened);
        return link ? take_moved(link, bytes, opened) : NULL;
    }
    struct large *large = take_out(link);
    if (fit(large, opened))
        return large;
    ranges_give_up(large);
    return NULL;
}

/* Gives one back that is older than SPARE_MS, or any: with the lock, but not while its memory goes. */
static bool give_back(uint32_t now, bool any)
{
    struct large **oldest = &spare.newest;
    while (*oldest && (*oldest)->next)
        oldest = &(*oldest)->next;
    if (!*oldest || !(any || (int32_t)(now - (*oldest)->idle_since_ms) >= SPARE_MS))
        return false;
    struct large *large = take_out(oldest);
    ranges_unlock();
    ranges_close(large);
    ranges_lock();
    ranges_rest(large);
    return true;
}

void spare_tick(void)
{
    uint64_t due = atomic_get(&spare.next_tick);
    if (MOAT_LIKELY(due == 0))
        return;
    uint64_t now = os_now_ms();
    if (now < due)
        return;
    ranges_lock();
    while (give_back((uint32_t)now, false))
        continue;
    atomic_set(&spare.next_tick, spare.newest ? now + SPARE_MS / 8 : 0);
    ranges_unlock();
}

bool spare_trim(void)
{
    bool done = false;
    ranges_lock();
    while (give_back(0, true))
        done = true;
    atomic_set(&spare.next_tick, 0);
    ranges_unlock();
    return done;
}
