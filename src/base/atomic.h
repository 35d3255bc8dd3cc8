/* atomic.h - the memory orders that Moat uses, in the name of each operation.
 *
 * Macros over the GNU builtins, since one name has to serve every width; each evaluates its arguments once. A field that
 * is reached by these is never touched plainly while a second thread can see it.
 */
#ifndef MOAT_BASE_ATOMIC_H
#define MOAT_BASE_ATOMIC_H

#define atomic_get(p) __atomic_load_n(p, __ATOMIC_RELAXED)
#define atomic_get_acquire(p) __atomic_load_n(p, __ATOMIC_ACQUIRE)
#define atomic_set(p, v) __atomic_store_n(p, v, __ATOMIC_RELAXED)
#define atomic_set_release(p, v) __atomic_store_n(p, v, __ATOMIC_RELEASE)
#define atomic_swap_acquire(p, v) __atomic_exchange_n(p, v, __ATOMIC_ACQUIRE)
#define atomic_add(p, v) __atomic_fetch_add(p, v, __ATOMIC_RELAXED)
/* Compare and swap; *expected receives what was found when they differ. */
#define atomic_cas_acq_rel(p, expected, v) \
    __atomic_compare_exchange_n(p, expected, v, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)
#define atomic_cas_strict(p, expected, v) \
    __atomic_compare_exchange_n(p, expected, v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)

/* A signal handler of this thread sees what stands before this as done, and what stands behind it as not yet. */
#define atomic_fence_for_handlers() __atomic_signal_fence(__ATOMIC_SEQ_CST)

#endif
