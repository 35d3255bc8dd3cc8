/* Fuzz target: the whole malloc family against a reference, with first-class heaps and forks.
 *
 * The input is a list of eight-byte records (engine/input.h); engine/play.h says what is done and checked. The target's own operations are here.
 * Only correct programs are played, so any abort by the heap is a find. In the end everything is freed, and the heap must count nothing as
 * handed out. */
#include "engine/fresh.h"
#include "engine/generate.h"
#include "engine/helpers.h"
#include "engine/play.h"
#include "engine/request.h"

#include "check.h"
#include "moat.h"
#include "support/family.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

const struct generate_shape fuzz_shape = {.random_records = 0, .percent_own = 6};

/* Operations from OP_OF_TARGET on. The numbers behind the last mean what they meant before there were these. */
enum own {
    HEAP_NEW,     /* the record's thread makes a heap, of HEAPS at most */
    HEAP_TAKE,    /* malloc, calloc, aligned_alloc or realloc from a heap, by its thread */
    HEAP_VISIT,   /* its blocks are those of the reference; with a nudge some are freed as they are shown */
    HEAP_DELETE,  /* its blocks live on */
    HEAP_DESTROY, /* its blocks end with it */
    FORK,         /* the thread forks; the child uses what it has inherited */
    OWN_COUNT
};

enum { HEAPS = 6, FORKS_MAX = 3, HANGS_AFTER_S = 30, CHILD_BLOCKS = 24, CHILD_BYTES_MAX = 200000 };

struct made {
    moat_heap_t *heap; /* NULL: none */
    unsigned thread;
    uint32_t number; /* tells it from those that were in this place before */
};

static struct made made[HEAPS];
static uint32_t made_count;
static unsigned forks;

/* What was taken from a heap: the heap's number and the block's. realloc gives a block a new number: it may stay in the heap then, and
 * need not. */
static struct home {
    uint32_t heap;
    uint64_t block;
} homes[LIVE_SLOTS];

static bool may_be_in(unsigned slot, const struct made *heap)
{
    return live_block(slot) != NULL && homes[slot].heap == heap->number;
}

static bool is_in(unsigned slot, const struct made *heap)
{
    return may_be_in(slot, heap) && homes[slot].block == live_block(slot)->number;
}

/* ---- calls, on the heap's thread ---- */

struct heap_call {
    const struct made *made;
    struct call *call;
    moat_heap_t *answer;
};

static void make(void *argument)
{
    ((struct heap_call *)argument)->answer = moat_heap_new();
}

static void take(void *argument)
{
    struct heap_call *what = argument;
    struct call *call = what->call;
    moat_heap_t *heap = what->made->heap;
    errno = CALL_ERRNO_BEFORE;
    switch (call->function) {
    case CALL_CALLOC:
        call->result = moat_heap_calloc(heap, call->count, call->size);
        break;
    case CALL_ALIGNED_ALLOC:
        call->result = moat_heap_aligned_alloc(heap, call->alignment, call->size);
        break;
    case CALL_REALLOC:
        call->result = moat_heap_realloc(heap, call->block, call->size);
        break;
    default:
        call->result = moat_heap_malloc(heap, call->size);
        break;
    }
    call->error = errno;
}

static void delete (void *argument)
{
    moat_heap_delete(((struct heap_call *)argument)->made->heap);
}

static void destroy(void *argument)
{
    moat_heap_destroy(((struct heap_call *)argument)->made->heap);
}

/* ---- what a heap has ---- */

static struct visit {
    const struct made *made;
    size_t count, freed_count;
    struct shown {
        uintptr_t at;
        size_t bytes;
    } shown[LIVE_SLOTS];
    uintptr_t to_free[LIVE_SLOTS];
    bool goes_on;
} visit;

static bool show(void *block, size_t bytes, void *argument)
{
    struct visit *seen = argument;
    if (seen->count == LIVE_SLOTS)
        live_fail("moat_heap_visit_blocks shows more blocks than there are");
    seen->shown[seen->count++] = (struct shown){(uintptr_t)block, bytes};
    for (size_t i = 0; i < seen->freed_count; i++)
        if (seen->to_free[i] == (uintptr_t)block) {
            moat_free(block);
            break;
        }
    return true;
}

static void visit_all(void *unused)
{
    (void)unused;
    visit.goes_on = moat_heap_visit_blocks(visit.made->heap, show, &visit);
}

static int compare_shown(const void *left, const void *right)
{
    uintptr_t a = ((const struct shown *)left)->at, b = ((const struct shown *)right)->at;
    return (a > b) - (a < b);
}

static const struct shown *shown_at(uintptr_t at)
{
    struct shown wanted = {.at = at};
    return bsearch(&wanted, visit.shown, visit.count, sizeof wanted, compare_shown);
}

