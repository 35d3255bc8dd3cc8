/* Waits for a child, but not for ever: a heap that deadlocks in a forked child must fail its test, not stop it. */
#ifndef TEST_SUPPORT_CHILD_H
#define TEST_SUPPORT_CHILD_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CHILD_WAIT_MS = 60000, CHILD_HUNG = -1 };

/* The wait status, or CHILD_HUNG after the child had to be killed. */
static inline int child_wait(pid_t child)
{
    int status = 0;
    int descriptor = (int)syscall(SYS_pidfd_open, child, 0);
    if (descriptor >= 0) {
        struct pollfd wait = {.fd = descriptor, .events = POLLIN, .revents = 0};
        int ready;
        do {
            ready = poll(&wait, 1, CHILD_WAIT_MS);
        } while (ready < 0 && errno == EINTR);
        close(descriptor);
        if (ready == 0) {
            kill(child, SIGKILL);
            waitpid(child, &status, __WALL);
            return CHILD_HUNG;
        }
    }
    while (waitpid(child, &status, __WALL) < 0) {
        if (errno != EINTR)
            return CHILD_HUNG;
    }
    return status;
}

#endif
