/* The heap before main and after it: .preinit_array (before any constructor, also before the heap's), constructors of
 * all priorities, atexit handlers, destructors, .fini_array, and threads that still run while the process ends.
 *
 * Run with the library preloaded. The program starts itself once more as the subject and compares what it says, line by
 * line. */
#include "support/death.h"
#include "support/expect.h"
#include "support/pace.h"

#include "early_late.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 3000 };

static const char wanted[] = "preinit\n"
                             "library constructor\n"
                             "early constructor\n"
                             "constructor\n"
                             "main\n"
                             "atexit\n"
                             "destructor\n"
                             "late destructor\n"
                             "fini\n"
                             "library destructor\n";

static unsigned char *from_preinit, *from_constructor, *from_main;
static atomic_bool is_subject;

static unsigned char *fill(size_t size, int value)
{
    unsigned char *block = malloc(size);
    if (block == NULL)
        early_late_fail("fill");
    memset(block, value, size);
    return block;
}

static void check_and_free(unsigned char *block, size_t size, int value, const char *stage)
{
    for (size_t i = 0; i < size; i++) {
        if (block[i] != value)
            early_late_fail(stage);
    }
    free(block);
}

/* Enough to need new pages and to use recycled ones. */
static void use_heap(const char *stage)
{
    for (int i = 0; i < ROUNDS; i++) {
        size_t size = (size_t)(i * 31 % 2000) + 1;
        unsigned char *block = fill(size, i & 0xff);
        check_and_free(block, size, i & 0xff, stage);
    }
    check_and_free(fill(300000, 1), 300000, 1, stage);
    check_and_free(fill(3000000, 2), 3000000, 2, stage);
}

/* The arguments of .preinit_array functions are those of main. The environment is set, libc is ready, no constructor
 * has run. */
static void preinit(int argc, char **argv, char **environment)
{
    (void)environment;
    if (argc == 2 && strcmp(argv[1], "subject") == 0) {
        atomic_store(&is_subject, true);
        use_heap("preinit");
        from_preinit = fill(100, 11);
        early_late_say("preinit");
    }
}
__attribute__((section(".preinit_array"), used)) static void (*const preinit_entry)(int, char **, char **) = preinit;

__attribute__((constructor(101))) static void early_constructor(void)
{
    if (atomic_load(&is_subject)) {
        use_heap("early constructor");
        early_late_say("early constructor");
    }
}

__attribute__((constructor)) static void constructor(void)
{
    if (atomic_load(&is_subject)) {
        from_constructor = fill(5000, 22);
        use_heap("constructor");
        early_late_say("constructor");
    }
}

static void at_exit(void)
{
    check_and_free(from_main, 70000, 33, "atexit");
    use_heap("atexit");
    early_late_say("atexit");
}

__attribute__((destructor)) static void destructor(void)
{
    if (atomic_load(&is_subject)) {
        check_and_free(from_constructor, 5000, 22, "destructor");
        use_heap("destructor");
        early_late_say("destructor");
    }
}

__attribute__((destructor(101))) static void late_destructor(void)
{
    if (atomic_load(&is_subject)) {
        check_and_free(from_preinit, 100, 11, "late destructor");
        use_heap("late destructor");
        early_late_say("late destructor");
    }
}

static void fini(void)
{
    if (atomic_load(&is_subject)) {
        use_heap("fini");
        early_late_say("fini");
    }
}
/* .fini_array runs from its end: entries without a priority come behind those with one, so this one, first in the
 * file's order, comes last. */
__attribute__((section(".fini_array.00001"), used)) static void (*const fini_entry)(void) = fini;

/* Goes on while the process ends. */
static void *allocate_for_ever(void *unused)
{
    for (int i = 0;; i++) {
        unsigned char *volatile block = malloc((size_t)(i % 5000) + 1);
        block[0] = 1;
        free(block);
    }
    return unused;
}

static int subject(void)
{
    pthread_t thread;
    early_late_check_library();
    for (int i = 0; i < 2; i++) {
        if (pthread_create(&thread, NULL, allocate_for_ever, NULL) != 0)
            early_late_fail("main");
    }
    from_main = fill(70000, 33);
    atexit(at_exit);
    early_late_say("main");
    return 0;
}

static void run_subject(struct death *errors, struct death *outcome)
{
    int out[2], error[2];
    memset(errors, 0, sizeof *errors);
    if (pipe(out) != 0 || pipe(error) != 0)
        abort();
    pid_t child = fork();
    if (child == 0) {
        dup2(out[1], STDOUT_FILENO);
        dup2(error[1], STDERR_FILENO);
        for (int i = 0; i < 2; i++) {
            close(out[i]);
            close(error[i]);
        }
        execl("/proc/self/exe", "early_late", "subject", NULL);
        _exit(4);
    }
    close(out[1]);
    close(error[1]);
    death_collect(child, out[0], outcome);
    death_read(error[0], errors->text, sizeof errors->text, &errors->length);
    close(out[0]);
    close(error[0]);
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "subject") == 0)
        return subject();
    unsigned runs = pace(20, 4);
    for (unsigned i = 0; i < runs && expect_failures() == 0; i++) {
        struct death outcome, errors;
        run_subject(&errors, &outcome);
        EXPECT(death_is_exit(&outcome, 0));
        EXPECT_EQ(errors.length, 0);
        if (!EXPECT(strcmp(outcome.text, wanted) == 0))
            expect_say("it said:\n%s%s", outcome.text, errors.text);
    }
    return expect_done();
}
