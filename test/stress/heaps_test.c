/* Many first-class heaps on several threads: each round every thread makes some, fills them, hands blocks to the others, and
 * ends half of its heaps by destroy, with what it kept, and half by delete, with blocks that others still have. The others
 * free while the heap's thread allocates from it, visits it and moves blocks between its heaps. The last heaps are left
 * to the thread's end. Afterwards nothing may be in use that was not before.
 */
#include "support/expect.h"
#include "support/heaps.h"
#include "support/memory.h"
#include "support/pace.h"
#include "support/parcel.h"

#include <pthread.h>

enum { THREADS = 4, HEAPS = 6, BLOCKS = 120, ROUNDS_OF_A_THREAD = 10, SLACK_BYTES = 256 << 10 };

struct worker {
    pthread_t thread;
    unsigned number;
    struct rng rng;
    uint64_t made;
    moat_heap_t *heap[HEAPS];
    struct parcel *kept[HEAPS]; /* by this thread, from its own heaps */
    struct parcel *late;        /* of others' deleted heaps, until the end */
};

static struct worker workers[THREADS];
/* What a thread gave to another in this round, from heaps that will be destroyed, and from those that will be deleted. */
static struct parcel *given[THREADS][THREADS][2];
static pthread_barrier_t barrier;
static uint64_t seed;

static void push(struct parcel **list, struct parcel *parcel)
{
    parcel->next = *list;
    *list = parcel;
}

static struct parcel *pop(struct parcel **list)
{
    struct parcel *parcel = *list;
    if (parcel != NULL)
        *list = parcel->next;
    return parcel;
}

static bool is_destroyed(unsigned i)
{
    return i % 2 == 0;
}

static struct parcel *make(struct worker *worker, unsigned i)
{
    size_t size = parcel_least(parcel_size(&worker->rng));
    bool is_aligned = rng_below(&worker->rng, 10) == 0;
    void *block =
        is_aligned ? moat_heap_aligned_alloc(worker->heap[i], 64, size) : moat_heap_malloc(worker->heap[i], size);
    return parcel_of(block, size, ((uint64_t)worker->number << 32) + worker->made++);
}

static void fill(struct worker *worker, unsigned i)
{
    worker->heap[i] = moat_heap_new();
    if (!EXPECT(worker->heap[i] != NULL))
        exit(expect_done());
    for (unsigned j = 0; j < BLOCKS; j++) {
        struct parcel *parcel = make(worker, i);
        size_t whose = rng_below(&worker->rng, THREADS + 1);
        if (parcel == NULL)
            continue;
        if (whose == THREADS)
            EXPECT(parcel_end(parcel));
        else if (whose == worker->number)
            push(&worker->kept[i], parcel);
        else
            push(&given[worker->number][whose][is_destroyed(i)], parcel);
    }
}

/* Frees what the others gave, but for some of what may outlive its heap, and goes on with its own heaps meanwhile. */
static void free_given(struct worker *worker, unsigned from, bool of_destroyed)
{
    struct parcel **list = &given[from][worker->number][of_destroyed];
    for (struct parcel *parcel; (parcel = pop(list)) != NULL;) {
        unsigned i = (unsigned)rng_below(&worker->rng, HEAPS);
        if (!of_destroyed && rng_below(&worker->rng, 8) == 0)
            push(&worker->late, parcel);
        else
            EXPECT(parcel_end(parcel));
        if (rng_below(&worker->rng, 2) == 0 && (parcel = make(worker, i)) != NULL)
            push(&worker->kept[i], parcel);
        if (rng_below(&worker->rng, 4) == 0)
            EXPECT(parcel_end(pop(&worker->kept[i])));
    }
}

/* Into the next heap: what is destroyed with one must not be what another has. */
static void move_some(struct worker *worker)
{
    for (unsigned i = 0; i < HEAPS; i++) {
        unsigned next = (i + 1) % HEAPS;
        for (struct parcel *parcel; rng_below(&worker->rng, 4) != 0 && (parcel = pop(&worker->kept[i])) != NULL;) {
            parcel = moat_heap_realloc(worker->heap[next], parcel, parcel->size);
            if (EXPECT(parcel != NULL))
                push(&worker->kept[next], parcel);
        }
    }
}

