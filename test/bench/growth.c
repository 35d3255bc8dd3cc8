/* Growth by realloc: strings that get some bytes at a time and vectors that grow by half. Text processing, parsers and every
 * container that is written by hand. An operation is one realloc. What was written first must be there in the end. */
#include <stdlib.h>
#include <string.h>

#include "bench.h"

enum { STRINGS = 64, STRING_BYTES = 24 << 10, VECTORS = 4, VECTOR_ITEMS = 200000 };

/* Many strings that grow beside each other, so that none can simply take over what stands behind it. */
static struct outcome run_strings(const struct workload *self, double scale)
{
    static char *strings[STRINGS];
    static size_t lengths[STRINGS];
    struct random random = random_from(7);
    struct outcome outcome = {bench_times((double)self->count, scale, STRINGS), 0};
    memset(lengths, 0, sizeof lengths);
    for (uint64_t i = 0; i < outcome.operations; i++) {
        size_t which = random_below(&random, STRINGS);
        size_t more = 1 + random_below(&random, 40);
        size_t length = lengths[which] + more;
        if (length > STRING_BYTES) {
            for (size_t j = 0; j < lengths[which]; j++)
                outcome.checksum = outcome.checksum * 3 + (unsigned char)strings[which][j];
            free(strings[which]);
            strings[which] = NULL;
            length = more;
        }
        strings[which] = bench_demand(realloc(strings[which], length), length, "realloc");
        memset(strings[which] + length - more, (int)(i & 127), more);
        lengths[which] = length;
    }
    for (size_t i = 0; i < STRINGS; i++) {
        free(strings[i]);
        strings[i] = NULL;
    }
    return outcome;
}

/* Vectors from 4 items to 200,000 items of 8 bytes, several at once: small, medium and large blocks in turn. */
static struct outcome run_vectors(const struct workload *self, double scale)
{
    struct outcome outcome = {0, 0};
    uint64_t rounds = bench_times((double)self->count, scale, 1);
    for (uint64_t round = 0; round < rounds; round++) {
        uint64_t *vectors[VECTORS] = {NULL};
        size_t room = 4;
        size_t used = 0;
        while (used < VECTOR_ITEMS) {
            for (size_t i = 0; i < VECTORS; i++) {
                vectors[i] =
                    bench_demand(realloc(vectors[i], room * sizeof(uint64_t)), room * sizeof(uint64_t), "realloc");
                for (size_t j = used; j < room; j++)
                    vectors[i][j] = round ^ (j * (i + 1));
                outcome.operations++;
            }
            used = room;
            room += room / 2;
        }
        for (size_t i = 0; i < VECTORS; i++) {
            for (size_t j = 0; j < used; j += 61)
                outcome.checksum = outcome.checksum * 3 + vectors[i][j];
            free(vectors[i]);
        }
    }
    return outcome;
}

const struct workload growth_workloads[] = {
    {"realloc-strings", "single", run_strings, 0, 6000000},
    {"realloc-vectors", "single", run_vectors, 0, 60},
    {NULL, NULL, NULL, 0, 0},
};
