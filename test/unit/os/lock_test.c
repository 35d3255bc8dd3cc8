/* The locks: their order, mutual exclusion of each, independence of each other, and what fork's holder may do. */
#include "unit/unit.h"

#include "os/lock.h"

#include <stdatomic.h>

enum { THREADS = 4 };

static struct {
    enum lock_rank rank;
    unsigned turns;
    unsigned long plain; /* not atomic: only the lock makes it right */
    atomic_int inside;
    atomic_bool two_inside;
} contest;

static void *compete(void *unused)
{
    (void)unused;
    for (unsigned i = 0; i < contest.turns; i++) {
        lock_take(contest.rank);
        if (atomic_fetch_add(&contest.inside, 1) != 0)
            contest.two_inside = true;
        contest.plain++;
        atomic_fetch_sub(&contest.inside, 1);
        lock_drop(contest.rank);
    }
    return NULL;
}

static void one_thread_is_inside_at_a_time(enum lock_rank rank)
{
    pthread_t threads[THREADS];

    contest.rank = rank;
    contest.turns = pace(20000, 5000);
    contest.plain = 0;
    for (int i = 0; i < THREADS; i++)
        EXPECT_EQ(pthread_create(&threads[i], NULL, compete, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    EXPECT_EQ(contest.plain, (unsigned long)THREADS * contest.turns);
    EXPECT(!contest.two_inside);
}

/* The order that lock.h gives: whoever holds one may take those behind it. */
static void ranks_are_in_the_order_of_their_use(void)
{
    static const enum lock_rank order[] = {LOCK_LATE,   LOCK_INIT, LOCK_HEAPS,  LOCK_ORPHANS, LOCK_LARGE,
                                           LOCK_SLICES, LOCK_META, LOCK_RANDOM, LOCK_FIXED};
    EXPECT_EQ(sizeof order / sizeof order[0], LOCK_RANKS);
    for (size_t i = 0; i < LOCK_RANKS; i++)
        EXPECT_EQ(order[i], i);
    /* Nested, each once: none is another one's word. */
    for (enum lock_rank rank = 0; rank < LOCK_RANKS; rank++)
        lock_take(rank);
    for (enum lock_rank rank = LOCK_RANKS; rank-- > 0;)
        lock_drop(rank);
}

static void *take_all_but(void *held)
{
    for (enum lock_rank rank = 0; rank < LOCK_RANKS; rank++) {
        if (rank != *(enum lock_rank *)held) {
            lock_take(rank);
            lock_drop(rank);
        }
    }
    return NULL;
}

static void held_lock_stops_no_other(void)
{
    for (enum lock_rank rank = 0; rank < LOCK_RANKS; rank++) {
        lock_take(rank);
        unit_in_thread(take_all_but, &rank);
        lock_drop(rank);
    }
}

/* In a child of _Fork: locks that were held are free again, and each says once that it was. */
static void child_finds_every_lock_free_and_broken(void)
{
    for (enum lock_rank rank = 0; rank < LOCK_RANKS; rank++)
        EXPECT(!lock_take(rank));
    pid_t child = _Fork();
    if (child == 0) {
        bool said_so = true, says_it_again = false;
        for (enum lock_rank rank = 0; rank < LOCK_RANKS; rank++) {
            said_so &= lock_take(rank);
            lock_drop(rank);
            says_it_again |= lock_take(rank);
            lock_drop(rank);
        }
        _exit(said_so && !says_it_again ? 0 : 1);
    }
    for (enum lock_rank rank = LOCK_RANKS; rank-- > 0;)
        lock_drop(rank);
    EXPECT_EQ(child_wait(child), 0);
}

int main(void)
{
    moat_free(moat_malloc(1));
    ranks_are_in_the_order_of_their_use();
    for (enum lock_rank rank = 0; rank < LOCK_RANKS; rank++)
        one_thread_is_inside_at_a_time(rank);
    held_lock_stops_no_other();
    child_finds_every_lock_free_and_broken();
    return expect_done();
}
