/* slices.c - see slices.h. Everything here is under LOCK_SLICES.
 *
 * A child of _Fork that finds the lock held by a thread it does not have trusts none of the lists (start_afresh): it
 * allocates from fresh chunks, and what waited here stays unused.
 */
#include "slices.h"

#include "base/atomic.h"
#include "cage.h"
#include "chunks.h"
#include "classes.h"
#include "os/lock.h"
#include "os/os.h"
#include "secure/hooks.h"
#include "stats.h"

#include <string.h>

enum {
    KEEP_SLICES = 128, /* so much stays hot in all pools, 8 MiB, */
    KEEP_DIVISOR = 8,  /* or this part of what is in use, */
    KEEP_IDLE = 2,     /* and this much of a pool when it is idle for */
    IDLE_MS = 500,
    PURGES_PER_MS = 1,       /* slices: 64 MiB a second under pressure, */
    PURGES_AT_ONCE = 64,     /* saved up to 4 MiB */
    IDLE_PURGES_PER_MS = 16, /* of what is idle: an eighth of the time since the last tick at most, */
    TICK_MOST = 4096,        /* and 30 ms in one go */
    TICK_MS = 10,
    LARGER_CLASSES = 2, /* 28 % */
    FIRST_OPEN = 8,     /* slices of the first chunk opened at start: 512 KiB */
    LONGEST_SHARED_RUN = 16,
    CHOICE = 4, /* of so many released pages one is drawn */
};

struct page_list {
    uint32_t newest, oldest; /* record.queue_next goes towards older pages */
    uint32_t count;
};

struct pool {
    struct page_list dirty; /* newest reused first, oldest purged first */
    struct page_list clean; /* purged: oldest reused first */
    uint32_t dirty_slices;  /* memory of the dirty ones */
};

struct run {
    uint32_t next, left;
};

/* What a class has of fresh slices: a run of up to a chunk, of which any may be next. */
struct class_run {
    uint32_t first, left; /* left: one bit a slice from the first on */
    uint32_t taken;       /* runs so far: the next one is 1, 1, 2, 4 .. slices long */
};

uint32_t slices_wait;

static struct {
    uint32_t next;   /* first slice that belongs to no chunk yet; a multiple of a chunk's */
    uint32_t opened; /* in the first chunk, which is opened in two steps */
    struct run shared, medium;
    struct class_run run[MOAT_SMALL_CLASSES];
    struct pool pool[MOAT_CLASSES];
    uint32_t dirty_slices, held_slices; /* of all pools; what has memory: handed out, or dirty */
    uint64_t purge_time, purges_left;
    uint64_t next_tick; /* atomic */
    uint64_t idle_time; /* up to then the time was used up for purging what is idle */
} frontier;

/* A fork left pools and runs half changed: all of it stays unused, chunks are not counted any more, and what follows is
 * taken from fresh chunks. */
static MOAT_COLD void start_afresh(void)
{
    for (uint32_t chunk = 0; chunk < frontier.next; chunk += MOAT_CHUNK_SLICES)
        record_of_slice(chunk)->chunk_class = 0;
    memset(frontier.run, 0, sizeof frontier.run);
    memset(frontier.pool, 0, sizeof frontier.pool);
    frontier.shared = frontier.medium = (struct run){0};
    frontier.dirty_slices = frontier.held_slices = 0;
    frontier.next = (uint32_t)round_up(frontier.next, MOAT_CHUNK_SLICES);
    chunks_forget();
    /* The chunk at the frontier may have been about to receive another one's memory. */
    if (frontier.next + (size_t)MOAT_CHUNK_SLICES <= moat_fixed.is.slice_count)
        os_rest((char *)moat_fixed.is.base + ((size_t)frontier.next << MOAT_SLICE_BITS), MOAT_CHUNK);
}

static void take_lock(void)
{
    if (lock_take(LOCK_SLICES))
        start_afresh();
}

static char *slice_start(uint32_t slice)
{
    return (char *)moat_fixed.is.base + ((size_t)slice << MOAT_SLICE_BITS);
}

static bool open_slices(uint32_t first, uint32_t end)
{
    return cage_open_tables(end) && os_open(slice_start(first), (size_t)(end - first) << MOAT_SLICE_BITS) == 0;
}

