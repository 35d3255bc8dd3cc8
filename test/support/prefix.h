/* The names of the malloc family and of the C++ operators, each with moat_ in front.
 *
 * The test libraries are compiled with this header included before anything else, so that a test can use Moat's heap
 * (moat_malloc) beside the C library's (malloc), and so that a sanitizer keeps its own malloc.
 *
 * A declaration in a system header is renamed with the definition, so both still agree. What must not be renamed is an
 * attribute: sources write __attribute__((__malloc__)), never ((malloc)). Types are renamed too: here the result of
 * moat_mallinfo2() is a struct moat_mallinfo2, with the fields of struct mallinfo2. Names given to the compiler as strings
 * (asm labels, alias targets) are not renamed; the test config.prefixed_names finds those. */
#ifndef MOAT_TEST_SUPPORT_PREFIX_H
#define MOAT_TEST_SUPPORT_PREFIX_H

/* C */
#define malloc moat_malloc
#define calloc moat_calloc
#define realloc moat_realloc
#define free moat_free
#define reallocarray moat_reallocarray
#define aligned_alloc moat_aligned_alloc
#define posix_memalign moat_posix_memalign
#define memalign moat_memalign
#define valloc moat_valloc
#define pvalloc moat_pvalloc
#define malloc_usable_size moat_malloc_usable_size
#define free_sized moat_free_sized
#define free_aligned_sized moat_free_aligned_sized
#define memalignment moat_memalignment
#define cfree moat_cfree
#define malloc_trim moat_malloc_trim
#define mallopt moat_mallopt
#define mallinfo moat_mallinfo
#define mallinfo2 moat_mallinfo2
#define malloc_info moat_malloc_info
#define malloc_stats moat_malloc_stats

/* operator new, new[] */
#define _Znwm moat__Znwm
#define _Znam moat__Znam
#define _ZnwmRKSt9nothrow_t moat__ZnwmRKSt9nothrow_t
#define _ZnamRKSt9nothrow_t moat__ZnamRKSt9nothrow_t
#define _ZnwmSt11align_val_t moat__ZnwmSt11align_val_t
#define _ZnamSt11align_val_t moat__ZnamSt11align_val_t
#define _ZnwmSt11align_val_tRKSt9nothrow_t moat__ZnwmSt11align_val_tRKSt9nothrow_t
#define _ZnamSt11align_val_tRKSt9nothrow_t moat__ZnamSt11align_val_tRKSt9nothrow_t

/* operator delete, delete[] */
#define _ZdlPv moat__ZdlPv
#define _ZdaPv moat__ZdaPv
#define _ZdlPvm moat__ZdlPvm
#define _ZdaPvm moat__ZdaPvm
#define _ZdlPvRKSt9nothrow_t moat__ZdlPvRKSt9nothrow_t
#define _ZdaPvRKSt9nothrow_t moat__ZdaPvRKSt9nothrow_t
#define _ZdlPvSt11align_val_t moat__ZdlPvSt11align_val_t
#define _ZdaPvSt11align_val_t moat__ZdaPvSt11align_val_t
#define _ZdlPvmSt11align_val_t moat__ZdlPvmSt11align_val_t
#define _ZdaPvmSt11align_val_t moat__ZdaPvmSt11align_val_t
#define _ZdlPvSt11align_val_tRKSt9nothrow_t moat__ZdlPvSt11align_val_tRKSt9nothrow_t
#define _ZdaPvSt11align_val_tRKSt9nothrow_t moat__ZdaPvSt11align_val_tRKSt9nothrow_t

#endif
