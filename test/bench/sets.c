/* Random working sets: of a live heap of `size` bytes a random block is replaced by one of another size, as a simulation or an
 * in-memory index does. The set fits in the first, second or third cache of the processor or in none of them, so what the heap
 * itself touches beside the blocks (headers, lists, states) shows. Known from the literature as random replacement (Larson and
 * Krishnan's inner loop, without the threads). */
#include <stdlib.h>

#include "bench.h"

enum { MEAN_BYTES = 300 }; /* of random_size(), about */

static struct outcome run_set(const struct workload *self, double scale)
{
    size_t count = self->size / MEAN_BYTES;
    if (scale < 1 && count > 10000)
        count = (size_t)bench_times((double)count, scale, 10000);
    struct random random = random_from(self->size);
    void **live = bench_take(count * sizeof *live);
    struct outcome outcome = {bench_times((double)self->count, scale, 1), 0};
    for (size_t i = 0; i < count; i++)
        live[i] = stamp_take(random_size(&random), i);
    for (uint64_t i = 0; i < outcome.operations; i++) {
        void **slot = &live[random_below(&random, count)];
        outcome.checksum = outcome.checksum * 3 + stamp_give(*slot);
        *slot = stamp_take(random_size(&random), i);
    }
    for (size_t i = 0; i < count; i++)
        outcome.checksum += stamp_give(live[i]);
    outcome.operations += count;
    free(live);
    return outcome;
}

const struct workload set_workloads[] = {
    {"set-l1", "single", run_set, 16 << 10, 6000000},
    {"set-l2", "single", run_set, 512 << 10, 5000000},
    {"set-l3", "single", run_set, 12 << 20, 2500000},
    {"set-memory", "single", run_set, 256 << 20, 800000},
    {NULL, NULL, NULL, 0, 0},
};
