/* The malloc family as tests call it.
 *
 * Tests use the prefixed names (moat_malloc) of the static test library, beside the C library's own heap. Compiled with
 * TEST_REAL_NAMES the same tests use the ordinary names, so that they can run under LD_PRELOAD of the built library,
 * and under the C library alone, which shows that a test does not ask for more than an ordinary heap gives. What the C
 * library lacks is weak there: check the address first.
 */
#ifndef TEST_SUPPORT_FAMILY_H
#define TEST_SUPPORT_FAMILY_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include <dlfcn.h>
#include <malloc.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef TEST_REAL_NAMES

#define moat_malloc malloc
#define moat_calloc calloc
#define moat_realloc realloc
#define moat_free free
#define moat_reallocarray reallocarray
#define moat_aligned_alloc aligned_alloc
#define moat_posix_memalign posix_memalign
#define moat_memalign memalign
#define moat_valloc valloc
#define moat_pvalloc pvalloc
#define moat_malloc_usable_size malloc_usable_size
#define moat_malloc_trim malloc_trim
#define moat_mallopt mallopt
#define moat_mallinfo mallinfo
#define moat_mallinfo2 mallinfo2
#define moat_malloc_info malloc_info
#define moat_malloc_stats malloc_stats
#define moat_cfree cfree
#define moat_free_sized free_sized
#define moat_free_aligned_sized free_aligned_sized
#define moat_memalignment memalignment
#define moat__Znwm _Znwm
#define moat__Znam _Znam
#define moat__ZnwmRKSt9nothrow_t _ZnwmRKSt9nothrow_t
#define moat__ZnamRKSt9nothrow_t _ZnamRKSt9nothrow_t
#define moat__ZnwmSt11align_val_t _ZnwmSt11align_val_t
#define moat__ZnamSt11align_val_t _ZnamSt11align_val_t
#define moat__ZnwmSt11align_val_tRKSt9nothrow_t _ZnwmSt11align_val_tRKSt9nothrow_t
#define moat__ZnamSt11align_val_tRKSt9nothrow_t _ZnamSt11align_val_tRKSt9nothrow_t
#define moat__ZdlPv _ZdlPv
#define moat__ZdaPv _ZdaPv
#define moat__ZdlPvm _ZdlPvm
#define moat__ZdaPvm _ZdaPvm
#define moat__ZdlPvRKSt9nothrow_t _ZdlPvRKSt9nothrow_t
#define moat__ZdaPvRKSt9nothrow_t _ZdaPvRKSt9nothrow_t
#define moat__ZdlPvSt11align_val_t _ZdlPvSt11align_val_t
#define moat__ZdaPvSt11align_val_t _ZdaPvSt11align_val_t
#define moat__ZdlPvmSt11align_val_t _ZdlPvmSt11align_val_t
#define moat__ZdaPvmSt11align_val_t _ZdaPvmSt11align_val_t
#define moat__ZdlPvSt11align_val_tRKSt9nothrow_t _ZdlPvSt11align_val_tRKSt9nothrow_t
#define moat__ZdaPvSt11align_val_tRKSt9nothrow_t _ZdaPvSt11align_val_tRKSt9nothrow_t
#define FAMILY_OPTIONAL __attribute__((weak))

#else

void *moat_malloc(size_t size);
void *moat_calloc(size_t count, size_t size);
void *moat_realloc(void *block, size_t size);
void moat_free(void *block);
void *moat_reallocarray(void *block, size_t count, size_t size);
void *moat_aligned_alloc(size_t alignment, size_t size);
int moat_posix_memalign(void **out, size_t alignment, size_t size);
void *moat_memalign(size_t alignment, size_t size);
void *moat_valloc(size_t size);
void *moat_pvalloc(size_t size);
size_t moat_malloc_usable_size(void *block);
int moat_malloc_trim(size_t pad);
int moat_mallopt(int parameter, int value);
struct mallinfo moat_mallinfo(void);
struct mallinfo2 moat_mallinfo2(void);
int moat_malloc_info(int options, FILE *stream);
void moat_malloc_stats(void);
#define FAMILY_OPTIONAL

#endif

void moat_cfree(void *block) FAMILY_OPTIONAL;
void moat_free_sized(void *block, size_t size) FAMILY_OPTIONAL;
void moat_free_aligned_sized(void *block, size_t alignment, size_t size) FAMILY_OPTIONAL;
size_t moat_memalignment(const void *address) FAMILY_OPTIONAL;

/* The operators by their mangled names. `nothrow` is a reference to an empty object: any address will do. */
void *moat__Znwm(size_t size);
void *moat__Znam(size_t size);
void *moat__ZnwmRKSt9nothrow_t(size_t size, const void *nothrow);
void *moat__ZnamRKSt9nothrow_t(size_t size, const void *nothrow);
void *moat__ZnwmSt11align_val_t(size_t size, size_t alignment);
void *moat__ZnamSt11align_val_t(size_t size, size_t alignment);
void *moat__ZnwmSt11align_val_tRKSt9nothrow_t(size_t size, size_t alignment, const void *nothrow);
void *moat__ZnamSt11align_val_tRKSt9nothrow_t(size_t size, size_t alignment, const void *nothrow);
void moat__ZdlPv(void *block);
void moat__ZdaPv(void *block);
void moat__ZdlPvm(void *block, size_t size);
void moat__ZdaPvm(void *block, size_t size);
void moat__ZdlPvRKSt9nothrow_t(void *block, const void *nothrow);
void moat__ZdaPvRKSt9nothrow_t(void *block, const void *nothrow);
void moat__ZdlPvSt11align_val_t(void *block, size_t alignment);
void moat__ZdaPvSt11align_val_t(void *block, size_t alignment);
void moat__ZdlPvmSt11align_val_t(void *block, size_t size, size_t alignment);
void moat__ZdaPvmSt11align_val_t(void *block, size_t size, size_t alignment);
void moat__ZdlPvSt11align_val_tRKSt9nothrow_t(void *block, size_t alignment, const void *nothrow);
void moat__ZdaPvSt11align_val_tRKSt9nothrow_t(void *block, size_t alignment, const void *nothrow);

#ifdef TEST_REAL_NAMES
/* A library that could not be preloaded must not pass its tests on the C library's heap: with MOAT_TEST_PRELOADED set,
 * this program's own calls of malloc have to arrive in a file of that name. */
__attribute__((constructor)) static void family_check_binding(void)
{
    const char *wanted = getenv("MOAT_TEST_PRELOADED");
    Dl_info information;
    if (wanted == NULL)
        return;
    if (dladdr((void *)(uintptr_t)&malloc, &information) == 0 || strstr(information.dli_fname, wanted) == NULL) {
        printf("malloc does not come from %s\n", wanted);
        exit(1);
    }
}
#endif

/* Whether Moat answers, or the C library as a control. What only Moat promises is checked only there. */
static inline bool family_is_moat(void)
{
#ifdef TEST_REAL_NAMES
    return dlsym(RTLD_DEFAULT, "moat_version") != NULL;
#else
    return true;
#endif
}

/* A value whose origin the compiler has forgotten: no call is folded away, and no warning about what a test does on
 * purpose. */
static inline void *family_launder(void *block)
{
    __asm__ volatile("" : "+r"(block) : : "memory");
    return block;
}

/* Whether a function of the family is there at all: see the weak ones above. */
#define FAMILY_HAS(function) (family_launder((void *)(uintptr_t)&function) != NULL)

static inline size_t family_launder_size(size_t size)
{
    __asm__ volatile("" : "+r"(size));
    return size;
}

#endif
