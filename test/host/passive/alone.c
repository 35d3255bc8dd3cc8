/* A static program, which no loader looks after. With OWN_MALLOC it has a malloc of its own; without, Moat is linked in. */
#ifdef OWN_MALLOC
#include "arena.h"

void *malloc(size_t size)
{
    return arena_take(16, size);
}

void *calloc(size_t count, size_t size)
{
    return arena_take(16, count * size);
}

void *realloc(void *block, size_t size)
{
    return arena_resize(block, size);
}

void free(void *block)
{
    arena_give_back(block);
}
#endif

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(void)
{
    char *text = NULL;
    size_t length = 0;
    FILE *stream = open_memstream(&text, &length);
    if (stream == NULL)
        return 1;
    for (int i = 0; i < 1000; i++)
        fprintf(stream, "%d ", i);
    fclose(stream);
    char *copy = strdup(text);
    free(text);
    int is_right = copy != NULL && strlen(copy) == length;
    free(copy);
    puts(is_right ? "a static program: well" : "not so: the text is whole");
    return is_right ? 0 : 1;
}
