/* All to all: each thread posts blocks into the mailbox of a random other one and frees what it finds in its own. The
 * mailboxes are lists linked through the blocks themselves, so a heap that touches a live block breaks them. */
#include "support/expect.h"
#include "support/family.h"
#include "support/pace.h"
#include "support/parcel.h"

#include <pthread.h>
#include <stdatomic.h>

enum { THREADS = 6 };

static _Atomic(struct parcel *) mailboxes[THREADS];
static unsigned operations;
static uint64_t seed;
static atomic_ulong posted, received;

static void post(unsigned to, struct parcel *parcel)
{
    struct parcel *head = atomic_load_explicit(&mailboxes[to], memory_order_relaxed);
    do {
        parcel->next = head;
    } while (!atomic_compare_exchange_weak_explicit(&mailboxes[to], &head, parcel, memory_order_release,
                                                    memory_order_relaxed));
}

/* Frees everything in a mailbox; some of it goes on to the next thread instead. */
static size_t collect(unsigned self, struct rng *rng, bool may_forward)
{
    struct parcel *list = atomic_exchange_explicit(&mailboxes[self], NULL, memory_order_acquire);
    size_t count = 0;
    while (list != NULL) {
        struct parcel *next = list->next;
        if (may_forward && rng_below(rng, 4) == 0) {
            EXPECT(parcel_holds(list));
            post((self + 1) % THREADS, list);
        } else {
            count += parcel_end(list) ? 1 : 0;
        }
        list = next;
    }
    return count;
}

static void *run(void *argument)
{
    unsigned self = (unsigned)(uintptr_t)argument;
    struct rng rng = rng_stream(seed, self);
    unsigned long sent = 0, got = 0;
    for (unsigned i = 0; i < operations && expect_failures() == 0; i++) {
        struct parcel *parcel = parcel_new(parcel_size(&rng), rng_next(&rng));
        if (parcel != NULL) {
            post((unsigned)rng_below(&rng, THREADS), parcel);
            sent++;
        }
        if (rng_below(&rng, 16) == 0)
            got += collect(self, &rng, true);
    }
    atomic_fetch_add(&posted, sent);
    atomic_fetch_add(&received, got);
    return NULL;
}

int main(void)
{
    pthread_t threads[THREADS];
    seed = rng_seed();
    operations = pace(400000, 80000);
    for (uintptr_t i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, run, (void *)i);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    struct rng rng = rng_stream(seed, THREADS);
    for (unsigned i = 0; i < THREADS; i++)
        atomic_fetch_add(&received, collect(i, &rng, false));
    EXPECT_EQ(atomic_load(&received), atomic_load(&posted));
    return expect_done();
}
