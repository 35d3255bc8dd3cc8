/* lock.c - one futex word a lock: 0 free, 1 held, 2 held and somebody waits.
 *
 * The algorithm is the third mutex of U. Drepper, "Futexes Are Tricky". Waiting is bounded by the holder, which is inside
 * Moat and never waits for anything but the kernel.
 */
#include "os/lock.h"

#include "base/atomic.h"
#include "base/config.h"
#include "os/os.h"

static struct {
    uint32_t word;
} MOAT_ALIGNED(MOAT_CACHE_LINE) locks[LOCK_RANKS];

/* This thread is between fork's handlers. */
static MOAT_THREAD bool holds_all;

void lock_take(enum lock_rank rank)
{
    if (MOAT_UNLIKELY(holds_all))
        return;
    uint32_t *word = &locks[rank].word;
    uint32_t seen = 0;

    if (atomic_cas_acq_rel(word, &seen, 1))
        return;
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

void lock_drop(enum lock_rank rank)
{
    if (MOAT_UNLIKELY(holds_all))
        return;
    uint32_t *word = &locks[rank].word;
    if (__atomic_exchange_n(word, 0, __ATOMIC_RELEASE) == 2)
        os_wake(word, 1);
}

void lock_take_all(void)
{
    for (int rank = 0; rank < LOCK_RANKS; rank++)
        lock_take((enum lock_rank)rank);
    holds_all = true;
}

void lock_drop_all(void)
{
    holds_all = false;
    for (int rank = LOCK_RANKS; rank-- > 0;)
        lock_drop((enum lock_rank)rank);
}

void lock_reset_all(void)
{
    holds_all = false;
    for (int rank = 0; rank < LOCK_RANKS; rank++)
        atomic_set(&locks[rank].word, 0);
}
