/* Fuzz target: the whole malloc family against a reference model.
 *
 * Over 500 lines because every function of the family has its step, and all steps share the one model that they check.
 *
 * The input is a list of eight-byte records (engine/input.h). Each is one call, or a burst of calls, on one of up to four threads; the threads
 * run in lock-step, so that remote frees, abandoned pages and claimed pages are reached and the same input does the same again. Checked after
 * each call: the block's place, alignment and usable size, that it overlaps no other, that calloc's memory is zero, that realloc kept the
 * contents, that NULL came only where it may and errno says why, that free kept errno; before each free: that the block still holds its
 * pattern. Every few records, and at the end when everything is freed, the heap checks itself.
 *
 * Only correct programs are played here: any abort by the heap is a find. */
#include "base/config.h"
#include "check.h"
#include "engine/call.h"
#include "engine/helpers.h"
#include "engine/input.h"
#include "engine/live.h"
#include "support/family.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RECORDS_MAX = 4096, BURST_MAX = 2048, SIDE_MAX = 512 };

/* Requests up to here must succeed; above, NULL with ENOMEM is an answer too. */
#define MUST_SUCCEED_BYTES ((size_t)64 << 20)
#define MUST_SUCCEED_ALIGNMENT ((size_t)1 << 24)
/* When that much is busy, requests are skipped until something was freed. */
#define BUSY_MAX ((size_t)192 << 20)
/* One input may fill and check that much. */
#define WORK_MAX ((uint64_t)32 << 20)
#define IMPOSSIBLE_ABOVE ((size_t)PTRDIFF_MAX)

static struct call calls[BURST_MAX];

/* ---- what a record asks for ---- */

static unsigned record_slot(const struct record *record)
{
    return record->slot * 16 + record->slot_low;
}

static size_t nudge(size_t size, int by)
{
    return by < 0 && size == 0 ? 0 : size + (size_t)by;
}

/* Eight classes to a doubling, from 16 bytes; a hardened table lies 16 bytes to one side. */
static size_t eighths_edge(const struct record *record)
{
    unsigned edge = record->arg16 % (8 * 17);
    size_t size = (size_t)(8 + edge % 8) << (edge / 8 + 1);
    switch (record->arg24 & 3) {
    case 1:
        return size + 16;
    case 2:
        return size - 16;
    default:
        return size;
    }
}

static size_t record_size(const struct record *record)
{
    switch ((enum size_mode)record->mode) {
    case SIZE_EXACT:
        return record->arg24;
    case SIZE_TINY:
        return record->arg16 % 129;
    case SIZE_SMALL:
        return record->arg16 % 1025;
    case SIZE_EIGHTHS:
        return nudge(eighths_edge(record), record->nudge);
    case SIZE_POWER:
        return nudge((size_t)1 << record->arg16 % 25, record->nudge);
    case SIZE_OS_PAGES:
        return nudge((size_t)(record->arg16 % 1025) * 4096, record->nudge);
    case SIZE_SIXTEENTHS:
        return nudge((size_t)(record->arg16 % 2049) * 16, record->nudge);
    case SIZE_MEDIUM:
        return 16384 + record->arg24 % (1024 * 1024 - 16384 + 1);
    case SIZE_LARGE:
        return 1024 * 1024 + 1 + record->arg24;
    case SIZE_HUGE:
        return nudge((size_t)1 << (26 + record->arg16 % 21), record->nudge);
    case SIZE_IMPOSSIBLE:
        return record->arg24 & 1 ? SIZE_MAX - record->arg16 : IMPOSSIBLE_ABOVE + 1 + record->arg16;
    default:
        return (record->arg24 & 1 ? 1024 * 1024 : 16384) + record->arg16 % 257 - 128;
    }
}

