/* Fill and check patterns: see pattern.h. */
#include "pattern.h"

#include <string.h>

enum {
    END_BYTES = 256,
    STEP_BYTES = 4096,
    SAMPLE_BYTES = 16,
    ZERO_WHOLE_BYTES = 256 * 1024,
    HUGE_BYTES = 64 * 1024 * 1024
};

typedef size_t range_visitor(unsigned char *block, size_t from, size_t to, uint64_t number);

static inline uint64_t word_at(uint64_t number, size_t word)
{
    uint64_t value = (number + 1) * 0x9e3779b97f4a7c15u + (uint64_t)word * 0xd6e8feb86659fd93u;
    return value ^ (value >> 29);
}

static inline unsigned char byte_at(uint64_t number, size_t offset)
{
    return (unsigned char)(word_at(number, offset / 8) >> (offset % 8 * 8));
}

static size_t fill_range(unsigned char *block, size_t from, size_t to, uint64_t number)
{
    size_t offset = from;
    for (; offset < to && offset % 8 != 0; offset++)
        block[offset] = byte_at(number, offset);
    for (; to - offset >= 8; offset += 8) {
        uint64_t word = word_at(number, offset / 8);
        /* As the compiler knows it: in these programs memcpy is a call, which an engine may watch. */
        __builtin_memcpy(block + offset, &word, sizeof(word));
    }
    for (; offset < to; offset++)
        block[offset] = byte_at(number, offset);
    return SIZE_MAX;
}

static size_t check_range(unsigned char *block, size_t from, size_t to, uint64_t number)
{
    size_t offset = from;
    while (offset < to) {
        if (offset % 8 == 0 && to - offset >= 8) {
            uint64_t word;
            __builtin_memcpy(&word, block + offset, sizeof(word));
            if (word == word_at(number, offset / 8)) {
                offset += 8;
                continue;
            }
        }
        if (block[offset] != byte_at(number, offset))
            return offset;
        offset++;
    }
    return SIZE_MAX;
}

static size_t zero_range(unsigned char *block, size_t from, size_t to, uint64_t number)
{
    (void)number;
    static const unsigned char zeroes[STEP_BYTES];
    for (size_t offset = from; offset < to; offset += STEP_BYTES) {
        size_t bytes = to - offset < STEP_BYTES ? to - offset : STEP_BYTES;
        if (memcmp(block + offset, zeroes, bytes) == 0)
            continue;
        while (block[offset] == 0)
            offset++;
        return offset;
    }
    return SIZE_MAX;
}

static size_t visit_clipped(range_visitor *visit, unsigned char *block, size_t from, size_t to, size_t limit,
                            uint64_t number)
{
    if (to > limit)
        to = limit;
    return from < to ? visit(block, from, to, number) : SIZE_MAX;
}

/* Visits what pattern_fill writes in a block of `bytes` at `filled_at`, as far as it lies below `limit`. Stops at the first visitor
 * that does not answer SIZE_MAX. */
static size_t visit_ranges(range_visitor *visit, unsigned char *block, uintptr_t filled_at, size_t bytes, size_t limit,
                           uint64_t number)
{
    if (bytes <= PATTERN_WHOLE_BYTES)
        return visit_clipped(visit, block, 0, bytes, limit, number);
    size_t wrong = visit_clipped(visit, block, 0, END_BYTES, limit, number);
    /* The step grows with the block, since a sample costs a page fault; in huge ones it may populate 2 MiB. */
    size_t samples = bytes > HUGE_BYTES ? 8 : 128, step = STEP_BYTES;
    while (bytes / step > samples)
        step *= 2;
    size_t first = (step - filled_at % step) % step;
    for (size_t offset = first; wrong == SIZE_MAX && offset < bytes - END_BYTES && offset < limit; offset += step)
        if (offset >= END_BYTES)
            wrong = visit_clipped(visit, block, offset, offset + SAMPLE_BYTES, limit, number);
    if (wrong == SIZE_MAX)
        wrong = visit_clipped(visit, block, bytes - END_BYTES, bytes, limit, number);
    return wrong;
}

void pattern_fill(unsigned char *block, size_t bytes, uint64_t number)
{
    visit_ranges(fill_range, block, (uintptr_t)block, bytes, bytes, number);
}

size_t pattern_check(const unsigned char *block, size_t bytes, uintptr_t filled_at, size_t filled_bytes,
                     uint64_t number)
{
    return visit_ranges(check_range, (unsigned char *)(uintptr_t)block, filled_at, filled_bytes, bytes, number);
}

size_t pattern_zero_check(const unsigned char *block, size_t bytes)
{
    unsigned char *at = (unsigned char *)(uintptr_t)block;
    if (bytes <= ZERO_WHOLE_BYTES)
        return zero_range(at, 0, bytes, 0);
    return visit_ranges(zero_range, at, (uintptr_t)block, bytes, bytes, 0);
}