static bool count_one(void *block, size_t bytes, void *count)
{
    EXPECT(block != NULL && bytes >= sizeof(struct parcel));
    *(size_t *)count += 1;
    return true;
}

static size_t length_of(const struct parcel *list)
{
    size_t length = 0;
    for (; list != NULL; list = list->next)
        length++;
    return length;
}

/* At least what is kept is there; what the others have not freed yet may be. Afterwards exactly that. */
static void visit(const struct worker *worker, bool is_quiet)
{
    for (unsigned i = 0; i < HEAPS; i++) {
        size_t count = 0, kept = length_of(worker->kept[i]);
        EXPECT(moat_heap_visit_blocks(worker->heap[i], count_one, &count));
        EXPECT(count >= kept);
        if (is_quiet && is_destroyed(i))
            EXPECT_EQ(count, kept);
    }
}

static void end_heaps(struct worker *worker, bool leave_to_thread)
{
    for (unsigned i = 0; i < HEAPS; i++) {
        for (struct parcel *parcel = worker->kept[i]; parcel != NULL; parcel = parcel->next)
            EXPECT(parcel_holds(parcel));
        if (is_destroyed(i)) {
            moat_heap_destroy(worker->heap[i]);
            worker->kept[i] = NULL;
            continue;
        }
        if (!leave_to_thread)
            moat_heap_delete(worker->heap[i]);
        for (struct parcel *parcel; (parcel = pop(&worker->kept[i])) != NULL;) {
            if (rng_below(&worker->rng, 4) == 0)
                push(&worker->late, parcel);
            else
                EXPECT(parcel_end(parcel));
        }
    }
}

static void *work(void *argument)
{
    struct worker *worker = argument;
    for (unsigned round = 0; round < ROUNDS_OF_A_THREAD; round++) {
        for (unsigned i = 0; i < HEAPS; i++)
            fill(worker, i);
        pthread_barrier_wait(&barrier);
        for (unsigned from = 0; from < THREADS; from++) {
            free_given(worker, from, true);
            free_given(worker, from, false);
            move_some(worker);
            visit(worker, false);
        }
        pthread_barrier_wait(&barrier); /* every free of a block of a heap that is now destroyed has returned */
        visit(worker, true);
        end_heaps(worker, round + 1 == ROUNDS_OF_A_THREAD);
    }
    return NULL;
}

static void one_life(unsigned life)
{
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i].number = i;
        workers[i].rng = rng_stream(seed, life * THREADS + i);
        EXPECT_EQ(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(workers[i].thread, NULL);
        size_t count = length_of(workers[i].late);
        EXPECT_EQ(parcel_end_list(workers[i].late), count);
        workers[i].late = NULL;
    }
}

int main(void)
{
    struct moat_stats before = {.bytes = sizeof before}, after = {.bytes = sizeof after};
    unsigned lives = pace(60, 8);
    unsigned long early = 0;

    if (!heaps_are_there()) {
        expect_say("the C library has no first-class heaps: nothing to check\n");
        return 0;
    }
    seed = rng_seed();
    pthread_barrier_init(&barrier, NULL, THREADS);
    moat_stats_get(&before);
    for (unsigned life = 0; life < lives && expect_failures() == 0; life++) {
        one_life(life);
        if (life == lives / 4)
            early = memory_resident_kib();
    }
    moat_stats_get(&after);
    EXPECT_EQ(after.heaps, 0);
    EXPECT_EQ(after.large_blocks, before.large_blocks);
    /* The C library keeps what belongs to threads' stacks. */
    EXPECT(after.live_bytes <= before.live_bytes + SLACK_BYTES);
    memory_expect_no_growth(early);
    return expect_done();
}
