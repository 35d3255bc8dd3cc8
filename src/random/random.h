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
/* 64 bits. Cold: takes LOCK_RANDOM. */
uint64_t random_draw(void);
/* A stream of its own for one thread: no lock. It reads zero at first, and again in a child of fork, where the kernel wiped
 * it: then it has no key and no draws. */
struct random_stream {
    unsigned char key[32];
    uint64_t draw[60];
    uint32_t left; /* draws not yet handed out */
    uint32_t is_keyed;
};
/* The next 64 bits; false when they are used up, or the kernel wiped the stream in the middle of a refill. Each is erased as
 * it is handed out. */
MOAT_INLINE bool random_stream_pop(struct random_stream *stream, uint64_t *draw)
{
    if (stream->left == 0 || !stream->is_keyed)
        return false;
    *draw = stream->draw[--stream->left];
    stream->draw[stream->left] = 0;
    return true;
}
/* Cold: more draws, with a key from the process-wide generator if it has none. */
void random_stream_refill(struct random_stream *stream);
/* A number below `limit` (not 0). Cold: takes LOCK_RANDOM. */
uint64_t random_below(uint64_t limit);

#endif
