/* A program that shows a moat_state of its own: the bytes of the file that is its argument. It says "ready" and ends with
 * its standard input. */
#include <stdio.h>
#include <unistd.h>

enum { STATE_BYTES = 128 << 10 };

extern char moat_state[STATE_BYTES];
char moat_state[STATE_BYTES] __attribute__((aligned(64), visibility("default")));

int main(int count, char **arguments)
{
    char byte;
    FILE *file = count == 2 ? fopen(arguments[1], "rb") : NULL;
    if (!file)
        return 1;
    size_t got = fread(moat_state, 1, sizeof moat_state, file);
    fclose(file);
    if (got == 0)
        return 1;
    printf("ready\n");
    fflush(stdout);
    while (read(STDIN_FILENO, &byte, 1) == 1)
        continue;
    return 0;
}
