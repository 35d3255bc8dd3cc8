/* Heap calls after a thread's heap was torn down: destructors of pthread keys that run after the heap's own, in every
 * round that the C library allows, and thread_local-like cleanup. Blocks allocated there outlive the thread and are
 * freed by others. */
#include "support/expect.h"
#include "support/family.h"
#include "support/memory.h"
#include "support/pace.h"
#include "support/parcel.h"

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>

/* The sanitizer takes its own state of a thread down in the last round; nothing that it instruments may run then. */
enum { ROUNDS = PTHREAD_DESTRUCTOR_ITERATIONS - 2 * PACE_HAS_TSAN };
enum { KEYS = 8, AT_ONCE = 4, LEFT = 4096 };

static pthread_key_t keys[KEYS];
static _Atomic(struct parcel *) left[LEFT];
static atomic_uint left_count, destructor_calls;
static uint64_t seed;

struct late {
    unsigned key;
    unsigned round;
    struct parcel *block; /* allocated before the teardown */
    struct rng rng;
};

static void leave(struct parcel *parcel)
{
    unsigned place = atomic_fetch_add(&left_count, 1) % LEFT;
    EXPECT(parcel_end(atomic_exchange(&left[place], parcel)));
}

/* Frees what it has, allocates anew, resizes, leaves a block for others; and asks for another round. */
static void late_destructor(void *value)
{
    struct late *late = value;
    atomic_fetch_add(&destructor_calls, 1);
    EXPECT(parcel_end(late->block));
    for (unsigned i = 0; i < 20; i++)
        EXPECT(parcel_end(parcel_new(parcel_size(&late->rng), i)));
    leave(parcel_new(parcel_size(&late->rng), late->round));
    void *grown = moat_malloc(10);
    for (size_t size = 20; size < 100000; size *= 3)
        grown = moat_realloc(grown, size);
    EXPECT(grown != NULL);
    moat_free(grown);
    if (++late->round < ROUNDS) {
        late->block = parcel_new(parcel_size(&late->rng), late->round);
        pthread_setspecific(keys[late->key], late);
    } else {
        moat_free(late);
    }
}

static void *run(void *argument)
{
    struct rng rng = rng_stream(seed, (uintptr_t)argument);
    /* A thread that never allocates before its end must work as well. */
    bool is_early = (uintptr_t)argument % 3 != 0;
    if (is_early)
        leave(parcel_new(parcel_size(&rng), 1));
    for (unsigned i = 0; i < KEYS; i++) {
        struct late *late = moat_malloc(sizeof *late);
        if (!EXPECT(late != NULL))
            return NULL;
        *late = (struct late){.key = i, .rng = rng_stream(seed, rng_next(&rng))};
        late->block = parcel_new(parcel_size(&rng), i);
        pthread_setspecific(keys[i], late);
    }
    return NULL;
}

/* The value is no block: the thread's first heap call of all is in its destructor. */
static void first_call_at_the_end(void *value)
{
    struct rng rng = rng_stream(seed, (uintptr_t)value);
    for (unsigned i = 0; i < 50; i++)
        EXPECT(parcel_end(parcel_new(parcel_size(&rng), i)));
    leave(parcel_new(100, 3));
    atomic_fetch_add(&destructor_calls, 1);
}

static pthread_key_t first_call_key;

static void *run_without_heap(void *argument)
{
    pthread_setspecific(first_call_key, argument);
    return NULL;
}

static void run_threads(unsigned total, void *(*function)(void *))
{
    pthread_t threads[AT_ONCE];
    unsigned long early = 0;
    for (unsigned i = 0; i < total + AT_ONCE; i++) {
        if (i >= AT_ONCE)
            pthread_join(threads[i % AT_ONCE], NULL);
        if (i < total)
            EXPECT_EQ(pthread_create(&threads[i % AT_ONCE], NULL, function, (void *)(uintptr_t)(i + 1)), 0);
        if (i == total / 4)
            early = memory_resident_kib();
    }
    memory_expect_no_growth(early);
}

int main(void)
{
    unsigned total = pace(3000, 500);
    seed = rng_seed();
    for (unsigned i = 0; i < KEYS; i++)
        EXPECT_EQ(pthread_key_create(&keys[i], late_destructor), 0);
    EXPECT_EQ(pthread_key_create(&first_call_key, first_call_at_the_end), 0);
    run_threads(total, run);
    EXPECT_EQ(atomic_load(&destructor_calls), total * KEYS * ROUNDS);
    run_threads(total, run_without_heap);
    EXPECT_EQ(atomic_load(&destructor_calls), total * KEYS * ROUNDS + total);
    for (size_t i = 0; i < LEFT; i++)
        EXPECT(parcel_end(atomic_load(&left[i])));
    return expect_done();
}
