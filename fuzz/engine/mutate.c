/* Changes inputs as what they are, lists of records: an engine that inserts a byte would give all that follows another meaning.
 *
 * libFuzzer calls it in the target, afl-fuzz in a library of its own; both keep their mutations of bytes for a part of the tries. Nothing here
 * knows a target: the numbers of operations and sizes are drawn from all that there may be, or come from records that are there. */
#include "input.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { MOVES_MOST = 4, WINDOW_MOST = 16, PERCENT_BYTES = 20 };

/* libFuzzer's own mutation; AFL++ has none to offer. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size) __attribute__((weak));
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);
void *afl_custom_init(void *engine, unsigned seed);
size_t afl_custom_fuzz(void *state, uint8_t *data, size_t size, uint8_t **out, uint8_t *other, size_t other_size,
                       size_t max_size);
void afl_custom_deinit(void *state);

struct list {
    uint8_t *data;
    size_t count; /* of records, the header included */
    size_t most;
    uint64_t random;
};

static uint32_t draw(struct list *list, uint32_t below)
{
    list->random += 0x9e3779b97f4a7c15u;
    uint64_t mixed = list->random;
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9u;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebu;
    return (uint32_t)((((mixed ^ (mixed >> 31)) >> 32) * below) >> 32);
}

static uint8_t *record_at(const struct list *list, size_t number)
{
    return list->data + number * RECORD_BYTES;
}

/* Any record but the header. There is one. */
static size_t some_record(struct list *list)
{
    return 1 + draw(list, (uint32_t)list->count - 1);
}

/* Makes room for `count` records in front of `at`; fewer where the input is full. Their bytes are left as they are. */
static size_t make_room(struct list *list, size_t at, size_t count)
{
    if (count > list->most - list->count)
        count = list->most - list->count;
    memmove(record_at(list, at + count), record_at(list, at), (list->count - at) * RECORD_BYTES);
    list->count += count;
    return count;
}

static void draw_record(struct list *list, uint8_t *out)
{
    for (size_t i = 0; i < RECORD_BYTES; i++)
        out[i] = (uint8_t)draw(list, 256);
    if (draw(list, 4) != 0) /* most threads are few, most numbers small */
        out[0] &= 0x7f;
    if (draw(list, 2) == 0)
        out[4] = out[6] = out[7] = 0;
}

static void insert_new(struct list *list)
{
    size_t at = some_record(list), count = make_room(list, at, 1 + draw(list, 3));
    for (size_t i = 0; i < count; i++)
        draw_record(list, record_at(list, at + i));
}

/* Plays a part again, there or elsewhere. */
static void insert_copy(struct list *list)
{
    uint8_t window[WINDOW_MOST * RECORD_BYTES];
    size_t from = some_record(list), count = 1 + draw(list, WINDOW_MOST);
    if (count > list->count - from)
        count = list->count - from;
    memcpy(window, record_at(list, from), count * RECORD_BYTES);
    size_t at = some_record(list);
    count = make_room(list, at, count);
    memcpy(record_at(list, at), window, count * RECORD_BYTES);
}

static void drop(struct list *list)
{
    size_t from = some_record(list), count = 1 + draw(list, draw(list, 4) == 0 ? WINDOW_MOST : 2);
    if (count > list->count - from)
        count = list->count - from;
    if (list->count - count < 2)
        return;
    memmove(record_at(list, from), record_at(list, from + count), (list->count - from - count) * RECORD_BYTES);
    list->count -= count;
}

static void swap(struct list *list)
{
    uint8_t saved[RECORD_BYTES], *one = record_at(list, some_record(list)), *other = record_at(list, some_record(list));
    memcpy(saved, one, RECORD_BYTES);
    memcpy(one, other, RECORD_BYTES);
    memcpy(other, saved, RECORD_BYTES);
}

