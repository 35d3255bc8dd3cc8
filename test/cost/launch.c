/* launch LIBRARY PROGRAM ARGUMENT...: runs the program three times with the library preloaded and prints the least number
 * of its minor page faults. Its output goes to /dev/null. Huge pages are off, since a huge page is one fault for 512.
 *
 * A child of a small program, without a copy of its parent's memory: what an interpreter faults between fork and exec would
 * be counted too. The least of three, since the addresses that the kernel draws move some faults from run to run.
 */
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

extern char **environ;

enum { RUNS = 3 };

static long run(char **command)
{
    posix_spawn_file_actions_t files;
    struct rusage usage;
    pid_t child;
    int status;

    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
    if (posix_spawnp(&child, command[0], &files, NULL, command, environ) != 0 ||
        wait4(child, &status, 0, &usage) != child) {
        fprintf(stderr, "launch: %s could not be run\n", command[0]);
        exit(1);
    }
    posix_spawn_file_actions_destroy(&files);
    if (status != 0) {
        fprintf(stderr, "launch: %s ended with status %#x\n", command[0], (unsigned)status);
        exit(1);
    }
    return usage.ru_minflt;
}

int main(int argc, char **argv)
{
    long least = 0;

    if (argc < 3) {
        fprintf(stderr, "launch: needed are a library and a command\n");
        return 2;
    }
    prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
    setenv("LD_PRELOAD", argv[1], 1);
    for (int i = 0; i < RUNS; i++) {
        long faults = run(argv + 2);
        least = i == 0 || faults < least ? faults : least;
    }
    printf("%ld\n", least);
    return 0;
}
