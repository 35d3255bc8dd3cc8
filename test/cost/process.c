/* Processes whose cost is looked at from inside; each prints `name: number` lines.
 *
 *     process small            one block of each of 20 size classes: page faults and page tables
 *     process mappings MIB     so many MiB of 256-byte blocks, all written to: lines of /proc/self/maps
 *     process threads COUNT    threads with stacks of 64 KiB, all alive at once, each using 20 size classes
 *
 * Exit status 0, or 1 with a line if memory could not be had or did not keep its contents.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { CLASSES = 20, EACH = 10, STACK_BYTES = 64 * 1024, BLOCK = 256 };

static const size_t sizes[CLASSES] = {16,  32,  48,  64,  80,  96,  112, 128,  160,  192,
                                      224, 256, 320, 384, 448, 512, 768, 1024, 2048, 4096};

/* Without stdio, which allocates: the figures are those of the 20 blocks. */
static size_t read_file(const char *path, char *text, size_t bytes)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    size_t length = 0;
    ssize_t got;
    while (file >= 0 && length + 1 < bytes && (got = read(file, text + length, bytes - 1 - length)) > 0)
        length += (size_t)got;
    close(file);
    text[length] = '\0';
    return length;
}

static int run_small(void)
{
    static char status[8192];
    struct rusage usage;

    for (size_t i = 0; i < CLASSES; i++) {
        char *block = malloc(sizes[i]);
        if (!block)
            return 1;
        memset(block, 1, sizes[i]);
    }
    getrusage(RUSAGE_SELF, &usage);
    read_file("/proc/self/status", status, sizeof status);
    const char *tables = strstr(status, "VmPTE:");
    dprintf(1, "faults: %ld\npage tables: %ld\n", usage.ru_minflt, tables ? strtol(tables + 6, NULL, 10) : -1);
    return tables ? 0 : 1;
}

static int run_mappings(size_t mib)
{
    size_t count = (mib << 20) / BLOCK, lines = 0;
    static char text[1 << 16];

    for (size_t i = 0; i < count; i++) {
        char *block = malloc(BLOCK);
        if (!block) {
            dprintf(2, "process: no memory for block %zu\n", i);
            return 1;
        }
        block[0] = 1;
    }
    int maps = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    ssize_t got;
    while ((got = read(maps, text, sizeof text)) > 0)
        for (ssize_t i = 0; i < got; i++)
            lines += text[i] == '\n';
    dprintf(1, "mappings: %zu\n", lines);
    return 0;
}

static atomic_int failures;
static pthread_barrier_t all_have_blocks;

static void *use_classes(void *number)
{
    char *block[CLASSES][EACH];
    char mark = (char)(long)number;

    for (size_t i = 0; i < CLASSES; i++) {
        for (size_t j = 0; j < EACH; j++) {
            block[i][j] = malloc(sizes[i]);
            if (block[i][j])
                memset(block[i][j], mark, sizes[i]);
            else
                failures++;
        }
    }
    pthread_barrier_wait(&all_have_blocks);
    for (size_t i = 0; i < CLASSES; i++) {
        for (size_t j = 0; j < EACH; j++) {
            for (size_t at = 0; block[i][j] && at < sizes[i]; at++)
                failures += block[i][j][at] != mark;
            free(block[i][j]);
        }
    }
    return NULL;
}

static int run_threads(size_t count)
{
    pthread_t thread[256];
    pthread_attr_t attributes;

    if (count == 0 || count > 256)
        return 2;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    pthread_barrier_init(&all_have_blocks, NULL, (unsigned)count);
    for (size_t i = 0; i < count; i++) {
        if (pthread_create(&thread[i], &attributes, use_classes, (void *)(i + 1)) != 0) {
            dprintf(2, "process: thread %zu could not be made\n", i);
            return 1;
        }
    }
    for (size_t i = 0; i < count; i++)
        pthread_join(thread[i], NULL);
    dprintf(1, "failures: %d\n", failures);
    return failures == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    size_t number = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;

    if (argc == 2 && strcmp(argv[1], "small") == 0)
        return run_small();
    if (argc == 3 && strcmp(argv[1], "mappings") == 0)
        return run_mappings(number);
    if (argc == 3 && strcmp(argv[1], "threads") == 0)
        return run_threads(number);
    dprintf(2, "process: needed is small, mappings MIB or threads COUNT\n");
    return 2;
}
