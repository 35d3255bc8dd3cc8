/* ranges.c - see ranges.h. */
#include "ranges.h"

#include "cage.h"
#include "os/lock.h"
#include "os/os.h"
#include "secure/hooks.h"
#include "spare.h"
#include "stats.h"

#include <string.h>

enum {
    REST_RANGES = 64,
    CHOICE = 32,
    REST_MAPPINGS = 64,
    BINS = 24 * 8,
    ENTRIES_AT_ONCE = 256,
};

struct bin {
    struct large *oldest, *newest;
    size_t count;
};

static struct {
    struct large **buckets;
    struct bin *bin; /* BINS of them: what rests, by size */
    struct large *unused;
    uintptr_t next;        /* first address of the area that was never used */
    struct bin mappings;   /* what rests outside the cage */
    size_t resting_mapped; /* bytes of the latter */
    size_t mapped_count;   /* ranges outside the cage, live or resting */
} table;

size_t ranges_bucket_of(uintptr_t user)
{
    return (size_t)((user >> MOAT_ALIGN_BITS) * 0x9e3779b97f4a7c15u >> 20) & (RANGES_BUCKETS - 1);
}

struct large *ranges_find(const void *block)
{
    if (!table.buckets)
        return NULL;
    for (struct large *large = table.buckets[ranges_bucket_of((uintptr_t)block)]; large; large = large->chain)
        if (large->user == (uintptr_t)block)
            return large;
    return NULL;
}

struct large *ranges_chain(size_t bucket)
{
    return table.buckets ? table.buckets[bucket] : NULL;
}

void ranges_enter(struct large *large)
{
    struct large **bucket = &table.buckets[ranges_bucket_of(large->user)];
    large->chain = *bucket;
    *bucket = large;
}

static void leave(struct large *large)
{
    struct large **link = &table.buckets[ranges_bucket_of(large->user)];
    while (*link && *link != large)
        link = &(*link)->chain;
    if (*link)
        *link = large->chain;
}

/* A fork left the queues half changed: what rested there stays unused. The chains are changed by single stores. */
void ranges_lock(void)
{
    if (lock_take(LOCK_LARGE)) {
        if (table.bin)
            memset(table.bin, 0, BINS * sizeof *table.bin);
        memset(&table.mappings, 0, sizeof table.mappings);
        table.unused = NULL;
        spare_forget();
    }
}

void ranges_unlock(void)
{
    lock_drop(LOCK_LARGE);
}

/* Buckets, and room for one more entry. The number of buckets is fixed (256 KiB, untouched until used): a table that grew
 * would be unreadable in a child that was forked meanwhile, and 32,768 blocks above 1 MiB are a large heap. A process
 * without large blocks pays for none of it. */
bool ranges_make_room(void)
{
    if (!table.buckets)
        table.buckets = meta_allocate(RANGES_BUCKETS * sizeof(struct large *));
    if (!table.bin)
        table.bin = meta_allocate(BINS * sizeof *table.bin);
    if (!table.unused) {
        struct large *entries = meta_allocate(ENTRIES_AT_ONCE * sizeof *entries);
        for (size_t i = 0; entries && i < ENTRIES_AT_ONCE; i++) {
            entries[i].next = table.unused;
            table.unused = &entries[i];
        }
    }
    return table.buckets && table.bin && table.unused;
}

/* Rounds a range to its bin's size: whole chunks, eight sizes to a doubling. */
static unsigned bin_of_range(size_t *range)
{
    size_t chunks = (*range + MOAT_CHUNK - 1) >> MOAT_CHUNK_BITS;
    if (chunks > 8) {
        unsigned top = log2_floor(chunks - 1);
        size_t step = (size_t)1 << (top - 3);
        chunks = (chunks + step - 1) & ~(step - 1);
        *range = chunks << MOAT_CHUNK_BITS;
        return (top - 2) * 8 + (unsigned)(((chunks - 1) >> (top - 3)) & 7);
    }
    *range = chunks << MOAT_CHUNK_BITS;
    return (unsigned)chunks - 1;
}

size_t ranges_rounded(size_t bytes)
{
    bin_of_range(&bytes);
    return bytes;
}

static void append(struct bin *bin, struct large *large)
{
    large->next = NULL;
    if (bin->newest)
        bin->newest->next = large;
    else
        bin->oldest = large;
    bin->newest = large;
    bin->count++;
}

/* A range that nobody has known since it last rested need not rest, and makes nobody else's rest shorter. */
static void prepend(struct bin *bin, struct large *large)
{
    large->next = bin->oldest;
    bin->oldest = large;
    if (!bin->newest)
        bin->newest = large;
    bin->count++;
}

/* The one behind the `skip` oldest. */
static struct large *take_rested(struct bin *bin, unsigned skip)
{
    struct large *before = NULL, *large = bin->oldest;
    for (; skip > 0; skip--) {
        before = large;
        large = large->next;
    }
    *(before ? &before->next : &bin->oldest) = large->next;
    if (bin->newest == large)
        bin->newest = before;
    bin->count--;
    leave(large);
    return large;
}

static struct large *unused_entry(void)
{
    struct large *large = table.unused;
    table.unused = large->next;
    memset(large, 0, sizeof *large);
    return large;
}

static void give_entry_back(struct large *large)
{
    large->state = LARGE_UNUSED;
    large->next = table.unused;
    table.unused = large;
}

