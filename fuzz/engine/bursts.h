/* Records that are many calls at once: pages fill, empty, and go from thread to thread. */
#ifndef FUZZ_ENGINE_BURSTS_H
#define FUZZ_ENGINE_BURSTS_H

#include "input.h"

/* Many blocks of one size, into neighbouring slots. */
void burst_allocate(const struct record *record);
/* Every k-th block of a range, in one of three orders. */
void burst_free(const struct record *record);
/* A helper frees a range while the main thread takes and returns blocks of that size; one after the other without the input's flag. */
void burst_side_by_side(const struct record *record, unsigned flags);
/* One thread takes blocks, another (or the same) returns them: with frees by another thread, that is how a queue between two threads works.
 * The owner must hear of what came back before it asks the system for more. */
void burst_rounds(const struct record *record);

#endif
