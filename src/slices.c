/* slices.c - see slices.h. Everything here is under LOCK_SLICES.
 *
 * Each structure is changed by one last store, so that a child of _Fork that finds the lock held by a thread it does not
 * have loses at most the slices in that thread's hands.
 */
#include "slices.h"

#include "cage.h"
#include "classes.h"
#include "os/lock.h"
#include "os/os.h"
#include "secure/hooks.h"
#include "stats.h"

enum {
    KEEP_SLICES = 16,        /* a pool keeps this many hot, 1 MiB, */
    KEEP_DIVISOR = 8,        /* or this part of its class */
    PURGES_PER_MS = 1,       /* 64 MiB a second at most, */
    PURGES_AT_ONCE = 64,     /* saved up to 4 MiB */
    FIRST_OPEN = 8,          /* slices opened at start: 512 KiB */
    LONGEST_SHARED_RUN = 16,
};

struct pool {
    uint32_t newest, oldest; /* dirty pages by record.queue_next (towards older) and queue_previous */
    uint32_t clean;          /* purged pages by queue_next */
    uint32_t dirty_count;
    uint32_t bound_count; /* slices that were ever handed out for the class */
};

struct run {
    uint32_t next, left;
    uint32_t taken; /* runs so far: the next one is 1, 1, 2, 4 .. slices long */
};

static struct {
    uint32_t next;   /* first slice that belongs to no chunk yet; a multiple of a chunk's */
    uint32_t opened; /* slices below are open */
    struct run shared, medium;
    struct run run[MOAT_SMALL_CLASSES];
    struct pool pool[MOAT_CLASSES];
    uint64_t purge_time;
    uint64_t purges_left;
} frontier;

static bool open_to(uint32_t end)
{
    if (end <= frontier.opened)
        return true;
    uint32_t target = frontier.opened == 0 && end <= FIRST_OPEN ? FIRST_OPEN
                                                                : (uint32_t)round_up(end, MOAT_CHUNK_SLICES);
    if (!cage_open_tables(target))
        return false;
    size_t bytes = (size_t)(target - frontier.opened) << MOAT_SLICE_BITS;
    if (os_open((char *)moat_fixed.is.base + ((size_t)frontier.opened << MOAT_SLICE_BITS), bytes) != 0)
        return false;
    frontier.opened = target;
    return true;
}

/* Gives `run` whole chunks with at least `length` slices. Slice 0 is never used: 0 means none in every list. */
static bool take_chunks(struct run *run, uint32_t length)
{
    uint32_t slices = (uint32_t)round_up(length, MOAT_CHUNK_SLICES);
    if (frontier.next + (size_t)slices > moat_fixed.is.slice_count)
        return false;
    uint32_t first = frontier.next;
    frontier.next += slices;
    if (run->next + run->left == first && run->left > 0) {
        run->left += slices;
        return true;
    }
    run->next = first == 0 ? 1 : first;
    run->left = first == 0 ? slices - 1 : slices;
    return true;
}

/* Cuts `length` slices off `from`, which is refilled when it has too few. Answers the first, 0 for none. */
static uint32_t cut(struct run *from, uint32_t length)
{
    while (from->left < length) /* twice where the first chunk lost slice 0 */
        if (!take_chunks(from, length))
            return 0;
    uint32_t first = from->next;
    if (!open_to(first + length))
        return 0;
    from->left -= length;
    from->next += length;
    return first;
}

static bool refill_run(struct run *run)
{
    uint32_t length = run->taken == 0 ? 1 : 1u << min_size(run->taken - 1, 8);
    if (length > LONGEST_SHARED_RUN)
        return take_chunks(run, MOAT_CHUNK_SLICES);
    uint32_t left = frontier.shared.left;
    if (left > 0 && left < length)
        length = left;
    uint32_t first = cut(&frontier.shared, length);
    if (first == 0)
        return false;
    run->next = first;
    run->left = length;
    run->taken++;
    return true;
}

static struct record *take_fresh(unsigned class, unsigned pool, uint32_t slices)
{
    uint32_t first;

