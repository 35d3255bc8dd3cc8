/* All frees are remote: some threads only allocate, others only free. What comes back must be used again, or memory
 * grows without end. */
#include "support/expect.h"
#include "support/family.h"
#include "support/pace.h"
#include "support/parcel.h"

#include <pthread.h>
#include <string.h>

enum { PAIRS = 2, QUEUE = 4096, BATCH = 32 };

/* A bounded queue: lists of BATCH parcels. */
static struct queue {
    pthread_mutex_t mutex;
    pthread_cond_t not_empty, not_full;
    struct parcel *batches[QUEUE / BATCH];
    size_t count, first;
    unsigned producers;
} queue = {
    .mutex = PTHREAD_MUTEX_INITIALIZER, .not_empty = PTHREAD_COND_INITIALIZER, .not_full = PTHREAD_COND_INITIALIZER};

static unsigned batches_each;
static uint64_t seed;
static unsigned long consumed, good;

static void put(struct parcel *batch)
{
    pthread_mutex_lock(&queue.mutex);
    while (queue.count == QUEUE / BATCH)
        pthread_cond_wait(&queue.not_full, &queue.mutex);
    queue.batches[(queue.first + queue.count++) % (QUEUE / BATCH)] = batch;
    pthread_cond_signal(&queue.not_empty);
    pthread_mutex_unlock(&queue.mutex);
}

/* NULL when all producers have ended and the queue is empty. */
static struct parcel *get(void)
{
    struct parcel *batch = NULL;
    pthread_mutex_lock(&queue.mutex);
    while (queue.count == 0 && queue.producers > 0)
        pthread_cond_wait(&queue.not_empty, &queue.mutex);
    if (queue.count > 0) {
        batch = queue.batches[queue.first];
        queue.first = (queue.first + 1) % (QUEUE / BATCH);
        queue.count--;
        pthread_cond_signal(&queue.not_full);
    }
    pthread_mutex_unlock(&queue.mutex);
    return batch;
}

static void *produce(void *argument)
{
    struct rng rng = rng_stream(seed, (uintptr_t)argument);
    for (unsigned i = 0; i < batches_each; i++) {
        struct parcel *batch = NULL;
        for (unsigned j = 0; j < BATCH; j++) {
            struct parcel *parcel = parcel_new(parcel_size(&rng), rng_next(&rng));
            if (parcel == NULL)
                continue;
            parcel->next = batch;
            batch = parcel;
        }
        put(batch);
    }
    pthread_mutex_lock(&queue.mutex);
    queue.producers--;
    pthread_cond_broadcast(&queue.not_empty);
    pthread_mutex_unlock(&queue.mutex);
    return NULL;
}

static void *consume(void *unused)
{
    unsigned long mine = 0, mine_good = 0;
    for (struct parcel *batch = get(); batch != NULL; batch = get()) {
        mine += BATCH;
        mine_good += parcel_end_list(batch);
    }
    __atomic_fetch_add(&consumed, mine, __ATOMIC_RELAXED);
    __atomic_fetch_add(&good, mine_good, __ATOMIC_RELAXED);
    return unused;
}

/* High-water mark of resident memory, KiB. */
static unsigned long peak_kib(void)
{
    char line[256];
    unsigned long peak = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, "VmHWM:", 6) == 0)
            peak = strtoul(line + 6, NULL, 10);
    }
    if (file != NULL)
        fclose(file);
    return peak;
}

static void run_once(void)
{
    pthread_t threads[2 * PAIRS];
    queue.producers = PAIRS;
    for (uintptr_t i = 0; i < 2 * (uintptr_t)PAIRS; i++)
        pthread_create(&threads[i], NULL, i < PAIRS ? produce : consume, (void *)i);
    for (size_t i = 0; i < 2 * (size_t)PAIRS; i++)
        pthread_join(threads[i], NULL);
}

int main(void)
{
    enum { ROUNDS = 4 };
    seed = rng_seed();
    batches_each = pace(12000, 1500);
    run_once();
    unsigned long first = peak_kib();
    for (unsigned i = 1; i < ROUNDS; i++)
        run_once();
    unsigned long last = peak_kib();
    EXPECT_EQ(consumed, (unsigned long)ROUNDS * PAIRS * batches_each * BATCH);
    EXPECT_EQ(good, consumed);
    expect_say("%lu parcels; peak %lu KiB after the first round, %lu after the last\n", consumed, first, last);
    /* The queue bounds what lives at once, so later rounds need no more than chance adds. */
    EXPECT(last < first * 2 + 65536);
    return expect_done();
}
