/* Children of every kind while other threads allocate: fork, _Fork, raw clone, vfork. A child checks and frees
 * inherited blocks, allocates, forks again, and ends; its parent waits a bounded time and finds its own blocks
 * unharmed. */
#include "support/child.h"
#include "support/expect.h"
#include "support/family.h"
#include "support/pace.h"
#include "support/parcel.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

enum { THREADS = 3, SLOTS = 512, CHILD_BLOCKS = 400 };

/* Blocks of all threads; whoever exchanges one out owns it. A child gets a copy of them all. */
static _Atomic(struct parcel *) slots[SLOTS];
static atomic_bool stop;
static atomic_uint parked;
static atomic_bool park;
static uint64_t seed;

static void *allocate_on(void *argument)
{
    struct rng rng = rng_stream(seed, (uintptr_t)argument);
    while (!atomic_load(&stop)) {
        if (atomic_load(&park)) {
            atomic_fetch_add(&parked, 1);
            while (atomic_load(&park) && !atomic_load(&stop))
                sched_yield();
            atomic_fetch_sub(&parked, 1);
        }
        struct parcel *parcel = parcel_new(parcel_size(&rng) / 2, rng_next(&rng));
        EXPECT(parcel_end(atomic_exchange(&slots[rng_below(&rng, SLOTS)], parcel)));
    }
    return NULL;
}

/* Every child's exit status is how many of its expectations failed. */
static int child_status(unsigned long failures_before)
{
    unsigned long failures = expect_failures() - failures_before;
    return failures < 100 ? (int)failures : 100;
}

static void use_heap(struct rng *rng)
{
    struct parcel *mine[CHILD_BLOCKS];
    for (size_t i = 0; i < CHILD_BLOCKS; i++)
        mine[i] = parcel_new(parcel_size(rng) / 2, rng_next(rng));
    for (size_t i = 0; i < CHILD_BLOCKS; i++)
        EXPECT(parcel_end(mine[i * 7 % CHILD_BLOCKS]));
}

static void free_inherited(struct rng *rng)
{
    for (size_t i = 0; i < SLOTS; i++) {
        if (rng_below(rng, 3) == 0)
            EXPECT(parcel_end(atomic_exchange(&slots[i], NULL)));
    }
}

static void *use_heap_in_thread(void *rng)
{
    use_heap(rng);
    return NULL;
}

static void check_end(pid_t child, const char *kind)
{
    if (child < 0) {
        expect_fail("%s failed", kind);
        return;
    }
    int status = child_wait(child);
    if (status != 0)
        expect_fail("child of %s: %s, status 0x%x", kind, status == CHILD_HUNG ? "hung" : "ended badly",
                    (unsigned)status);
    else
        expect_reached();
}

/* What every child does; those of fork proper may also make threads and children of their own. */
static int child_work(struct rng rng, bool is_whole)
{
    unsigned long before = expect_failures();
    use_heap(&rng);
    free_inherited(&rng);
    use_heap(&rng);
    if (is_whole) {
        pthread_t thread;
        /* AddressSanitizer's own heap, which a new thread needs, may be locked for ever in a child. */
        bool may_have_threads = !pace_has_asan() && rng_below(&rng, 2) == 0;
        if (may_have_threads && EXPECT_EQ(pthread_create(&thread, NULL, use_heap_in_thread, &rng), 0))
            pthread_join(thread, NULL);
        if (rng_below(&rng, 4) == 0) {
            pid_t grandchild = fork();
            if (grandchild == 0) {
                use_heap(&rng);
                free_inherited(&rng);
                _exit(child_status(before));
            }
            check_end(grandchild, "fork in a child");
        }
        free_inherited(&rng);
    }
    return child_status(before);
}

static pid_t make_child(unsigned kind)
{
    switch (kind) {
    case 0:
        return fork();
    case 1:
        return _Fork();
    default:
        return (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    }
}

/* Without Moat the other threads stand still for _Fork and clone: glibc's own heap does not survive these otherwise. */
static void pause_others(bool on)
{
    atomic_store(&park, on);
    while (on && atomic_load(&parked) < THREADS)
        sched_yield();
}

static void test_children_while_others_allocate(unsigned count)
{
    static const char *const names[] = {"fork", "_Fork", "clone"};
    for (unsigned i = 0; i < count && expect_failures() == 0; i++) {
        unsigned kind = i % 3;
        bool must_pause = kind != 0 && !family_is_moat();
        struct rng rng = rng_stream(seed, 1000 + i);
        if (must_pause)
            pause_others(true);
        pid_t child = make_child(kind);
        if (child == 0)
            _exit(child_work(rng, kind == 0));
        if (must_pause)
            pause_others(false);
        use_heap(&rng);
        check_end(child, names[kind]);
    }
}

/* Many at once, none waited for until all run. */
static void test_fork_storm(unsigned count)
{
    enum { AT_ONCE = 8 };
    pid_t children[AT_ONCE];
    for (unsigned i = 0; i < count && expect_failures() == 0; i++) {
        for (unsigned j = 0; j < AT_ONCE; j++) {
            struct rng rng = rng_stream(seed, 100000 + i * AT_ONCE + j);
            children[j] = fork();
            if (children[j] == 0)
                _exit(child_work(rng, false));
        }
        for (unsigned j = 0; j < AT_ONCE; j++)
            check_end(children[j], "fork storm");
    }
}

/* The child of vfork runs on its parent's memory, so what it does to the heap stays; the parent sleeps meanwhile, its
 * other threads do not. */
static struct parcel *volatile from_child;

__attribute__((noinline)) static int vfork_work(unsigned number)
{
    unsigned long before = expect_failures();
    struct rng rng = rng_stream(seed, 200000 + number);
    use_heap(&rng);
    EXPECT(parcel_end(from_child));
    from_child = parcel_new(parcel_size(&rng), number);
    return child_status(before);
}

__attribute__((noinline)) static pid_t vfork_once(unsigned number)
{
    pid_t child = vfork();
    if (child == 0)
        _exit(vfork_work(number));
    return child;
}

static void test_vfork(unsigned count)
{
    struct rng rng = rng_stream(seed, 5);
    for (unsigned i = 0; i < count && expect_failures() == 0; i++) {
        check_end(vfork_once(i), "vfork");
        if (from_child != NULL)
            EXPECT(parcel_holds(from_child));
        use_heap(&rng);
    }
    EXPECT(parcel_end(from_child));
    from_child = NULL;
}

/* A thread that forks is the only thread of its child, and not the first one of the parent. */
static void *fork_from_thread(void *argument)
{
    test_children_while_others_allocate((unsigned)(uintptr_t)argument);
    return NULL;
}

int main(void)
{
    pthread_t threads[THREADS], forker;
    seed = rng_seed();
    if (pace_has_tsan()) {
        expect_say("skipped: the sanitizer needs its own fork handlers, which _Fork and clone leave out\n");
        expect_reached();
        return expect_done();
    }
    for (uintptr_t i = 0; i < THREADS; i++)
        EXPECT_EQ(pthread_create(&threads[i], NULL, allocate_on, (void *)(i + 1)), 0);
    test_children_while_others_allocate(pace(240, 45));
    test_fork_storm(pace(20, 4));
    test_vfork(pace(300, 50));
    EXPECT_EQ(pthread_create(&forker, NULL, fork_from_thread, (void *)(uintptr_t)pace(90, 15)), 0);
    pthread_join(forker, NULL);
    atomic_store(&stop, true);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (size_t i = 0; i < SLOTS; i++)
        EXPECT(parcel_end(atomic_load(&slots[i])));
    return expect_done();
}
