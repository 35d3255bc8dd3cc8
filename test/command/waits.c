/* A process to look into. It says "ready", then does what each byte of its standard input says, and answers with a line:
 *
 *     g   takes blocks of many pages, and keeps them
 *     f   forks a child, which takes one block and says "child PID"; the child waits like its parent, on the same input
 *     p   says what LD_PRELOAD and MOAT_OPTIONS are
 *
 * and ends with status 7 at the input's end.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BLOCKS = 2000, BLOCK_BYTES = 1000, END_STATUS = 7 };

static void *volatile kept[BLOCKS];

static int grow(void)
{
    for (int i = 0; i < BLOCKS; i++) {
        kept[i] = malloc(BLOCK_BYTES);
        if (!kept[i])
            return 1;
        memset(kept[i], i, BLOCK_BYTES);
    }
    printf("grown\n");
    return 0;
}

static int split(void)
{
    pid_t child = fork();
    if (child < 0)
        return 1;
    if (child == 0) {
        kept[0] = malloc(BLOCK_BYTES);
        printf("child %d\n", getpid());
    }
    return 0;
}

static const char *value_of(const char *name)
{
    const char *value = getenv(name);
    return value ? value : "none";
}

int main(void)
{
    char command;

    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("ready\n");
    while (read(STDIN_FILENO, &command, 1) == 1) {
        if (command == 'g' && grow() != 0)
            return 1;
        if (command == 'f' && split() != 0)
            return 1;
        if (command == 'p')
            printf("LD_PRELOAD=%s MOAT_OPTIONS=%s\n", value_of("LD_PRELOAD"), value_of("MOAT_OPTIONS"));
    }
    return END_STATUS;
}
