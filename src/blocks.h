/* blocks.h - the slow halves of the malloc family: any size, any owner, any pointer. `function` is the public function
 * that was called, for reports.
 */
#ifndef MOAT_BLOCKS_H
#define MOAT_BLOCKS_H

#include "base/compiler.h"

struct heap;

/* What malloc does when its list is empty or the request is not small. NULL and ENOMEM when there is no memory.
 * *is_zeroed: in, the caller clears the block unless it reads zero; out, all of it does. */
void *blocks_malloc(size_t bytes, bool *is_zeroed, const char *function);
/* The same in a heap that the calling thread owns. */
void *blocks_malloc_in(struct heap *heap, size_t bytes, bool *is_zeroed, const char *function);
/* `alignment` is a power of two. */
void *blocks_aligned(size_t alignment, size_t bytes, const char *function);
void *blocks_aligned_in(struct heap *heap, size_t alignment, size_t bytes, const char *function);
/* A free that the fast path could not do: NULL, another thread's, medium, large, foreign, wrong. */
void blocks_free(void *block, const char *function);
/* Any free, by its fast path if that serves. */
void blocks_free_any(void *block, const char *function);
/* The bytes that may be used at `block`; 0 for NULL and for a foreign pointer that is left alone. */
size_t blocks_usable(const void *block, const char *function);
/* realloc of a block that is not NULL to a size that is not 0. */
void *blocks_realloc(void *block, size_t bytes, const char *function);
/* The same with an answer in that heap, one of the calling thread's first-class heaps. */
void *blocks_realloc_in(struct heap *into, void *block, size_t bytes, const char *function);
/* A sized or aligned free: dies if the block cannot have been made with these numbers. */
void blocks_check_sized(const void *block, size_t alignment, size_t bytes, const char *function);
/* malloc took a block off a list and it is not free. */
_Noreturn void blocks_die_of_list(const void *block, const char *function);
/* True if the address lies in a page in use, or in a live large block. */
bool blocks_has(const void *address);
/* The most that can be asked for and takes a block as large as one for `bytes`. */
size_t blocks_good_size(size_t bytes);
/* Gives memory back to the system. True if there was any. */
bool blocks_trim(void);

#endif
