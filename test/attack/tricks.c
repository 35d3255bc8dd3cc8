/* What many attacks do: the ways to get and give blocks, herds, floods, forged links, other threads and processes. */
#include "attack.h"

#include <dlfcn.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    FLOOD_MOST = 400,
    ROUNDS_MOST = 20000, /* of one grab and one drop each */
    RING = 64,
    FLOOD_AFTER = 40,
    FREES_MANY = 96,
    FREES_FEW = 5,
    WORKERS = 2,
    SLICE_BITS = 16
};

/* ---- the family ---- */

/* operator new and delete by the names that C++ calls them: libstdc++ answers where the heap does not. */
void *_Znwm(size_t);
void *_Znam(size_t);
void _ZdlPv(void *);
void _ZdaPv(void *);
void _ZdlPvm(void *, size_t);

void *grab(size_t bytes)
{
    return grabbed(malloc(bytes), bytes);
}

void *grab_by(enum taker taker, size_t bytes)
{
    void *block = NULL;
    switch (taker) {
    case TAKE_CALLOC:
        return grabbed(calloc(bytes, 1), bytes);
    case TAKE_REALLOC:
        return grabbed(realloc(NULL, bytes), bytes);
    case TAKE_ALIGNED:
        return grabbed(aligned_alloc(64, bytes), bytes);
    case TAKE_MEMALIGN:
        require(posix_memalign(&block, 32, bytes) == 0);
        return grabbed(block, bytes);
    case TAKE_NEW:
        return grabbed(_Znwm(bytes), bytes);
    case TAKE_NEW_ARRAY:
        return grabbed(_Znam(bytes), bytes);
    case TAKE_MALLOC:
    case TAKERS:
        break;
    }
    return grab(bytes);
}

/* The size that is told to a sized free is one that any block has. */
static void give(enum giver giver, void *block)
{
    static void (*free_sized)(void *, size_t);
    switch (giver) {
    case GIVE_REALLOC_ZERO:
        require(realloc(block, 0) == NULL);
        return;
    case GIVE_DELETE:
        _ZdlPv(block);
        return;
    case GIVE_DELETE_ARRAY:
        _ZdaPv(block);
        return;
    case GIVE_DELETE_SIZED:
        _ZdlPvm(block, 1);
        return;
    case GIVE_FREE_SIZED:
        if (free_sized == NULL)
            *(void **)&free_sized = dlsym(RTLD_DEFAULT, "free_sized");
        if (free_sized != NULL) {
            free_sized(block, 1);
            return;
        }
        break;
    case GIVE_FREE:
    case GIVERS:
        break;
    }
    free(block);
}

void drop_by(enum giver giver, void *block)
{
    dropped(block);
    give(giver, block);
}

void drop(void *block)
{
    drop_by(GIVE_FREE, block);
}

void free_again_by(enum giver giver, void *block)
{
    strike(block);
    give(giver, block);
}

void free_again(void *block)
{
    free_again_by(GIVE_FREE, block);
}

/* ---- herds and floods ---- */

void herd_grab(struct herd *herd, size_t bytes, unsigned count)
{
    require(count <= HERD_MAX);
    herd->count = count;
    for (unsigned i = 0; i < count; i++)
        herd->block[i] = grab(bytes);
}

void herd_drop(struct herd *herd, unsigned from, unsigned to)
{
    for (unsigned i = from; i < to; i++)
        drop(herd->block[i]);
}

size_t herd_stride(const struct herd *herd)
{
    size_t least = SIZE_MAX;
    for (unsigned i = 0; i < herd->count; i++) {
        for (unsigned j = 0; j < herd->count; j++) {
            size_t distance = (size_t)((char *)herd->block[j] - (char *)herd->block[i]);
            least = distance != 0 && distance < least ? distance : least;
        }
    }
    return least;
}

char *herd_top(const struct herd *herd)
{
    char *top = herd->block[0];
    for (unsigned i = 1; i < herd->count; i++)
        top = (char *)herd->block[i] > top ? herd->block[i] : top;
    return top;
}

bool is_same_page(const void *one, const void *two)
{
    return ((uintptr_t)one ^ (uintptr_t)two) >> SLICE_BITS == 0;
}

