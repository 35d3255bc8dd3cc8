/* See verdict.h. */
#include "verdict.h"

#include "line.h"
#include "request.h"

#include <stdint.h>

enum { SMALL_LIMIT = 16 * 1024 };

const char *verdict_function(enum function function)
{
    switch (function) {
    case CALL_REALLOC:
        return "realloc";
    case CALL_REALLOCARRAY:
        return "reallocarray";
    case CALL_USABLE_SIZE:
        return "malloc_usable_size";
    case CALL_FREE:
        return "free";
    case CALL_CFREE:
        return "cfree";
    case CALL_FREE_SIZED:
        return "free_sized";
    case CALL_FREE_ALIGNED_SIZED:
        return "free_aligned_sized";
    default:
        return (function - CALL_DELETE) % 2 == 0 ? "operator delete" : "operator delete[]";
    }
}

static const char *wrong_detail(const struct wanted *wanted, const struct line *line)
{
    if (wanted->detail == DETAIL_ANY)
        return NULL;
    if (wanted->detail == DETAIL_NONE)
        return line->detail == LINE_UNKNOWN ? NULL : "the block cannot be known, and is told";
    if (line->detail == LINE_UNKNOWN)
        return "the block is not told";
    uint64_t limit = request_block_limit(wanted->size, wanted->alignment);
    if (line->detail == LINE_CLASS && wanted->size >= SMALL_LIMIT)
        return "a class is told, and the block is not small";
    if (line->detail == LINE_BYTES && limit < SMALL_LIMIT)
        return "no class is told, and the block is small";
    if (line->bytes < wanted->size || (line->bytes > limit && line->bytes > wanted->usable))
        return "another size is told";
    return NULL;
}

const char *verdict_of_words(const struct wanted *wanted, const char *words)
{
    struct line line;
    if (!line_read(words, &line))
        return "it is not one line of the promised form";
    if (!line_is_one_of(line.kind, wanted->kinds))
        return "another kind";
    if (!line_is_one_of(line.function, wanted->function))
        return "another function";
    if (line.address != (uintptr_t)wanted->address)
        return "another address";
    if (line.thread != wanted->thread)
        return "another thread";
    return wrong_detail(wanted, &line);
}
