/* The blocks that were freed last, for targets that misuse them: what a dangling pointer would hold. */
#ifndef FUZZ_ENGINE_PAST_H
#define FUZZ_ENGINE_PAST_H

#include "live.h"

enum { PAST_MAX = 1024 };

struct past {
    struct block block;
    uint64_t freed_at; /* blocks with a lower number are older than its free */
};

void past_begin(void);
void past_add(const struct block *block, uint64_t freed_at);
/* The youngest entry was not freed after all. */
void past_take_back(const void *at);
size_t past_count(void);
/* The k-th youngest, from 0. */
const struct past *past_entry(size_t number);

#endif
