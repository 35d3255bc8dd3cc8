/* lock.c - one futex word a lock: 0 free, 1 held, 2 held and somebody waits.
 *
 * The algorithm is the third mutex of U. Drepper, "Futexes Are Tricky". Waiting is bounded by the holder, which is inside
 * Moat and never waits for anything but the kernel.
 */
#include "os/lock.h"

#include "base/atomic.h"
#include "base/config.h"
#include "os/os.h"

static struct lock {
    uint32_t word;
    uint32_t is_broken; /* its holder was left behind by a fork */
    uintptr_t holder;   /* its thread pointer, written by the holder alone; 0 while nobody holds the lock */
} MOAT_ALIGNED(MOAT_CACHE_LINE) locks[LOCK_RANKS];

enum { MARK_WIPED = 0, MARK_SEEN = 1, MARK_SETTLING = 2 };

/* Until there is a word that the kernel wipes, one that nobody wipes. (A pointer that the loader has to set also lies in a
 * page that is written already: reading it is no fault of its own.) */
static uint32_t never_wiped = MARK_SEEN;
static uint32_t *fork_mark = &never_wiped;

static void set_all_free(void)
{
    for (int rank = 0; rank < LOCK_RANKS; rank++) {
        locks[rank].is_broken |= locks[rank].word != 0;
        atomic_set(&locks[rank].holder, 0);
        atomic_set(&locks[rank].word, 0);
    }
}

/* One thread of a young child sets the locks free; others that it may have by then wait. */
static MOAT_COLD void enter_child(void)
{
    uint32_t seen = MARK_WIPED;

    if (atomic_cas_acq_rel(fork_mark, &seen, MARK_SETTLING)) {
        set_all_free();
        atomic_set_release(fork_mark, MARK_SEEN);
        os_wake(fork_mark, INT32_MAX);
    }
    while (atomic_get_acquire(fork_mark) == MARK_SETTLING)
        os_wait_while(fork_mark, MARK_SETTLING);
}

static void acquire(struct lock *lock, uintptr_t self)
{
    uint32_t *word = &lock->word;
    uint32_t seen = 0;

    if (atomic_cas_acq_rel(word, &seen, 1))
        return;
    if (atomic_get(&lock->holder) == self)
        lock_reentered();
    /* A short spin: the sections are a few dozen instructions unless they call the kernel. */
    for (int i = 0; i < 64; i++) {
        __builtin_ia32_pause();
        seen = 0;
        if (atomic_get(word) == 0 && atomic_cas_acq_rel(word, &seen, 1))
            return;
    }
    while (atomic_swap_acquire(word, 2) != 0)
        os_wait_while(word, 2);
}

bool lock_take(enum lock_rank rank)
{
    if (MOAT_UNLIKELY(atomic_get(fork_mark) != MARK_SEEN))
        enter_child();
    uintptr_t self = os_thread_pointer();
    acquire(&locks[rank], self);
    atomic_set(&locks[rank].holder, self);
    bool was_broken = locks[rank].is_broken != 0;
    locks[rank].is_broken = 0;
    return was_broken;
}

void lock_drop(enum lock_rank rank)
{
    uint32_t *word = &locks[rank].word;
    atomic_set(&locks[rank].holder, 0);
    if (__atomic_exchange_n(word, 0, __ATOMIC_RELEASE) == 2)
        os_wake(word, 1);
}

bool lock_is_inside(void)
{
    uintptr_t self = os_thread_pointer();
    for (int rank = 0; rank < LOCK_RANKS; rank++)
        if (atomic_get(&locks[rank].holder) == self)
            return true;
    return false;
}

void lock_watch_fork(uint32_t *word)
{
    *word = MARK_SEEN;
    fork_mark = word;
}

void lock_enter_child(void)
{
    if (atomic_get(fork_mark) == MARK_WIPED)
        enter_child();
    else
        set_all_free(); /* nothing was wiped, or it was seen to already; the child's one thread holds none */
}
