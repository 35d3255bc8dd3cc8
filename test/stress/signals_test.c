/* Signal handlers that allocate and free while the interrupted thread is outside the heap: that must work, whatever C
 * says of signals. Threads block the signal around their own heap calls, so it arrives between them. */
#include "support/expect.h"
#include "support/family.h"
#include "support/pace.h"
#include "support/parcel.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

enum { THREADS = 2, SLOTS = 64 };

static _Atomic(struct parcel *) slots[SLOTS];
static atomic_ulong handled;
static atomic_uint ended;
static uint64_t seed;
static unsigned operations;

static void on_signal(int number)
{
    unsigned long call = atomic_fetch_add(&handled, 1);
    struct rng rng = rng_stream(seed + (uint64_t)number, call);
    for (unsigned i = 0; i < 4; i++) {
        struct parcel *parcel = parcel_new(parcel_size(&rng) / 4, rng_next(&rng));
        EXPECT(parcel_end(atomic_exchange(&slots[rng_below(&rng, SLOTS)], parcel)));
    }
}

/* Open for signals only between two heap calls. */
static void *run(void *argument)
{
    struct rng rng = rng_stream(seed, (uintptr_t)argument);
    sigset_t usr1;
    sigemptyset(&usr1);
    sigaddset(&usr1, SIGUSR1);
    for (unsigned i = 0; i < operations && expect_failures() == 0; i++) {
        pthread_sigmask(SIG_BLOCK, &usr1, NULL);
        struct parcel *parcel = parcel_new(parcel_size(&rng) / 4, rng_next(&rng));
        EXPECT(parcel_end(atomic_exchange(&slots[rng_below(&rng, SLOTS)], parcel)));
        pthread_sigmask(SIG_UNBLOCK, &usr1, NULL);
        /* And one that certainly comes here. */
        if (i % 64 == 0)
            raise(SIGUSR1);
    }
    pthread_sigmask(SIG_BLOCK, &usr1, NULL);
    atomic_fetch_add(&ended, 1);
    return NULL;
}

int main(void)
{
    pthread_t threads[THREADS];
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    seed = rng_seed();
    operations = pace(300000, 40000);
    sigaction(SIGUSR1, &action, NULL);
    for (uintptr_t i = 0; i < THREADS; i++)
        EXPECT_EQ(pthread_create(&threads[i], NULL, run, (void *)i), 0);
    /* A thread that has ended but is not joined takes a signal without effect. */
    while (atomic_load(&ended) < THREADS) {
        for (size_t i = 0; i < THREADS; i++)
            pthread_kill(threads[i], SIGUSR1);
        for (unsigned i = 0; i < 200; i++)
            __builtin_ia32_pause();
    }
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    expect_say("%lu signals handled\n", atomic_load(&handled));
    EXPECT(atomic_load(&handled) >= THREADS * operations / 64);
    for (size_t i = 0; i < SLOTS; i++)
        EXPECT(parcel_end(atomic_load(&slots[i])));
    return expect_done();
}