/* Splits a size into count times each; an impossible one into a product that overflows to something small. */
static void split_size(const struct record *record, struct call *call)
{
    size_t size = record_size(record);
    if (size > IMPOSSIBLE_ABOVE && record->nudge >= 0) {
        call->count = SIZE_MAX / 16 + 2;
        call->size = 16;
        return;
    }
    call->count = record->mode == SIZE_EXACT ? 1 : 1 + (record->arg24 >> 20);
    call->size = size / call->count + (size % call->count != 0);
}

static size_t request_bytes(const struct call *call)
{
    if (call->function != CALL_CALLOC && call->function != CALL_REALLOCARRAY)
        return call->size;
    size_t total;
    return __builtin_mul_overflow(call->count, call->size, &total) ? SIZE_MAX : total;
}

static bool is_power(size_t number)
{
    return number != 0 && (number & (number - 1)) == 0;
}

/* Powers of two up to 1 GiB, and then the ones that must be refused or rounded. */
static size_t record_alignment(const struct record *record)
{
    static const size_t odd_ones[] = {0,       3, 24, 48, 100, 4095, 4097, ((size_t)1 << 20) + 16, SIZE_MAX / 2 + 2,
                                      SIZE_MAX};
    unsigned number = record->arg24 >> 16;
    return number <= 30 ? (size_t)1 << number : odd_ones[number % (sizeof(odd_ones) / sizeof(odd_ones[0]))];
}

/* ---- one allocation ---- */

enum answer { MUST_SUCCEED, MAY_FAIL, MUST_FAIL };

/* What a correct heap answers; `errors` are the two errno values that a refusal may have. */
static enum answer expected_answer(const struct call *call, int errors[2])
{
    size_t bytes = request_bytes(call);
    bool impossible = bytes > IMPOSSIBLE_ABOVE;
    errors[0] = errors[1] = ENOMEM;
    bool bad = false;
    switch (call->function) {
    case CALL_ALIGNED_ALLOC:
        bad = !is_power(call->alignment);
        break;
    case CALL_POSIX_MEMALIGN:
        bad = !is_power(call->alignment) || call->alignment % sizeof(void *) != 0;
        break;
    case CALL_MEMALIGN: /* rounds up to a power of two, which only the largest numbers do not allow */
        bad = call->alignment > SIZE_MAX / 2 + 1;
        break;
    default:
        break;
    }
    if (bad) {
        errors[0] = EINVAL;
        errors[1] = impossible || call->function == CALL_MEMALIGN ? ENOMEM : EINVAL;
        return MUST_FAIL;
    }
    if (impossible)
        return MUST_FAIL;
    return bytes <= MUST_SUCCEED_BYTES && call->alignment <= MUST_SUCCEED_ALIGNMENT ? MUST_SUCCEED : MAY_FAIL;
}

static void check_refusal(const struct call *call, enum answer wanted, const int errors[2])
{
    if (wanted == MUST_SUCCEED)
        live_fail("%s refused %zu times %zu bytes (alignment %zu), errno %d", call_name(call->function), call->count,
                  call->size, call->alignment, call->error);
    int error = call->function == CALL_POSIX_MEMALIGN ? call->code : call->error;
    if (error != errors[0] && error != errors[1])
        live_fail("%s refused with error %d, not %d", call_name(call->function), error, errors[0]);
    if (call->function == CALL_POSIX_MEMALIGN && call->result != CALL_UNTOUCHED)
        live_fail("posix_memalign failed and changed its result to %p", call->result);
}

/* Whether the call answered with a block, after checks that it may have done either. */
static bool call_succeeded(const struct call *call)
{
    int errors[2];
    enum answer wanted = expected_answer(call, errors);
    bool refused = call->function == CALL_POSIX_MEMALIGN ? call->code != 0 : call->result == NULL;
    if (refused) {
        check_refusal(call, wanted, errors);
        return false;
    }
    if (wanted == MUST_FAIL)
        live_fail("%s gave %p for %zu times %zu bytes (alignment %zu)", call_name(call->function), call->result,
                  call->count, call->size, call->alignment);
    return true;
}

