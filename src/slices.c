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
    KEEP_SLICES = 16, /* a pool keeps this many hot, 1 MiB, */
    KEEP_DIVISOR = 8, /* or this part of its class, */
    KEEP_IDLE = 2,    /* and this many when they are idle for */
    IDLE_MS = 500,
    PURGES_PER_MS = 1,   /* 64 MiB a second under pressure, */
    PURGES_AT_ONCE = 64, /* saved up to 4 MiB, and at most this many a tick */
    CHUNKS_AT_ONCE = 4,
    TICK_MS = 10,
    FIRST_OPEN = 8, /* slices of the first chunk opened at start: 512 KiB */
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
    uint32_t bound_count;   /* slices that were ever handed out for the class */
};

struct run {
    uint32_t next, left;
};

/* What a class has of fresh slices: a run of up to a chunk, of which any may be next. */
struct class_run {
    uint32_t first, left; /* left: one bit a slice from the first on */
    uint32_t taken;       /* runs so far: the next one is 1, 1, 2, 4 .. slices long */
};

static struct {
    uint32_t next;   /* first slice that belongs to no chunk yet; a multiple of a chunk's */
    uint32_t opened; /* in the first chunk, which is opened in two steps */
    struct run shared, medium;
    struct class_run run[MOAT_SMALL_CLASSES];
    struct pool pool[MOAT_CLASSES];
    uint64_t purge_time, purges_left;
    uint64_t next_tick; /* atomic */
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

static struct record *take_fresh(unsigned class, unsigned pool, uint32_t slices)
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
    frontier.pool[pool].bound_count += slices;
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

static void purge(struct pool *pool, struct record *page)
{
    list_remove(&pool->dirty, page);
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

struct record *slices_take(unsigned class, uint32_t slices)
{
    struct pool *pool = &frontier.pool[class < MOAT_SMALL_CLASSES ? hook_pool_of_class(class) : class];
    struct record *page = NULL;

    take_lock();
    bool is_fresh = false;
    struct page_list *list = pool->dirty.newest ? &pool->dirty : &pool->clean;
    if (list->count > 0) {
        page = choose_page(list, class, list == &pool->dirty);
    }
    if (!page) {
        page = take_fresh(class, (unsigned)(pool - frontier.pool), slices);
        is_fresh = page != NULL;
    }
    if (!page && list->count > 0) /* no address is left: one that should have rested */
        page = record_of_slice(list->oldest);
    if (page && !is_fresh)
        list_remove(list, page);
    if (page && !make_usable(page)) {
        list_push(&pool->clean, page);
        page = NULL;
    } else if (page && chunk_of(page)->chunk_class != 0) {
        chunk_of(page)->chunk_in_use++;
        chunk_of(page)->chunk_taken = (uint8_t)(chunk_of(page)->chunk_taken + is_fresh);
    }
    lock_drop(LOCK_SLICES);
    return page;
}

static bool may_purge(uint64_t now)
{
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
    return pool->dirty.count > KEEP_SLICES && pool->dirty.count > pool->bound_count / KEEP_DIVISOR;
}

/* The chunk's last slice in use came back: all of them leave the pool. */
static void retire_chunk(struct pool *pool, struct record *first, uint32_t now)
{
    for (unsigned i = 0; i < MOAT_CHUNK_SLICES; i++)
        list_remove(first[i].contents >= CONTENTS_KEPT ? &pool->clean : &pool->dirty, &first[i]);
    pool->bound_count -= MOAT_CHUNK_SLICES;
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
    list_push(&pool->dirty, page);
    struct record *chunk = chunk_of(page);
    if (chunk->chunk_class != 0 && --chunk->chunk_in_use == 0 && chunk->chunk_taken == MOAT_CHUNK_SLICES)
        retire_chunk(pool, chunk, (uint32_t)now);
    while (has_many(pool) && may_purge(now))
        purge(pool, record_of_slice(pool->dirty.oldest));
    lock_drop(LOCK_SLICES);
    slices_tick();
}

static bool is_idle(const struct pool *pool, uint32_t now)
{
    return pool->dirty.count > KEEP_IDLE &&
           (int32_t)(now - record_of_slice(pool->dirty.oldest)->idle_since_ms) >= IDLE_MS;
}

void slices_tick(void)
{
    uint64_t now = os_now_ms();
    uint64_t due = atomic_get(&frontier.next_tick);
    if (now < due || !atomic_cas_acq_rel(&frontier.next_tick, &due, now + TICK_MS))
        return;

    take_lock();
    unsigned purges = PURGES_AT_ONCE;
    for (unsigned class = 0; class < MOAT_CLASSES; class ++) {
        struct pool *pool = &frontier.pool[class];
        while (purges > 0 && is_idle(pool, (uint32_t)now)) {
            purge(pool, record_of_slice(pool->dirty.oldest));
            purges--;
        }
    }
    bool more = chunks_give_back((uint32_t)now, false, CHUNKS_AT_ONCE) == CHUNKS_AT_ONCE || purges == 0;
    if (more)
        atomic_set(&frontier.next_tick, now);
    lock_drop(LOCK_SLICES);
}

bool slices_trim(void)
{
    take_lock();
    bool any = chunks_give_back(0, true, UINT32_MAX) > 0;
    for (unsigned class = 0; class < MOAT_CLASSES; class ++) {
        struct pool *pool = &frontier.pool[class];
        while (pool->dirty.count > 0) {
            purge(pool, record_of_slice(pool->dirty.oldest));
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