void flood_by(enum taker taker, size_t bytes, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        grab_by(taker, bytes);
}

void flood(size_t bytes, unsigned count)
{
    flood_by(TAKE_MALLOC, bytes, count);
}

/* First all is taken that is to be had. Then others are freed for it, since a heap may hold blocks back until more are
 * freed: these go round in a ring, and those that are wanted are left out of it. */
static bool bring_back_by(enum taker taker, size_t bytes, void *const wanted[], unsigned count, unsigned missing,
                          unsigned most)
{
    static void *ring[RING];
    for (unsigned round = 0; missing > 0 && round < most; round++) {
        void *block = grab_by(taker, bytes), **place = &ring[round % RING];
        bool is_wanted = false;
        for (unsigned i = 0; i < count; i++)
            is_wanted |= wanted[i] == block;
        missing -= is_wanted;
        if (is_wanted || round < FLOOD_MOST)
            continue;
        if (*place != NULL)
            drop(*place);
        *place = block;
    }
    for (unsigned i = 0; i < RING; i++)
        ring[i] = NULL; /* what is there stays live */
    return missing == 0;
}

bool bring_back(size_t bytes, void *const wanted[], unsigned count)
{
    unsigned missing = 0;
    for (unsigned i = 0; i < count; i++)
        missing += !is_live(wanted[i]);
    return bring_back_by(TAKE_MALLOC, bytes, wanted, count, missing, ROUNDS_MOST);
}

bool flood_past_by(enum taker taker, size_t bytes, const void *block)
{
    void *wanted = launder(block);
    bool is_back = bring_back_by(taker, bytes, &wanted, 1, 1, ROUNDS_MOST / 16);
    flood_by(taker, bytes, FLOOD_AFTER);
    return is_back;
}

bool flood_past(size_t bytes, const void *block)
{
    return flood_past_by(TAKE_MALLOC, bytes, block);
}

void churn(size_t bytes, unsigned rounds)
{
    for (unsigned i = 0; i < rounds; i++)
        drop(grab(bytes));
}

/* ---- forged links ---- */

unsigned frees_for(const struct aim *aim)
{
    bool is_few = aim->style == STYLE_SAFE || (aim->style == STYLE_XOR && aim->run % 2);
    return is_few ? FREES_FEW : FREES_MANY;
}

uintptr_t forge(const struct aim *aim, const void *block, const void *next, const void *target)
{
    uintptr_t to = (uintptr_t)target, seen = peek(block);
    switch (aim->style) {
    case STYLE_SAFE:
        return (uintptr_t)block >> 12 ^ to;
    case STYLE_XOR:
        return seen ^ (uintptr_t)next ^ to;
    case STYLE_ADD:
        return seen + (to - (uintptr_t)next);
    case STYLE_SLOT:
        return (seen & ~(uintptr_t)0xffff) | slot_of(target);
    case STYLE_RAW:
    case STYLES:
        break;
    }
    return to;
}

struct freed herd_free_every_second(struct herd *herd, const struct aim *aim)
{
    unsigned frees = frees_for(aim);
    herd_grab(herd, aim->size, 2 * frees + FREED_LIVE_MORE);
    for (unsigned i = 0; i < frees; i++)
        drop(herd->block[2 * i]);
    return (struct freed){herd->block[2 * frees - 2], herd->block[2 * frees - 4], herd->block[2 * frees - 3]};
}

void lead(const struct aim *aim, struct freed freed, const void *target)
{
    overwrite(freed.last, forge(aim, freed.last, freed.next, target));
}

unsigned slot_of(const void *block)
{
    return ((unsigned)(uintptr_t)block & 0xffff) / 16 + 1;
}

uintptr_t forge_slot(const struct aim *aim, const void *block, const void *next, const void *target)
{
    uintptr_t seen = peek(block);
    switch (aim->style) {
    case STYLE_RAW:
        return slot_of(target);
    case STYLE_XOR:
        return seen ^ slot_of(next) ^ slot_of(target);
    case STYLE_ADD:
        return seen + slot_of(target) - slot_of(next);
    case STYLE_SAFE:
    case STYLE_SLOT:
    case STYLES:
        break;
    }
    return forge(aim, block, next, target);
}

