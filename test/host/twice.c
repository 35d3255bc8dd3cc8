/* Frees a block twice, by ordinary names. */
#include <stdio.h>
#include <stdlib.h>

int main(void)
{
    char *volatile block = malloc(100);
    free(block);
    puts("freed");
    fflush(stdout);
    free(block);
    puts("survived");
    return 0;
}
