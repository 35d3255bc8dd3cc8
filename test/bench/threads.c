/* Several threads: blocks that one takes and another gives back, threads that are born and die, and threads that have nothing to
 * do with each other. Sums are the same in every run, whoever comes first. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

enum { LANES = 4, LANE_BLOCKS = 1000, LIFE = 20000 };
enum { PAIRS = 2, PARCEL = 100, PARCELS = 64 };
enum { PEERS = 8 };
enum { BIRTHS_AT_ONCE = 4, BIRTH_BLOCKS = 100 };

static void start(pthread_t *thread, void *(*body)(void *), void *argument)
{
    int error = pthread_create(thread, NULL, body, argument);
    if (error != 0)
        bench_die("a thread cannot be started: %s", strerror(error));
}

/* ---- server ---- */

struct lane {
    void *blocks[LANE_BLOCKS];
    struct random random;
    uint64_t lives, sum;
    pthread_t thread;
};

/* One life: replaces random blocks, most of which a thread that is dead by now has taken. */
static void *lane_life(void *argument)
{
    struct lane *lane = argument;
    for (unsigned i = 0; i < LIFE; i++) {
        void **slot = &lane->blocks[random_below(&lane->random, LANE_BLOCKS)];
        if (*slot != NULL)
            lane->sum = lane->sum * 3 + stamp_give(*slot);
        *slot = stamp_take(random_size(&lane->random), i);
    }
    return NULL;
}

/* Lives follow each other, each in a thread of its own. */
static void *lane_serve(void *argument)
{
    struct lane *lane = argument;
    for (uint64_t i = 0; i < lane->lives; i++) {
        pthread_t life;
        start(&life, lane_life, lane);
        pthread_join(life, NULL);
    }
    return NULL;
}

/* Larson and Krishnan's server (1998): each request is served by a thread that inherits the blocks of the one before it. */
static struct outcome run_server(const struct workload *self, double scale)
{
    static struct lane lanes[LANES];
    uint64_t lives = bench_times((double)self->count, scale, 2);
    struct outcome outcome = {lives * LIFE * LANES, 0};
    for (unsigned i = 0; i < LANES; i++) {
        memset(&lanes[i], 0, sizeof lanes[i]);
        lanes[i].random = random_from(i);
        lanes[i].lives = lives;
        start(&lanes[i].thread, lane_serve, &lanes[i]);
    }
    for (unsigned i = 0; i < LANES; i++) {
        pthread_join(lanes[i].thread, NULL);
        outcome.checksum += lanes[i].sum;
        for (size_t j = 0; j < LANE_BLOCKS; j++)
            outcome.checksum += lanes[i].blocks[j] != NULL ? stamp_give(lanes[i].blocks[j]) : 0;
    }
    return outcome;
}

/* ---- producer and consumer ---- */

struct pipe {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    void *parcels[PARCELS][PARCEL];
    size_t sent, received;
    size_t total, size;
    uint64_t sum;
};

static void *pipe_produce(void *argument)
{
    struct pipe *pipe = argument;
    struct random random = random_from(pipe->size);
    for (size_t i = 0; i < pipe->total; i++) {
        pthread_mutex_lock(&pipe->lock);
        while (pipe->sent - pipe->received == PARCELS)
            pthread_cond_wait(&pipe->changed, &pipe->lock);
        pthread_mutex_unlock(&pipe->lock);
        void **parcel = pipe->parcels[i % PARCELS];
        for (size_t j = 0; j < PARCEL; j++)
            parcel[j] = stamp_take(pipe->size != 0 ? pipe->size : random_size(&random), i * PARCEL + j);
        pthread_mutex_lock(&pipe->lock);
        pipe->sent = i + 1;
        pthread_cond_signal(&pipe->changed);
        pthread_mutex_unlock(&pipe->lock);
    }
    return NULL;
}

static void *pipe_consume(void *argument)
{
    struct pipe *pipe = argument;
    for (size_t i = 0; i < pipe->total; i++) {
        pthread_mutex_lock(&pipe->lock);
        while (pipe->sent == pipe->received)
            pthread_cond_wait(&pipe->changed, &pipe->lock);
        pthread_mutex_unlock(&pipe->lock);
        void **parcel = pipe->parcels[i % PARCELS];
        for (size_t j = 0; j < PARCEL; j++)
            pipe->sum = pipe->sum * 3 + stamp_give(parcel[j]);
        pthread_mutex_lock(&pipe->lock);
        pipe->received = i + 1;
        pthread_cond_signal(&pipe->changed);
        pthread_mutex_unlock(&pipe->lock);
    }
    return NULL;
}

/* Every free is remote: one thread takes, another gives back, in parcels of 100 (the pattern of xmalloc, and of each pipeline). */
static struct outcome run_pipes(const struct workload *self, double scale)
{
    static struct pipe pipes[PAIRS];
    pthread_t threads[PAIRS][2];
    size_t total = bench_times((double)self->count, scale, 2);
    struct outcome outcome = {total * PARCEL * PAIRS, 0};
    for (unsigned i = 0; i < PAIRS; i++) {
        memset(&pipes[i], 0, sizeof pipes[i]);
        pthread_mutex_init(&pipes[i].lock, NULL);
        pthread_cond_init(&pipes[i].changed, NULL);
        pipes[i].total = total;
        pipes[i].size = self->size;
        start(&threads[i][0], pipe_produce, &pipes[i]);
        start(&threads[i][1], pipe_consume, &pipes[i]);
    }
    for (unsigned i = 0; i < PAIRS; i++) {
        pthread_join(threads[i][0], NULL);
        pthread_join(threads[i][1], NULL);
        outcome.checksum += pipes[i].sum;
    }
    return outcome;
}

