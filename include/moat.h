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
 *   Fork       a child of fork, _Fork, vfork or clone can allocate and free at once. Only where a signal handler forked in
 *              the middle of a call of this heap may that call end the child.
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
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The version and the profile of the library in use, "0.1.0 plain" or "0.1.0 secure". Never NULL, never freed. */
const char *moat_version(void);

/* ---- First-class heaps ----
 *
 * A heap of a thread's own making. Its blocks lie in pages of their own and can all be ended at once. What is said above
 * holds for them too: sizes, alignment, errors, what is fatal.
 *
 *   Threads    only the thread that made a heap may name it in a call. Its blocks may be used, and freed by free(), by any
 *              thread, also when the heap or the thread is gone. At the thread's end its heaps are ended as by
 *              moat_heap_delete, after the first round of destructors of thread-specific data: these may still use or end
 *              them.
 *   Fatal      in every build, with one line `moat: foreign heap in FUNCTION(): ...` and SIGABRT: a heap that another thread
 *              made, that has ended, that is being visited, or that never was. A handle is no address and is never
 *              followed; NULL is no heap, and only ending it is allowed.
 *   Fork       the child has the heaps of the thread that forked, and their blocks. Heaps of other threads are lost to
 *              it; their blocks stay as they are.
 *   Cost       4 KiB of memory a heap, and as much, with 64 KiB of addresses, for each size class that it uses. A call takes
 *              some 20 instructions more than malloc, a free by the heap's maker some 40 more than a free of a block of
 *              its own. What has ended is used again. At most 65,535 heaps at a time, some 17,000 in a hardened build, and
 *              fewer in a small cage.
 */
typedef struct moat_heap moat_heap_t;

/* An empty heap of the calling thread. NULL with ENOMEM when there is no memory, when the thread's own end is past, and in a
 * process whose heap is another malloc's, where Moat is passive. */
moat_heap_t *moat_heap_new(void);

/* As malloc, calloc and aligned_alloc (EINVAL for an alignment that is no power of two), from the heap. */
void *moat_heap_malloc(moat_heap_t *heap, size_t bytes);
void *moat_heap_calloc(moat_heap_t *heap, size_t count, size_t bytes);
void *moat_heap_aligned_alloc(moat_heap_t *heap, size_t alignment, size_t bytes);
/* As realloc, of any block of Moat's, whatever heap it is from: what it answers belongs to `heap`. (The answer of realloc
 * for a heap's block may stay in that heap or belong to the calling thread.) */
void *moat_heap_realloc(moat_heap_t *heap, void *block, size_t bytes);

/* Ends the heap and keeps its blocks: they live on until each is freed. `heap` may be NULL. errno is kept. */
void moat_heap_delete(moat_heap_t *heap);

/* Ends the heap and all its blocks, whoever holds them. `heap` may be NULL. errno is kept. Every call of another thread that
 * frees one of them must have returned before; in a hardened build (SECURE_DOUBLE_FREE) one that has not is accepted or
 * fatal, elsewhere the heap is then undefined. Later, to free such a block is what a second free is: fatal in a
 * hardened build, as `double free`, `stale pointer` or `never allocated block`, as long as its place was not handed out
 * again. Takes a step for each page, and for each 64 KiB of addresses between the heap's medium blocks. */
void moat_heap_destroy(moat_heap_t *heap);

/* Calls visit(block, usable bytes, argument) for each block of the heap that is in use, until it answers false; answers false
 * then, else true. `visit` may free the block that it is shown, and do anything with other heaps; it may not name this one,
 * and has to return. Blocks that are freed meanwhile may still be shown. */
bool moat_heap_visit_blocks(moat_heap_t *heap, bool (*visit)(void *block, size_t bytes, void *argument),
                            void *argument);

/* ---- Questions ---- */

/* True if the address lies in memory that Moat has handed out or has ready to: in a page of blocks, used or free, or in a
 * live block of more than 16 KiB. For any address whatever; never fatal. Slow outside the small and medium sizes. */
bool moat_is_in_heap(const void *address);
/* malloc_usable_size by a name of its own. */
size_t moat_usable_size(const void *block);
/* The largest request that takes a block as large as one for `bytes` does. A number that cannot be served is answered as it
 * is. */
size_t moat_good_size(size_t bytes);

/* Gives back to the system what the calling thread and its heaps keep without need, and what lies ready for all threads.
 * True if there was any. The same as malloc_trim. */
bool moat_collect(void);

/* How much is in use, counted at the call. A block counts as what it has, not as what was asked for. What other threads do
 * meanwhile may be counted or not. In the plain build the blocks of the list that another thread allocates from next,
 * at most a page's for each size class and thread, count as in use. */
struct moat_stats {
    size_t bytes;        /* in: sizeof(struct moat_stats); out: as many of them as this library knows */
    size_t page_bytes;   /* of pages of small blocks and of medium blocks (16 KiB to 1 MiB) in use */
    size_t live_bytes;   /* of these, in the program's hands */
    size_t free_blocks;  /* small ones that were used before and are not */
    size_t large_blocks; /* above 1 MiB, in the program's hands, */
    size_t large_bytes;  /* and their bytes */
    size_t thread_heaps; /* of threads that have allocated and have not ended; in a fork's child its parent's too, */
    size_t heaps;        /* as those of moat_heap_new that have not ended */
    size_t degraded;     /* protections that were not there as they should be, as `moat status` counts them */
};

/* Fills in *stats, as far as its `bytes` reach, and sets `bytes`; members that a later version adds come at the end. False, and
 * nothing done, if `bytes` is less than what stands here. Takes a step for each 64 KiB of addresses that were ever used, and
 * in a hardened build 256 more for each page in use. */
bool moat_stats_get(struct moat_stats *stats);
/* What Moat counts all along, for index 0 and up: the words of `moat: stats:` and `moat status`, which stay as they are for
 * the life of the process, and the count. False behind the last. An index means the same in one build of Moat only. */
bool moat_stats_counter(unsigned index, const char **words, uint64_t *count);

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