/* A plain build aligns a power of two up to the OS page to itself; a hardened one promises 16 bytes only. */
static size_t natural_alignment(size_t size)
{
    enum { LARGEST = MOAT_IS_HARDENED ? 1 : MOAT_OS_PAGE };
    return is_power(size) && size <= LARGEST ? size : 1;
}

/* What realloc answers may have stayed where it was, so it has no alignment but that of every block. */
static size_t promised_alignment(const struct call *call)
{
    switch (call->function) {
    case CALL_VALLOC:
    case CALL_PVALLOC:
        return MOAT_OS_PAGE;
    case CALL_ALIGNED_ALLOC:
    case CALL_POSIX_MEMALIGN:
        return call->alignment;
    case CALL_MEMALIGN: {
        size_t alignment = 1;
        while (alignment < call->alignment)
            alignment *= 2;
        return alignment;
    }
    case CALL_REALLOC:
    case CALL_REALLOCARRAY:
        return 1;
    default:
        if (call->function >= CALL_NEW && call_variant_is_aligned(call->function))
            return call->alignment;
        return natural_alignment(request_bytes(call));
    }
}

static enum origin call_origin(const struct call *call)
{
    switch (call->function) {
    case CALL_MALLOC:
    case CALL_CALLOC:
    case CALL_REALLOC:
    case CALL_REALLOCARRAY:
        return ORIGIN_PLAIN;
    case CALL_ALIGNED_ALLOC:
        return ORIGIN_ALIGNED;
    default:
        return ORIGIN_OTHER;
    }
}

static void check_errno_kept(const struct call *call)
{
    if (call->error != CALL_ERRNO_BEFORE)
        live_fail("%s changed errno to %d", call_name(call->function), call->error);
}

static void free_slot(unsigned thread, unsigned slot, enum function function)
{
    struct block block = live_forget(slot);
    struct call call = {.function = function, .block = block.at, .size = block.size, .alignment = block.alignment};
    call_on(thread, &call);
    check_errno_kept(&call);
}

static void take_in(const struct call *call, unsigned slot)
{
    size_t bytes = request_bytes(call);
    if (call->function == CALL_PVALLOC)
        bytes = (bytes + MOAT_OS_PAGE - 1) & ~(size_t)(MOAT_OS_PAGE - 1);
    live_adopt(slot, call->result, bytes, promised_alignment(call), call_origin(call), call->function == CALL_CALLOC);
}

/* Carries out a call that makes a new block in a slot; an older block there is freed first, by the same thread. */
static void allocate(unsigned thread, unsigned slot, struct call *call)
{
    if (live_block(slot) != NULL)
        free_slot(thread, slot, CALL_FREE);
    if (live_bytes() > BUSY_MAX)
        return;
    call_on(thread, call);
    if (!call_succeeded(call))
        return;
    take_in(call, slot);
    /* A block that no program is promised may take all address space there is: it goes back at once. */
    if (request_bytes(call) > MUST_SUCCEED_BYTES)
        free_slot(thread, slot, CALL_FREE);
}

static void reallocate(unsigned thread, unsigned slot, struct call *call)
{
    if (live_block(slot) == NULL) {
        call->block = NULL;
        allocate(thread, slot, call);
        return;
    }
    struct block old = live_forget(slot);
    call->block = old.at;
    call_on(thread, call);
    if (request_bytes(call) == 0) {
        if (call->result != NULL)
            live_fail("%s to 0 bytes gave %p", call_name(call->function), call->result);
        return;
    }
    if (!call_succeeded(call)) {
        live_restore(slot, &old);
        return;
    }
    live_check_moved(&old, call->result, request_bytes(call));
    take_in(call, slot);
    if (request_bytes(call) > MUST_SUCCEED_BYTES)
        free_slot(thread, slot, CALL_FREE);
}

/* ---- operations ---- */

