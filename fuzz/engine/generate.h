/* Makes an input from a number: the same number always gives the same input. */
#ifndef FUZZ_ENGINE_GENERATE_H
#define FUZZ_ENGINE_GENERATE_H

#include <stddef.h>
#include <stdint.h>

/* What the target has beside the records that all share. Each target defines it. */
struct generate_shape {
    unsigned random_records; /* records behind the header whose bytes are all drawn evenly */
    unsigned percent_own;    /* of the others: operations of the target's own */
};
extern const struct generate_shape fuzz_shape;

/* Writes at most `room` bytes and answers how many. */
size_t fuzz_generate(uint64_t seed, uint8_t *out, size_t room);

#endif
