/* Threads with blocks of their own and blocks that all of them take from each other: allocate, check, resize, free in
 * random order. */
#include "support/expect.h"
#include "support/family.h"
#include "support/pace.h"
#include "support/parcel.h"

#include <pthread.h>
#include <stdatomic.h>

enum { THREADS = 4, PRIVATE = 256, SHARED = 512 };

static _Atomic(struct parcel *) shared[SHARED];
static unsigned operations;
static uint64_t seed;

static struct parcel *resize(struct parcel *parcel, size_t size, uint64_t identity)
{
    if (size < sizeof *parcel)
        size = sizeof *parcel;
    size_t old_contents = parcel->size - sizeof *parcel;
    size_t kept = (size < parcel->size ? size : parcel->size) - sizeof *parcel;
    uint64_t old_identity = parcel->identity ^ parcel->size;
    parcel = moat_realloc(parcel, size);
    if (parcel == NULL) {
        expect_fail("no memory to resize to %zu", size);
        return NULL;
    }
    if (!pattern_prefix_holds(parcel->contents, old_contents, kept, old_identity))
        expect_fail("realloc to %zu lost contents", size);
    parcel->size = size;
    parcel->identity = identity;
    pattern_fill(parcel->contents, size - sizeof *parcel, identity ^ size);
    return parcel;
}

static void renew(struct rng *rng, struct parcel **own)
{
    uint64_t identity = rng_next(rng);
    if (*own != NULL && rng_below(rng, 2) == 0 && parcel_holds(*own)) {
        *own = resize(*own, parcel_size(rng), identity);
        return;
    }
    parcel_end(*own);
    *own = parcel_new(parcel_size(rng), identity);
}

static void step(struct rng *rng, struct parcel **own)
{
    size_t place = rng_below(rng, PRIVATE);
    _Atomic(struct parcel *) *slot = &shared[rng_below(rng, SHARED)];
    switch (rng_below(rng, 4)) {
    case 0:
        /* Whoever takes a block from a slot owns it alone. */
        parcel_end(atomic_exchange(slot, parcel_new(parcel_size(rng), rng_next(rng))));
        break;
    case 1:
        own[place] = atomic_exchange(slot, own[place]);
        break;
    default:
        renew(rng, &own[place]);
    }
}

static void *run(void *argument)
{
    struct parcel *own[PRIVATE] = {NULL};
    struct rng rng = rng_stream(seed, (uintptr_t)argument);
    for (unsigned i = 0; i < operations && expect_failures() == 0; i++)
        step(&rng, own);
    for (size_t i = 0; i < PRIVATE; i++)
        EXPECT(parcel_end(own[i]));
    return NULL;
}

int main(void)
{
    pthread_t threads[THREADS];
    seed = rng_seed();
    operations = pace(1500000, 200000);
    for (uintptr_t i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, run, (void *)i);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (size_t i = 0; i < SHARED; i++)
        EXPECT(parcel_end(atomic_load(&shared[i])));
    return expect_done();
}
