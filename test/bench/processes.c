/* Processes: what the heap costs a program that hardly uses it, and one that forks. An operation is a process. */
#include <errno.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

enum { CLASSES = 48, BLOCKS_PER_CLASS = 40 };

extern char **environ;

static void wait_for(pid_t pid, const char *what)
{
    int status;
    if (waitpid(pid, &status, 0) != pid)
        bench_die("waiting for %s: %s", what, strerror(errno));
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        bench_die("%s ended with status %#x", what, (unsigned)status);
}

/* /bin/true, again and again, with the preload that this program has: shell scripts and build systems are made of such
 * processes. */
static struct outcome run_spawn(const struct workload *self, double scale)
{
    struct outcome outcome = {bench_times((double)self->count, scale, 1), 0};
    char name[] = "true";
    char *words[] = {name, NULL};
    for (uint64_t i = 0; i < outcome.operations; i++) {
        pid_t pid;
        int error = posix_spawn(&pid, "/bin/true", NULL, NULL, words, environ);
        if (error != 0)
            bench_die("/bin/true cannot be started: %s", strerror(error));
        wait_for(pid, "/bin/true");
    }
    return outcome;
}

/* 48 sizes from 16 bytes to 56 KiB, four to each power of two. */
static size_t class_size(size_t number)
{
    return (4 + number % 4) << (2 + number / 4);
}

/* A process with 48 size classes in use forks; each child gives back and takes blocks of all of them, and ends: servers that
 * fork for each connection, snapshots, Python's multiprocessing. */
static struct outcome run_fork(const struct workload *self, double scale)
{
    static void *blocks[CLASSES][BLOCKS_PER_CLASS];
    struct outcome outcome = {bench_times((double)self->count, scale, 1), 0};
    for (size_t i = 0; i < CLASSES; i++)
        for (size_t j = 0; j < BLOCKS_PER_CLASS; j++)
            blocks[i][j] = stamp_take(class_size(i), i * BLOCKS_PER_CLASS + j);
    for (uint64_t i = 0; i < outcome.operations; i++) {
        pid_t pid = fork();
        if (pid < 0)
            bench_die("fork: %s", strerror(errno));
        if (pid == 0) {
            for (size_t j = 0; j < CLASSES; j++) {
                void **slot = &blocks[j][i % BLOCKS_PER_CLASS];
                stamp_give(*slot);
                *slot = stamp_take(class_size(j), i);
            }
            _exit(0);
        }
        wait_for(pid, "a forked child");
    }
    for (size_t i = 0; i < CLASSES; i++)
        for (size_t j = 0; j < BLOCKS_PER_CLASS; j++)
            outcome.checksum = outcome.checksum * 3 + stamp_give(blocks[i][j]);
    return outcome;
}

const struct workload process_workloads[] = {
    {"spawn", "single", run_spawn, 0, 400},
    {"fork", "single", run_fork, 0, 1000},
    {NULL, NULL, NULL, 0, 0},
};
