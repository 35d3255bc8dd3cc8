/* See past.h. A ring. */
#include "past.h"

static struct past entries[PAST_MAX];
static size_t next, count;

void past_begin(void)
{
    next = count = 0;
}

void past_add(const struct block *block, uint64_t freed_at)
{
    entries[next] = (struct past){.block = *block, .freed_at = freed_at};
    next = (next + 1) % PAST_MAX;
    if (count < PAST_MAX)
        count++;
}

void past_take_back(const void *at)
{
    if (count > 0 && entries[(next + PAST_MAX - 1) % PAST_MAX].block.at == at) {
        next = (next + PAST_MAX - 1) % PAST_MAX;
        count--;
    }
}

size_t past_count(void)
{
    return count;
}

const struct past *past_entry(size_t number)
{
    return &entries[(next + 2 * PAST_MAX - 1 - number) % PAST_MAX];
}
