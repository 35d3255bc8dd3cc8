/* What a record asks the heap for, and what a correct heap may answer. */
#ifndef FUZZ_ENGINE_REQUEST_H
#define FUZZ_ENGINE_REQUEST_H

#include "call.h"
#include "input.h"
#include "live.h"

#include <stdbool.h>
#include <stddef.h>

/* Requests up to here must succeed; above, NULL with ENOMEM is an answer too. */
#define REQUEST_SURE_BYTES ((size_t)64 << 20)

unsigned record_slot(const struct record *record);
size_t record_size(const struct record *record);
/* A power of two up to 1 GiB, or something that must be refused or rounded. */
size_t record_alignment(const struct record *record);

/* Splits a record's size into count times each; an impossible one into a product that overflows to something small. */
void request_split(const struct record *record, struct call *call);
/* All bytes that the call asks for, SIZE_MAX if the product overflows. */
size_t request_bytes(const struct call *call);

/* Whether a call that was carried out answered with a block, after checks that it may have done either. */
bool request_succeeded(const struct call *call);
/* errno is as it was before the call. */
void request_check_errno(const struct call *call);

/* The alignment that the answer must have. What realloc answers may have stayed where it was: only that of every block. */
size_t request_alignment(const struct call *call);
enum origin request_origin(const struct call *call);

/* The most bytes of a block that serves such a request: a small class wastes at most an eighth and one step, or is the smallest; larger
 * blocks are whole OS pages, and realloc leaves a growing one a quarter of room. An aligned block may be of a class that has the
 * alignment. What realloc left where it was may be twice as large. */
size_t request_block_limit(size_t size, size_t alignment);

#endif
