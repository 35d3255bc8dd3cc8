/* A program that commits a violation, with its descriptors and signal handlers in some disorder.
 *
 *     dying now                  at once
 *     dying thread               while another thread is in the heap all the time
 *     dying closed FILE          descriptor 2 was closed when the program started; FILE, written before, is opened as 2
 *     dying replaced FILE        descriptor 2 is closed and FILE opened in its place, as a database might be
 *     dying piped                descriptor 2 becomes what descriptor 1 is
 *     dying jumping SIGNAL       a handler of SIGNAL jumps back to main, which then goes on with its work
 *     dying pending SIGNAL       the same, and one such signal is waiting, blocked
 *     dying leaking FILE         as replaced, but the violation is one that the program survives (foreign=leak)
 *
 * "here" on standard output comes right before the violation. "escaped" must never come.
 */
#define TEST_REAL_NAMES
#include "support/expect.h"
#include "support/family.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/prctl.h>

static char no_block[64];
static sigjmp_buf back;

static void violate(void)
{
    expect_say("here\n");
    free(family_launder(no_block + 16));
}

static void *churn(void *unused)
{
    for (;;)
        free(malloc(3000000));
    return unused;
}

/* Opens the file, which must get descriptor 2. */
static void open_as_stderr(const char *path)
{
    if (open(path, O_RDWR) != STDERR_FILENO) {
        expect_say("descriptor 2 was not free\n");
        _exit(2);
    }
}

static void on_signal(int number)
{
    (void)number;
    siglongjmp(back, 1);
}

/* Each kind of work passes a slow path sooner or later. */
static void go_on(void)
{
    for (size_t size = 1; size < 5000000; size = size * 2 + 1)
        free(malloc(size));
    for (int i = 0; i < 1000; i++)
        if (malloc(500) == NULL)
            break;
}

static void jump(int number, bool is_pending)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigset_t only;
    sigemptyset(&only);
    sigaddset(&only, number);
    sigaction(number, &action, NULL);
    if (is_pending) {
        sigprocmask(SIG_BLOCK, &only, NULL);
        raise(number);
    }
    if (sigsetjmp(back, 1) == 0)
        violate();
    go_on();
    expect_say("escaped\n");
}

int main(int argc, char **argv)
{
    const char *how = argc > 1 ? argv[1] : "";
    const char *what = argc > 2 ? argv[2] : "";
    pthread_t thread;

    prctl(PR_SET_DUMPABLE, 1, 0, 0, 0); /* its parent looks on, and needs leave for that */
    free(malloc(100));
    if (strcmp(how, "thread") == 0 && pthread_create(&thread, NULL, churn, NULL) != 0)
        return 2;
    if (strcmp(how, "closed") == 0)
        open_as_stderr(what);
    if (strcmp(how, "replaced") == 0 || strcmp(how, "leaking") == 0) {
        close(STDERR_FILENO);
        open_as_stderr(what);
    }
    if (strcmp(how, "piped") == 0 && dup2(STDOUT_FILENO, STDERR_FILENO) < 0)
        return 2;
    if (strcmp(how, "jumping") == 0 || strcmp(how, "pending") == 0)
        jump(atoi(what), how[0] == 'p');
    else
        violate();
    if (strcmp(how, "leaking") == 0) {
        expect_say("survived\n");
        return 0;
    }
    expect_say("escaped\n");
    return 0;
}