/* Gives `run` whole open chunks with at least `length` slices. Slice 0 is never used: 0 means none in every list. */
static bool take_chunks(struct run *run, uint32_t length)
{
    uint32_t slices = (uint32_t)round_up(length, MOAT_CHUNK_SLICES);
    uint32_t first = frontier.next;
    if (first + (size_t)slices > moat_fixed.is.slice_count)
        return false;
    if (first == 0 ? !open_slices(0, FIRST_OPEN) : !open_slices(first, first + slices))
        return false;
    frontier.opened = first == 0 ? FIRST_OPEN : frontier.opened;
    frontier.next = first + slices;
    if (run->left > 0 && run->next + run->left == first) {
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
    if (first < MOAT_CHUNK_SLICES && first + length > frontier.opened) {
        if (!open_slices(frontier.opened, MOAT_CHUNK_SLICES))
            return 0;
        frontier.opened = MOAT_CHUNK_SLICES;
    }
    from->left -= length;
    from->next += length;
    return first;
}

static void set_run(struct class_run *run, uint32_t first, uint32_t length)
{
    run->first = first;
    run->left = UINT32_MAX >> (MOAT_CHUNK_SLICES - length);
}

/* The next whole chunk for a class: memory of an emptied one where the build moves such. */
static bool take_class_chunk(unsigned class, struct class_run *run)
{
    if (!HOOK_MOVES_CHUNKS) {
        struct run chunk = {0};
        while (chunk.left < MOAT_CHUNK_SLICES) /* the first one lacks slice 0 */
            if (!take_chunks(&chunk, MOAT_CHUNK_SLICES))
                return false;
        set_run(run, chunk.next + chunk.left - MOAT_CHUNK_SLICES, MOAT_CHUNK_SLICES);
        return true;
    }
    bool has_fresh = frontier.next != 0 && frontier.next + (size_t)MOAT_CHUNK_SLICES <= moat_fixed.is.slice_count;
    bool took_fresh;
    uint32_t first = chunks_take(class, has_fresh ? frontier.next : 0, &took_fresh);
    if (took_fresh)
        frontier.next += MOAT_CHUNK_SLICES;
    if (first == 0)
        return false;
    set_run(run, first, MOAT_CHUNK_SLICES);
    return true;
}

static bool refill_run(unsigned class, struct class_run *run)
{
    uint32_t length = run->taken == 0 ? 1 : 1u << min_size(run->taken - 1, 8);
    if (length > LONGEST_SHARED_RUN)
        return take_class_chunk(class, run);
    uint32_t left = frontier.shared.left;
    if (left > 0 && left < length)
        length = left;
    uint32_t first = cut(&frontier.shared, length);
    if (first == 0)
        return false;
    set_run(run, first, length);
    run->taken++;
    return true;
}

/* One of the run's slices: the first, or any. */
static uint32_t choose_slice(struct class_run *run)
{
    uint32_t left = run->left;
    for (unsigned skip = hook_choose((unsigned)__builtin_popcount(left)); skip > 0; skip--)
        left &= left - 1;
    unsigned chosen = (unsigned)__builtin_ctz(left);
    run->left &= ~(1u << chosen);
    return run->first + chosen;
}

static struct record *take_fresh(unsigned class, uint32_t slices)
{
    uint32_t first;

    if (class < MOAT_SMALL_CLASSES) {
        struct class_run *run = &frontier.run[class];
        if (run->left == 0 && !refill_run(class, run))
            return NULL;
        first = choose_slice(run);
    } else {
        first = cut(&frontier.medium, slices);
        if (first == 0)
            return NULL;
    }
    record_of_slice(first)->run_slices = slices;
    return record_of_slice(first);
}

static void list_push(struct page_list *list, struct record *page)
{
    page->queue_previous = 0;
    page->queue_next = list->newest;
    if (list->newest)
        record_of_slice(list->newest)->queue_previous = slice_of_record(page);
    else
        list->oldest = slice_of_record(page);
    list->newest = slice_of_record(page);
    list->count++;
}

static void list_remove(struct page_list *list, struct record *page)
{
    if (page->queue_previous)
        record_of_slice(page->queue_previous)->queue_next = page->queue_next;
    else
        list->newest = page->queue_next;
    if (page->queue_next)
        record_of_slice(page->queue_next)->queue_previous = page->queue_previous;
    else
        list->oldest = page->queue_previous;
    list->count--;
}

/* What a purge gives back: the blocks, not the guard behind them. */
static size_t block_part(const struct record *page)
{
    return page->class < MOAT_SMALL_CLASSES ? MOAT_SLICE - HOOK_GUARD_BYTES : page->block_bytes;
}

/* What a page of the class has of memory, in slices. */
static uint32_t memory_of_class(unsigned class)
{
    return class < MOAT_SMALL_CLASSES ? 1 : (uint32_t)((class_bytes(class) + MOAT_SLICE - 1) >> MOAT_SLICE_BITS);
}

/* After a fork that found the lock held it is not known what pages of before count. */
static void hold_less(uint32_t slices)
{
    frontier.held_slices -= frontier.held_slices < slices ? frontier.held_slices : slices;
}

static void push_dirty(struct pool *pool, struct record *page)
{
    list_push(&pool->dirty, page);
    pool->dirty_slices += memory_of_class(page->class);
    frontier.dirty_slices += memory_of_class(page->class);
}

static void remove_dirty(struct pool *pool, struct record *page)
{
    list_remove(&pool->dirty, page);
    pool->dirty_slices -= memory_of_class(page->class);
    frontier.dirty_slices -= memory_of_class(page->class);
}

/* Answers how many slices' memory that was. */
static uint32_t purge_oldest(struct pool *pool)
{
    struct record *page = record_of_slice(pool->dirty.oldest);
    remove_dirty(pool, page);
    bool faults = hook_purge(page_start(page), block_part(page));
    if (faults || os_purge(page_start(page), block_part(page)) == 0) {
        /* Where it was to fault and does not, a dangling pointer may have written there: it is not known to read zero. */
        page->contents = faults || HOOK_GUARD_BYTES == 0 ? CONTENTS_PURGED : CONTENTS_KEPT;
        stats_add(STAT_PAGES_PURGED, 1);
    } else {
        page->contents = CONTENTS_KEPT;
        stats_add(STAT_PURGES_REFUSED, 1);
    }
    list_push(&pool->clean, page);
    hold_less(memory_of_class(page->class));
    return memory_of_class(page->class);
}

/* Makes what a released page's memory holds fit for its next use. */
static bool make_usable(struct record *page)
{
    if (page->contents == CONTENTS_PURGED && !hook_reopen(page_start(page), block_part(page)))
        return false;
    if (page->contents == CONTENTS_OTHER)
        memset(page_start(page), 0, MOAT_SLICE - HOOK_GUARD_BYTES);
    page->is_zeroed = page->contents != CONTENTS_OWN && page->contents != CONTENTS_KEPT;
    page->contents = CONTENTS_OWN;
    return true;
}

static struct record *chunk_of(struct record *page)
{
    return record_of_slice(slice_of_record(page) & ~(uint32_t)(MOAT_CHUNK_SLICES - 1));
}

/* Of the newest pages, which are hot, or of the oldest, which have rested longest. NULL while too few medium ones rest. */
static struct record *choose_page(const struct page_list *list, unsigned class, bool from_newest)
{
    unsigned skip = class < MOAT_SMALL_CLASSES
                        ? hook_choose((unsigned)min_size(list->count, CHOICE))
                        : hook_choose_rested((unsigned)min_size(list->count, 2 * CHOICE), class_bytes(class));
    if (skip >= list->count)
        return NULL;
    struct record *page = record_of_slice(from_newest ? list->newest : list->oldest);
    for (; skip > 0; skip--)
        page = record_of_slice(from_newest ? page->queue_next : page->queue_previous);
    return page;
}

/* Where a page for the class may wait. Memory of a slightly larger medium block is at hand where an address may serve any size
 * and blocks do not end at guards: better than a page fault for each page of a fresh one. */
static struct pool *pool_for(unsigned class)
{
    if (class < MOAT_SMALL_CLASSES)
        return &frontier.pool[hook_pool_of_class(class)];
    for (unsigned larger = class;
         !HOOK_MOVES_CHUNKS && HOOK_GUARD_BYTES == 0 && larger < MOAT_CLASSES && larger <= class + LARGER_CLASSES;
         larger++)
        if (frontier.pool[larger].dirty.newest)
            return &frontier.pool[larger];
    return &frontier.pool[class];
}

struct record *slices_take(unsigned class, uint32_t slices)
{
    struct pool *pool;
    struct record *page = NULL;

    take_lock();
    pool = pool_for(class);
    bool is_fresh = false;
    struct page_list *list = pool->dirty.newest ? &pool->dirty : &pool->clean;
    if (list->count > 0) {
        page = choose_page(list, class, list == &pool->dirty);
    }
    if (!page) {
        page = take_fresh(class, slices);
        is_fresh = page != NULL;
    }
    if (!page && list->count > 0) /* no address is left: one that should have rested */
        page = record_of_slice(list->oldest);
    if (page && !is_fresh && list == &pool->dirty)
        remove_dirty(pool, page);
    else if (page && !is_fresh)
        list_remove(list, page);
    if (page && (is_fresh || list == &pool->clean))
        frontier.held_slices += memory_of_class(class);
    if (page && !make_usable(page)) {
        list_push(&pool->clean, page);
        hold_less(memory_of_class(class));
        page = NULL;
    } else if (page && chunk_of(page)->chunk_class != 0) {
        chunk_of(page)->chunk_in_use++;
        chunk_of(page)->chunk_taken = (uint8_t)(chunk_of(page)->chunk_taken + is_fresh);
    }
    lock_drop(LOCK_SLICES);
    return page;
}

static struct pool *dirtiest(void)
{
    struct pool *most = frontier.pool;
    for (unsigned class = 1; class < MOAT_CLASSES; class ++)
        if (frontier.pool[class].dirty_slices > most->dirty_slices)
            most = &frontier.pool[class];
    return most;
}

/* Purges what is kept beyond measure, as far as the rate allows. */
static void purge_surplus(uint64_t now)
{
    if (now != frontier.purge_time) {
        uint64_t more = (now - frontier.purge_time) * PURGES_PER_MS + frontier.purges_left;
        frontier.purges_left = more < PURGES_AT_ONCE ? more : PURGES_AT_ONCE;
        frontier.purge_time = now;
    }
    while (frontier.purges_left > 0 && frontier.dirty_slices > KEEP_SLICES &&
           frontier.dirty_slices > frontier.held_slices / KEEP_DIVISOR)
        frontier.purges_left -= min_size(frontier.purges_left, purge_oldest(dirtiest()));
}

/* The chunk's last slice in use came back: all of them leave the pool. */
static void retire_chunk(struct pool *pool, struct record *first, uint32_t now)
{
    for (unsigned i = 0; i < MOAT_CHUNK_SLICES; i++) {
        if (first[i].contents >= CONTENTS_KEPT) {
            list_remove(&pool->clean, &first[i]);
        } else {
            remove_dirty(pool, &first[i]);
            hold_less(1);
        }
    }
    chunks_emptied(slice_of_record(first), now);
}

void slices_release(struct record *page)
{
    unsigned class = page->class;
    struct pool *pool = &frontier.pool[class < MOAT_SMALL_CLASSES ? hook_pool_of_class(class) : class];
    uint64_t now = os_now_ms();

    take_lock();
    page->contents = CONTENTS_OWN;
    page->is_zeroed = 0;
    page->idle_since_ms = (uint32_t)now;
    push_dirty(pool, page);
    struct record *chunk = chunk_of(page);
    if (chunk->chunk_class != 0 && --chunk->chunk_in_use == 0 && chunk->chunk_taken == MOAT_CHUNK_SLICES)
        retire_chunk(pool, chunk, (uint32_t)now);
    purge_surplus(now);
    lock_drop(LOCK_SLICES);
    slices_tick();
}

static bool is_idle(const struct pool *pool, uint32_t now)
{
    return pool->dirty_slices > KEEP_IDLE &&
           (int32_t)(now - record_of_slice(pool->dirty.oldest)->idle_since_ms) >= IDLE_MS;
}

/* Purges up to `most` slices of what is idle. Answers how many. */
static uint32_t purge_idle(uint32_t now, uint32_t most)
{
    uint32_t purged = 0;
    for (unsigned class = 0; class < MOAT_CLASSES; class ++)
        while (purged < most && is_idle(&frontier.pool[class], now))
            purged += purge_oldest(&frontier.pool[class]);
    if (purged < most)
        purged += chunks_give_back(now, false, (most - purged) / MOAT_CHUNK_SLICES + 1) * MOAT_CHUNK_SLICES;
    return purged;
}

void slices_tick(void)
{
    uint64_t now = os_now_ms();
    uint64_t due = atomic_get(&frontier.next_tick);
    if (now < due || !atomic_cas_acq_rel(&frontier.next_tick, &due, now + TICK_MS))
        return;

    take_lock();
    uint64_t elapsed = now > frontier.idle_time ? now - frontier.idle_time : 0;
    uint32_t most = (uint32_t)min_size(elapsed * IDLE_PURGES_PER_MS, TICK_MOST);
    uint32_t purged = purge_idle((uint32_t)now, most);
    bool is_more = most > 0 && purged >= most;
    if (is_more) { /* the next slow path goes on */
        frontier.idle_time += purged / IDLE_PURGES_PER_MS;
        atomic_set(&frontier.next_tick, now);
    } else if (now > frontier.idle_time) {
        frontier.idle_time = now;
    }
    atomic_set(&slices_wait, is_more);
    lock_drop(LOCK_SLICES);
}

bool slices_trim(void)
{
    take_lock();
    bool any = chunks_give_back(0, true, UINT32_MAX) > 0;
    for (unsigned class = 0; class < MOAT_CLASSES; class ++) {
        struct pool *pool = &frontier.pool[class];
        while (pool->dirty.count > 0) {
            purge_oldest(pool);
            any = true;
        }
    }
    lock_drop(LOCK_SLICES);
    return any;
}

void slices_before_fork(void)
{
    take_lock();
    chunks_give_back(0, true, UINT32_MAX);
    lock_drop(LOCK_SLICES);
}
