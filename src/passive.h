/* passive.h - beside another malloc.
 *
 * A program may bring a malloc of its own (browsers, language runtimes), and another preloaded library may have one. Then
 * the loader binds malloc and free there, and only what that malloc lacks arrives here: reallocarray, an aligned operator
 * new, a call through RTLD_NEXT. A heap of ours that served those would hand out blocks that the other one frees. So Moat
 * is passive: every function does what the program would have got without this library. Decided once, before the first
 * block, and kept in read-only memory.
 *
 * C++ operators likewise, also in a process that is not passive: a program that replaces operator new and delete counts on
 * the C++ library's other forms of them, which call those two. Then the other forms are left to the C++ library.
 */
#ifndef MOAT_PASSIVE_H
#define MOAT_PASSIVE_H

#include "fixed.h"

/* Functions of the program or its libraries behind us: what a call would reach without this library. */
enum elsewhere {
    ELSEWHERE_MALLOC,
    ELSEWHERE_CALLOC,
    ELSEWHERE_REALLOC,
    ELSEWHERE_FREE,
    ELSEWHERE_REALLOCARRAY,
    ELSEWHERE_MEMALIGN,
    ELSEWHERE_USABLE_SIZE,
    ELSEWHERE_TRIM,
    ELSEWHERE_MALLOPT,
    /* operators new and delete, by their mangled names */
    ELSEWHERE_Znwm,
    ELSEWHERE_Znam,
    ELSEWHERE_ZnwmRKSt9nothrow_t,
    ELSEWHERE_ZnamRKSt9nothrow_t,
    ELSEWHERE_ZnwmSt11align_val_t,
    ELSEWHERE_ZnamSt11align_val_t,
    ELSEWHERE_ZnwmSt11align_val_tRKSt9nothrow_t,
    ELSEWHERE_ZnamSt11align_val_tRKSt9nothrow_t,
    ELSEWHERE_ZdlPv,
    ELSEWHERE_ZdaPv,
    ELSEWHERE_ZdlPvRKSt9nothrow_t,
    ELSEWHERE_ZdaPvRKSt9nothrow_t,
    ELSEWHERE_ZdlPvm,
    ELSEWHERE_ZdaPvm,
    ELSEWHERE_ZdlPvSt11align_val_t,
    ELSEWHERE_ZdaPvSt11align_val_t,
    ELSEWHERE_ZdlPvSt11align_val_tRKSt9nothrow_t,
    ELSEWHERE_ZdaPvSt11align_val_tRKSt9nothrow_t,
    ELSEWHERE_ZdlPvmSt11align_val_t,
    ELSEWHERE_ZdaPvmSt11align_val_t,
    ELSEWHERE_COUNT
};

/* An OS page of its own, read-only once it is filled, and untouched in a process that needs none of it. */
union elsewhere_page {
    void *function[ELSEWHERE_COUNT];
    unsigned char page[MOAT_OS_PAGE];
};
extern union elsewhere_page moat_elsewhere;

/* At start, with moat_fixed open: fills in its is_passive and has_other_operators. True if another malloc comes first; then
 * moat_fixed is sealed, and everything is forwarded from now on. */
bool passive_start(void);

MOAT_INLINE bool passive_is_on(void)
{
    return moat_fixed.is.is_passive;
}

/* The C++ library's form of an operator, if that one is to be used; else NULL. */
MOAT_INLINE void *passive_operator(enum elsewhere which)
{
    return MOAT_UNLIKELY(moat_fixed.is.has_other_operators) ? moat_elsewhere.function[which] : NULL;
}

/* For a passive process only. Each answers and sets errno as the other function does. */
void *passive_malloc(size_t bytes);
void *passive_calloc(size_t count, size_t bytes);
void *passive_realloc(void *block, size_t bytes);
void *passive_reallocarray(void *block, size_t count, size_t bytes);
/* `alignment` is a power of two. */
void *passive_aligned(size_t alignment, size_t bytes);
void passive_free(void *block);
size_t passive_usable(const void *block);
bool passive_trim(void);
int passive_mallopt(int parameter, int value);

#endif