/* Each block that was taken from the heap is shown, once, as large as it is, and none that cannot be in it. */
static void check_shown(const struct made *heap)
{
    size_t known = visit.freed_count;
    if (!visit.goes_on)
        live_fail("moat_heap_visit_blocks ended early");
    qsort(visit.shown, visit.count, sizeof visit.shown[0], compare_shown);
    for (size_t i = 1; i < visit.count; i++)
        if (visit.shown[i].at == visit.shown[i - 1].at)
            live_fail("moat_heap_visit_blocks shows %p twice", (void *)visit.shown[i].at);
    for (size_t i = 0; i < visit.freed_count; i++)
        if (shown_at(visit.to_free[i]) == NULL)
            live_fail("moat_heap_visit_blocks does not show %p", (void *)visit.to_free[i]);
    for (unsigned slot = 0; slot < LIVE_SLOTS; slot++) {
        if (!may_be_in(slot, heap))
            continue;
        const struct block *block = live_block(slot);
        const struct shown *shown = shown_at((uintptr_t)block->at);
        if (shown == NULL && is_in(slot, heap))
            live_fail("moat_heap_visit_blocks does not show %p", (void *)block->at);
        if (shown != NULL && shown->bytes != block->usable)
            live_fail("moat_heap_visit_blocks shows %p with %zu bytes of %zu", (void *)block->at, shown->bytes,
                      block->usable);
        known += shown != NULL;
    }
    if (known != visit.count)
        live_fail("moat_heap_visit_blocks shows %zu blocks, and %zu can be in the heap", visit.count, known);
}

static void do_visit(const struct made *heap, bool frees)
{
    visit.made = heap;
    visit.count = visit.freed_count = 0;
    for (unsigned slot = 0; frees && slot < LIVE_SLOTS; slot += 3)
        if (is_in(slot, heap))
            visit.to_free[visit.freed_count++] = (uintptr_t)live_forget(slot).at;
    helper_run(heap->thread, visit_all, NULL);
    check_shown(heap);
}

/* ---- operations ---- */

static void do_new(struct made *place, unsigned thread)
{
    struct heap_call what = {0};
    if (place->heap != NULL)
        return;
    helper_run(thread, make, &what);
    if (what.answer == NULL)
        live_fail("moat_heap_new gave nothing");
    *place = (struct made){what.answer, thread, ++made_count};
}

static void do_realloc(struct heap_call *what, unsigned slot)
{
    struct call *call = what->call;
    struct block old = live_forget(slot);
    call->block = old.at;
    helper_run(what->made->thread, take, what);
    play_resized(&old, call, slot, "moat_heap_realloc");
}

static void do_take(const struct made *heap, const struct record *record)
{
    static const enum function functions[] = {CALL_MALLOC, CALL_CALLOC, CALL_ALIGNED_ALLOC, CALL_REALLOC};
    struct call call = {.count = 1, .size = record_size(record), .alignment = 1};
    struct heap_call what = {.made = heap, .call = &call};
    unsigned slot = record_slot(record);
    call.function = functions[(record->arg24 >> 20) % (sizeof functions / sizeof functions[0])];
    if (record->mode == SIZE_EXACT)
        call.size = record->arg24 & 0xfffff;
    if (call.function == CALL_CALLOC)
        request_split(record, &call);
    if (call.function == CALL_ALIGNED_ALLOC)
        call.alignment = (size_t)1 << record->arg16 % 17;
    if (live_block(slot) != NULL && call.function != CALL_REALLOC)
        play_free(record->thread, slot, CALL_FREE);
    if (!play_may_allocate())
        return;
    if (live_block(slot) != NULL) {
        do_realloc(&what, slot);
    } else {
        helper_run(heap->thread, take, &what);
        if (request_succeeded(&call))
            play_take_in(&call, slot);
    }
    if (live_block(slot) == NULL || call.result != live_block(slot)->at)
        return;
    homes[slot] = (struct home){heap->number, live_block(slot)->number};
    if (request_bytes(&call) > REQUEST_SURE_BYTES)
        play_free(heap->thread, slot, CALL_FREE);
}

static void do_destroy(struct made *heap)
{
    struct heap_call what = {.made = heap};
    do_visit(heap, false);
    for (unsigned slot = 0; slot < LIVE_SLOTS; slot++)
        if (may_be_in(slot, heap) && shown_at((uintptr_t)live_block(slot)->at) != NULL)
            live_forget(slot);
    helper_run(heap->thread, destroy, &what);
    heap->heap = NULL;
}

static void do_delete(struct made *heap)
{
    struct heap_call what = {.made = heap};
    helper_run(heap->thread, delete, &what);
    heap->heap = NULL;
}

/* A thread's heaps end with it; 0 stands for all helpers. */
static void forget_heaps_of(unsigned thread)
{
    for (unsigned i = 0; i < HEAPS; i++)
        if (made[i].heap != NULL && made[i].thread != 0 && (thread == 0 || made[i].thread == thread))
            made[i].heap = NULL;
}

