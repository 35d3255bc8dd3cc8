/* large.c - see large.h. All under LOCK_LARGE, except the clearing and copying of memory.
 *
 * Range sizes are rounded like size classes (eight to a doubling), so a resting range fits every later one of its bin.
 * The bins are queues: one of the CHOICE ranges that have rested longest is used, and not before REST_RANGES others rest
 * behind all of these. That bound is a count for each size, so a few huge blocks that nobody touched cannot flush the queue
 * of another size.
 *
 * More than 500 lines: whatever walks the table does so under its lock, and stands here.
 */
#include "large.h"

#include "base/atomic.h"
#include "base/bits.h"
#include "cage.h"
#include "os/lock.h"
#include "os/os.h"
#include "report.h"
#include "secure/hooks.h"
#include "stats.h"

#include <string.h>

enum {
    REST_RANGES = 64,
    CHOICE = 32,
    REST_MAPPINGS = 64,
    BINS = 24 * 8,
    BUCKETS = 1 << 15,
    ENTRIES_AT_ONCE = 256,
    HUGE_BYTES = 16 << 20, /* from here on huge pages gain more than they cost */
};

enum large_state { LARGE_UNUSED, LARGE_LIVE, LARGE_RESTING };

struct large {
    uintptr_t user; /* what malloc returned */
    char *start;    /* first byte of the range */
    size_t opened;  /* usable bytes from start, whole OS pages */
    size_t range;   /* bytes of addresses */
    size_t requested;
    uint64_t ticket;     /* of the first-class heap that the block belongs to, or 0 */
    struct large *chain; /* in its bucket */
    struct large *next;  /* in its bin's queue, or among the unused */
    enum large_state state;
    bool is_mapping; /* outside the cage */
    bool is_dirty;   /* the system refused to take its old contents */
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

static size_t bucket_of(uintptr_t user)
{
    return (size_t)((user >> MOAT_ALIGN_BITS) * 0x9e3779b97f4a7c15u >> 20) & (BUCKETS - 1);
}

static struct large *find(const void *block)
{
    if (!table.buckets)
        return NULL;
    for (struct large *large = table.buckets[bucket_of((uintptr_t)block)]; large; large = large->chain)
        if (large->user == (uintptr_t)block)
            return large;
    return NULL;
}

static void enter(struct large *large)
{
    struct large **bucket = &table.buckets[bucket_of(large->user)];
    large->chain = *bucket;
    *bucket = large;
}

static void leave(struct large *large)
{
    struct large **link = &table.buckets[bucket_of(large->user)];
    while (*link && *link != large)
        link = &(*link)->chain;
    if (*link)
        *link = large->chain;
}

/* A fork left the queues half changed: what rested there stays unused. The chains are changed by single stores. */
static void take_lock(void)
{
    if (lock_take(LOCK_LARGE)) {
        if (table.bin)
            memset(table.bin, 0, BINS * sizeof *table.bin);
        memset(&table.mappings, 0, sizeof table.mappings);
        table.unused = NULL;
    }
}

/* Buckets, and room for one more entry. The number of buckets is fixed (256 KiB, untouched until used): a table that grew
 * would be unreadable in a child that was forked meanwhile, and 32,768 blocks above 1 MiB are a large heap. A process
 * without large blocks pays for none of it. */
static bool make_room(void)
{
    if (!table.buckets)
        table.buckets = meta_allocate(BUCKETS * sizeof(struct large *));
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

static struct large *reserve(size_t bytes, size_t alignment)
{
    struct large *large = take_range(bytes, alignment);
    if (!large)
        large = map_range(bytes, alignment);
    return large ? large : take_early(bytes, alignment);
}

/* Gives a range's memory back; any access faults from now on. */
static void close_range(struct large *large)
{
    if (large->opened > 0 && os_rest(large->start, large->opened) != 0) {
        stats_add(STAT_PURGES_REFUSED, 1);
        if (os_purge(large->start, large->opened) != 0)
            large->is_dirty = true;
        if (os_protect_none(large->start, large->opened) != 0)
            stats_add(STAT_PURGES_REFUSED, 1);
    }
    large->opened = 0;
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

/* The range goes to the back of its queue. */
static void rest(struct large *large)
{
    close_range(large);
    large->state = LARGE_RESTING;
    if (large->is_mapping) {
        rest_mapping(large);
    } else {
        size_t range = large->range;
        append(&table.bin[bin_of_range(&range)], large);
    }
}

/* A reserved range could not be opened: the frontier's last one goes back to it, so that refusals use no addresses up. */
static void give_up(struct large *large)
{
    large->user = 0;
    if (!large->is_mapping && (uintptr_t)large->start + large->range == table.next) {
        table.next -= large->range;
        give_entry_back(large);
    } else {
        rest(large);
    }
}

/* Opens a reserved range for a block and enters it in the table. */
static bool open_range(struct large *large, size_t bytes, size_t alignment)
{
    size_t opened = round_up(bytes, MOAT_OS_PAGE);
    if (os_open(large->start, opened) != 0)
        return false;
    if (opened >= HUGE_BYTES)
        os_prefer_huge(large->start, opened);
    large->opened = opened;
    large->requested = bytes;
    large->user = (uintptr_t)hook_place(large->start, opened, bytes, alignment);
    large->state = LARGE_LIVE;
    enter(large);
    stats_add(STAT_LARGE_OPENED, 1);
    return true;
}

void *large_malloc(size_t bytes, size_t alignment, uint64_t ticket, bool *is_zeroed)
{
    void *answer = NULL;
    size_t range;

    if (!checked_add(bytes, 2 * MOAT_OS_PAGE, &range) || range > PTRDIFF_MAX || alignment > PTRDIFF_MAX / 2)
        return NULL;
    range = round_up(range, MOAT_OS_PAGE);
    take_lock();
    struct large *large = make_room() ? reserve(range, alignment) : NULL;
    if (large && open_range(large, bytes, alignment)) {
        large->ticket = ticket;
        answer = (void *)large->user;
        *is_zeroed = !large->is_dirty;
    } else if (large) {
        give_up(large);
    }
    lock_drop(LOCK_LARGE);
    return answer;
}

/* The range that the address lies in, as far as it is open. */
static const struct large *around(const void *address)
{
    for (size_t i = 0; table.buckets && i < BUCKETS; i++)
        for (const struct large *large = table.buckets[i]; large; large = large->chain)
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
    struct large *large = find(block);
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
    lock_drop(LOCK_LARGE);
    close_range(large);
    take_lock();
    rest(large);
}

bool large_free(void *block, const char *function)
{
    take_lock();
    struct large *large = live_block(block, function);
    if (large)
        retire(large);
    lock_drop(LOCK_LARGE);
    return large != NULL;
}

/* The heap's live block with the lowest address above `place` in place's bucket, else the lowest of a later bucket: in
 * this order nothing that lives on is met twice or left out, whatever is freed or made between two steps. */
static struct large *next_of(uint64_t ticket, struct large_place *place)
{
    struct large *found = NULL;
    for (; table.buckets && place->bucket < BUCKETS && !found; place->bucket++, place->block = 0)
        for (struct large *large = table.buckets[place->bucket]; large; large = large->chain)
            if (large->state == LARGE_LIVE && large->ticket == ticket && large->user > place->block &&
                (!found || large->user < found->user))
                found = large;
    if (found)
        *place = (struct large_place){.bucket = bucket_of(found->user), .block = found->user};
    return found;
}

void *large_next(uint64_t ticket, struct large_place *place, size_t *usable)
{
    take_lock();
    const struct large *large = next_of(ticket, place);
    if (large)
        *usable = (size_t)((uintptr_t)large->start + large->opened - large->user);
    lock_drop(LOCK_LARGE);
    return large ? (void *)place->block : NULL;
}

void large_destroy(uint64_t ticket)
{
    struct large_place place = {0};
    take_lock();
    for (struct large *large; (large = next_of(ticket, &place)) != NULL;)
        retire(large);
    lock_drop(LOCK_LARGE);
}

bool large_has(const void *address)
{
    take_lock();
    const struct large *large = around(address);
    bool has = large && large->state == LARGE_LIVE;
    lock_drop(LOCK_LARGE);
    return has;
}

bool large_usable(const void *block, const char *function, size_t *usable)
{
    take_lock();
    const struct large *large = live_block(block, function);
    if (large)
        *usable = (size_t)(large->start + large->opened - (const char *)block);
    lock_drop(LOCK_LARGE);
    return large != NULL;
}

/* Shrinks or grows a block where it lies. `opened` is what the new size needs. */
static bool resize_in_place(struct large *large, size_t opened)
{
    if (opened <= large->opened) {
        if (opened < large->opened && os_rest(large->start + opened, large->opened - opened) == 0)
            large->opened = opened;
        return true;
    }
    if (opened > large->range - MOAT_OS_PAGE || os_open(large->start + large->opened, opened - large->opened) != 0)
        return false;
    large->opened = opened;
    return true;
}

/* Moves a block's pages to a new range with a quarter of room, its place in the OS page kept. NULL: nothing changed. */
static struct large *move(struct large *old, size_t opened)
{
    size_t range = round_up(opened + opened / 4, MOAT_OS_PAGE) + MOAT_OS_PAGE;
    struct large *large = make_room() ? reserve(range, MOAT_OS_PAGE) : NULL;

    if (!large)
        return NULL;
    large->opened = 0;
    if (os_open(large->start, opened) != 0) {
        give_up(large);
        return NULL;
    }
    if (os_move(old->start, large->start, old->opened) == 0)
        old->opened = 0;
    else if (os_open(large->start, opened) == 0)
        memcpy(large->start, old->start, old->opened);
    else
        opened = 0;
    if (opened == 0) {
        rest(large);
        return NULL;
    }
    large->opened = opened;
    large->user = (uintptr_t)large->start + (old->user - (uintptr_t)old->start);
    large->ticket = old->ticket;
    large->state = LARGE_LIVE;
    enter(large);
    rest(old);
    return large;
}

void *large_resize(void *block, size_t bytes, const uint64_t *ticket)
{
    void *answer = NULL;

    if (bytes > PTRDIFF_MAX / 2)
        return NULL;
    take_lock();
    struct large *large = live_block(block, "realloc");
    size_t opened = large ? round_up((size_t)((char *)block - large->start) + bytes, MOAT_OS_PAGE) : 0;
    if (large && !resize_in_place(large, opened))
        large = move(large, opened);
    if (large) {
        large->requested = bytes;
        large->ticket = ticket ? *ticket : large->ticket;
        answer = (void *)large->user;
    }
    lock_drop(LOCK_LARGE);
    return answer;
}

void large_count(size_t *blocks, size_t *bytes)
{
    take_lock();
    for (size_t i = 0; table.buckets && i < BUCKETS; i++)
        for (const struct large *large = table.buckets[i]; large; large = large->chain)
            if (large->state == LARGE_LIVE) {
                *blocks += 1;
                *bytes += large->opened;
            }
    lock_drop(LOCK_LARGE);
}