/* Two records come to speak of the same block, size or thread. */
static void share_field(struct list *list)
{
    uint8_t *to = record_at(list, some_record(list));
    const uint8_t *from = record_at(list, some_record(list));
    switch (draw(list, 4)) {
    case 0: /* slot */
        to[1] = from[1];
        to[2] = (uint8_t)((to[2] & 0x3f) | (from[2] & 0xc0));
        break;
    case 1: /* size */
        to[2] = (uint8_t)((to[2] & 0xc0) | (from[2] & 0x3f));
        memcpy(to + 3, from + 3, RECORD_BYTES - 3);
        break;
    case 2: /* thread */
        to[0] = (uint8_t)((to[0] & 0x3f) | (from[0] & 0xc0));
        break;
    default: /* operation */
        to[0] = (uint8_t)((to[0] & 0xc0) | (from[0] & 0x3f));
        break;
    }
}

static void change_bytes(struct list *list)
{
    size_t number = draw(list, 8) == 0 ? 0 : some_record(list);
    uint8_t *at = record_at(list, number) + draw(list, RECORD_BYTES);
    switch (draw(list, 3)) {
    case 0:
        *at = (uint8_t)draw(list, 256);
        break;
    case 1:
        *at ^= (uint8_t)(1u << draw(list, 8));
        break;
    default:
        *at = (uint8_t)(*at + draw(list, 9) - 4);
        break;
    }
}

static void change(struct list *list)
{
    static void (*const moves[])(struct list *) = {change_bytes, change_bytes, change_bytes, share_field, share_field,
                                                   insert_copy,  insert_new,   drop,         swap};
    unsigned count = 1 + draw(list, MOVES_MOST);
    for (unsigned i = 0; i < count; i++)
        moves[draw(list, sizeof(moves) / sizeof(moves[0]))](list);
}

/* Changes an input in place and answers its new size. `data` has room for `max_size` bytes, which are two records at least. */
static size_t mutate(uint8_t *data, size_t size, size_t max_size, uint64_t seed)
{
    struct list list = {.data = data, .count = size / RECORD_BYTES, .most = max_size / RECORD_BYTES, .random = seed};
    while (list.count < 2)
        draw_record(&list, record_at(&list, list.count++));
    change(&list);
    return list.count * RECORD_BYTES;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    bool may_mutate_bytes = LLVMFuzzerMutate != NULL && size > 0;
    if (max_size < 2 * RECORD_BYTES || (may_mutate_bytes && seed % 100 < PERCENT_BYTES))
        return may_mutate_bytes ? LLVMFuzzerMutate(data, size, max_size) : size;
    return mutate(data, size, max_size, seed);
}

struct state {
    uint64_t random;
    size_t room;
    uint8_t *buffer;
};

void *afl_custom_init(void *engine, unsigned seed)
{
    (void)engine;
    struct state *state = calloc(1, sizeof(*state));
    if (state != NULL)
        state->random = seed;
    return state;
}

/* `other` is another input of the corpus: sometimes its end is put in place of this one's. 0 where nothing can be made. */
size_t afl_custom_fuzz(void *argument, uint8_t *data, size_t size, uint8_t **out, uint8_t *other, size_t other_size,
                       size_t max_size)
{
    struct state *state = argument;
    if (max_size < 2 * RECORD_BYTES)
        return 0;
    if (state->room < max_size) {
        uint8_t *more = realloc(state->buffer, max_size);
        if (more == NULL)
            return 0;
        state->buffer = more;
        state->room = max_size;
    }
    size = size < max_size ? size : max_size;
    memcpy(state->buffer, data, size);
    struct list list = {.data = state->buffer, .random = ++state->random};
    if (other != NULL && other_size >= 2 * RECORD_BYTES && size >= 2 * RECORD_BYTES && draw(&list, 8) == 0) {
        size_t kept = (1 + draw(&list, (uint32_t)(size / RECORD_BYTES) - 1)) * RECORD_BYTES;
        size_t from = (1 + draw(&list, (uint32_t)(other_size / RECORD_BYTES) - 1)) * RECORD_BYTES;
        size_t more = other_size - from < max_size - kept ? other_size - from : max_size - kept;
        memcpy(state->buffer + kept, other + from, more);
        size = kept + more;
    }
    *out = state->buffer;
    return mutate(state->buffer, size, max_size, state->random * 0x9e3779b97f4a7c15u);
}

void afl_custom_deinit(void *argument)
{
    struct state *state = argument;
    free(state->buffer);
    free(state);
}
