/* The heap's one door to the kernel, in place of src/os/syscall.c: the same calls, and
 *
 *   randomness   from the input's seed
 *   addresses    the same in every process, as far as they are free: what an input finds depends on nothing but the input
 *   mappings     remembered, so that a heap can be taken away whole
 *   the end      heard and trapped, when it is expected (trap.h)
 *
 * It defines os_syscall, so it cannot be linked beside src/os/syscall.c, and is compiled only with the names of the test libraries:
 * nothing that exports malloc can hold it. The test fuzz.release looks for it in what is shipped. */
#ifndef FUZZ_ENGINE_DOOR_H
#define FUZZ_ENGINE_DOOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Takes all memory of the last heap away; the next one draws from `seed`. No thread is in the heap. */
void door_begin(uint64_t seed);

/* Whether an address lies in what the heap has mapped or reserved. */
bool door_has(const void *address);

/* The k-th mapping that the heap still has; false when there are not so many. */
bool door_mapping(size_t number, uintptr_t *start, size_t *bytes);
/* The largest: its reservation, which begins with what it keeps for itself. */
void door_largest(uintptr_t *start, size_t *bytes);

#endif
