/* The reference: which blocks are alive, where they lie and what they hold.
 *
 * Blocks live in numbered slots. An index sorted by address finds two blocks that overlap at the moment the second is handed out, not
 * only when its contents overwrite the first. Only the main thread uses this module. Every failed check ends the process: the engine
 * and the replay program keep the input. */
#ifndef FUZZ_ENGINE_LIVE_H
#define FUZZ_ENGINE_LIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LIVE_SLOTS = 4096 };

enum origin {
    ORIGIN_PLAIN, /* malloc, calloc, realloc, reallocarray: may be given to free_sized */
    ORIGIN_ALIGNED /* aligned_alloc: may be given to free_aligned_sized */,
    ORIGIN_OTHER
};

struct block {
    unsigned char *at; /* NULL: the slot is empty */
    size_t size;       /* as requested */
    size_t usable;     /* as malloc_usable_size said when the block was adopted; all of it holds the pattern */
    size_t alignment;  /* as promised */
    uint64_t number;   /* names the pattern */
    enum origin origin;
    bool is_scribbled; /* its owner wrote something else over the pattern */
};

/* Prints where the input stands and what is wrong, and aborts. */
_Noreturn void live_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Says what is being done, for live_fail. `what` must be a literal. */
void live_at(size_t record, const char *what);

/* Begins an input: nothing is alive. */
void live_begin(uint64_t seed);

/* From now on a block of calloc need not be zero: somebody may have written into it since. */
void live_turn_hostile(void);

/* The block in a slot, or NULL. Stays valid until the slot is forgotten. */
const struct block *live_block(unsigned slot);

/* Takes in a block that was just handed out: checks address, alignment, usable size, overlap and, if `zeroed`, the contents; then
 * fills it. The slot must be empty. `size` must be what was asked for. */
void live_adopt(unsigned slot, void *at, size_t size, size_t alignment, enum origin origin, bool zeroed);

/* The contents of a block are what they should be, and its usable size is what it was. */
void live_check(unsigned slot);

/* After a successful realloc of `old` (a copy, already forgotten): the contents came along to `at`. */
void live_check_moved(const struct block *old, const void *at, size_t size);

/* Takes a block out, since it is about to be freed or moved. Checks it first. Answers a copy. */
struct block live_forget(unsigned slot);

/* Puts back a block that was forgotten for a realloc that then failed. */
void live_restore(unsigned slot, const struct block *block);

void live_check_all(void);
size_t live_count(void);

/* The live blocks in order of their addresses, from 0; NULL behind the last. */
const struct block *live_at_place(size_t place);
/* The owner of a live block, an attacker himself, writes a word at its start. */
void live_scribble(size_t place, uint64_t word);
/* The live block at or round an address, or NULL. */
const struct block *live_covering(const void *address);
/* Whether a block that begins in [low, high) is alive since before `born_before`, which is a block's number. */
bool live_any_between(uintptr_t low, uintptr_t high, uint64_t born_before);

/* The sum of the sizes of all live blocks, as requested. */
size_t live_requested(void);

/* Bytes of memory that live blocks keep busy, as far as they are touched; and bytes filled and checked since live_begin. Both bound
 * what one input costs. */
size_t live_bytes(void);
uint64_t live_work(void);

#endif
