/* Signal handlers that allocate.
 *
 *     handlers between          on an alternate stack of the size that the system names, between two calls of the heap: all
 *                               sizes, resizing, other threads' blocks
 *     handlers within SIGNALS   wherever the signals of another thread find the heap's owner, in the middle of malloc too;
 *                               all blocks are small, so most of the time is the heap's
 *     handlers large SIGNALS    the same, and the handler takes blocks of all sizes
 *     handlers lock [taking]    inside a call that holds the lock of large blocks; taking: the handler takes one
 *     handlers report [taking]  inside a report, before its line; taking: the handler allocates there
 *
 * What handlers and main hold is filled and checked, so a block with two owners shows as "twice" on standard output.
 */
#define TEST_REAL_NAMES
#include "host/filter.h"
#include "support/expect.h"
#include "support/family.h"
#include "support/pattern.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>

enum { KEPT = 64, BETWEEN = 3000, TWICE = 34 };

struct kept {
    unsigned char *block;
    size_t size;
};

static struct kept of_main[KEPT], of_handler[KEPT];
static unsigned long calls_of_handler, wanted_signals;
static char *stack_start;
static size_t stack_size;

static void put(struct kept *kept, size_t size, uint64_t identity)
{
    unsigned char *block = kept->block;
    if (block != NULL && !pattern_holds(block, kept->size, identity + kept->size)) {
        expect_say("twice: a block of %zu bytes is not what its owner wrote\n", kept->size);
        _exit(TWICE);
    }
    free(block);
    block = malloc(size);
    if (block != NULL)
        pattern_fill(block, size, identity + size);
    *kept = (struct kept){block, size};
}

/* Sizes of all kinds, the small ones most often. */
static size_t size_of(unsigned long call)
{
    static const size_t sizes[] = {16, 48, 100, 240, 500, 1000, 3000, 9000, 40000, 300000, 1500000};
    return sizes[call * call % 53 % (sizeof sizes / sizeof sizes[0])] + call % 7;
}

static bool takes_small;

static void on_signal(int number)
{
    int saved = errno;
    char here;
    (void)number;
    if (stack_size > 0 && (size_t)(&here - stack_start) >= stack_size)
        expect_fail("the handler is not on its own stack");
    unsigned long call = __atomic_fetch_add(&calls_of_handler, 1, __ATOMIC_RELAXED);
    for (unsigned long i = 0; i < 3; i++)
        put(&of_handler[(call + i) % KEPT], takes_small ? size_of(call + i) % 200 + 1 : size_of(call + i), 1000000);
    errno = saved;
}

/* The stack ends at an inaccessible page, so a heap that needs more of it than there is shows. */
static void take_own_stack(void)
{
    long wanted = sysconf(_SC_SIGSTKSZ);
    size_t bytes = (size_t)(wanted > 0 ? wanted : SIGSTKSZ);
    bytes = (bytes + 4095) & ~(size_t)4095;
    char *memory = mmap(NULL, bytes + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT(memory != MAP_FAILED && mprotect(memory, 4096, PROT_NONE) == 0);
    stack_start = memory + 4096;
    stack_size = bytes;
    stack_t stack = {.ss_sp = stack_start, .ss_size = stack_size};
    EXPECT_EQ(sigaltstack(&stack, NULL), 0);
    expect_say("a stack of %zu bytes\n", stack_size);
}

static void *be_interrupted(void *unused)
{
    take_own_stack();
    for (unsigned long i = 0; i < BETWEEN; i++) {
        put(&of_main[i % KEPT], size_of(i), 0);
        raise(SIGUSR1);
        if (i % 50 == 0)
            malloc_trim(0);
    }
    return unused;
}

/* In a thread, so that the handler's first allocation may be its thread's first. */
static void test_between(void)
{
    pthread_t thread;
    EXPECT_EQ(pthread_create(&thread, NULL, be_interrupted, NULL), 0);
    pthread_join(thread, NULL);
    EXPECT_EQ(calls_of_handler, BETWEEN);
    be_interrupted(NULL);
    EXPECT_EQ(calls_of_handler, 2 * BETWEEN);
}

static void *send_signals(void *target)
{
    while (__atomic_load_n(&calls_of_handler, __ATOMIC_RELAXED) < wanted_signals)
        pthread_kill(*(pthread_t *)target, SIGUSR1);
    return NULL;
}

static void test_within(void)
{
    pthread_t self = pthread_self(), sender;
    EXPECT_EQ(pthread_create(&sender, NULL, send_signals, &self), 0);
    unsigned long i;
    for (i = 0; __atomic_load_n(&calls_of_handler, __ATOMIC_RELAXED) < wanted_signals; i++)
        put(&of_main[i % KEPT], takes_small ? size_of(i) % 200 + 1 : size_of(i), 0);
    pthread_join(sender, NULL);
    expect_say("%lu signals, %lu blocks of main\n", calls_of_handler, i);
    expect_reached();
}

static bool takes;

/* The first call is the one to come in at; it is refused, as are those that come on top of it. */
static void on_call(int number, siginfo_t *info, void *context)
{
    (void)number, (void)info;
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_RAX] = -EACCES;
    if (!takes)
        return;
    takes = false;
    expect_say("taken: %d\n", malloc(3000000) != NULL);
}

static void be_called_at(const char *filter)
{
    struct sigaction action = {.sa_sigaction = on_call, .sa_flags = SA_SIGINFO | SA_NODEFER};
    sigaction(SIGSYS, &action, NULL);
    free(malloc(3000000));
    EXPECT(filter_install(filter));
}

static void test_report(void)
{
    static char no_block[64];
    be_called_at("fstat_traps");
    free(family_launder(no_block + 16));
    expect_fail("the report did not come");
}

static void test_lock(void)
{
    be_called_at("mprotect_traps");
    expect_say("refused: %d\n", malloc(40000000) == NULL); /* far more than lies spare: it has to be opened */
}

int main(int argc, char **argv)
{
    bool is_between = argc == 2 && strcmp(argv[1], "between") == 0;
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART | (is_between ? SA_ONSTACK : 0)};

    sigaction(SIGUSR1, &action, NULL);
    if (is_between) {
        test_between();
    } else if (argc > 1 && (strcmp(argv[1], "report") == 0 || strcmp(argv[1], "lock") == 0)) {
        takes = argc > 2 && strcmp(argv[2], "taking") == 0;
        (argv[1][0] == 'r' ? test_report : test_lock)();
    } else if (argc == 3 && (strcmp(argv[1], "within") == 0 || strcmp(argv[1], "large") == 0)) {
        takes_small = argv[1][0] == 'w';
        wanted_signals = strtoul(argv[2], NULL, 10);
        test_within();
    } else {
        return 2;
    }
    return expect_done();
}
