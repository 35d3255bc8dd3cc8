/* lock.c - one word of 64 bits a lock: 0 free, else its holder's thread pointer, with the lowest bit set where somebody
 * waits.
 *
 * State and holder are one word, changed by one instruction, since a signal handler may run between any two: with the
 * holder in a word of its own there are places where the lock is held and does not say by whom, and a handler that takes it
 * there waits for its own thread. A thread pointer is even, and no two threads that live share one.
 *
 * Waiting is as in the second mutex of U. Drepper, "Futexes Are Tricky": whoever has waited takes the lock with the bit, as
 * others may still wait. A futex is 32 bits wide, so waiters watch the low half. With the bit it is never 0, so a free lock
 * lets nobody sleep; two holders whose low halves are the same are both to be waited for. Waiting is bounded by the
 * holder, which is inside Moat and never waits for anything but the kernel.
 */
#include "os/lock.h"

#include "base/atomic.h"
#include "base/config.h"
#include "os/os.h"

static struct lock {
    uint64_t word;
    uint32_t is_broken; /* its holder was left behind by a fork */
} MOAT_ALIGNED(MOAT_CACHE_LINE) locks[LOCK_RANKS];

#define WAITED UINT64_C(1)

/* The third value of a mark: the thread pointer of the thread that sets the locks free. */
enum { MARK_WIPED = 0, MARK_SEEN = 1 };

/* Until there is a word that the kernel wipes, one that nobody wipes. (A pointer that the loader has to set also lies in a
 * page that is written already: reading it is no fault of its own.) */
static uint64_t never_wiped = MARK_SEEN;
static uint64_t *fork_mark = &never_wiped;

static void set_all_free(void)
{
    for (int rank = 0; rank < LOCK_RANKS; rank++) {
        locks[rank].is_broken |= locks[rank].word != 0;
        atomic_set(&locks[rank].word, 0);
    }
}

/* One thread of a young child sets the locks free; others that it may have by then wait. */
static MOAT_COLD void enter_child(uint64_t self)
{
    uint64_t seen = MARK_WIPED;

    if (atomic_cas_acq_rel(fork_mark, &seen, self)) {
        set_all_free();
        atomic_set_release(fork_mark, MARK_SEEN);
        os_wake(os_low_half(fork_mark), INT32_MAX);
        return;
    }
    if (seen == self) /* a signal handler that interrupted this */
        lock_reentered();
    for (; seen != MARK_SEEN; seen = atomic_get_acquire(fork_mark))
        os_wait_while(os_low_half(fork_mark), (uint32_t)seen);
}

static void acquire(uint64_t *word, uint64_t self)
{
    uint64_t seen = 0;

    if (atomic_cas_acq_rel(word, &seen, self))
        return;
    if ((seen & ~WAITED) == self)
        lock_reentered();
    /* A short spin: the sections are a few dozen instructions unless they call the kernel. */
    for (int i = 0; i < 64; i++) {
        __builtin_ia32_pause();
        seen = 0;
        if (atomic_get(word) == 0 && atomic_cas_acq_rel(word, &seen, self))
            return;
    }
    for (;;) {
        seen = 0;
        if (atomic_cas_acq_rel(word, &seen, self | WAITED))
            return;
        if ((seen & WAITED) || atomic_cas_acq_rel(word, &seen, seen | WAITED))
            os_wait_while(os_low_half(word), (uint32_t)(seen | WAITED));
    }
}

bool lock_take(enum lock_rank rank)
{
    uint64_t self = os_thread_pointer();
    if (MOAT_UNLIKELY(atomic_get(fork_mark) != MARK_SEEN))
        enter_child(self);
    acquire(&locks[rank].word, self);
    bool was_broken = locks[rank].is_broken != 0;
    locks[rank].is_broken = 0;
    return was_broken;
}

void lock_drop(enum lock_rank rank)
{
    uint64_t *word = &locks[rank].word;
    if (__atomic_exchange_n(word, 0, __ATOMIC_RELEASE) & WAITED)
        os_wake(os_low_half(word), 1);
}

bool lock_is_inside(void)
{
    uint64_t self = os_thread_pointer();
    bool is_inside = atomic_get(fork_mark) == self;
    for (int rank = 0; rank < LOCK_RANKS; rank++)
        is_inside |= (atomic_get(&locks[rank].word) & ~WAITED) == self;
    return is_inside;
}

void lock_watch_fork(void *mark)
{
    uint64_t *word = mark;
    *word = MARK_SEEN;
    atomic_fence_for_handlers(); /* one that takes a lock must not find the mark of a new child */
    fork_mark = word;
}

void lock_enter_child(void)
{
    if (atomic_get(fork_mark) == MARK_WIPED)
        enter_child(os_thread_pointer());
    else
        set_all_free(); /* nothing was wiped, or it was seen to already; the child's one thread holds none */
}
