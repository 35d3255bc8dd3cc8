/* compiler.h - names for what the compilers offer beyond C17. */
#ifndef MOAT_BASE_COMPILER_H
#define MOAT_BASE_COMPILER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MOAT_LIKELY(x) __builtin_expect(!!(x), 1)
#define MOAT_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define MOAT_INLINE static inline __attribute__((always_inline))
#define MOAT_COLD __attribute__((cold, noinline))
#define MOAT_NOINLINE __attribute__((noinline))
#define MOAT_EXPORT __attribute__((visibility("default")))
#define MOAT_ALIGNED(n) __attribute__((aligned(n)))
/* One word in the thread block, reached without a call: the library is loaded at start, never by dlopen. */
#define MOAT_THREAD __thread __attribute__((tls_model("initial-exec")))

/* The compiler keeps this value in a register, and does not work it out anew, in another form, for each use. */
#define MOAT_IN_REGISTER(value) __asm__("" : "+r"(value))

#define MOAT_STATIC_ASSERT(condition, text) _Static_assert(condition, text)

/* What we can prove; checked in debug builds only. */
#ifdef MOAT_DEBUG
#define MOAT_ASSERT(condition) ((condition) ? (void)0 : __builtin_trap())
#else
#define MOAT_ASSERT(condition) ((void)0)
#endif

#endif
