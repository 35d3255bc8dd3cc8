/* Runs something that should end its process, and tells how it ended.
 *
 * death_of() forks, sends the child's stderr into a pipe, and gives back every byte of it with the wait status. The
 * child that survives exits with DEATH_SURVIVED. Reading goes on until the pipe is closed, so a child of the child that
 * still writes is heard too.
 */
#ifndef TEST_SUPPORT_DEATH_H
#define TEST_SUPPORT_DEATH_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    DEATH_SURVIVED = 99, /* exit status of a child that came back from its misuse */
    DEATH_TEXT_MAX = 2048,
    DEATH_WAIT_MS = 60000 /* a child that is silent for so long hangs */
};

struct death {
    int status;                /* as waitpid gives it */
    bool hung;                 /* it had to be killed */
    size_t length;             /* of everything written, also of what did not fit */
    char text[DEATH_TEXT_MAX]; /* with a NUL at the end */
};

/* No core file, and no core helper of the system either: some thousand children die in a test. */
static inline void death_leave_no_core(void)
{
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

/* Reads `descriptor` to its end. False if nothing came for too long. */
static inline bool death_read(int descriptor, char *text, size_t size, size_t *length)
{
    char piece[512];
    *length = 0;
    for (;;) {
        struct pollfd wait = {.fd = descriptor, .events = POLLIN, .revents = 0};
        int ready = poll(&wait, 1, DEATH_WAIT_MS);
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready <= 0)
            return false;
        ssize_t bytes = read(descriptor, piece, sizeof piece);
        if (bytes < 0 && errno == EINTR)
            continue;
        if (bytes <= 0)
            return true;
        for (ssize_t i = 0; i < bytes; i++) {
            if (*length + 1 < size) {
                text[*length] = piece[i];
                text[*length + 1] = '\0';
            }
            *length += 1;
        }
    }
}

/* Waits for the child behind a pipe whose writing end is closed here. */
static inline void death_collect(pid_t child, int descriptor, struct death *death)
{
    memset(death, 0, sizeof *death);
    if (!death_read(descriptor, death->text, sizeof death->text, &death->length)) {
        death->hung = true;
        kill(child, SIGKILL);
    }
    while (waitpid(child, &death->status, 0) < 0 && errno == EINTR) {
    }
}

/* `make` is fork, or what makes a child without its handlers. */
static inline struct death death_of_child(pid_t (*make)(void), void (*misuse)(void *), void *argument)
{
    struct death death;
    int ends[2];
    if (pipe(ends) != 0)
        abort();
    pid_t child = make();
    if (child < 0)
        abort();
    if (child == 0) {
        death_leave_no_core();
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        misuse(argument);
        _exit(DEATH_SURVIVED);
    }
    close(ends[1]);
    death_collect(child, ends[0], &death);
    close(ends[0]);
    return death;
}

static inline struct death death_of(void (*misuse)(void *), void *argument)
{
    return death_of_child(fork, misuse, argument);
}

static inline bool death_is_by(const struct death *death, int signal_number)
{
    return !death->hung && WIFSIGNALED(death->status) && WTERMSIG(death->status) == signal_number;
}

static inline bool death_is_exit(const struct death *death, int status)
{
    return !death->hung && WIFEXITED(death->status) && WEXITSTATUS(death->status) == status;
}

#endif
