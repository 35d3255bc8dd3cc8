/* How long single calls take: a histogram of malloc and one of free under a mixed load, alone and beside three other threads with
 * which blocks are exchanged. What a user of an interactive program or a service feels is the tail, which no mean shows.
 *
 * Time is the processor's counter, whose rate is measured first; what reading it costs is in every figure. Prints rows
 * `row,malloc|free,NS,COUNT` (the upper bound of a step, an eighth of a power of two wide), then `quantile,malloc|free,NAME,NS` for
 * p50, p99, p99.9 and max.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <x86intrin.h>

#include "bench.h"

enum { STEPS = 8, BUCKETS = 64 * STEPS, LIVE = 20000, SHARED = 1024, OTHERS = 3 };

struct histogram {
    uint64_t counts[BUCKETS];
    uint64_t total, most;
};

static struct histogram takes, gives;
static _Atomic(void *) shared_blocks[SHARED];
static atomic_bool done;

static size_t bucket_of(uint64_t ticks)
{
    if (ticks < STEPS)
        return (size_t)ticks;
    unsigned power = 63 - (unsigned)__builtin_clzll(ticks);
    return (power - 2) * STEPS + ((ticks >> (power - 3)) & (STEPS - 1));
}

/* The first number of ticks that does not belong to the bucket any more. */
static double bucket_end(size_t bucket)
{
    if (bucket < STEPS)
        return (double)(bucket + 1);
    return (double)(STEPS + bucket % STEPS + 1) * (double)((uint64_t)1 << (bucket / STEPS - 1));
}

static void note(struct histogram *histogram, uint64_t ticks)
{
    histogram->counts[bucket_of(ticks)]++;
    histogram->total++;
    if (ticks > histogram->most)
        histogram->most = ticks;
}

static uint64_t read_ticks(void)
{
    unsigned processor;
    return __rdtscp(&processor);
}

/* 20 ms of both clocks. */
static double measure_ns_per_tick(void)
{
    uint64_t ns = bench_wall_ns(), ticks = read_ticks(), now = ns;
    while (now - ns < 20000000)
        now = bench_wall_ns();
    return (double)(now - ns) / (double)(read_ticks() - ticks);
}

static size_t draw_size(struct random *random)
{
    size_t draw = random_below(random, 1000);
    if (draw < 990)
        return random_size(random);
    return draw < 999 ? 4096 + random_below(random, 60 << 10) : ((size_t)64 << 10) + random_below(random, 448 << 10);
}

/* Another thread: blocks of its own, and some that it swaps with whoever is there. */
static void *disturb(void *argument)
{
    struct random random = random_from(1000 + (uintptr_t)argument);
    static _Thread_local void *mine[LIVE / 10];
    while (!atomic_load_explicit(&done, memory_order_relaxed)) {
        void **slot = &mine[random_below(&random, LIVE / 10)];
        if (*slot != NULL)
            stamp_give(*slot);
        *slot = stamp_take(draw_size(&random), 1);
        if (random_next(&random) % 8 == 0)
            *slot = atomic_exchange(&shared_blocks[random_below(&random, SHARED)], *slot);
    }
    for (size_t i = 0; i < LIVE / 10; i++)
        if (mine[i] != NULL)
            stamp_give(mine[i]);
    return NULL;
}

static void print(const char *name, const struct histogram *histogram, double ns_per_tick)
{
    static const struct {
        const char *name;
        double part;
    } quantiles[] = {{"p50", 0.5}, {"p99", 0.99}, {"p99.9", 0.999}};
    uint64_t below = 0;
    size_t next = 0;
    for (size_t i = 0; i < BUCKETS; i++) {
        if (histogram->counts[i] == 0)
            continue;
        double ns = bucket_end(i) * ns_per_tick;
        below += histogram->counts[i];
        printf("row,%s,%.1f,%lu\n", name, ns, (unsigned long)histogram->counts[i]);
        for (; next < 3 && (double)below >= quantiles[next].part * (double)histogram->total; next++)
            printf("quantile,%s,%s,%.1f\n", name, quantiles[next].name, ns);
    }
    printf("quantile,%s,max,%.1f\n", name, (double)histogram->most * ns_per_tick);
}

/* One step: a block that goes, and one that comes in its place. */
static uint64_t step(struct random *random, void **slot, uint64_t number)
{
    uint64_t value = 0;
    if (*slot != NULL) {
        value = stamp_check(*slot);
        uint64_t before = read_ticks();
        free(*slot);
        note(&gives, read_ticks() - before);
    }
    size_t size = draw_size(random);
    uint64_t before = read_ticks();
    unsigned char *block = malloc(size);
    note(&takes, read_ticks() - before);
    bench_demand(block, size, "malloc");
    block[size - 1] = (unsigned char)number;
    *(struct stamp *)(void *)block = (struct stamp){number, size};
    *slot = block;
    return value;
}

static struct outcome run_latency(const struct workload *self, double scale)
{
    static void *live[LIVE];
    pthread_t threads[OTHERS];
    struct random random = random_from(31);
    struct outcome outcome = {bench_times(2e6, scale, 1), 0};
    double ns_per_tick = measure_ns_per_tick();
    for (uintptr_t i = 0; i < self->count; i++) {
        int error = pthread_create(&threads[i], NULL, disturb, (void *)i);
        if (error != 0)
            bench_die("a thread cannot be started: %s", strerror(error));
    }
    for (uint64_t i = 0; i < outcome.operations; i++) {
        void **slot = &live[random_below(&random, LIVE)];
        /* Which block a swap brings is chance, so values count only where nothing is swapped. */
        uint64_t value = step(&random, slot, i);
        if (self->count == 0)
            outcome.checksum = outcome.checksum * 3 + value;
        else if (i % 8 == 0)
            *slot = atomic_exchange(&shared_blocks[random_below(&random, SHARED)], *slot);
    }
    atomic_store(&done, true);
    for (size_t i = 0; i < self->count; i++)
        pthread_join(threads[i], NULL);
    print("malloc", &takes, ns_per_tick);
    print("free", &gives, ns_per_tick);
    for (size_t i = 0; i < LIVE; i++)
        if (live[i] != NULL)
            stamp_give(live[i]);
    for (size_t i = 0; i < SHARED; i++)
        if (shared_blocks[i] != NULL)
            stamp_give(shared_blocks[i]);
    return outcome;
}

const struct workload latency_workloads[] = {
    {"latency", "report", run_latency, 0, 0},
    {"latency-threads", "report", run_latency, 0, OTHERS},
    {NULL, NULL, NULL, 0, 0},
};
