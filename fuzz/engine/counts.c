/* See counts.h. */
#include "counts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct counts {
    uint64_t inputs;
    uint64_t operations;
    uint64_t reports;
};

static struct counts *counts;

static _Noreturn void give_up(const char *path)
{
    fprintf(stderr, "fuzz: the counts cannot be kept in %s: %s\n", path, strerror(errno));
    exit(2);
}

/* Before main: children of any kind then share one mapping. */
__attribute__((constructor)) static void open_counts(void)
{
    const char *path = getenv("FUZZ_COUNTS");
    int file = -1, flags = MAP_SHARED | (path == NULL ? MAP_ANONYMOUS : 0);
    if (path != NULL) {
        file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
        if (file < 0 || ftruncate(file, sizeof(*counts)) != 0)
            give_up(path);
    }
    counts = mmap(NULL, sizeof(*counts), PROT_READ | PROT_WRITE, flags, file, 0);
    if (counts == MAP_FAILED)
        give_up(path == NULL ? "memory" : path);
    if (file >= 0)
        close(file);
}

void counts_add_input(void)
{
    __atomic_add_fetch(&counts->inputs, 1, __ATOMIC_RELAXED);
}

void counts_add_operations(uint64_t number)
{
    __atomic_add_fetch(&counts->operations, number, __ATOMIC_RELAXED);
}

void counts_add_report(void)
{
    __atomic_add_fetch(&counts->reports, 1, __ATOMIC_RELAXED);
}

uint64_t counts_inputs(void)
{
    return __atomic_load_n(&counts->inputs, __ATOMIC_RELAXED);
}

uint64_t counts_operations(void)
{
    return __atomic_load_n(&counts->operations, __ATOMIC_RELAXED);
}

uint64_t counts_reports(void)
{
    return __atomic_load_n(&counts->reports, __ATOMIC_RELAXED);
}
