/* Runs a program and writes down what it cost: the harness's own memory and time must not be in the figures.
 *
 *     bench-launch FIGURES SECONDS PRELOAD COMMAND [ARGUMENT...]
 *
 * PRELOAD is a library, or - for none. The kernel counts as a process's peak what its parent held at the fork: a parent of a
 * megabyte, as this is, stays below every program, and an interpreter does not. After the end FIGURES holds one line: user and system
 * time in microseconds, elapsed microseconds, peak KiB, minor and major faults, voluntary and involuntary switches, all with the
 * children that the program waited for. A program that runs longer than SECONDS is killed.
 *
 * The exit status is the program's; 128 + N when signal N ended it; 125: nothing was run, with a sentence.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { NOTHING_RUN = 125 };

static volatile pid_t program;

__attribute__((noreturn)) static void refuse(const char *what, const char *word)
{
    fprintf(stderr, "bench-launch: %s %s: %s\n", what, word, strerror(errno));
    exit(NOTHING_RUN);
}

static void kill_program(int number)
{
    (void)number;
    if (program > 0)
        kill(program, SIGKILL);
}

static long long now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static long long us_of(struct timeval time)
{
    return (long long)time.tv_sec * 1000000 + time.tv_usec;
}

static void execute(const char *preload, char **command)
{
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (strcmp(preload, "-") != 0 && setenv("LD_PRELOAD", preload, 1) != 0)
        refuse("cannot preload", preload);
    execvp(command[0], command);
    refuse("cannot run", command[0]);
}

int main(int argc, char **argv)
{
    unsigned seconds = argc > 4 ? (unsigned)strtoul(argv[2], NULL, 10) : 0;
    if (seconds == 0) {
        fputs("bench-launch: wanted is FIGURES SECONDS PRELOAD COMMAND [ARGUMENT...], with 1 second at least\n",
              stderr);
        return NOTHING_RUN;
    }
    FILE *figures = fopen(argv[1], "we");
    if (figures == NULL)
        refuse("cannot write", argv[1]);
    signal(SIGALRM, kill_program);
    signal(SIGTERM, kill_program);
    long long began = now_us();
    program = fork();
    if (program < 0)
        refuse("cannot fork for", argv[4]);
    if (program == 0)
        execute(argv[3], argv + 4);
    alarm(seconds);
    struct rusage used;
    int status;
    while (wait4(program, &status, 0, &used) < 0)
        if (errno != EINTR)
            refuse("cannot wait for", argv[4]);
    alarm(0);
    fprintf(figures, "%lld %lld %lld %ld %ld %ld %ld %ld\n", us_of(used.ru_utime), us_of(used.ru_stime),
            now_us() - began, used.ru_maxrss, used.ru_minflt, used.ru_majflt, used.ru_nvcsw, used.ru_nivcsw);
    if (fclose(figures) != 0)
        refuse("cannot write", argv[1]);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
