/* Runs one workload.
 *
 *     bench-workloads NAME [SCALE]    SCALE: a decimal number; 1 (the default) takes some tenths of a second
 *     bench-workloads --list          names and groups
 *     bench-workloads --heap          the file whose malloc this program calls
 *
 * Prints rows of the workload's own, then `operations: N`, `checksum: HEX` and `resident: BYTES`. The same scale gives the same
 * operations and the same checksum on every heap.
 * Exit status 1: the heap gave a wrong answer, with a sentence; 2: bad command line.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

static const struct workload *const tables[] = {
    pair_workloads,  set_workloads,     thread_workloads,        phase_workloads,   growth_workloads, size_workloads,
    graph_workloads, process_workloads, fragmentation_workloads, latency_workloads, memory_workloads,
};
enum { TABLES = sizeof tables / sizeof tables[0] };

void bench_die(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("bench-workloads: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

uint64_t bench_times(double count, double scale, uint64_t least)
{
    double times = count * scale;
    return times > (double)least ? (uint64_t)times : least;
}

void *bench_demand(void *block, size_t size, const char *what)
{
    if (block == NULL)
        bench_die("%s of %zu bytes answers NULL (%s)", what, size, strerror(errno));
    return block;
}

void *bench_take(size_t size)
{
    return bench_demand(malloc(size), size, "malloc");
}

uint64_t stamp_give(void *block)
{
    uint64_t value = stamp_check(block);
    free(block);
    return value;
}

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec now;
    if (clock_gettime(clock, &now) != 0)
        bench_die("clock %d cannot be read: %s", (int)clock, strerror(errno));
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t bench_thread_ns(void)
{
    return clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

uint64_t bench_wall_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

/* The number behind a word in a file of /proc, in KiB; those files are short, and stdio's buffer is a block of its own. */
static size_t proc_bytes(const char *path, const char *word)
{
    static char text[8192];
    FILE *file = fopen(path, "r");
    if (file == NULL)
        bench_die("%s cannot be opened: %s", path, strerror(errno));
    size_t length = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[length] = 0;
    const char *found = strstr(text, word);
    if (found == NULL)
        bench_die("%s has no %s", path, word);
    return (size_t)strtoul(found + strlen(word), NULL, 10) * 1024;
}

size_t bench_resident_bytes(void)
{
    return proc_bytes("/proc/self/status", "VmRSS:");
}

size_t bench_available_bytes(void)
{
    return proc_bytes("/proc/meminfo", "MemAvailable:");
}

static int bad_command_line(const char *what, const char *word)
{
    fprintf(stderr, "bench-workloads: %s '%s'; wanted is NAME [SCALE], --list or --heap\n", what, word);
    return 2;
}

static void list(void)
{
    for (size_t i = 0; i < TABLES; i++)
        for (const struct workload *workload = tables[i]; workload->name != NULL; workload++)
            printf("%s %s\n", workload->name, workload->group);
}

static void print_heap(void)
{
    Dl_info info;
    if (dladdr((void *)(uintptr_t)malloc, &info) == 0)
        bench_die("the loader does not know the malloc of this program");
    puts(info.dli_fname);
}

static const struct workload *find(const char *name)
{
    for (size_t i = 0; i < TABLES; i++)
        for (const struct workload *workload = tables[i]; workload->name != NULL; workload++)
            if (strcmp(workload->name, name) == 0)
                return workload;
    return NULL;
}

int main(int argc, char **argv)
{
    if (argc < 2 || argc > 3)
        return bad_command_line("wrong number of words behind", argv[0]);
    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        list();
        return 0;
    }
    if (argc == 2 && strcmp(argv[1], "--heap") == 0) {
        print_heap();
        return 0;
    }
    const struct workload *workload = find(argv[1]);
    if (workload == NULL)
        return bad_command_line("there is no workload", argv[1]);
    char *end = NULL;
    double scale = argc == 3 ? strtod(argv[2], &end) : 1;
    if (argc == 3 && (end == argv[2] || *end != 0 || !(scale > 0) || scale > 1e6))
        return bad_command_line("the scale is no number above 0 and up to a million:", argv[2]);
    struct outcome outcome = workload->run(workload, scale);
    printf("operations: %lu\nchecksum: %016lx\nresident: %zu\n", (unsigned long)outcome.operations,
           (unsigned long)outcome.checksum, bench_resident_bytes());
    return fflush(stdout) == 0 ? 0 : 1;
}
