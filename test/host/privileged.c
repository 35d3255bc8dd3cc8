/* A program that is linked with the library, and prints whether the kernel calls it privileged (AT_SECURE). Then it frees a
 * pointer that is none of the heap's. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/auxv.h>

const char *moat_version(void);

static char no_block[64];

int main(void)
{
    char *volatile block = no_block + 16;
    printf("%s\nprivileged: %lu\n", moat_version(), getauxval(AT_SECURE));
    fflush(stdout);
    free(malloc(100));
    free(block);
    puts("survived");
    return 0;
}
