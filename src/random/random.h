/* random.h - randomness from libsodium, which stays static and hidden behind this header.
 *
 * libsodium's ChaCha20 expands a key that the kernel gave; its random source is replaced by os_random, so that it never
 * opens a file and a program's own libsodium is left alone.
 */
#ifndef MOAT_RANDOM_RANDOM_H
#define MOAT_RANDOM_RANDOM_H

#include "base/compiler.h"

/* Once, at the start, before any draw. Where the kernel gives nothing yet (early boot, a filter) the 16 bytes that it
 * left for every program are used instead and random_is_weak() is true from then on. */
void random_start(void);
/* A fresh key in the child of a fork, from the kernel or else from the old key and the child's identity. */
void random_restart(void);
bool random_is_weak(void);
/* A number below `limit` (not 0). Cold: takes LOCK_RANDOM. */
uint64_t random_below(uint64_t limit);

#endif
