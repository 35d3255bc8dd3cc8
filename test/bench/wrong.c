/* A heap that is wrong in two ways, for the test of scripts/bench: realloc loses what a block of more than 4 KiB held, and malloc of
 * more than a MiB ends the process. Everything else is glibc's. */
#include <stdlib.h>
#include <string.h>

enum { LOSES = 4096, DIES = 1 << 20 };

extern void *__libc_malloc(size_t size);
extern void *__libc_realloc(void *block, size_t size);
extern void __libc_free(void *block);

void *malloc(size_t size)
{
    if (size > DIES)
        abort();
    return __libc_malloc(size);
}

void *realloc(void *block, size_t size)
{
    void *grown = __libc_realloc(block, size);
    if (grown != NULL && size > LOSES)
        memset(grown, 0, size);
    return grown;
}

void free(void *block)
{
    __libc_free(block);
}