static uintptr_t area_start(void)
{
    return moat_fixed.is.base + (moat_fixed.is.slice_count << MOAT_SLICE_BITS);
}

bool large_area_has(const void *address)
{
    size_t area = moat_fixed.is.cage_bytes - (moat_fixed.is.slice_count << MOAT_SLICE_BITS);
    return (uintptr_t)address - area_start() < area;
}

/* Addresses in the cage for a range of `bytes`, aligned to `alignment`. NULL when there are none. */
static struct large *take_range(size_t bytes, size_t alignment)
{
    unsigned index = bin_of_range(&bytes);
    struct bin *bin = index < BINS ? &table.bin[index] : NULL;
    uintptr_t area_end = moat_fixed.is.base + moat_fixed.is.cage_bytes;

    if (!cage_has_large_area() || !bin)
        return NULL;
    if (bin->oldest && bin->oldest->user == 0 && alignment <= MOAT_CHUNK)
        return take_rested(bin, 0);
    if (bin->count > REST_RANGES + CHOICE && alignment <= MOAT_CHUNK)
        return take_rested(bin, hook_choose(CHOICE));
    if (table.next == 0)
        table.next = area_start();
    uintptr_t start = round_up(table.next, max_size(alignment, MOAT_CHUNK));
    if (start < area_end && bytes < area_end - start && bytes <= (area_end - area_start()) / 8) {
        struct large *large = unused_entry();
        table.next = start + bytes;
        large->start = (char *)start;
        large->range = bytes;
        return large;
    }
    return NULL;
}

/* Better an address that has not rested for long than none. */
static struct large *take_early(size_t bytes, size_t alignment)
{
    unsigned index = bin_of_range(&bytes);
    if (index >= BINS || !table.bin[index].oldest || alignment > MOAT_CHUNK)
        return NULL;
    stats_add(STAT_REUSED_EARLY, 1);
    return take_rested(&table.bin[index], 0);
}

static struct large *map_range(size_t bytes, size_t alignment)
{
    size_t room = bytes + (alignment > MOAT_OS_PAGE ? alignment : 0);
    /* Each is a mapping or two, and the kernel's number of them is the program's too. */
    char *start = table.mapped_count < os_map_limit() / 8 ? os_reserve(room) : NULL;
    if (!start)
        return NULL;
    table.mapped_count++;
    char *aligned = (char *)round_up((uintptr_t)start, max_size(alignment, MOAT_OS_PAGE));
    if (aligned > start)
        os_unmap(start, (size_t)(aligned - start));
    if (start + room > aligned + bytes)
        os_unmap(aligned + bytes, (size_t)(start + room - (aligned + bytes)));
    struct large *large = unused_entry();
    large->start = aligned;
    large->range = bytes;
    large->is_mapping = true;
    return large;
}

struct large *ranges_take_for_spare(size_t bytes)
{
    return take_range(bytes, MOAT_OS_PAGE);
}

struct large *ranges_take(size_t bytes, size_t alignment)
{
    struct large *large = take_range(bytes, alignment);
    if (!large)
        large = map_range(bytes, alignment);
    return large ? large : take_early(bytes, alignment);
}

void ranges_close(struct large *large)
{
    if (large->opened > 0 && os_rest(large->start, large->opened) != 0) {
        stats_add(STAT_PURGES_REFUSED, 1);
        if (os_purge(large->start, large->opened) != 0)
            large->is_dirty = true;
        if (os_protect_none(large->start, large->opened) != 0)
            stats_add(STAT_PURGES_REFUSED, 1);
    }
    large->opened = large->seam = 0;
}

/* A mapping's addresses rest too, but few of them: they go back to the system in the order of their frees. */
static void rest_mapping(struct large *large)
{
    append(&table.mappings, large);
    table.resting_mapped += large->range;
    /* The newest stays, whatever its size: it holds no memory, and the next mapping must not land there. */
    while (table.mappings.oldest != large &&
           (table.mappings.count > REST_MAPPINGS || table.resting_mapped > moat_fixed.is.cage_bytes / 4)) {
        if (table.mappings.count <= REST_MAPPINGS)
            stats_add(STAT_REUSED_EARLY, 1);
        struct large *oldest = take_rested(&table.mappings, 0);
        table.resting_mapped -= oldest->range;
        table.mapped_count--;
        if (os_unmap(oldest->start, oldest->range) != 0)
            stats_add(STAT_PURGES_REFUSED, 1);
        give_entry_back(oldest);
    }
}

void ranges_rest(struct large *large)
{
    ranges_close(large);
    large->state = LARGE_RESTING;
    if (large->is_mapping) {
        rest_mapping(large);
        return;
    }
    size_t range = large->range;
    struct bin *bin = &table.bin[bin_of_range(&range)];
    if (large->user == 0)
        prepend(bin, large);
    else
        append(bin, large);
}

/* A reserved range could not be opened: the frontier's last one goes back to it, so that refusals use no addresses up. */
void ranges_give_up(struct large *large)
{
    large->user = 0;
    ranges_close(large);
    if (!large->is_mapping && !large->is_dirty && (uintptr_t)large->start + large->range == table.next) {
        table.next -= large->range;
        give_entry_back(large);
    } else {
        ranges_rest(large);
    }
}
