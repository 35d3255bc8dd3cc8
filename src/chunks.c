/* chunks.c - see chunks.h. A chunk is named by its first slice, whose record carries the chunk's own fields; lists of
 * chunks run through that record's queue links.
 */
#include "chunks.h"

#include "cage.h"
#include "os/os.h"
#include "random/random.h"
#include "secure/hooks.h"
#include "stats.h"

#include <string.h>

enum { REST_CHUNKS = 64, MAPPINGS_PART = 16 };

struct chunk_list {
    uint32_t oldest, newest, count;
};

static struct chunk_list stock;
static struct chunk_list resting[MOAT_SMALL_CLASSES];
static size_t moved_standing;

static char *chunk_start(uint32_t first)
{
    return (char *)moat_fixed.is.base + ((size_t)first << MOAT_SLICE_BITS);
}

static void append(struct chunk_list *list, uint32_t chunk)
{
    struct record *page = record_of_slice(chunk);
    page->queue_next = 0;
    page->queue_previous = list->newest;
    if (list->newest)
        record_of_slice(list->newest)->queue_next = chunk;
    else
        list->oldest = chunk;
    list->newest = chunk;
    list->count++;
}

static void take_out(struct chunk_list *list, uint32_t chunk)
{
    struct record *page = record_of_slice(chunk);
    if (page->queue_previous)
        record_of_slice(page->queue_previous)->queue_next = page->queue_next;
    else
        list->oldest = page->queue_next;
    if (page->queue_next)
        record_of_slice(page->queue_next)->queue_previous = page->queue_previous;
    else
        list->newest = page->queue_previous;
    list->count--;
}

/* The chunk's addresses are inaccessible and hold no memory. `contents` says what is left there: nothing, or guards. */
static void rest(uint32_t chunk, enum page_contents contents)
{
    struct record *first = record_of_slice(chunk);
    for (unsigned i = 0; i < MOAT_CHUNK_SLICES; i++) {
        first[i].contents = (uint8_t)contents;
        first[i].has_guard = 0;
    }
    if (first->chunk_is_moved) {
        first->chunk_is_moved = 0;
        moved_standing -= moved_standing > 0;
    }
    append(&resting[first->chunk_class - 1], chunk);
}

static void give_back(uint32_t chunk)
{
    enum page_contents contents = CONTENTS_NONE;
    if (os_rest(chunk_start(chunk), MOAT_CHUNK) != 0) {
        stats_add(STAT_PURGES_REFUSED, 1);
        if (os_purge(chunk_start(chunk), MOAT_CHUNK) == 0)
            contents = CONTENTS_PURGED; /* a purge leaves guards where they are */
        else
            contents = CONTENTS_OTHER;
        os_protect_none(chunk_start(chunk), MOAT_CHUNK);
    }
    stats_add(STAT_CHUNKS_RESTED, 1);
    rest(chunk, contents);
}

/* Moves the stock chunk's memory to the reserved chunk `target`; false, with its memory given back, where that cannot be. */
static bool move(uint32_t from, uint32_t target)
{
    struct record *source = record_of_slice(from), *there = record_of_slice(target);

    if (moved_standing >= os_map_limit() / MAPPINGS_PART || !hook_may_move(chunk_start(from) + MOAT_CHUNK) ||
        os_move(chunk_start(from), chunk_start(target), MOAT_CHUNK) != 0) {
        stats_add(STAT_MOVES_REFUSED, 1);
        give_back(from);
        return false;
    }
    for (unsigned i = 0; i < MOAT_CHUNK_SLICES; i++) {
        bool has_bytes = source[i].contents == CONTENTS_OWN || source[i].contents == CONTENTS_KEPT;
        there[i].contents = has_bytes ? CONTENTS_OTHER : source[i].contents;
        there[i].has_guard = source[i].has_guard;
    }
    there->chunk_is_moved = 1;
    moved_standing++;
    stats_add(STAT_CHUNKS_MOVED, 1);
    rest(from, CONTENTS_NONE);
    return true;
}

/* An address for a chunk of the class: one that has rested, or else the fresh one. */
static uint32_t choose_address(unsigned class, uint32_t fresh, bool *took_fresh)
{
    struct chunk_list *list = &resting[class];

    *took_fresh = false;
    if (list->count > REST_CHUNKS || (fresh == 0 && list->count > 0)) {
        if (list->count <= REST_CHUNKS)
            stats_add(STAT_REUSED_EARLY, 1);
        uint32_t chunk = list->oldest;
        for (uint64_t skip = random_below(min_size(list->count / 2 + 1, REST_CHUNKS)); skip > 0; skip--)
            chunk = record_of_slice(chunk)->queue_next;
        take_out(list, chunk);
        return chunk;
    }
    *took_fresh = fresh != 0;
    return fresh;
}

uint32_t chunks_take(unsigned class, uint32_t fresh, bool *took_fresh)
{
    uint32_t target = choose_address(class, fresh, took_fresh);
    if (target == 0)
        return 0;
    if (!cage_open_tables(target + MOAT_CHUNK_SLICES)) {
        *took_fresh = false; /* only a fresh one can lack tables */
        return 0;
    }

    struct record *first = record_of_slice(target);
    first->chunk_class = (uint8_t)(class + 1);
    first->chunk_in_use = 0;
    first->chunk_taken = 0;
    bool has_memory = false;
    if (stock.newest) {
        uint32_t from = stock.newest;
        take_out(&stock, from);
        has_memory = move(from, target);
    }
    if (!has_memory && os_open(chunk_start(target), MOAT_CHUNK) != 0) {
        append(&resting[class], target); /* reserved still: it waits for better times */
        return 0;
    }
    return target;
}

void chunks_emptied(uint32_t first, uint32_t now_ms)
{
    record_of_slice(first)->idle_since_ms = now_ms;
    append(&stock, first);
}

unsigned chunks_give_back(uint32_t now_ms, bool all, unsigned most)
{
    unsigned count = 0;
    while (count < most && stock.oldest != 0 &&
           (all || (int32_t)(now_ms - record_of_slice(stock.oldest)->idle_since_ms) >= MOAT_STOCK_MS)) {
        uint32_t chunk = stock.oldest;
        take_out(&stock, chunk);
        give_back(chunk);
        count++;
    }
    return count;
}

void chunks_forget(void)
{
    stock = (struct chunk_list){0};
    memset(resting, 0, sizeof resting);
    moved_standing = 0;
}
