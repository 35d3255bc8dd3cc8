/* Threads that end with thousands of live blocks, which others free later: the main thread, a new thread, several at
 * once, or in halves. */
#include "support/expect.h"
#include "support/family.h"
#include "support/memory.h"
#include "support/pace.h"
#include "support/parcel.h"

#include <pthread.h>

enum { EACH = 3000, FREERS = 3 };

struct estate {
    struct parcel *blocks[EACH];
    uint64_t stream;
};

static struct estate estate;
static uint64_t seed;

static void *leave(void *argument)
{
    struct estate *left = argument;
    struct rng rng = rng_stream(seed, left->stream);
    for (size_t i = 0; i < EACH; i++)
        left->blocks[i] = parcel_new(parcel_size(&rng) / 4, rng_next(&rng));
    /* Some pages become full of holes, some stay full. */
    for (size_t i = 0; i < EACH; i += 1 + rng_below(&rng, 5)) {
        EXPECT(parcel_end(left->blocks[i]));
        left->blocks[i] = NULL;
    }
    return NULL;
}

struct share {
    struct estate *estate;
    size_t first, step;
};

static void *free_share(void *argument)
{
    struct share *share = argument;
    for (size_t i = share->first; i < EACH; i += share->step) {
        EXPECT(parcel_end(share->estate->blocks[i]));
        share->estate->blocks[i] = NULL;
    }
    return NULL;
}

static void run_thread(void *(*function)(void *), void *argument)
{
    pthread_t thread;
    EXPECT_EQ(pthread_create(&thread, NULL, function, argument), 0);
    pthread_join(thread, NULL);
}

static void free_by_main(void)
{
    struct share all = {.estate = &estate, .first = 0, .step = 1};
    free_share(&all);
}

static void free_by_new_thread(void)
{
    struct share all = {.estate = &estate, .first = 0, .step = 1};
    run_thread(free_share, &all);
}

static void free_by_several(void)
{
    pthread_t threads[FREERS];
    struct share shares[FREERS];
    for (size_t i = 0; i < FREERS; i++) {
        shares[i] = (struct share){.estate = &estate, .first = i, .step = FREERS};
        EXPECT_EQ(pthread_create(&threads[i], NULL, free_share, &shares[i]), 0);
    }
    for (size_t i = 0; i < FREERS; i++)
        pthread_join(threads[i], NULL);
}

/* One thread frees every second block and allocates on; its end hands the rest to a third. */
static void *free_half_and_allocate(void *argument)
{
    struct share half = {.estate = argument, .first = 0, .step = 2};
    struct rng rng = rng_stream(seed, half.estate->stream + 1000000);
    free_share(&half);
    for (size_t i = 0; i < EACH; i += 2)
        half.estate->blocks[i] = parcel_new(parcel_size(&rng) / 4, rng_next(&rng));
    return NULL;
}

static void free_in_halves(void)
{
    run_thread(free_half_and_allocate, &estate);
    free_by_main();
}

int main(void)
{
    static void (*const ways[])(void) = {free_by_main, free_by_new_thread, free_by_several, free_in_halves};
    unsigned rounds = pace(800, 240);
    unsigned long early = 0;
    seed = rng_seed();
    for (unsigned i = 0; i < rounds && expect_failures() == 0; i++) {
        estate.stream = i;
        run_thread(leave, &estate);
        ways[i % 4]();
        if (i == rounds / 4)
            early = memory_resident_kib();
    }
    memory_expect_no_growth(early);
    return expect_done();
}
