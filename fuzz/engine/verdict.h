/* What the heap must say of a misuse, and whether it did. */
#ifndef FUZZ_ENGINE_VERDICT_H
#define FUZZ_ENGINE_VERDICT_H

#include "call.h"

#include <stdbool.h>
#include <stddef.h>

/* Every kind that a wrong pointer can have, where only the heap knows which one is right. */
#define VERDICT_ANY_POINTER "double free|stale pointer|never allocated block|interior pointer|foreign pointer"

enum verdict_detail { DETAIL_ANY, DETAIL_NONE, DETAIL_BLOCK };

struct wanted {
    const char *kinds; /* with bars between them */
    const char *function;
    const void *address;
    unsigned thread; /* as the system numbers it */
    enum verdict_detail detail;
    size_t size; /* with DETAIL_BLOCK: what was asked for, with which alignment, and what the block has: */
    size_t alignment;
    size_t usable; /* realloc leaves a block that shrinks where it is */
};

/* The public function that a call enters, as reports name it. */
const char *verdict_function(enum function function);

/* NULL if the words are exactly the wanted line; else what is wrong with them. */
const char *verdict_of_words(const struct wanted *wanted, const char *words);

#endif
