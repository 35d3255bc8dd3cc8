/* Other sizes and other doors: blocks of 8 KiB to 1 MiB, large ones, aligned ones, cleared ones. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

enum { MEDIUM_LIVE = 64, LARGE_LIVE = 6, ALIGNED_LIVE = 2000, CLEARED_LIVE = 2000, PAGE = 4096 };

/* 8 KiB to 1 MiB, evenly over the powers of two: buffers of files, sockets and pictures. Where a heap asks the system for each of
 * them, it shows here. */
static struct outcome run_medium(const struct workload *self, double scale)
{
    static void *live[MEDIUM_LIVE];
    struct random random = random_from(11);
    struct outcome outcome = {bench_times((double)self->count, scale, MEDIUM_LIVE), 0};
    for (uint64_t i = 0; i < outcome.operations; i++) {
        void **slot = &live[random_below(&random, MEDIUM_LIVE)];
        size_t least = (size_t)(8 << 10) << random_below(&random, 7);
        if (*slot != NULL)
            outcome.checksum = outcome.checksum * 3 + stamp_give(*slot);
        *slot = stamp_take(least + random_below(&random, least), i);
    }
    for (size_t i = 0; i < MEDIUM_LIVE; i++) {
        outcome.checksum += live[i] != NULL ? stamp_give(live[i]) : 0;
        live[i] = NULL;
    }
    return outcome;
}

/* 2 to 32 MiB, of which one page in sixteen is written: matrices, frames, what a database sorts. */
static struct outcome run_large(const struct workload *self, double scale)
{
    static unsigned char *live[LARGE_LIVE];
    struct random random = random_from(13);
    struct outcome outcome = {bench_times((double)self->count, scale, LARGE_LIVE), 0};
    for (uint64_t i = 0; i < outcome.operations; i++) {
        size_t which = random_below(&random, LARGE_LIVE);
        size_t size = ((size_t)2 << 20) + random_below(&random, (size_t)30 << 20);
        if (live[which] != NULL)
            outcome.checksum = outcome.checksum * 3 + stamp_give(live[which]);
        live[which] = stamp_take(size, i);
        for (size_t at = PAGE; at < size - 1; at += 16 * PAGE)
            live[which][at] = 1;
    }
    for (size_t i = 0; i < LARGE_LIVE; i++) {
        outcome.checksum += live[i] != NULL ? stamp_give(live[i]) : 0;
        live[i] = NULL;
    }
    return outcome;
}

/* posix_memalign to a cache line, a vector of 256 bits and now and then a page: numeric code, lock-free queues, direct input. */
static struct outcome run_aligned(const struct workload *self, double scale)
{
    static struct stamp *live[ALIGNED_LIVE];
    static const size_t alignments[] = {32, 64, 64, 64, 128, 256, 64, 4096};
    struct random random = random_from(17);
    struct outcome outcome = {bench_times((double)self->count, scale, ALIGNED_LIVE), 0};
    for (uint64_t i = 0; i < outcome.operations; i++) {
        struct stamp **slot = &live[random_below(&random, ALIGNED_LIVE)];
        size_t alignment = alignments[random_below(&random, 8)];
        size_t size = random_size(&random);
        if (*slot != NULL)
            outcome.checksum = outcome.checksum * 3 + stamp_give(*slot);
        void *block = NULL;
        errno = posix_memalign(&block, alignment, size);
        bench_demand(block, size, "posix_memalign");
        if ((uintptr_t)block % alignment != 0)
            bench_die("posix_memalign to %zu answers %p", alignment, block);
        ((unsigned char *)block)[size - 1] = (unsigned char)i;
        *slot = block;
        **slot = (struct stamp){i, size};
    }
    for (size_t i = 0; i < ALIGNED_LIVE; i++) {
        outcome.checksum += live[i] != NULL ? stamp_give(live[i]) : 0;
        live[i] = NULL;
    }
    return outcome;
}

/* calloc of 16 bytes to 16 KiB over blocks that were written before: languages that clear what they give out. */
static struct outcome run_cleared(const struct workload *self, double scale)
{
    static unsigned char *live[CLEARED_LIVE];
    struct random random = random_from(19);
    struct outcome outcome = {bench_times((double)self->count, scale, CLEARED_LIVE), 0};
    for (uint64_t i = 0; i < outcome.operations; i++) {
        unsigned char **slot = &live[random_below(&random, CLEARED_LIVE)];
        size_t size = (size_t)16 << random_below(&random, 11);
        free(*slot);
        *slot = bench_demand(calloc(size / 16, 16), size, "calloc");
        size_t at = random_below(&random, size);
        if ((*slot)[at] != 0 || (*slot)[0] != 0 || (*slot)[size - 1] != 0)
            bench_die("calloc of %zu bytes is not cleared at or before byte %zu", size, at);
        memset(*slot, 0xa5, size < 256 ? size : 256);
        (*slot)[at] = (*slot)[size - 1] = 0x5a;
        outcome.checksum += (*slot)[at];
    }
    for (size_t i = 0; i < CLEARED_LIVE; i++) {
        free(live[i]);
        live[i] = NULL;
    }
    return outcome;
}

const struct workload size_workloads[] = {
    {"medium", "single", run_medium, 0, 400000},
    {"large", "single", run_large, 0, 1500},
    {"aligned", "single", run_aligned, 0, 2500000},
    {"calloc", "single", run_cleared, 0, 2000000},
    {NULL, NULL, NULL, 0, 0},
};
