/* A shared library for early_late_preload.c: allocates in its constructor, frees in its destructor, as C++ libraries
 * with global objects do. Its constructor runs before the program's, and possibly before that of a preloaded heap. */
#include <stdlib.h>
#include <string.h>

#include "early_late.h"

enum { BLOCKS = 64 };

static unsigned char *blocks[BLOCKS];
static int is_subject;

static size_t size_of(size_t number)
{
    return number * number * 37 + 1;
}

/* glibc hands constructors the arguments of main. */
__attribute__((constructor)) static void early(int argc, char **argv)
{
    is_subject = argc == 2 && strcmp(argv[1], "subject") == 0;
    for (size_t i = 0; i < BLOCKS; i++) {
        blocks[i] = malloc(size_of(i));
        if (blocks[i] == NULL)
            early_late_fail("library constructor");
        memset(blocks[i], (int)i, size_of(i));
    }
    if (is_subject)
        early_late_say("library constructor");
}

void early_late_check_library(void)
{
    for (size_t i = 0; i < BLOCKS; i++) {
        if (blocks[i][0] != i || blocks[i][size_of(i) - 1] != i)
            early_late_fail("library contents");
    }
}

__attribute__((destructor)) static void late(void)
{
    early_late_check_library();
    for (size_t i = 0; i < BLOCKS; i++) {
        blocks[i] = realloc(blocks[i], size_of(i) * 2);
        if (blocks[i] == NULL || blocks[i][0] != i)
            early_late_fail("library destructor");
        free(blocks[i]);
    }
    void *left = calloc(100, 100);
    if (left == NULL)
        early_late_fail("library destructor");
    if (is_subject)
        early_late_say("library destructor");
}
