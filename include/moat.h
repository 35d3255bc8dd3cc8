/* moat.h - the public interface of Moat, and its manual.
 *
 * Moat replaces the malloc family of the C library: preload libmoat.so or libmoat-secure.so, or link one of them, the
 * archive or moat.o. The family keeps the contracts of C17, C23 and glibc; what is Moat's own is said here.
 *
 * For all of them
 *   Alignment  every block is aligned to 16 bytes. In the plain build a power of two up to 4096 is aligned to itself.
 *   Errors     requests above PTRDIFF_MAX and products that overflow answer NULL with errno ENOMEM, as does running out
 *              of memory; an existing block is then untouched.
 *   Fatal      in a hardened build (SECURE_DOUBLE_FREE): any pointer handed to free, realloc or malloc_usable_size that
 *              is not a live block's start ends the process with one line on stderr and SIGABRT. In every build nothing
 *              is repaired or guessed.
 *   Threads    every function may be called by any thread at any time, also before constructors and after destructors.
 *   Signals    not async-signal-safe, as in every C library. A handler that allocates in the middle of malloc may end the
 *              process; it never gets a block twice in a hardened build.
 *   Fork       a child of fork, _Fork, vfork or clone can allocate and free at once.
 *   errno      changed only to report an error; free never changes it.
 *
 * malloc(0) answers a block of its own. realloc(p, 0) frees p and answers NULL, as glibc. aligned_alloc takes any power
 * of two (EINVAL otherwise) and any size; memalign rounds its alignment up to a power of two, as glibc; posix_memalign
 * answers EINVAL for an alignment that is not a power of two times sizeof(void *). malloc_usable_size answers bytes that
 * may all be used. malloc_trim answers 1 if memory was given back. mallopt answers 1 for known parameters, changing none.
 * free_sized, free_aligned_sized and the sized and aligned operators delete are fatal in a hardened build when the block
 * is smaller than the size, or not aligned as said.
 */
#ifndef MOAT_H
#define MOAT_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The version and the profile of the library in use, "0.1.0 plain" or "0.1.0 secure". Never NULL, never freed. */
const char *moat_version(void);

/* ---- First-class heaps ----
 *
 * A heap of a thread's own making: its blocks lie in pages of their own, and can be ended together. What holds for all of
 * the functions above holds for its blocks too.
 *
 *   Threads    the thread that made a heap is the only one that may name it in a call. Its blocks may be used, and freed by
 *              free(), by any thread. When the thread ends, its heaps are ended as by moat_heap_delete, after the first
 *              round of the destructors of thread-specific data, so that these may still use or end them.
 *   Fatal      in every build: a heap that another thread made, that has ended, that never was, or that is being visited;
 *              one line `moat: foreign heap in FUNCTION(): ...` and SIGABRT. A handle is no address and is never followed.
 *   Fork       the child has the heaps of the thread that forked. Those of other threads are lost to it; their blocks
 *              stay as they are.
 *   Cost       about 12 KiB a heap, more in a hardened build; heaps that have ended are used again. A heap with little in
 *              it holds at least a page of 64 KiB of addresses for each size class in use. At most 65,535 heaps.
 */
typedef struct moat_heap moat_heap_t;

/* An empty heap of the calling thread. NULL with ENOMEM when there is no memory, or the thread's own end is past. */
moat_heap_t *moat_heap_new(void);
/* As malloc, from the heap. NULL with ENOMEM when there is no memory. */
void *moat_heap_malloc(moat_heap_t *heap, size_t bytes);
/* Ends the heap and keeps its blocks: they live until they are freed. `heap` may be NULL. */
void moat_heap_delete(moat_heap_t *heap);

/* C23; declared here because older headers lack them. `block` may be NULL. The size (and alignment) are those of the
 * request that gave the block, or for a block of realloc the last size asked for. */
void free_sized(void *block, size_t bytes);
void free_aligned_sized(void *block, size_t alignment, size_t bytes);
/* The largest power of two that divides the address; 0 for NULL. */
size_t memalignment(const void *address);
/* free by an old name. */
void cfree(void *block);

#ifdef __cplusplus
}
#endif

#endif
