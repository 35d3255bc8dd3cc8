/* A module as plugins and vendors' libraries come: it allocates by malloc, and whoever loads it decides whose that is. */
#include <stdlib.h>
#include <string.h>

#define SHOWN __attribute__((visibility("default")))

SHOWN void *module_make(size_t size);
SHOWN void module_end(void *block);
SHOWN int module_work(void);
SHOWN char *module_text(void);

void *module_make(size_t size)
{
    return memset(malloc(size), 7, size);
}

void module_end(void *block)
{
    free(block);
}

/* Work of its own: 0 if all is well. */
int module_work(void)
{
    unsigned char *kept = NULL;
    for (size_t size = 1; size < 3000000; size = size * 2 + 1) {
        unsigned char *block = calloc(3, size);
        kept = realloc(kept, size);
        if (block == NULL || kept == NULL || block[3 * size - 1] != 0)
            return 1;
        kept[size - 1] = 1;
        free(block);
    }
    free(kept);
    return 0;
}

/* What the C library allocates on the module's behalf. */
char *module_text(void)
{
    return strdup("a text of the C library's making");
}
