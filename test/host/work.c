/* A program that makes the heap do all that it does, under a filter if one is named.
 *
 *     work [--before FILTER] [--after FILTER] PART...
 *
 * --before: the filter is there when the program starts (it executes itself under it). --after: it is put on when main
 * begins, after nothing but constructors and, for the parts crew and spin, the making of threads. In place of a filter,
 * `mlockall` locks all memory, also that to come. Parts, in the order given:
 *
 *     alone   every kind of block and of resizing, whole pages emptied, trim, chunks that move to another class
 *     crew    four threads, made before the filter; each frees what another allocated; their heaps begin and end under the
 *             filter, and their last blocks are freed by the first thread
 *     late    the same with threads that are made under the filter
 *     spin    three threads at the same locks, made before the filter, that wait for each other without a system call
 *     fork    a child by fork checks what it inherits, resizes some and frees all
 *     raw     the same by a bare clone, which no handler of the C library sees
 *     vfork   a child of vfork frees such a pointer as die does; its parent lives on, with another thread in the heap; then
 *             the same in a child of fork
 *     die     a pointer is freed that is none of the heap's: nothing comes after
 *
 * Called by its ordinary names, so that the library is preloaded. Contents are checked throughout.
 */
#define TEST_REAL_NAMES
#include "host/filter.h"
#include "support/child.h"
#include "support/expect.h"
#include "support/family.h"
#include "support/pattern.h"
#include "support/sizes.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>

enum { HELD_MAX = 4096, CREW = 4, ROUNDS = 6, PARCELS = 150, LEFT = 40, PHASE_BYTES = 16 << 20 };

/* ---- blocks that are held, with their contents ---- */

struct held {
    unsigned char *block;
    size_t size;
};

struct shelf {
    struct held held[HELD_MAX];
    size_t count;
};

static void put(struct shelf *shelf, void *block, size_t size, const char *what)
{
    if (block == NULL || shelf->count == HELD_MAX) {
        expect_fail("%s of %zu bytes: no block, errno %d", what, size, errno);
        return;
    }
    pattern_fill(block, size, size);
    shelf->held[shelf->count++] = (struct held){block, size};
}

static void check(const struct held *held)
{
    if (!pattern_holds(held->block, held->size, held->size))
        expect_fail("a block of %zu bytes lost its contents", held->size);
}

static void give_back(struct shelf *shelf, size_t index)
{
    check(&shelf->held[index]);
    free(shelf->held[index].block);
    shelf->held[index] = shelf->held[--shelf->count];
}

static void give_all_back(struct shelf *shelf)
{
    while (shelf->count > 0)
        give_back(shelf, shelf->count - 1);
}

/* ---- parts ---- */

static struct shelf shelf;

static void take_every_size(void)
{
    for (size_t size = 1; size < 16384; size += size / 8 + 5) {
        put(&shelf, malloc(size), size, "malloc");
        put(&shelf, malloc(size), size, "malloc");
    }
    for (size_t size = 16384; size < 3000000; size += size / 3)
        put(&shelf, malloc(size), size, "malloc");
    put(&shelf, malloc(20000000), 20000000, "malloc");
    for (size_t size = 10; size < 3000000; size = size * 3 + 1) {
        unsigned char *block = calloc(3, size);
        if (block != NULL && !pattern_is_zero(block, 3 * size))
            expect_fail("calloc of %zu bytes is not zero", 3 * size);
        put(&shelf, block, 3 * size, "calloc");
    }
    for (size_t alignment = 16; alignment <= 4194304; alignment *= 4) {
        void *block = NULL;
        put(&shelf, aligned_alloc(alignment, alignment * 2), alignment * 2, "aligned_alloc");
        EXPECT_EQ(posix_memalign(&block, alignment, 100), 0);
        EXPECT_EQ((uintptr_t)block % alignment, 0);
        put(&shelf, block, 100, "posix_memalign");
    }
}

static void resize(struct held *held, size_t size)
{
    unsigned char *block = realloc(held->block, size);
    if (block == NULL) {
        expect_fail("realloc from %zu to %zu bytes: no block", held->size, size);
        return;
    }
    if (!pattern_prefix_holds(block, held->size, size, held->size))
        expect_fail("realloc from %zu to %zu bytes lost contents", held->size, size);
    *held = (struct held){block, size};
    pattern_fill(block, size, size);
    if (malloc_usable_size(block) < size)
        expect_fail("malloc_usable_size is less than %zu", size);
}

