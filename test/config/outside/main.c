/* A program that uses Moat by its header and by the C library's names. */
#include <moat.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(void)
{
    char *block = malloc(100);
    char *copy = strdup("a block that libc asked for");
    if (block == NULL || copy == NULL)
        return 1;
    memset(block, 1, 100);
    block = realloc(block, 100000);
    printf("%s\n", moat_version());
    free(copy);
    free(block);
    return 0;
}