static void do_new(const struct record *record, struct call *call)
{
    call->function = (enum function)(CALL_NEW + record->arg24 % NEW_VARIANTS);
    call->alignment = (size_t)1 << (record->arg24 >> 16) % 13;
    bool throws = call->function - CALL_NEW < NEW_THROWING_VARIANTS;
    if (throws && call->size > MUST_SUCCEED_BYTES)
        call->function = (enum function)(call->function + NEW_THROWING_VARIANTS);
}

static void do_allocate(const struct record *record)
{
    static const enum function functions[OP_FREE] = {
        [OP_MALLOC] = CALL_MALLOC,
        [OP_CALLOC] = CALL_CALLOC,
        [OP_REALLOC] = CALL_REALLOC,
        [OP_REALLOCARRAY] = CALL_REALLOCARRAY,
        [OP_ALIGNED_ALLOC] = CALL_ALIGNED_ALLOC,
        [OP_POSIX_MEMALIGN] = CALL_POSIX_MEMALIGN,
        [OP_MEMALIGN] = CALL_MEMALIGN,
        [OP_VALLOC] = CALL_VALLOC,
        [OP_PVALLOC] = CALL_PVALLOC,
        [OP_NEW] = CALL_NEW,
    };
    struct call call = {.function = functions[record->op], .count = 1, .size = record_size(record), .alignment = 1};
    if (record->op == OP_CALLOC || record->op == OP_REALLOCARRAY)
        split_size(record, &call);
    if (record->op >= OP_ALIGNED_ALLOC && record->op <= OP_MEMALIGN) {
        call.alignment = record_alignment(record);
        if (record->mode == SIZE_EXACT)
            call.size = record->arg24 & 0xffff;
    }
    if (record->op == OP_NEW)
        do_new(record, &call);
    if (record->op == OP_REALLOC || record->op == OP_REALLOCARRAY)
        reallocate(record->thread, record_slot(record), &call);
    else
        allocate(record->thread, record_slot(record), &call);
}

/* The function of the family that fits the block and is nearest to the wanted one. */
static enum function fitting_release(const struct block *block, unsigned wanted)
{
    enum function function = (enum function)(CALL_FREE + wanted % (CALL_END - CALL_FREE));
    if (function == CALL_FREE_SIZED && block->origin != ORIGIN_PLAIN)
        return CALL_FREE;
    if (function == CALL_FREE_ALIGNED_SIZED && block->origin != ORIGIN_ALIGNED)
        return CALL_CFREE;
    return function;
}

static void do_free(const struct record *record)
{
    const struct block *block = live_block(record_slot(record));
    if (block == NULL)
        return;
    enum function function = record->op == OP_FREE ? CALL_FREE : fitting_release(block, record->arg16);
    free_slot(record->thread, record_slot(record), function);
}

static void do_inspect(const struct record *record)
{
    if (moat_malloc_usable_size(NULL) != 0)
        live_fail("the usable size of NULL is not 0");
    if (moat_memalignment(NULL) != 0)
        live_fail("the alignment of NULL is not 0");
    const struct block *block = live_block(record_slot(record));
    if (block == NULL)
        return;
    live_check(record_slot(record));
    size_t lowest_bit = (size_t)((uintptr_t)block->at & -(uintptr_t)block->at);
    if (moat_memalignment(block->at) != lowest_bit)
        live_fail("memalignment of %p is %zu", (void *)block->at, moat_memalignment(block->at));
}

/* What the heap counts as handed out. */
static size_t counted_bytes(void)
{
    struct mallinfo2 info = moat_mallinfo2();
    return info.uordblks + info.hblkhd;
}

static void do_trim(const struct record *record)
{
    int given = moat_malloc_trim(record->arg24);
    if (given != 0 && given != 1)
        live_fail("malloc_trim answered %d", given);
}

