/* See bursts.h. */
#include "bursts.h"

#include "base/config.h"
#include "helpers.h"
#include "play.h"
#include "request.h"
#include "support/family.h"

#include <string.h>

enum { BURST_MAX = 2048, SIDE_MAX = 512 };

static struct call calls[BURST_MAX];

/* The slots of a burst: every `stride`-th of a range, wrapping round at the end. */
static unsigned burst_slot(const struct record *record, unsigned i, unsigned stride)
{
    return (record_slot(record) + i * stride) % LIVE_SLOTS;
}

void burst_allocate(const struct record *record)
{
    static unsigned slots[BURST_MAX];
    static const enum function functions[] = {CALL_MALLOC, CALL_MALLOC, CALL_CALLOC, CALL_NEW};
    enum function function = functions[(record->arg24 >> 16) % 4];
    size_t size = record_size(record) % (256 * 1024);
    unsigned wanted = 1 + (record->arg24 & 0xffff) % BURST_MAX;
    unsigned bound = (unsigned)(((size_t)8 << 20) / (size + 64)) + 1;
    unsigned count = 0;
    for (unsigned i = 0; i < wanted && i < bound && play_may_allocate(); i++) {
        unsigned slot = burst_slot(record, i, 1);
        if (live_block(slot) != NULL)
            continue;
        slots[count] = slot;
        calls[count++] = (struct call){.function = function, .count = 1, .size = size, .alignment = 1};
    }
    calls_on(record->thread, calls, count);
    for (unsigned i = 0; i < count; i++)
        if (request_succeeded(&calls[i]))
            play_take_in(&calls[i], slots[i]);
}

/* Takes the blocks of a range out of the model and makes the calls that free them. */
static unsigned gather_frees(const struct record *record, unsigned range, unsigned stride, struct call *out)
{
    unsigned count = 0;
    for (unsigned i = 0; i < range; i++) {
        unsigned slot = burst_slot(record, i, stride);
        if (live_block(slot) == NULL)
            continue;
        struct block block = live_forget(slot);
        out[count++] = (struct call){.function = CALL_FREE, .block = block.at};
    }
    return count;
}

static void reverse_calls(unsigned count)
{
    for (unsigned low = 0, high = count; low + 1 < high; low++) {
        struct call swapped = calls[low];
        calls[low] = calls[--high];
        calls[high] = swapped;
    }
}

static void shuffle_calls(unsigned count, uint32_t seed)
{
    for (unsigned i = count; i > 1; i--) {
        seed = seed * 1664525u + 1013904223u;
        unsigned other = (unsigned)(((uint64_t)seed * i) >> 32);
        struct call swapped = calls[i - 1];
        calls[i - 1] = calls[other];
        calls[other] = swapped;
    }
}

void burst_free(const struct record *record)
{
    static const unsigned strides[] = {1, 1, 2, 3};
    unsigned count = gather_frees(record, 1 + record->arg16 % BURST_MAX, strides[record->mode % 4], calls);
    if (record->nudge < 0)
        reverse_calls(count);
    else if (record->nudge > 0)
        shuffle_calls(count, record->arg24);
    calls_on(record->thread, calls, count);
    for (unsigned i = 0; i < count; i++)
        request_check_errno(&calls[i]);
}

/* The main thread takes and returns blocks of the size that the helper frees at the same time, so that remote frees and the owner's own
 * work meet in the same pages. */
static void work_beside(const struct record *record, size_t size)
{
    unsigned wanted = 1 + (record->arg24 & 0xffff) % SIDE_MAX;
    for (unsigned i = 0; i < wanted && play_may_allocate(); i++) {
        unsigned slot = burst_slot(record, SIDE_MAX + i, 1);
        if (live_block(slot) != NULL)
            play_free(0, slot, CALL_FREE);
        else {
            struct call call = {.function = CALL_MALLOC, .count = 1, .size = size, .alignment = 1};
            play_allocate(0, slot, &call);
        }
    }
}

void burst_side_by_side(const struct record *record, unsigned flags)
{
    static struct call handed_over[SIDE_MAX];
    const struct block *first = live_block(record_slot(record));
    size_t size = first != NULL && first->size <= 4096 ? first->size : record->arg16 % 1025;
    unsigned thread = record->thread == 0 ? 1 : record->thread;
    unsigned count = gather_frees(record, 1 + record->arg16 % SIDE_MAX, 1, handed_over);
    struct call_list list = {.calls = handed_over, .count = count};
    calls_start(thread, &list);
    if ((flags & FLAG_SIDE_BY_SIDE) == 0)
        calls_wait(thread);
    work_beside(record, size);
    if ((flags & FLAG_SIDE_BY_SIDE) != 0)
        calls_wait(thread);
    for (unsigned i = 0; i < count; i++)
        request_check_errno(&handed_over[i]);
}

void burst_rounds(const struct record *record)
{
    enum { ROUNDS = 48, WARM_ROUNDS = 4, COUNT_MAX = 256, SLACK_BYTES = 6 * MOAT_SLICE };
    unsigned owner = record->thread, other = (record->thread + (record->arg24 & 3)) % THREADS;
    size_t size = record_size(record) % 8192, before = 0;
    unsigned count = 1 + (record->arg24 >> 2) % COUNT_MAX;
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < count; i++)
            calls[i] = (struct call){.function = CALL_MALLOC, .count = 1, .size = size, .alignment = 1};
        calls_on(owner, calls, count);
        for (unsigned i = 0; i < count; i++) {
            if (!request_succeeded(&calls[i]))
                live_fail("malloc refused %zu bytes", size);
            memset(calls[i].result, 0xee, size);
            calls[i].function = CALL_FREE;
            calls[i].block = calls[i].result;
        }
        calls_on(other, calls, count);
        if (round + 1 == WARM_ROUNDS)
            before = moat_mallinfo2().arena;
    }
    size_t after = moat_mallinfo2().arena, allowed = SLACK_BYTES + count * size;
    if (!play_is_hostile() && after > before && after - before > allowed)
        live_fail("%u rounds of %u blocks of %zu bytes by threads %u and %u made the heap grow from %zu to %zu bytes",
                  (unsigned)ROUNDS, count, size, owner, other, before, after);
}
