/* cage.c - the ladder of reservations and the tables.
 *
 * The ladder goes down from 2^44 whatever the errno: valgrind, sanitizers and limits each refuse in their own way. In an
 * emulator it begins at 2^32: qemu-user 7 takes 6 MiB of memory for each GiB that is reserved. Under
 * RLIMIT_AS the cage takes at most half, since the program needs addresses too. From 2^36 up half of the cage
 * is an area for large blocks; in a smaller one they get mappings of their own.
 */
#include "cage.h"

#include "os/lock.h"
#include "os/os.h"
#include "random/random.h"
#include "secure/hooks.h"

enum {
    LADDER_TOP = 44,
    LADDER_TOP_EMULATED = 32,
    LADDER_BOTTOM = 26,
    LARGE_AREA_BITS = 36,
    META_LARGE = 1 << 30, /* for a cage with an area for large blocks, */
    META_PART_BITS = 4,   /* else this part of the cage */
    META_STEP = 64 << 10,
    FIRST_TABLES = 128, /* slices whose tables are opened at start: 16 KiB of records */
    TABLES_STEP = 512,
};

static struct {
    char *reservation;
    size_t reserved;
    char *next; /* free metadata, up to `open` usable, up to `end` reserved */
    char *open;
    char *end;
    size_t tables; /* slices whose records and states are open */
} cage;

struct plan {
    size_t cage, slices, meta, records, states, slack, total;
};

static struct plan plan_of(unsigned bits)
{
    struct plan plan;
    plan.cage = (size_t)1 << bits;
    plan.slices = (bits >= LARGE_AREA_BITS ? plan.cage / 2 : plan.cage) >> MOAT_SLICE_BITS;
    /* A heap takes 8 KiB of it: 511 threads in the smallest cage, 8,191 in one of 1 GiB. */
    plan.meta = (bits >= LARGE_AREA_BITS ? META_LARGE : plan.cage >> META_PART_BITS);
    plan.records = plan.slices * sizeof(struct record);
    plan.states = plan.slices * HOOK_STATE_BYTES_PER_SLICE;
    plan.slack = max_size(plan.cage / 32, MOAT_CHUNK);
    plan.total = plan.meta + plan.records + plan.states + plan.slack + plan.cage + 4 * MOAT_OS_PAGE + MOAT_CHUNK;
    return plan;
}

/* Lays the parts out in the reservation. */
static void settle(const struct plan *plan, char *start)
{
    char *meta = start + MOAT_OS_PAGE;
    char *records = meta + plan->meta + MOAT_OS_PAGE;
    char *states = records + plan->records + MOAT_OS_PAGE;
    char *end_of_tables = states + plan->states + MOAT_OS_PAGE;
    uintptr_t first_chunk = round_up((uintptr_t)end_of_tables, MOAT_CHUNK);
    uintptr_t base = first_chunk + random_below(plan->slack / MOAT_CHUNK) * MOAT_CHUNK;

    cage.next = cage.open = meta;
    cage.end = meta + plan->meta;
    moat_fixed.is.base = base;
    moat_fixed.is.records = (struct record *)(void *)records;
    moat_fixed.is.states = (uintptr_t)states - (base >> MOAT_GRANULE_BITS);
    moat_fixed.is.slice_count = plan->slices;
    moat_fixed.is.cage_bytes = plan->cage;
    os_hide_from_dumps(start, (size_t)(end_of_tables - start));
}

bool cage_start(size_t wish, bool is_emulated)
{
    size_t most = os_address_limit() == SIZE_MAX ? SIZE_MAX : os_address_limit() / 2;

    for (unsigned bits = is_emulated ? LADDER_TOP_EMULATED : LADDER_TOP; bits >= LADDER_BOTTOM; bits--) {
        struct plan plan = plan_of(bits);
        if (plan.cage > most || (wish != 0 && plan.cage > wish && bits > LADDER_BOTTOM))
            continue;
        char *start = os_reserve(plan.total);
        if (start) {
            cage.reservation = start;
            cage.reserved = plan.total;
            settle(&plan, start);
            return true;
        }
    }
    return false;
}

void cage_abandon(void)
{
    os_unmap(cage.reservation, cage.reserved);
}

void *meta_allocate(size_t bytes)
{
    char *answer = NULL;

    bytes = round_up(bytes, MOAT_OS_PAGE);
    lock_take(LOCK_META);
    char *end = cage.next + bytes;
    if (end + MOAT_OS_PAGE <= cage.end) {
        size_t more = end <= cage.open ? 0 : round_up((size_t)(end - cage.open), META_STEP);
        more = min_size(more, (size_t)(cage.end - cage.open));
        if (more == 0 || os_open(cage.open, more) == 0) {
            cage.open += more;
            answer = cage.next;
            cage.next = end + MOAT_OS_PAGE;
            uint8_t has_guard = 0;
            hook_page_opened(end, &has_guard);
        }
    }
    lock_drop(LOCK_META);
    return answer;
}

bool meta_is_scarce(void)
{
    lock_take(LOCK_META);
    bool is_scarce = (size_t)(cage.end - cage.next) < (size_t)(cage.end - cage.reservation) / 4;
    lock_drop(LOCK_META);
    return is_scarce;
}

bool cage_open_tables(size_t end)
{
    if (end <= cage.tables)
        return true;
    size_t target = cage.tables == 0 ? FIRST_TABLES : round_up(end, TABLES_STEP);
    target = min_size(max_size(target, end), moat_fixed.is.slice_count);
    size_t more = target - cage.tables;
    char *states = (char *)(moat_fixed.is.states + (moat_fixed.is.base >> MOAT_GRANULE_BITS));

    if (os_open(record_of_slice(cage.tables), more * sizeof(struct record)) != 0)
        return false;
    atomic_set(&record_of_slice(cage.tables)->owner, OWNER_NONE); /* written first, or it would fault twice */
    if (HOOK_STATE_BYTES_PER_SLICE > 0 &&
        os_open(states + cage.tables * HOOK_STATE_BYTES_PER_SLICE, more * HOOK_STATE_BYTES_PER_SLICE) != 0)
        return false;
    if (!fixed_open())
        return false;
    atomic_set_release(&moat_fixed.is.slice_limit, target);
    fixed_seal();
    cage.tables = target;
    return true;
}
