/* A library with a malloc of its own, to be preloaded in front of Moat or behind it. */
#include "arena.h"

#define SHOWN __attribute__((visibility("default")))

SHOWN void *malloc(size_t size)
{
    return arena_take(16, size);
}

SHOWN void *calloc(size_t count, size_t size)
{
    size_t total;
    return __builtin_mul_overflow(count, size, &total) ? NULL : arena_take(16, total);
}

SHOWN void *realloc(void *block, size_t size)
{
    return arena_resize(block, size);
}

SHOWN void free(void *block)
{
    arena_give_back(block);
}