/* ---- all to all ---- */

/* What lies in an inbox is linked through itself. */
struct letter {
    struct letter *next;
    uint64_t value;
};

struct peer {
    pthread_mutex_t lock;
    struct letter *inbox;
    uint64_t number, letters, sum;
    pthread_t thread;
};

static struct peer peers[PEERS];

static void peer_empty_inbox(struct peer *peer)
{
    pthread_mutex_lock(&peer->lock);
    struct letter *letter = peer->inbox;
    peer->inbox = NULL;
    pthread_mutex_unlock(&peer->lock);
    while (letter != NULL) {
        struct letter *next = letter->next;
        peer->sum += letter->value;
        free(letter);
        letter = next;
    }
}

static void *peer_live(void *argument)
{
    struct peer *peer = argument;
    struct random random = random_from(peer->number);
    for (uint64_t i = 0; i < peer->letters; i++) {
        struct peer *to = &peers[random_below(&random, PEERS)];
        struct letter *letter = bench_take(random_size(&random));
        letter->value = random_next(&random);
        pthread_mutex_lock(&to->lock);
        letter->next = to->inbox;
        to->inbox = letter;
        pthread_mutex_unlock(&to->lock);
        if (i % 64 == 63)
            peer_empty_inbox(peer);
    }
    return NULL;
}

/* Eight threads, more than a small machine has processors, send each other blocks: an owner may not run for a while when its
 * blocks come home (actors, thread pools that steal work). */
static struct outcome run_all_to_all(const struct workload *self, double scale)
{
    uint64_t letters = bench_times((double)self->count, scale, 1);
    struct outcome outcome = {letters * PEERS, 0};
    for (unsigned i = 0; i < PEERS; i++) {
        memset(&peers[i], 0, sizeof peers[i]);
        pthread_mutex_init(&peers[i].lock, NULL);
        peers[i].number = i;
        peers[i].letters = letters;
    }
    for (unsigned i = 0; i < PEERS; i++)
        start(&peers[i].thread, peer_live, &peers[i]);
    for (unsigned i = 0; i < PEERS; i++)
        pthread_join(peers[i].thread, NULL);
    for (unsigned i = 0; i < PEERS; i++) {
        peer_empty_inbox(&peers[i]);
        outcome.checksum += peers[i].sum;
    }
    return outcome;
}

/* ---- births, and threads that share nothing ---- */

static void *birth(void *argument)
{
    struct random random = random_from((uintptr_t)argument);
    void *blocks[BIRTH_BLOCKS];
    uint64_t sum = 0;
    for (size_t i = 0; i < BIRTH_BLOCKS; i++)
        blocks[i] = stamp_take(random_size(&random), i);
    for (size_t i = 0; i < BIRTH_BLOCKS; i++)
        sum = sum * 3 + stamp_give(blocks[i]);
    return (void *)(uintptr_t)sum;
}

/* Short threads that take some blocks of many sizes, give them back and die: a thread for each request. What a heap pays for a
 * new thread shows. */
static struct outcome run_births(const struct workload *self, double scale)
{
    uint64_t rounds = bench_times((double)self->count, scale, 1);
    struct outcome outcome = {rounds * BIRTHS_AT_ONCE * BIRTH_BLOCKS, 0};
    for (uint64_t i = 0; i < rounds; i++) {
        pthread_t threads[BIRTHS_AT_ONCE];
        for (unsigned j = 0; j < BIRTHS_AT_ONCE; j++)
            start(&threads[j], birth, (void *)(uintptr_t)(i * BIRTHS_AT_ONCE + j));
        for (unsigned j = 0; j < BIRTHS_AT_ONCE; j++) {
            void *sum;
            pthread_join(threads[j], &sum);
            outcome.checksum += (uintptr_t)sum;
        }
    }
    return outcome;
}

static void *lane_alone(void *argument)
{
    struct lane *lane = argument;
    for (uint64_t i = 0; i < lane->lives; i++)
        lane_life(lane);
    return NULL;
}

/* Two threads that live through the whole work, each with blocks of its own: what they pay more than one is what the heap makes
 * them share (threadtest of the Hoard paper). */
static struct outcome run_parallel(const struct workload *self, double scale)
{
    static struct lane lanes[2];
    uint64_t lives = bench_times((double)self->count, scale, 1);
    struct outcome outcome = {lives * LIFE * 2, 0};
    for (unsigned i = 0; i < 2; i++) {
        memset(&lanes[i], 0, sizeof lanes[i]);
        lanes[i].random = random_from(i + 100);
        lanes[i].lives = lives;
        start(&lanes[i].thread, lane_alone, &lanes[i]);
    }
    for (unsigned i = 0; i < 2; i++) {
        pthread_join(lanes[i].thread, NULL);
        outcome.checksum += lanes[i].sum;
        for (size_t j = 0; j < LANE_BLOCKS; j++)
            outcome.checksum += lanes[i].blocks[j] != NULL ? stamp_give(lanes[i].blocks[j]) : 0;
    }
    return outcome;
}

const struct workload thread_workloads[] = {
    {"server", "threads", run_server, 0, 60},
    {"pipes-64", "threads", run_pipes, 64, 20000},
    {"pipes-mixed", "threads", run_pipes, 0, 15000},
    {"all-to-all", "threads", run_all_to_all, 0, 400000},
    {"births", "threads", run_births, 0, 3000},
    {"parallel", "threads", run_parallel, 0, 120},
    {NULL, NULL, NULL, 0, 0},
};