static void resize_all(void)
{
    static const size_t steps[] = {100, 5000, 15000, 60000, 1000000, 1100000, 3000000, 40000000, 900000, 3000, 50};
    for (size_t i = 0; i < shelf.count; i += 3) {
        if (shelf.held[i].size < 1000000)
            resize(&shelf.held[i], shelf.held[i].size * 2 + 1);
    }
    for (size_t i = 0; i < SIZES_COUNT(steps); i++)
        resize(&shelf.held[0], steps[i]);
}

/* Fills chunks with blocks of one size and empties them again, so that the next size takes them over. */
static void phase(size_t size)
{
    void *last = NULL;
    for (size_t bytes = 0; bytes < PHASE_BYTES; bytes += size) {
        void **block = malloc(size);
        if (block == NULL) {
            expect_fail("phase of %zu bytes: no block", size);
            break;
        }
        *block = last;
        last = block;
    }
    while (last != NULL) {
        void *next = *(void **)last;
        free(last);
        last = next;
    }
}

static void alone(void)
{
    take_every_size();
    resize_all();
    for (size_t i = 0; i < shelf.count; i += 2)
        give_back(&shelf, i);
    phase(400);
    phase(1200);
    phase(2600);
    malloc_trim(0);
    take_every_size();
    give_all_back(&shelf);
    EXPECT_EQ(malloc_trim(0), 1);
}

static pthread_t crew[CREW];
static pthread_barrier_t everybody;
static unsigned char *parcels[CREW][PARCELS];
static unsigned char *left_behind[CREW][LEFT];
/* What the last act of each thread counts up: nobody waits for it by a call. */
static unsigned ended;

static size_t parcel_size(size_t worker, size_t i)
{
    return (worker + 1) * 37 + i * 191 % 40000;
}

static void send_parcels(size_t worker)
{
    for (size_t i = 0; i < PARCELS; i++) {
        unsigned char *block = malloc(parcel_size(worker, i));
        if (block != NULL)
            pattern_fill(block, parcel_size(worker, i), worker * 1000 + i);
        else
            expect_fail("a thread got no block");
        parcels[worker][i] = block;
    }
}

static void receive_parcels(size_t worker)
{
    for (size_t i = 0; i < PARCELS; i++) {
        if (!pattern_holds(parcels[worker][i], parcel_size(worker, i), worker * 1000 + i))
            expect_fail("a block of another thread lost its contents");
        free(parcels[worker][i]);
    }
}

static void *work_in_crew(void *argument)
{
    size_t worker = (size_t)(uintptr_t)argument;
    pthread_barrier_wait(&everybody); /* all are there: the filter may come */
    pthread_barrier_wait(&everybody);
    for (unsigned round = 0; round < ROUNDS; round++) {
        send_parcels(worker);
        pthread_barrier_wait(&everybody);
        receive_parcels((worker + round) % CREW);
        free(malloc(2000000)); /* all at the same lock */
        pthread_barrier_wait(&everybody);
    }
    for (size_t i = 0; i < LEFT; i++)
        left_behind[worker][i] = malloc(i * 900 + 1);
    __atomic_add_fetch(&ended, 1, __ATOMIC_RELEASE);
    return NULL;
}

static void hire_crew(void)
{
    ended = 0;
    pthread_barrier_init(&everybody, NULL, CREW + 1);
    for (size_t i = 0; i < CREW; i++)
        if (!EXPECT_EQ(pthread_create(&crew[i], NULL, work_in_crew, (void *)(uintptr_t)i), 0))
            _exit(3); /* the others would wait for it for ever */
    pthread_barrier_wait(&everybody);
}

static void lead_crew(void)
{
    for (unsigned i = 0; i < 2 * ROUNDS + 1; i++)
        pthread_barrier_wait(&everybody);
    for (size_t i = 0; i < CREW; i++)
        pthread_join(crew[i], NULL);
    EXPECT_EQ(__atomic_load_n(&ended, __ATOMIC_ACQUIRE), CREW);
    for (size_t worker = 0; worker < CREW; worker++)
        for (size_t i = 0; i < LEFT; i++)
            free(left_behind[worker][i]);
}

static bool may_spin;
static unsigned spun;

static void *spin(void *argument)
{
    while (!__atomic_load_n(&may_spin, __ATOMIC_ACQUIRE))
        sched_yield();
    for (unsigned i = 0; i < 300; i++) {
        void *kept[8];
        for (size_t size = 0; size < SIZES_COUNT(kept); size++)
            kept[size] = malloc(size * size * size * 9000);
        for (size_t size = 0; size < SIZES_COUNT(kept); size++)
            free(kept[size]);
    }
    __atomic_add_fetch(&spun, 1, __ATOMIC_RELEASE);
    for (;;)
        pause();
    return argument;
}

static void start_spinning(void)
{
    pthread_t thread;
    for (unsigned i = 0; i < 3; i++)
        EXPECT_EQ(pthread_create(&thread, NULL, spin, NULL), 0);
}

