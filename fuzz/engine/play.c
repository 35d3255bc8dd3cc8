/* See play.h. */
#include "play.h"

#include "base/config.h"
#include "bursts.h"
#include "check.h"
#include "fresh.h"
#include "helpers.h"
#include "request.h"
#include "support/family.h"

#include <stdio.h>

/* One input may fill and check that much. */
#define WORK_MAX ((uint64_t)32 << 20)

/* Somebody writes where he should not: what the heap knows of itself may be wrong, what it hands out may not. */
static bool is_hostile;

bool play_is_hostile(void)
{
    return is_hostile;
}

bool play_may_allocate(void)
{
    return live_bytes() <= PLAY_BUSY_MAX;
}

void play_free(unsigned thread, unsigned slot, enum function function)
{
    struct block block = live_forget(slot);
    struct call call = {.function = function, .block = block.at, .size = block.size, .alignment = block.alignment};
    call_on(thread, &call);
    request_check_errno(&call);
}

void play_take_in(const struct call *call, unsigned slot)
{
    size_t bytes = request_bytes(call), alignment = request_alignment(call);
    if (call->function == CALL_PVALLOC)
        bytes = (bytes + MOAT_OS_PAGE - 1) & ~(size_t)(MOAT_OS_PAGE - 1);
    live_adopt(slot, call->result, bytes, alignment, request_origin(call), call->function == CALL_CALLOC);
    size_t usable = live_block(slot)->usable;
    bool may_stay = call->function == CALL_REALLOC || call->function == CALL_REALLOCARRAY;
    if (!may_stay && usable > request_block_limit(bytes, alignment))
        live_fail("block %p of %zu bytes (alignment %zu) has a usable size of %zu: it is another class's", call->result,
                  bytes, alignment, usable);
}

void play_allocate(unsigned thread, unsigned slot, struct call *call)
{
    if (live_block(slot) != NULL)
        play_free(thread, slot, CALL_FREE);
    if (!play_may_allocate())
        return;
    call_on(thread, call);
    if (!request_succeeded(call))
        return;
    play_take_in(call, slot);
    /* A block that no program is promised may take all address space there is: it goes back at once. */
    if (request_bytes(call) > REQUEST_SURE_BYTES)
        play_free(thread, slot, CALL_FREE);
}

bool play_resized(const struct block *old, const struct call *call, unsigned slot, const char *function)
{
    if (request_bytes(call) == 0) {
        if (call->result != NULL)
            live_fail("%s to 0 bytes gave %p", function, call->result);
        return false;
    }
    if (!request_succeeded(call)) {
        live_restore(slot, old);
        return false;
    }
    live_check_moved(old, call->result, request_bytes(call));
    play_take_in(call, slot);
    return true;
}

static void reallocate(unsigned thread, unsigned slot, struct call *call)
{
    if (live_block(slot) == NULL) {
        call->block = NULL;
        play_allocate(thread, slot, call);
        return;
    }
    struct block old = live_forget(slot);
    call->block = old.at;
    call_on(thread, call);
    if (play_resized(&old, call, slot, call_name(call->function)) && request_bytes(call) > REQUEST_SURE_BYTES)
        play_free(thread, slot, CALL_FREE);
}

/* ---- operations ---- */

static void do_new(const struct record *record, struct call *call)
{
    call->function = (enum function)(CALL_NEW + record->arg24 % NEW_VARIANTS);
    call->alignment = (size_t)1 << (record->arg24 >> 16) % 13;
    bool throws = call->function - CALL_NEW < NEW_THROWING_VARIANTS;
    if (throws && call->size > REQUEST_SURE_BYTES)
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
        request_split(record, &call);
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
        play_allocate(record->thread, record_slot(record), &call);
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
    play_free(record->thread, record_slot(record), function);
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
        if (!is_hostile && counted_bytes() < live_requested())
            live_fail("mallinfo2 counts %zu bytes, and %zu are handed out", counted_bytes(), live_requested());
        break;
    }
}

static void do_free_nothing(const struct record *record)
{
    for (unsigned i = 0; i < CALL_END - CALL_FREE; i++) {
        struct call call = {.function = (enum function)(CALL_FREE + i), .size = record->arg16, .alignment = 16};
        call_on(record->thread, &call);
        request_check_errno(&call);
    }
}

/* ---- the input ---- */

static void ask_heap(void *valid)
{
    *(bool *)valid = moat_heap_is_valid();
}

/* Each thread looks at the pages that it owns. */
static void check_heap(void)
{
    if (is_hostile)
        return;
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
        burst_allocate(record);
        break;
    case OP_BURST_FREE:
        burst_free(record);
        break;
    case OP_SIDE_BY_SIDE:
        burst_side_by_side(record, flags);
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
        burst_rounds(record);
        break;
    case OP_TIME_PASSES:
        fresh_pass_ms(record->arg16);
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
        "rounds",
        "passing of time",
    };
    return names[op];
}

bool input_open(struct input *input, const uint8_t *data, size_t size, size_t least_records)
{
    *input = (struct input){.data = data, .records = size / RECORD_BYTES};
    if (input->records < least_records || input->records > PLAY_RECORDS_MAX)
        return false;
    input->flags = data[0];
    input->check_every = data[1];
    for (unsigned i = 0; i < 6; i++)
        input->seed |= (uint64_t)data[2 + i] << (8 * i);
    return true;
}

void play_begin(const struct input *input)
{
    is_hostile = false;
    live_begin(input->seed & 0xffff);
}

void play_turn_hostile(void)
{
    is_hostile = true;
    live_turn_hostile();
}

bool play_record(const struct input *input, size_t number)
{
    struct record record = record_decode(input->data + number * RECORD_BYTES);
    live_at(number, operation_name(record.op));
    do_record(&record, input->flags);
    if (input->check_every != 0 && number % input->check_every == 0)
        check_heap();
    return live_work() < WORK_MAX;
}

size_t play_records(const struct input *input, size_t first)
{
    size_t number = first;
    while (number < input->records && play_record(input, number))
        number++;
    return number;
}

void play_finish(const struct input *input, size_t record)
{
    live_at(record, "end of the input");
    helper_end_all();
    check_heap();
    for (unsigned i = 0; i < LIVE_SLOTS; i++) {
        unsigned slot = input->flags & FLAG_DOWNWARD ? LIVE_SLOTS - 1 - i : i;
        if (live_block(slot) != NULL)
            play_free(0, slot, CALL_FREE);
    }
    check_heap();
    if (!is_hostile && counted_bytes() != 0)
        live_fail("everything was freed, and the heap counts %zu bytes as handed out", counted_bytes());
}
