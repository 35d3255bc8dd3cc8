/* Phases: 64 MiB are built and dropped whole, 50 times, as by a compiler that goes from file to file or a batch job that goes from
 * table to table. In one size, where everything can be used again; and in sizes that change each time, where what one phase left
 * is of no use to the next unless the heap gives it back or makes other blocks of it. (The literature's "phase behaviour",
 * Wilson and others 1995.) */
#include <stdlib.h>

#include "bench.h"

enum { PHASE_BYTES = 64 << 20, PHASES = 50, OTHER_SIZES = 11 };

struct link {
    struct link *next;
    uint64_t value;
};

static const size_t other_sizes[OTHER_SIZES] = {48, 300, 1000, 96, 2000, 32, 700, 160, 4000, 64, 450};

static struct outcome run_phases(const struct workload *self, double scale)
{
    uint64_t phases = bench_times(PHASES, scale, 3);
    struct outcome outcome = {0, 0};
    for (uint64_t i = 0; i < phases; i++) {
        size_t size = self->size != 0 ? self->size : other_sizes[i % OTHER_SIZES];
        struct link *first = NULL;
        for (size_t count = PHASE_BYTES / size; count > 0; count--) {
            struct link *link = bench_take(size);
            *link = (struct link){first, i ^ count};
            first = link;
            outcome.operations++;
        }
        while (first != NULL) {
            struct link *next = first->next;
            outcome.checksum = outcome.checksum * 3 + first->value;
            free(first);
            first = next;
        }
    }
    return outcome;
}

const struct workload phase_workloads[] = {
    {"phases-same", "single", run_phases, 256, 0},
    {"phases-changing", "single", run_phases, 0, 0},
    {NULL, NULL, NULL, 0, 0},
};
