/* See fresh.h. */
#include "fresh.h"

#include "counts.h"
#include "door.h"
#include "helpers.h"
#include "trap.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { OS_PAGE = 4096, LOOK_NS = 20000 };

/* The linker sets these at both ends of a section with such a name. */
typedef void start_function(void);
extern unsigned char __start_moat_state_data[], __stop_moat_state_data[];
extern unsigned char __start_moat_state_zero[], __stop_moat_state_zero[];
extern start_function *__start_moat_state_start[], *__stop_moat_state_start[];

/* What the heap asks for in place of the C library's. */
int fuzz_clock(clockid_t clock, struct timespec *now);
int fuzz_key_create(pthread_key_t *key, void (*end)(void *));
int fuzz_atfork(void (*before)(void), void (*parent)(void), void (*child)(void));

static unsigned char *first_data; /* as it was before the heap ever ran */
static uint64_t time_ns;
static bool keeps_heap, has_heap;

static _Noreturn void give_up(const char *what)
{
    fprintf(stderr, "fuzz: %s\n", what);
    abort();
}

int fuzz_clock(clockid_t clock, struct timespec *now)
{
    (void)clock;
    uint64_t ns = __atomic_add_fetch(&time_ns, LOOK_NS, __ATOMIC_RELAXED);
    *now = (struct timespec){.tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000)};
    return 0;
}

void fresh_pass_ms(unsigned milliseconds)
{
    __atomic_add_fetch(&time_ns, (uint64_t)milliseconds * 1000000, __ATOMIC_RELAXED);
}

/* ---- the end of a thread ---- */

static pthread_key_t real_key;
static pthread_once_t real_key_once = PTHREAD_ONCE_INIT;
static void (*end_of_thread)(void *);

/* A thread that a dead heap leaves behind has nothing to give back. */
static void end_unless_dead(void *value)
{
    if (!trap_has_died())
        trap_run(end_of_thread, value);
}

static void make_real_key(void)
{
    if (pthread_key_create(&real_key, end_unless_dead) != 0)
        give_up("there is no thread key");
}

int fuzz_key_create(pthread_key_t *key, void (*end)(void *))
{
    pthread_once(&real_key_once, make_real_key);
    end_of_thread = end;
    *key = real_key;
    return 0;
}

/* ---- fork ---- */

static void (*before_fork)(void), (*in_child)(void);

/* Kept here, since each start of the heap asks for it again, and nobody forks but fresh_fork. */
int fuzz_atfork(void (*before)(void), void (*parent)(void), void (*child)(void))
{
    (void)parent; /* none is wanted */
    before_fork = before;
    in_child = child;
    return 0;
}

pid_t fresh_fork(bool runs_handlers)
{
    if (runs_handlers && before_fork != NULL)
        before_fork();
    pid_t child = _Fork();
    if (child == 0 && runs_handlers && in_child != NULL)
        in_child();
    return child;
}

/* ---- the heap's own data ---- */

/* By hand, since AddressSanitizer lays zones round the variables that memcpy may not touch. */
__attribute__((no_sanitize("address"))) static void copy(unsigned char *to, const unsigned char *from, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        to[i] = from[i];
}

__attribute__((no_sanitize("address"))) static void clear(unsigned char *at, size_t bytes)
{
    volatile uint64_t *word = (volatile uint64_t *)(void *)at;
    size_t words = bytes / sizeof(*word);
    for (size_t i = 0; i < words; i++)
        word[i] = 0;
    for (size_t i = words * sizeof(*word); i < bytes; i++)
        ((volatile unsigned char *)at)[i] = 0;
}

/* The heap keeps a page of it read-only. */
static void open_zero_data(void)
{
    uintptr_t start = (uintptr_t)__start_moat_state_zero & ~(uintptr_t)(OS_PAGE - 1);
    uintptr_t end = ((uintptr_t)__stop_moat_state_zero + OS_PAGE - 1) & ~(uintptr_t)(OS_PAGE - 1);
    if (mprotect((void *)start, end - start, PROT_READ | PROT_WRITE) != 0)
        give_up("the heap's data cannot be opened");
}

static void put_data_back(void)
{
    size_t bytes = (size_t)(__stop_moat_state_data - __start_moat_state_data);
    if (first_data == NULL) {
        first_data = malloc(bytes);
        if (first_data == NULL)
            give_up("no memory");
        copy(first_data, __start_moat_state_data, bytes);
    }
    copy(__start_moat_state_data, first_data, bytes);
    open_zero_data();
    clear(__start_moat_state_zero, (size_t)(__stop_moat_state_zero - __start_moat_state_zero));
}

/* ---- an input ---- */

struct play {
    void (*play)(void *);
    void *argument;
    bool starts_heap;
};

static void *player_main(void *argument)
{
    struct play *play = argument;
    if (play->starts_heap)
        for (start_function **start = __start_moat_state_start; start < __stop_moat_state_start; start++)
            (*start)();
    trap_run(play->play, play->argument);
    return NULL;
}

bool fresh_play(uint64_t seed, void (*play)(void *), void *argument)
{
    struct play what = {.play = play, .argument = argument, .starts_heap = !keeps_heap || !has_heap};
    pthread_t player;

    trap_reset();
    if (what.starts_heap) {
        time_ns = 1000000000;
        door_begin(seed);
        put_data_back();
    }
    if (pthread_create(&player, NULL, player_main, &what) != 0)
        give_up("there is no thread for the input");
    pthread_join(player, NULL);
    helper_end_all();
    counts_add_input();
    has_heap = !trap_has_died();
    if (!has_heap)
        counts_add_report();
    return has_heap;
}

void fresh_keep_heap(void)
{
    keeps_heap = true;
}