    if (class < MOAT_SMALL_CLASSES) {
        struct run *run = &frontier.run[class];
        if (run->left == 0 && !refill_run(run))
            return NULL;
        first = run->next;
        if (!open_to(first + 1))
            return NULL;
        run->left--;
        run->next++;
    } else {
        first = cut(&frontier.medium, slices);
        if (first == 0)
            return NULL;
    }
    frontier.pool[pool].bound_count += slices;
    return record_of_slice(first);
}

static void unlink_dirty(struct pool *pool, struct record *page)
{
    if (page->queue_previous)
        record_of_slice(page->queue_previous)->queue_next = page->queue_next;
    else
        pool->newest = page->queue_next;
    if (page->queue_next)
        record_of_slice(page->queue_next)->queue_previous = page->queue_previous;
    else
        pool->oldest = page->queue_previous;
    pool->dirty_count--;
}

/* What a purge gives back: the blocks, not the guard behind them. */
static size_t block_part(const struct record *page)
{
    return page->class < MOAT_SMALL_CLASSES ? MOAT_SLICE - HOOK_GUARD_BYTES : page->block_bytes;
}

static void purge(struct pool *pool, struct record *page)
{
    unlink_dirty(pool, page);
    if (hook_purge(page_start(page), block_part(page))) {
        page->is_dirty = 0;
        page->is_zeroed = 1;
        stats_add(STAT_PAGES_PURGED, 1);
    }
    page->queue_next = pool->clean;
    pool->clean = slice_of_record(page);
}

static struct record *take_released(struct pool *pool)
{
    struct record *page = NULL;
    if (pool->newest) {
        page = record_of_slice(pool->newest);
        unlink_dirty(pool, page);
    } else if (pool->clean) {
        page = record_of_slice(pool->clean);
        if (!page->is_dirty && !hook_reopen(page_start(page), block_part(page)))
            return NULL;
        pool->clean = page->queue_next;
    }
    return page;
}

struct record *slices_take(unsigned class, uint32_t slices)
{
    unsigned pool = class < MOAT_SMALL_CLASSES ? hook_pool_of_class(class) : class;

    lock_take(LOCK_SLICES);
    struct record *page = take_released(&frontier.pool[pool]);
    if (!page) {
        page = take_fresh(class, pool, slices);
        if (page) {
            page->is_bound = 1;
            page->is_zeroed = 1;
            page->run_slices = slices;
        }
    }
    lock_drop(LOCK_SLICES);
    return page;
}

static bool may_purge(void)
{
    uint64_t now = os_now_ms();
    if (now != frontier.purge_time) {
        uint64_t more = (now - frontier.purge_time) * PURGES_PER_MS + frontier.purges_left;
        frontier.purges_left = more < PURGES_AT_ONCE ? more : PURGES_AT_ONCE;
        frontier.purge_time = now;
    }
    if (frontier.purges_left == 0)
        return false;
    frontier.purges_left--;
    return true;
}

static bool has_many(const struct pool *pool)
{
    return pool->dirty_count > KEEP_SLICES && pool->dirty_count > pool->bound_count / KEEP_DIVISOR;
}

void slices_release(struct record *page)
{
    unsigned class = page->class;
    struct pool *pool = &frontier.pool[class < MOAT_SMALL_CLASSES ? hook_pool_of_class(class) : class];

    lock_take(LOCK_SLICES);
    page->is_dirty = 1;
    page->is_zeroed = 0;
    page->queue_previous = 0;
    page->queue_next = pool->newest;
    if (pool->newest)
        record_of_slice(pool->newest)->queue_previous = slice_of_record(page);
    else
        pool->oldest = slice_of_record(page);
    pool->newest = slice_of_record(page);
    pool->dirty_count++;
    while (has_many(pool) && may_purge())
        purge(pool, record_of_slice(pool->oldest));
    lock_drop(LOCK_SLICES);
}

bool slices_trim(void)
{
    bool any = false;

    lock_take(LOCK_SLICES);
    for (unsigned class = 0; class < MOAT_CLASSES; class ++) {
        struct pool *pool = &frontier.pool[class];
        while (pool->oldest) {
            purge(pool, record_of_slice(pool->oldest));
            any = true;
        }
    }
    lock_drop(LOCK_SLICES);
    return any;
}