static void do_mallopt(const struct record *record)
{
    if (moat_mallopt(M_MMAP_THRESHOLD, (int)record->arg24) != 1)
        live_fail("mallopt refused a parameter that it knows");
    if (moat_mallopt(4711, 0) != 0)
        live_fail("mallopt took a parameter that it does not know");
}

static void do_malloc_info(void)
{
    FILE *nowhere = fopen("/dev/null", "w");
    if (nowhere == NULL)
        live_fail("cannot open /dev/null");
    if (moat_malloc_info(0, nowhere) != 0)
        live_fail("malloc_info failed");
    if (moat_malloc_info(1, nowhere) == 0)
        live_fail("malloc_info took an option that it does not know");
    fclose(nowhere);
}

static void do_heap_call(const struct record *record)
{
    switch (record->arg16 % 4) {
    case 0:
        do_trim(record);
        break;
    case 1:
        do_mallopt(record);
        break;
    case 2:
        do_malloc_info();
        break;
    default:
        if (counted_bytes() < live_requested())
            live_fail("mallinfo2 counts %zu bytes, and %zu are handed out", counted_bytes(), live_requested());
        break;
    }
}

static void do_free_nothing(const struct record *record)
{
    for (unsigned i = 0; i < CALL_END - CALL_FREE; i++) {
        struct call call = {.function = (enum function)(CALL_FREE + i), .size = record->arg16, .alignment = 16};
        call_on(record->thread, &call);
        check_errno_kept(&call);
    }
}

/* ---- bursts ---- */

/* The slots of a burst: every `stride`-th of a range, wrapping round at the end. */
static unsigned burst_slot(const struct record *record, unsigned i, unsigned stride)
{
    return (record_slot(record) + i * stride) % LIVE_SLOTS;
}

static void do_burst_allocate(const struct record *record)
{
    static unsigned slots[BURST_MAX];
    static const enum function functions[] = {CALL_MALLOC, CALL_MALLOC, CALL_CALLOC, CALL_NEW};
    enum function function = functions[(record->arg24 >> 16) % 4];
    size_t size = record_size(record) % (256 * 1024);
    unsigned wanted = 1 + (record->arg24 & 0xffff) % BURST_MAX;
    unsigned bound = (unsigned)(((size_t)8 << 20) / (size + 64)) + 1;
    unsigned count = 0;
    for (unsigned i = 0; i < wanted && i < bound && live_bytes() < BUSY_MAX; i++) {
        unsigned slot = burst_slot(record, i, 1);
        if (live_block(slot) != NULL)
            continue;
        slots[count] = slot;
        calls[count++] = (struct call){.function = function, .count = 1, .size = size, .alignment = 1};
    }
    calls_on(record->thread, calls, count);
    for (unsigned i = 0; i < count; i++)
        if (call_succeeded(&calls[i]))
            take_in(&calls[i], slots[i]);
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

static void do_burst_free(const struct record *record)
{
    static const unsigned strides[] = {1, 1, 2, 3};
    unsigned count = gather_frees(record, 1 + record->arg16 % BURST_MAX, strides[record->mode % 4], calls);
    if (record->nudge < 0)
        reverse_calls(count);
    else if (record->nudge > 0)
        shuffle_calls(count, record->arg24);
    calls_on(record->thread, calls, count);
    for (unsigned i = 0; i < count; i++)
        check_errno_kept(&calls[i]);
}

/* The main thread takes and returns blocks of the size that the helper frees at the same time, so that remote frees and the owner's own
 * work meet in the same pages. */
static void work_beside(const struct record *record, size_t size)
{
    unsigned wanted = 1 + (record->arg24 & 0xffff) % SIDE_MAX;
    for (unsigned i = 0; i < wanted && live_bytes() < BUSY_MAX; i++) {
        unsigned slot = burst_slot(record, SIDE_MAX + i, 1);
        if (live_block(slot) != NULL)
            free_slot(0, slot, CALL_FREE);
        else {
            struct call call = {.function = CALL_MALLOC, .count = 1, .size = size, .alignment = 1};
            allocate(0, slot, &call);
        }
    }
}

static void do_side_by_side(const struct record *record, unsigned flags)
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
        check_errno_kept(&handed_over[i]);
}

