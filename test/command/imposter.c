/* A program that shows a moat_state of its own: the bytes of the file that is its argument. With a second file and a number
 * it maps that file so often. It says "ready" and ends with its standard input. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { STATE_BYTES = 128 << 10 };

extern char moat_state[STATE_BYTES];
char moat_state[STATE_BYTES] __attribute__((aligned(64), visibility("default")));

static int map(const char *path, long times)
{
    int file = open(path, O_RDONLY);
    off_t bytes = file < 0 ? -1 : lseek(file, 0, SEEK_END);
    if (bytes <= 0)
        return 1;
    for (; times > 0; times--) {
        if (mmap(NULL, (size_t)bytes, PROT_READ, MAP_PRIVATE, file, 0) == MAP_FAILED)
            return 1;
    }
    return close(file);
}

int main(int count, char **arguments)
{
    char byte;
    FILE *file = count == 2 || count == 4 ? fopen(arguments[1], "rb") : NULL;
    if (!file)
        return 1;
    size_t got = fread(moat_state, 1, sizeof moat_state, file);
    fclose(file);
    if (got == 0 || (count == 4 && map(arguments[2], strtol(arguments[3], NULL, 10)) != 0))
        return 1;
    printf("ready\n");
    fflush(stdout);
    while (read(STDIN_FILENO, &byte, 1) == 1)
        continue;
    return 0;
}
