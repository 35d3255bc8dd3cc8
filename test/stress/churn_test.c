/* Thousands of short threads: each takes blocks that dead threads left, checks and frees some, resizes some, leaves new
 * ones, and ends. A heap that loses the pages of dead threads grows without end; one that reuses them too early breaks
 * contents. */
#include "support/expect.h"
#include "support/family.h"
#include "support/memory.h"
#include "support/pace.h"
#include "support/parcel.h"

#include <pthread.h>
#include <string.h>

enum { AT_ONCE = 8, POOL = 2048, EACH = 200 };

static pthread_mutex_t pool_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct parcel *pool[POOL];
static uint64_t seed;

/* Puts a parcel (or NULL) into a random place and takes what was there. */
static struct parcel *swap(struct rng *rng, struct parcel *parcel)
{
    size_t place = rng_below(rng, POOL);
    pthread_mutex_lock(&pool_mutex);
    struct parcel *old = pool[place];
    pool[place] = parcel;
    pthread_mutex_unlock(&pool_mutex);
    return old;
}

static void *live_shortly(void *argument)
{
    struct rng rng = rng_stream(seed, (uintptr_t)argument);
    struct parcel *mine = NULL;
    size_t count = 1 + rng_below(&rng, EACH);
    for (size_t i = 0; i < count && expect_failures() == 0; i++) {
        struct parcel *parcel = swap(&rng, parcel_new(parcel_size(&rng) / 2, rng_next(&rng)));
        if (parcel != NULL && rng_below(&rng, 3) == 0) {
            EXPECT(parcel_holds(parcel));
            parcel->next = mine;
            mine = parcel;
        } else {
            EXPECT(parcel_end(parcel));
        }
    }
    /* Half of the threads end with blocks of others in hand, which go back to the pool at the very end. */
    while (mine != NULL) {
        struct parcel *next = mine->next;
        EXPECT(parcel_end(swap(&rng, mine)));
        mine = next;
    }
    return NULL;
}

int main(void)
{
    pthread_t threads[AT_ONCE];
    unsigned total = pace(12000, 2000);
    unsigned long early = 0;
    seed = rng_seed();
    for (unsigned i = 0; i < total + AT_ONCE; i++) {
        if (i >= AT_ONCE)
            pthread_join(threads[i % AT_ONCE], NULL);
        if (i < total && pthread_create(&threads[i % AT_ONCE], NULL, live_shortly, (void *)(uintptr_t)i) != 0) {
            expect_fail("cannot create thread %u", i);
            return expect_done();
        }
        if (i == total / 4)
            early = memory_resident_kib();
    }
    memory_expect_no_growth(early);
    for (size_t i = 0; i < POOL; i++)
        EXPECT(parcel_end(pool[i]));
    return expect_done();
}
