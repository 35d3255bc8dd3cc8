/* Fragmentation: a service that runs for days, in short. The live heap stays at 64 MiB by the program's count, while blocks of
 * all sizes come and go, few of them live long, and the mix of sizes drifts: what was freed in one size is wanted in another. What the
 * process holds above the live bytes is what the heap could not use again or did not give back.
 *
 * The mix stands for recorded ones (servers and browsers: most blocks small and short-lived, most bytes in few blocks, lives of very
 * different length). Prints rows `row,OPERATIONS,SECONDS,RESIDENT,LIVE` (bytes), 200 of them over the run.
 */
#include <stdio.h>
#include <stdlib.h>

#include "bench.h"

enum { SLOTS = 400000, ROWS = 200, LIVE_BYTES = 64 << 20, DRIFT = 400000, PAGE = 4096 };

static struct stamp *slots[SLOTS];

/* `era` shifts what the program likes: from 3 to 6 quarters of the usual size, and another favourite. */
static size_t draw_size(struct random *random, uint64_t era)
{
    size_t draw = random_below(random, 1000);
    size_t size;
    if (draw < 150)
        size = 24 + 72 * (era % 23);
    else if (draw < 985)
        size = random_size(random) * (3 + era % 4) / 4;
    else if (draw < 999)
        size = 4096 + random_below(random, 60 << 10);
    else
        size = ((size_t)64 << 10) + random_below(random, 960 << 10);
    return size < 16 ? 16 : size;
}

/* Three in four of what goes is young: it stands in the part of the table that the last blocks went to. */
static size_t draw_slot(struct random *random, uint64_t now)
{
    if (random_next(random) % 4 != 0)
        return (size_t)((now + random_below(random, 2000)) % SLOTS);
    return random_below(random, SLOTS);
}

/* Each page is written, as a program does that asks for a block. */
static struct stamp *take_and_write(size_t size, uint64_t number)
{
    unsigned char *block = stamp_take(size, number);
    for (size_t at = PAGE; at < size - 1; at += PAGE)
        block[at] = 1;
    return (struct stamp *)(void *)block;
}

static struct outcome run_fragmentation(const struct workload *self, double scale)
{
    struct random random = random_from(29);
    uint64_t steps = bench_times((double)self->count, scale, ROWS);
    uint64_t interval = steps / ROWS;
    uint64_t began = bench_wall_ns();
    struct outcome outcome = {0, 0};
    size_t live = 0;
    for (uint64_t i = 0; i < steps; i++) {
        struct stamp **slot = &slots[draw_slot(&random, i / 4)];
        if (*slot != NULL) {
            live -= (*slot)->size;
            outcome.checksum = outcome.checksum * 3 + stamp_give(*slot);
            *slot = NULL;
        }
        /* Full: whatever a random hand finds goes, until there is room. */
        size_t size = draw_size(&random, i / DRIFT);
        while (live + size > LIVE_BYTES) {
            struct stamp **victim = &slots[random_below(&random, SLOTS)];
            if (*victim == NULL)
                continue;
            live -= (*victim)->size;
            outcome.checksum = outcome.checksum * 3 + stamp_give(*victim);
            *victim = NULL;
        }
        *slot = take_and_write(size, i);
        live += size;
        outcome.operations++;
        if ((i + 1) % interval == 0)
            printf("row,%lu,%.3f,%zu,%zu\n", (unsigned long)outcome.operations,
                   (double)(bench_wall_ns() - began) * 1e-9, bench_resident_bytes(), live);
    }
    for (size_t i = 0; i < SLOTS; i++) {
        outcome.checksum += slots[i] != NULL ? stamp_give(slots[i]) : 0;
        slots[i] = NULL;
    }
    return outcome;
}

const struct workload fragmentation_workloads[] = {
    {"fragmentation", "report", run_fragmentation, 0, 8000000},
    {NULL, NULL, NULL, 0, 0},
};
