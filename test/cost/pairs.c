/* Pairs of malloc and free, to be counted from outside.
 *
 *     pairs hot SIZE COUNT      one block, allocated and freed COUNT times
 *     pairs batch SIZE COUNT    16 blocks, then their frees in the same order, until COUNT were had
 *     pairs burst SIZE COUNT    the same with 2,000 blocks
 *     pairs churn SIZE COUNT    10,000 live blocks, of which COUNT times a random one is freed and allocated again
 *     pairs remote SIZE COUNT   COUNT blocks allocated by one thread and freed by another
 *
 * Compiled with COST_EMPTY the same loops call two functions that do nothing, by the same kind of call: what that run
 * counts is the loops' own part.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef COST_EMPTY
void *empty_malloc(size_t size);
void empty_free(void *block);
#define TAKE empty_malloc
#define GIVE empty_free
#else
#define TAKE malloc
#define GIVE free
#endif

enum { LIVE = 10000, BATCH = 16, BURST = 2000, REMOTE_BATCH = 1000 };

static void *live[LIVE];
static pthread_barrier_t filled, emptied;

static void run_hot(size_t size, unsigned long count)
{
    for (unsigned long i = 0; i < count; i++)
        GIVE(TAKE(size));
}

static void run_batches(size_t size, unsigned long count, size_t batch)
{
    for (unsigned long i = count / batch; i > 0; i--) {
        for (size_t j = 0; j < batch; j++)
            live[j] = TAKE(size);
        for (size_t j = 0; j < batch; j++)
            GIVE(live[j]);
    }
}

static void run_churn(size_t size, unsigned long count)
{
    uint64_t state = 1;
    for (size_t i = 0; i < LIVE; i++)
        live[i] = TAKE(size);
    for (unsigned long i = 0; i < count; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        void **block = &live[state % LIVE];
        GIVE(*block);
        *block = TAKE(size);
    }
}

static void *free_batches(void *batches)
{
    for (unsigned long i = *(unsigned long *)batches; i > 0; i--) {
        pthread_barrier_wait(&filled);
        for (size_t j = 0; j < REMOTE_BATCH; j++)
            GIVE(live[j]);
        pthread_barrier_wait(&emptied);
    }
    return NULL;
}

static int run_remote(size_t size, unsigned long count)
{
    unsigned long batches = count / REMOTE_BATCH;
    pthread_t thread;

    pthread_barrier_init(&filled, NULL, 2);
    pthread_barrier_init(&emptied, NULL, 2);
    if (pthread_create(&thread, NULL, free_batches, &batches) != 0)
        return 1;
    for (unsigned long i = batches; i > 0; i--) {
        for (size_t j = 0; j < REMOTE_BATCH; j++)
            live[j] = TAKE(size);
        pthread_barrier_wait(&filled);
        pthread_barrier_wait(&emptied);
    }
    return pthread_join(thread, NULL);
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "pairs: needed are hot, batch, burst, churn or remote, a size and a count\n");
        return 2;
    }
    size_t size = strtoul(argv[2], NULL, 10);
    unsigned long count = strtoul(argv[3], NULL, 10);
    if (strcmp(argv[1], "remote") == 0)
        return run_remote(size, count);
    if (strcmp(argv[1], "hot") == 0)
        run_hot(size, count);
    else if (strcmp(argv[1], "batch") == 0)
        run_batches(size, count, BATCH);
    else if (strcmp(argv[1], "burst") == 0)
        run_batches(size, count, BURST);
    else if (strcmp(argv[1], "churn") == 0)
        run_churn(size, count);
    else
        return 2;
    return 0;
}
