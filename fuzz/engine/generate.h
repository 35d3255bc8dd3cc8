/* Makes an input of the model target from a number: the same number always gives the same input. */
#ifndef FUZZ_ENGINE_GENERATE_H
#define FUZZ_ENGINE_GENERATE_H

#include <stddef.h>
#include <stdint.h>

/* Writes at most `room` bytes and answers how many. */
size_t fuzz_generate(uint64_t seed, uint8_t *out, size_t room);

#endif