static void await_spinning(void)
{
    __atomic_store_n(&may_spin, true, __ATOMIC_RELEASE);
    while (__atomic_load_n(&spun, __ATOMIC_ACQUIRE) < 3)
        sched_yield();
    expect_reached();
}

static void have_child(bool is_raw)
{
    take_every_size();
    pid_t child = is_raw ? (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) : fork();
    if (child == 0) {
        unsigned long before = expect_failures();
        for (size_t i = 0; i < shelf.count; i += 3)
            give_back(&shelf, i);
        resize_all();
        give_all_back(&shelf);
        EXPECT_EQ(malloc_trim(0), 1);
        filter_process_ends();
        if (is_raw)
            syscall(SYS_exit_group, expect_failures() != before);
        exit(expect_failures() != before);
    }
    int status = CHILD_HUNG;
    while (child > 0 && wait4(child, &status, 0, NULL) < 0 && errno == EINTR)
        continue;
    EXPECT_EQ(status, 0);
    give_all_back(&shelf);
}

static char no_block[64];
static unsigned churned;
static bool is_churned_enough;

static void *churn(void *unused)
{
    while (!__atomic_load_n(&is_churned_enough, __ATOMIC_RELAXED)) {
        free(malloc(3000000));
        __atomic_add_fetch(&churned, 1, __ATOMIC_RELAXED);
    }
    return unused;
}

static void await_churn(void)
{
    unsigned wanted = __atomic_load_n(&churned, __ATOMIC_RELAXED) + 10;
    while ((int)(__atomic_load_n(&churned, __ATOMIC_RELAXED) - wanted) < 0)
        sched_yield();
}

static void lose_vfork_child(void)
{
    pthread_t thread;
    int status = 0;

    is_churned_enough = false;
    EXPECT_EQ(pthread_create(&thread, NULL, churn, NULL), 0);
    await_churn();
    pid_t child = vfork();
    if (child == 0) {
        free(family_launder(no_block + 16));
        _exit(0);
    }
    EXPECT_EQ(waitpid(child, &status, 0), child);
    EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    await_churn();
    free(malloc(3000000));
    __atomic_store_n(&is_churned_enough, true, __ATOMIC_RELAXED);
    pthread_join(thread, NULL);
}

static void lose_vfork_children(void)
{
    lose_vfork_child();
    pid_t child = fork();
    if (child == 0) {
        unsigned long before = expect_failures();
        lose_vfork_child();
        _exit(expect_failures() != before);
    }
    EXPECT_EQ(child_wait(child), 0);
}

static void work_late(void)
{
    hire_crew();
    lead_crew();
}

static void have_forked_child(void)
{
    have_child(false);
}

static void have_raw_child(void)
{
    have_child(true);
}

static void die(void)
{
    free(family_launder(no_block + 16));
}

static const struct part {
    const char *name;
    void (*before_filter)(void);
    void (*work)(void);
} parts[] = {
    {"alone", NULL, alone},
    {"crew", hire_crew, lead_crew},
    {"late", NULL, work_late},
    {"spin", start_spinning, await_spinning},
    {"fork", NULL, have_forked_child},
    {"raw", NULL, have_raw_child},
    {"vfork", NULL, lose_vfork_children},
    {"die", NULL, die},
};

static const struct part *find_part(const char *name)
{
    for (size_t i = 0; i < SIZES_COUNT(parts); i++)
        if (strcmp(parts[i].name, name) == 0)
            return &parts[i];
    expect_say("there is no part %s\n", name);
    _exit(2);
}

int main(int argc, char **argv)
{
    if (argc > 2 && strcmp(argv[1], "--before") == 0) {
        if (!filter_install(argv[2]))
            return 2;
        argv[2] = argv[0];
        execv("/proc/self/exe", argv + 2);
        expect_say("cannot execute myself, errno %d\n", errno);
        return 2;
    }
    const char *after = NULL;
    int first = 1;
    if (argc > 2 && strcmp(argv[1], "--after") == 0) {
        after = argv[2];
        first = 3;
    }
    for (int i = first; i < argc; i++)
        if (find_part(argv[i])->before_filter != NULL)
            find_part(argv[i])->before_filter();
    filter_watch();
    if (after != NULL && strcmp(after, "mlockall") == 0) {
        if (mlockall(MCL_CURRENT | MCL_FUTURE) != 0) {
            expect_say("mlockall: errno %d\n", errno);
            return 2;
        }
    } else if (after != NULL && !filter_install(after)) {
        return 2;
    }
    for (int i = first; i < argc; i++)
        find_part(argv[i])->work();
    filter_process_ends();
    return expect_done();
}
