/* A malloc that a program brings along: blocks of a mapping of its own, never used again, each with its size in front. Every
 * block that it did not make itself is noticed. */
#ifndef TEST_HOST_PASSIVE_ARENA_H
#define TEST_HOST_PASSIVE_ARENA_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { ARENA_HEADER = 64 };
static const size_t arena_bytes = (size_t)1 << 30;
static const uint64_t arena_mark = 0x600dB10c600dB10c;

static char *arena_start;
static size_t arena_used;
static unsigned long arena_taken, arena_given_back;

struct arena_header {
    uint64_t mark;
    size_t size;
};

static inline char *arena_begin(void)
{
    char *seen = __atomic_load_n(&arena_start, __ATOMIC_ACQUIRE);
    if (seen != NULL)
        return seen;
    void *fresh = mmap(NULL, arena_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (fresh == MAP_FAILED)
        _exit(90);
    if (!__atomic_compare_exchange_n(&arena_start, &seen, (char *)fresh, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
        munmap(fresh, arena_bytes);
        return seen;
    }
    return (char *)fresh;
}

/* `alignment` is a power of two. */
static inline void *arena_take(size_t alignment, size_t size)
{
    if (size > arena_bytes / 4 || alignment > 4096) {
        errno = ENOMEM;
        return NULL;
    }
    if (alignment < ARENA_HEADER)
        alignment = ARENA_HEADER;
    size_t room = (size + ARENA_HEADER + alignment + 63) & ~(size_t)63;
    size_t at = __atomic_fetch_add(&arena_used, room, __ATOMIC_RELAXED);
    if (at + room > arena_bytes)
        _exit(91);
    uintptr_t block = ((uintptr_t)(arena_begin() + at) + ARENA_HEADER + alignment - 1) & ~(uintptr_t)(alignment - 1);
    struct arena_header *header = (struct arena_header *)(block - ARENA_HEADER);
    header->mark = arena_mark;
    header->size = size;
    __atomic_fetch_add(&arena_taken, 1, __ATOMIC_RELAXED);
    return (void *)block;
}

static inline bool arena_has(const void *block)
{
    return arena_start != NULL && (size_t)((uintptr_t)block - (uintptr_t)arena_start) < arena_bytes;
}

static inline struct arena_header *arena_header_of(const void *block)
{
    return (struct arena_header *)((uintptr_t)block - ARENA_HEADER);
}

static inline void arena_complain(const char *words)
{
    if (write(STDERR_FILENO, words, strlen(words)) > 0)
        abort();
    abort();
}

static inline size_t arena_size(const void *block)
{
    if (!arena_has(block) || arena_header_of(block)->mark != arena_mark)
        arena_complain("the program's malloc was given a block of another heap\n");
    return arena_header_of(block)->size;
}

static inline void arena_give_back(void *block)
{
    if (block == NULL)
        return;
    memset(block, 0xdd, arena_size(block));
    arena_header_of(block)->mark = 0;
    __atomic_fetch_add(&arena_given_back, 1, __ATOMIC_RELAXED);
}

static inline void *arena_resize(void *block, size_t size)
{
    if (block == NULL)
        return arena_take(16, size);
    size_t old = arena_size(block);
    void *moved = arena_take(16, size);
    if (moved != NULL) {
        memcpy(moved, block, old < size ? old : size);
        arena_give_back(block);
    }
    return moved;
}

#endif
