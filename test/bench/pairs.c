/* The cost of a pair of malloc and free, where the order of the calls is simple. */
#include <stdlib.h>

#include "bench.h"

enum { BATCH = 16, BURST = 2000, RING = 1000 };

/* Hot pair: one block, freed at once. The loop that every paper on allocators begins with; it shows the fast paths alone. */
static struct outcome run_hot(const struct workload *self, double scale)
{
    struct outcome outcome = {bench_times(16e6, scale, 1), 0};
    for (uint64_t i = 0; i < outcome.operations; i++) {
        uint64_t *block = bench_take(self->size);
        *block = i;
        outcome.checksum += *(volatile uint64_t *)block;
        free(block);
    }
    return outcome;
}

/* count blocks, then as many frees in the order of the mallocs. Batch of 16: a function that makes its temporaries and drops
 * them. Burst of 2,000: a request of a server, a frame of a game, which empties and fills every cache of a thread. */
static struct outcome run_batch(const struct workload *self, double scale)
{
    static uint64_t *blocks[BURST];
    /* A burst of blocks that are not small makes some heaps take and give back memory of the system each time. */
    double blocks_in_all = self->count == BURST && self->size > 64 ? 1e6 : 8e6;
    uint64_t rounds = bench_times(blocks_in_all / (double)self->count, scale, 1);
    struct outcome outcome = {rounds * self->count, 0};
    for (uint64_t i = 0; i < rounds; i++) {
        for (size_t j = 0; j < self->count; j++) {
            blocks[j] = bench_take(self->size);
            *blocks[j] = i ^ j;
        }
        for (size_t j = 0; j < self->count; j++) {
            outcome.checksum = outcome.checksum * 3 + *blocks[j];
            free(blocks[j]);
        }
    }
    return outcome;
}

/* Random churn of one size: of count live blocks a random one is replaced. The caches of the heap and of the machine are hit by
 * chance only. */
static struct outcome run_churn(const struct workload *self, double scale)
{
    struct random random = random_from(self->size);
    uint64_t **live = bench_take(self->count * sizeof *live);
    struct outcome outcome = {bench_times(self->count > 100000 ? 2e6 : 8e6, scale, 1), 0};
    for (size_t i = 0; i < self->count; i++) {
        live[i] = bench_take(self->size);
        *live[i] = i;
    }
    for (uint64_t i = 0; i < outcome.operations; i++) {
        uint64_t **slot = &live[random_below(&random, self->count)];
        outcome.checksum = outcome.checksum * 3 + **slot;
        free(*slot);
        *slot = bench_take(self->size);
        **slot = i;
    }
    outcome.operations += self->count;
    for (size_t i = 0; i < self->count; i++)
        free(live[i]);
    free(live);
    return outcome;
}

/* First in, first out: a queue of messages of mixed sizes. What is freed is the block that rested longest. */
static struct outcome run_fifo(const struct workload *self, double scale)
{
    static void *ring[RING];
    struct random random = random_from(self->size);
    struct outcome outcome = {bench_times(6e6, scale, RING), 0};
    for (uint64_t i = 0; i < outcome.operations; i++) {
        void **slot = &ring[i % RING];
        if (*slot != NULL)
            outcome.checksum = outcome.checksum * 3 + stamp_give(*slot);
        *slot = stamp_take(random_size(&random), i);
    }
    for (size_t i = 0; i < RING; i++)
        outcome.checksum += stamp_give(ring[i]);
    return outcome;
}

/* Last in, first out: the stack of an interpreter or a recursive descent, which goes up and down by random steps. */
static struct outcome run_lifo(const struct workload *self, double scale)
{
    static void *stack[RING];
    size_t height = 0;
    struct random random = random_from(self->size);
    struct outcome outcome = {bench_times(6e6, scale, 1), 0};
    for (uint64_t i = 0; i < outcome.operations;) {
        size_t goal = random_below(&random, RING);
        while (height < goal && i < outcome.operations)
            stack[height++] = stamp_take(random_size(&random), i++);
        while (height > goal)
            outcome.checksum = outcome.checksum * 3 + stamp_give(stack[--height]);
    }
    while (height > 0)
        outcome.checksum += stamp_give(stack[--height]);
    return outcome;
}

const struct workload pair_workloads[] = {
    {"hot-16", "pairs", run_hot, 16, 1},
    {"hot-64", "pairs", run_hot, 64, 1},
    {"hot-256", "pairs", run_hot, 256, 1},
    {"hot-1024", "pairs", run_hot, 1024, 1},
    {"batch-16", "pairs", run_batch, 16, BATCH},
    {"batch-64", "pairs", run_batch, 64, BATCH},
    {"batch-256", "pairs", run_batch, 256, BATCH},
    {"batch-1024", "pairs", run_batch, 1024, BATCH},
    {"burst-16", "pairs", run_batch, 16, BURST},
    {"burst-64", "pairs", run_batch, 64, BURST},
    {"burst-256", "pairs", run_batch, 256, BURST},
    {"burst-1024", "pairs", run_batch, 1024, BURST},
    {"churn-10k-16", "pairs", run_churn, 16, 10000},
    {"churn-10k-64", "pairs", run_churn, 64, 10000},
    {"churn-10k-256", "pairs", run_churn, 256, 10000},
    {"churn-10k-1024", "pairs", run_churn, 1024, 10000},
    {"churn-300k-16", "pairs", run_churn, 16, 300000},
    {"churn-300k-64", "pairs", run_churn, 64, 300000},
    {"churn-300k-256", "pairs", run_churn, 256, 300000},
    {"churn-300k-1024", "pairs", run_churn, 1024, 300000},
    {"fifo", "single", run_fifo, 0, 0},
    {"lifo", "single", run_lifo, 0, 0},
    {NULL, NULL, NULL, 0, 0},
};