/* ---- fork ---- */

struct forked {
    const struct record *record;
    int status;
};

/* The heaps of the thread that forked, and blocks of any: they hold what they held, and can be moved and freed. */
static void use_inheritance(const struct record *record)
{
    unsigned first = record_slot(record);
    for (unsigned i = 0; i < CHILD_BLOCKS; i++) {
        unsigned slot = (first + i) % LIVE_SLOTS;
        if (live_block(slot) == NULL)
            continue;
        struct block block = live_forget(slot);
        if (i % 3 == 0) {
            size_t bytes = block.size + record->arg16;
            bytes += bytes == 0; /* which would be a free */
            void *moved = moat_realloc(block.at, bytes);
            if (moved == NULL)
                _exit(2);
            live_check_moved(&block, moved, bytes);
            moat_free(moved);
        } else if (i % 3 == 1) {
            moat_free(block.at);
        }
    }
}

static bool holds(const unsigned char *block, size_t bytes, int byte)
{
    for (size_t i = 0; i < bytes; i++)
        if (block[i] != (unsigned char)byte)
            return false;
    return true;
}

static void use_heap(const struct record *record)
{
    unsigned char *block[CHILD_BLOCKS];
    size_t bytes = record_size(record) % CHILD_BYTES_MAX + 1;
    for (unsigned i = 0; i < CHILD_BLOCKS; i++) {
        const struct made *heap = &made[i % HEAPS];
        bool is_own = heap->heap != NULL && heap->thread == record->thread;
        block[i] = is_own ? moat_heap_malloc(heap->heap, bytes) : moat_malloc(bytes);
        if (block[i] == NULL || live_covering(block[i]) != NULL)
            _exit(3);
        memset(block[i], (int)i + 1, bytes);
    }
    for (unsigned i = 0; i < CHILD_BLOCKS; i++) {
        if (!holds(block[i], bytes, (int)i + 1))
            _exit(4);
        moat_free(block[i]);
    }
}

static void be_child(const struct record *record)
{
    signal(SIGALRM, SIG_DFL);
    alarm(HANGS_AFTER_S);
    use_inheritance(record);
    use_heap(record);
    for (unsigned i = 0; i < HEAPS; i++)
        if (made[i].heap != NULL && made[i].thread == record->thread)
            (i % 2 == 0 ? moat_heap_delete : moat_heap_destroy)(made[i].heap);
    _exit(moat_heap_is_valid() ? 0 : 5);
}

static void fork_here(void *argument)
{
    struct forked *forked = argument;
    pid_t child = fresh_fork(forked->record->nudge > 0);
    if (child == 0)
        be_child(forked->record);
    while (child > 0 && waitpid(child, &forked->status, 0) < 0 && errno == EINTR) {
    }
}

static void do_fork(const struct record *record)
{
    struct forked forked = {.record = record, .status = -1};
    if (++forks > FORKS_MAX)
        return;
    helper_run(record->thread, fork_here, &forked);
    if (forked.status != 0)
        live_fail("a child of thread %u ended with status %#x", record->thread, (unsigned)forked.status);
}

/* ---- the input ---- */

static void do_own(enum own own, const struct record *record)
{
    struct made *heap = &made[record->slot % HEAPS];
    if (own == HEAP_NEW)
        do_new(heap, record->thread);
    else if (own == FORK)
        do_fork(record);
    else if (heap->heap == NULL)
        return;
    else if (own == HEAP_TAKE)
        do_take(heap, record);
    else if (own == HEAP_VISIT)
        do_visit(heap, record->nudge > 0);
    else if (own == HEAP_DELETE)
        do_delete(heap);
    else if (own == HEAP_DESTROY)
        do_destroy(heap);
}

static void begin(const struct input *input)
{
    play_begin(input);
    memset(made, 0, sizeof made);
    memset(homes, 0, sizeof homes);
    made_count = 0;
    forks = 0;
}

static void play(void *argument)
{
    static const char *const names[OWN_COUNT] = {"new heap", "take from a heap", "visit", "delete", "destroy", "fork"};
    const struct input *input = argument;
    size_t number = 1;
    begin(input);
    for (bool goes_on = true; goes_on && number < input->records; number++) {
        struct record record = record_decode(input->data + number * RECORD_BYTES);
        if (record.of_target >= 0 && record.of_target < OWN_COUNT) {
            live_at(number, names[record.of_target]);
            do_own((enum own)record.of_target, &record);
            continue;
        }
        goes_on = play_record(input, number);
        if (record.op == OP_END_THREAD)
            forget_heaps_of(record.thread);
    }
    live_at(number, "last visits");
    for (unsigned i = 0; i < HEAPS; i++)
        if (made[i].heap != NULL)
            do_visit(&made[i], false);
    play_finish(input, number);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input;
    if (!input_open(&input, data, size, 2))
        return 0;
    fresh_play(input.seed, play, &input);
    return 0;
}