/* ---- chance ---- */

static uint64_t drawn;

void draw_for(const struct aim *aim)
{
    drawn = aim->run * 0x9e3779b97f4a7c15u + aim->size;
}

/* splitmix64 */
unsigned draw(unsigned limit)
{
    uint64_t x = drawn += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return (unsigned)((x ^ (x >> 31)) % limit);
}

/* ---- threads ---- */

struct worker {
    sem_t wanted, done;
    void (*work)(void *);
    void *argument;
};

static struct worker workers[WORKERS];
static pthread_barrier_t gate;

static void *worker_main(void *argument)
{
    struct worker *worker = argument;
    for (;;) {
        sem_wait(&worker->wanted);
        worker->work(worker->argument);
        sem_post(&worker->done);
    }
    return NULL;
}

/* A block from each worker, so that it has met the heap before anything of weight happens. */
static void meet_heap(void *argument)
{
    (void)argument;
    free(launder(malloc(64)));
}

void start_workers(void)
{
    pthread_t thread;
    for (unsigned i = 0; i < WORKERS; i++) {
        sem_init(&workers[i].wanted, 0, 0);
        sem_init(&workers[i].done, 0, 0);
        require(pthread_create(&thread, NULL, worker_main, &workers[i]) == 0);
        in_worker(i, meet_heap, NULL);
    }
}

static void begin_in_worker(unsigned worker, void (*work)(void *), void *argument)
{
    workers[worker].work = work;
    workers[worker].argument = argument;
    sem_post(&workers[worker].wanted);
}

void in_worker(unsigned worker, void (*work)(void *), void *argument)
{
    begin_in_worker(worker, work, argument);
    sem_wait(&workers[worker].done);
}

struct meeting {
    void (*work)(void *);
    void *argument;
};

static void work_at_gate(void *argument)
{
    struct meeting *meeting = argument;
    pthread_barrier_wait(&gate);
    meeting->work(meeting->argument);
}

void in_both_workers(void (*work)(void *), void *one, void *two)
{
    struct meeting meetings[WORKERS] = {{work, one}, {work, two}};
    pthread_barrier_init(&gate, NULL, WORKERS);
    for (unsigned i = 0; i < WORKERS; i++)
        begin_in_worker(i, work_at_gate, &meetings[i]);
    for (unsigned i = 0; i < WORKERS; i++)
        sem_wait(&workers[i].done);
    pthread_barrier_destroy(&gate);
}

void drop_in_worker(unsigned worker, void *block)
{
    in_worker(worker, drop, block);
}

void free_again_in_worker(unsigned worker, void *block)
{
    in_worker(worker, free_again, block);
}

struct wanted_flood {
    size_t bytes;
    unsigned count;
};

static void flood_for(void *argument)
{
    const struct wanted_flood *wanted = argument;
    flood(wanted->bytes, wanted->count);
}

void flood_in_worker(unsigned worker, size_t bytes, unsigned count)
{
    struct wanted_flood wanted = {bytes, count};
    in_worker(worker, flood_for, &wanted);
}

static void *ending_main(void *argument)
{
    const struct meeting *meeting = argument;
    meeting->work(meeting->argument);
    return NULL;
}

void in_ending_thread(void (*work)(void *), void *argument)
{
    pthread_t thread;
    struct meeting meeting = {work, argument};
    require(pthread_create(&thread, NULL, ending_main, &meeting) == 0);
    pthread_join(thread, NULL);
}

void in_child(void (*work)(void *), void *argument)
{
    int status = 0;
    pid_t child = fork();
    require(child >= 0);
    if (child == 0) {
        work(argument);
        finish();
    }
    require(waitpid(child, &status, 0) == child);
    /* Ends as the child did: its line is on the same stderr. */
    if (WIFSIGNALED(status)) {
        signal(WTERMSIG(status), SIG_DFL);
        raise(WTERMSIG(status));
    }
    if (WEXITSTATUS(status) != ENDED_LOST)
        _exit(WEXITSTATUS(status));
    strike(NULL);
}
