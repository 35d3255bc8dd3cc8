/* Two threads free one block at the same time.
 *
 * Either a free finds the other and dies, or both pass: then the block is in two lists, or twice in one, and must be
 * found out before it has two owners, at the latest when the owner next collects what others freed into the page. So the
 * owner makes 10,000 allocations; then another thread frees all that lies in the page, which makes any heap collect it,
 * and the owner allocates on. The main thread is the owner. The threads meet by spinning, since a kernel's barrier wakes them microseconds apart.
 */
#include "cases.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { FURTHER = 10000, TABLE = 32768, SLICE = 64 * 1024 };

/* The two threads pass a number to and fro before they go: after that both are surely on a processor, some 50 ns apart.
 * Where there are more threads than processors a thread that waits long lets the other run. */
enum { PASSES = 20, LOOKS = 20000 };
static atomic_uint passed;

static void wait_for(unsigned number)
{
    for (unsigned looks = 1; atomic_load_explicit(&passed, memory_order_acquire) != number; looks++) {
        if (looks % LOOKS == 0)
            sched_yield();
        else
            __builtin_ia32_pause();
    }
}

/* `side` is 0 for one thread and 1 for the other; the delay makes different distances in different runs. */
static void meet(unsigned side, unsigned delay)
{
    for (unsigned i = side; i < PASSES; i += 2) {
        wait_for(i);
        atomic_store_explicit(&passed, i + 1, memory_order_release);
    }
    if (side == 0)
        wait_for(PASSES);
    for (volatile unsigned i = 0; i < delay; i++) {
    }
}

struct racer {
    void *block;
    unsigned side;
    unsigned delay;
};

static void *race(void *argument)
{
    struct racer *racer = argument;
    meet(racer->side, racer->delay);
    free(racer->block);
    return NULL;
}

static void start(pthread_t *thread, struct racer *racer)
{
    if (pthread_create(thread, NULL, race, racer) != 0)
        case_end(CASE_NOT_SET_UP);
}

/* A set of addresses that needs no heap. */
static void *table[TABLE];
static char removed;

static void add_or_end(void *block)
{
    size_t place = ((uintptr_t)block >> 4) * 0x9e3779b97f4a7c15u >> 49;
    while (table[place % TABLE] != NULL) {
        if (table[place % TABLE] == block)
            case_end(CASE_HANDED_TWICE);
        place++;
    }
    table[place % TABLE] = block;
}

/* Frees what the set holds of the page of `block`. */
static void *free_page_of(void *block)
{
    for (size_t i = 0; i < TABLE; i++) {
        void *other = table[i];
        if (other != NULL && other != &removed && other != block &&
            (uintptr_t)other / SLICE == (uintptr_t)block / SLICE) {
            table[i] = &removed;
            free(other);
        }
    }
    return NULL;
}

/* All of them live at once, so any block that comes twice is seen. */
static void allocate_on(size_t size)
{
    size_t count = size > 1024 * 1024 ? 100 : size > 16 * 1024 ? 1000 : FURTHER;
    for (size_t i = 0; i < count; i++) {
        void *block = malloc(size);
        if (block == NULL)
            case_end(CASE_NO_MEMORY);
        add_or_end(launder(block));
    }
}

static void find_out(struct pair pair, size_t size)
{
    add_or_end(pair.kept);
    allocate_on(size);
    in_thread(free_page_of, pair.block);
    allocate_on(size);
}

static void owner_and_other(const struct subject *subject)
{
    struct pair pair = take_pair(subject->size);
    struct racer racer = {.block = pair.block, .side = 1, .delay = subject->run % 8 * 5};
    pthread_t thread;

    if (subject->misuse)
        blame_anybody(pair.block, subject->size);
    start(&thread, &racer);
    meet(0, subject->run / 8 % 8 * 5);
    if (subject->misuse)
        free(pair.block);
    pthread_join(thread, NULL);
    find_out(pair, subject->size);
}

static void two_others(const struct subject *subject)
{
    struct pair pair = take_pair(subject->size);
    struct racer one = {.block = pair.block, .side = 0, .delay = subject->run % 8 * 5};
    struct racer two = {.side = 1, .delay = subject->run / 8 % 8 * 5};
    two.block = subject->misuse ? pair.block : take(subject->size);
    pthread_t threads[2];

    if (subject->misuse)
        blame_anybody(pair.block, subject->size);
    start(&threads[0], &one);
    start(&threads[1], &two);
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    find_out(pair, subject->size);
}

#define KINDS "double free|corrupted free list|corrupted remote list|corrupted page"

const struct death_case cases_races[] = {
    {"race.owner_and_other", owner_and_other, KINDS, "free|malloc", CASE_ANY_SIZE | CASE_MAYBE_UNKNOWN, "double_free"},
    {"race.two_others", two_others, KINDS, "free|malloc", CASE_ANY_SIZE | CASE_MAYBE_UNKNOWN, "double_free"},
    {0},
};
