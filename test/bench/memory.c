/* What a heap holds and what it gives back, and what a pair costs as the heap and the number of threads grow. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench.h"

enum { MEAN_BYTES = 300, SLEEP_MS = 1000, SHORT_SLEEP_MS = 10, LATE_PAIRS = 1000 };
enum { CURVE_THREADS = 64, CURVE_PAIRS = 1000000 };

/* ---- given back ---- */

static void rest(double scale)
{
    long ms = scale < 0.1 ? SHORT_SLEEP_MS : SLEEP_MS;
    struct timespec time = {ms / 1000, ms % 1000 * 1000000};
    while (nanosleep(&time, &time) != 0)
        continue;
}

static void print_resident(const char *when)
{
    printf("row,%s,%zu\n", when, bench_resident_bytes());
}

/* 1 GiB of blocks is freed; then the program idles, does a little, and idles again. What a service keeps after its busy hour is
 * memory that its neighbours do not have. Rows `row,WHEN,RESIDENT`. */
static struct outcome run_given_back(const struct workload *self, double scale)
{
    size_t bytes = bench_times((double)self->size, scale, 1 << 20);
    size_t count = bytes / MEAN_BYTES;
    struct random random = random_from(37);
    struct outcome outcome = {count + LATE_PAIRS, 0};
    void **blocks = bench_take(count * sizeof *blocks);
    for (size_t i = 0; i < count; i++) {
        size_t size = random_size(&random);
        blocks[i] = stamp_take(size, i);
        memset((char *)blocks[i] + sizeof(struct stamp), (int)(i & 255), size - sizeof(struct stamp));
    }
    print_resident("peak");
    for (size_t i = 0; i < count; i++)
        outcome.checksum = outcome.checksum * 3 + stamp_give(blocks[i]);
    free(blocks);
    print_resident("freed");
    rest(scale);
    print_resident("after 1 s");
    for (size_t i = 0; i < LATE_PAIRS; i++)
        outcome.checksum = outcome.checksum * 3 + stamp_give(stamp_take(random_size(&random), i));
    print_resident("after 1000 pairs");
    rest(scale);
    print_resident("after 1 s more");
    return outcome;
}

/* ---- growth curves ---- */

struct grower {
    void **blocks;
    size_t count, pairs;
    struct random random;
    uint64_t sum, ns;
    pthread_t thread;
    pthread_barrier_t *filled;
};

static void grower_fill(struct grower *grower, size_t count)
{
    for (; grower->count < count; grower->count++)
        grower->blocks[grower->count] = stamp_take(random_size(&grower->random), grower->count);
}

static void grower_churn(struct grower *grower)
{
    for (size_t i = 0; i < grower->pairs; i++) {
        void **slot = &grower->blocks[random_below(&grower->random, grower->count)];
        grower->sum = grower->sum * 3 + stamp_give(*slot);
        *slot = stamp_take(random_size(&grower->random), i);
    }
}

static void grower_drop(struct grower *grower)
{
    for (size_t i = 0; i < grower->count; i++)
        grower->sum += stamp_give(grower->blocks[i]);
    free(grower->blocks);
}

/* ns of processor time for a random replacement in a live heap that grows by factors of 2, up to 8 GiB or half of the memory that is
 * there. Rows `row,LIVE,NS,RESIDENT`. The checksum covers what every machine reaches: 64 MiB. */
static struct outcome run_heap_curve(const struct workload *self, double scale)
{
    size_t top = bench_times((double)self->size, scale, 2 << 20);
    size_t half = bench_available_bytes() / 2;
    top = top < half ? top : half;
    struct grower grower = {.random = random_from(41),
                            .pairs = bench_times(CURVE_PAIRS, scale * 16 > 1 ? 1 : scale * 16, 1000)};
    struct outcome outcome = {0, 0};
    grower.blocks = bench_take(top / MEAN_BYTES * sizeof *grower.blocks);
    for (size_t live = 1 << 20; live <= top; live *= 2) {
        grower_fill(&grower, live / MEAN_BYTES);
        uint64_t before = bench_thread_ns();
        grower_churn(&grower);
        uint64_t ns = bench_thread_ns() - before;
        printf("row,%zu,%.2f,%zu\n", live, (double)ns / (double)grower.pairs, bench_resident_bytes());
        outcome.operations += grower.pairs;
        if (live <= 64 << 20)
            outcome.checksum = grower.sum;
    }
    grower_drop(&grower);
    return outcome;
}

static void *grower_run(void *argument)
{
    struct grower *grower = argument;
    size_t count = grower->count;
    grower->count = 0;
    grower->blocks = bench_take(count * sizeof *grower->blocks);
    grower_fill(grower, count);
    pthread_barrier_wait(grower->filled);
    uint64_t before = bench_thread_ns();
    grower_churn(grower);
    grower->ns = bench_thread_ns() - before;
    /* Nobody gives his blocks back while others still work. */
    pthread_barrier_wait(grower->filled);
    grower_drop(grower);
    return NULL;
}

/* ns of processor time for a pair with 1 to 64 threads that churn at once, 64 MiB live in all. Rows `row,THREADS,NS,RESIDENT`. */
static struct outcome run_thread_curve(const struct workload *self, double scale)
{
    static struct grower growers[CURVE_THREADS];
    size_t pairs = bench_times(CURVE_PAIRS, scale, CURVE_THREADS);
    size_t live = bench_times((double)self->size, scale < 1 ? scale : 1, 1 << 20);
    struct outcome outcome = {0, 0};
    for (size_t threads = 1; threads <= CURVE_THREADS; threads *= 2) {
        pthread_barrier_t filled;
        pthread_barrier_init(&filled, NULL, (unsigned)threads);
        for (size_t i = 0; i < threads; i++) {
            growers[i] = (struct grower){.count = live / MEAN_BYTES / threads,
                                         .pairs = pairs / threads,
                                         .random = random_from(i + 43),
                                         .filled = &filled};
            int error = pthread_create(&growers[i].thread, NULL, grower_run, &growers[i]);
            if (error != 0)
                bench_die("thread %zu of %zu cannot be started: %s", i, threads, strerror(error));
        }
        uint64_t ns = 0;
        for (size_t i = 0; i < threads; i++) {
            pthread_join(growers[i].thread, NULL);
            outcome.checksum += growers[i].sum;
            ns += growers[i].ns;
        }
        printf("row,%zu,%.2f,%zu\n", threads, (double)ns / (double)(pairs / threads * threads), bench_resident_bytes());
        outcome.operations += pairs / threads * threads;
        pthread_barrier_destroy(&filled);
    }
    return outcome;
}

const struct workload memory_workloads[] = {
    {"given-back", "report", run_given_back, 1 << 30, 0},
    {"curve-heap", "report", run_heap_curve, (size_t)8 << 30, 0},
    {"curve-threads", "report", run_thread_curve, 64 << 20, 0},
    {NULL, NULL, NULL, 0, 0},
};