/* One thread takes blocks, another (or the same) returns them: with frees by another thread, that is how a queue between two threads works.
 * The owner must hear of what came back before it asks the system for more. */
static void do_rounds(const struct record *record)
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
            if (!call_succeeded(&calls[i]))
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
    if (after > before && after - before > allowed)
        live_fail("%u rounds of %u blocks of %zu bytes by threads %u and %u made the heap grow from %zu to %zu bytes",
                  (unsigned)ROUNDS, count, size, owner, other, before, after);
}

/* ---- the input ---- */

static void ask_heap(void *valid)
{
    *(bool *)valid = moat_heap_is_valid();
}

/* Each thread looks at the pages that it owns. */
static void check_heap(void)
{
    for (unsigned thread = 0; thread < THREADS; thread++) {
        bool valid = true;
        if (helper_runs(thread))
            helper_run(thread, ask_heap, &valid);
        if (!valid)
            live_fail("the heap of thread %u is not valid", thread);
    }
}

static void do_record(const struct record *record, unsigned flags)
{
    switch (record->op) {
    case OP_FREE:
    case OP_FREE_AS:
        do_free(record);
        break;
    case OP_INSPECT:
        do_inspect(record);
        break;
    case OP_HEAP_CALL:
        do_heap_call(record);
        break;
    case OP_BURST_ALLOCATE:
        do_burst_allocate(record);
        break;
    case OP_BURST_FREE:
        do_burst_free(record);
        break;
    case OP_SIDE_BY_SIDE:
        do_side_by_side(record, flags);
        break;
    case OP_END_THREAD:
        if (record->thread == 0)
            helper_end_all();
        else
            helper_end(record->thread);
        break;
    case OP_FREE_NOTHING:
        do_free_nothing(record);
        break;
    case OP_CHECK_HEAP:
        live_check_all();
        check_heap();
        break;
    case OP_ROUNDS:
        do_rounds(record);
        break;
    default:
        do_allocate(record);
        break;
    }
}

static const char *operation_name(enum operation op)
{
    static const char *const names[OP_COUNT] = {
        "malloc",
        "calloc",
        "realloc",
        "reallocarray",
        "aligned_alloc",
        "posix_memalign",
        "memalign",
        "valloc",
        "pvalloc",
        "new",
        "free",
        "free by another function",
        "inspect",
        "heap call",
        "burst of allocations",
        "burst of frees",
        "side by side",
        "end of a thread",
        "free of NULL",
        "check of the heap",
    };
    return names[op];
}

/* Frees what is left, upward or downward, by the main thread, so that pages of helpers that ended are claimed. */
static void finish(size_t record, unsigned flags)
{
    live_at(record, "end of the input");
    helper_end_all();
    check_heap();
    for (unsigned i = 0; i < LIVE_SLOTS; i++) {
        unsigned slot = flags & 2 ? LIVE_SLOTS - 1 - i : i;
        if (live_block(slot) != NULL)
            free_slot(0, slot, CALL_FREE);
    }
    check_heap();
    if (counted_bytes() != 0)
        live_fail("everything was freed, and the heap counts %zu bytes as handed out", counted_bytes());
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t records = size / RECORD_BYTES;
    if (records < 2 || records > RECORDS_MAX)
        return 0;
    unsigned flags = data[0];
    unsigned every = data[1];
    live_begin((uint64_t)data[2] | ((uint64_t)data[3] << 8));
    size_t i = 1;
    for (; i < records && live_work() < WORK_MAX; i++) {
        struct record record = record_decode(data + i * RECORD_BYTES);
        live_at(i, operation_name(record.op));
        do_record(&record, flags);
        if (every != 0 && i % every == 0)
            check_heap();
    }
    finish(i, flags);
    return 0;
}
