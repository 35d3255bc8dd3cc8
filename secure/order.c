/* order.c - the cold half of order.h. */
#include "secure/order.h"

#include "base/bits.h"

#include <string.h>

#if MOAT_SECURE_RANDOM_ORDER

static uint64_t draw_word(struct sec_desk *desk)
{
    uint64_t word = 0;
    while (!random_stream_pop(&desk->stream, &word))
        random_stream_refill(&desk->stream);
    return word;
}

/* Puts `count` entries, 32 at most, in an order drawn among all orders. Each step takes its choice from the word's top and
 * keeps the rest. One word is enough for the last 16, since 16! is below 2^45, and for eight steps before: 2^40. So the
 * bias is below 2^-19. */
static void shuffle(struct sec_desk *desk, void **entries, unsigned count)
{
    uint64_t word = draw_word(desk);
    for (unsigned left = count; left > 1; left--) {
        unsigned __int128 product = (unsigned __int128)word * left;
        unsigned chosen = (unsigned)(product >> 64);
        void *entry = entries[left - 1];
        entries[left - 1] = entries[chosen];
        entries[chosen] = entry;
        word = left > 16 && left % 8 == 1 ? draw_word(desk) : (uint64_t)product;
    }
}

static void **stack_of(struct sec_magazine *magazine)
{
    return magazine->reserve + magazine->places + SEC_BELOW;
}

static unsigned stack_count(const struct sec_shelf *shelf, unsigned class)
{
    void **top = shelf->desk->slot[class].top;
    return top ? (unsigned)(top + 1 - stack_of(sec_magazine_of(shelf, class))) : 0;
}

/* `end` is the place above the top. */
static void set_stack_end(struct sec_slot *slot, void **end)
{
    slot->top = end - 1;
    slot->next = end[-1];
}

/* Where the next block is pushed. A handler that interrupted a pop may have left the top too high over an empty stack: then
 * it is not believed, so that no push comes to lie behind the wall. */
static void **stack_end(const struct sec_shelf *shelf, unsigned class)
{
    const struct sec_slot *slot = &shelf->desk->slot[class];
    return slot->next ? slot->top + 1 : stack_of(sec_magazine_of(shelf, class));
}

/* A handler may have filled the stack since it was found empty: what is pushed from `end` on must not pass the wall. */
static bool has_room(struct sec_magazine *magazine, void **end, unsigned count)
{
    return count <= (size_t)(stack_of(magazine) + magazine->places - end);
}

/* What the fast paths need of a magazine stands in the desk. */
static void show(const struct sec_shelf *shelf, unsigned class, unsigned count)
{
    struct sec_magazine *magazine = sec_magazine_of(shelf, class);
    shelf->desk->slot[class].reserve = magazine->reserve;
    shelf->desk->slot[class].mask = magazine->places - 1;
    set_stack_end(&shelf->desk->slot[class], stack_of(magazine) + count);
}

void sec_magazine_open(const struct sec_shelf *shelf, unsigned class)
{
    struct sec_magazines *magazines = shelf->magazines;
    if (magazines->offset[class] == 0) {
        uint8_t places = class < MOAT_BIG_CLASS ? SEC_PLACES : SEC_PLACES_BIG;
        uint64_t *memory = &magazines->memory[magazines->used];
        magazines->used += (uint32_t)(sizeof(struct sec_magazine) / sizeof *memory) + 2u * places + SEC_BELOW + 1;
        magazines->used += class < MOAT_BIG_CLASS ? SEC_FRESH : SEC_FRESH_FIRST;
        magazines->offset[class] = (uint16_t)(memory - (uint64_t *)(void *)magazines);
        struct sec_magazine *magazine = sec_magazine_of(shelf, class);
        magazine->places = places;
        stack_of(magazine)[places] = magazine; /* the wall */
    }
    /* A wiped desk shows nothing before its stacks are counted (sec_stack_recount). */
    if (shelf->desk->draws != 0 && !shelf->desk->slot[class].top)
        show(shelf, class, 0);
}

bool sec_desk_ready(const struct sec_shelf *shelf)
{
    struct sec_desk *desk = shelf->desk;
    if (desk->draws > 1)
        return true;
    bool was_wiped = desk->draws == 0;
    desk->draws = sec_draws_of(draw_word(desk));
    return !was_wiped;
}

/* What lies on the stack, whatever the desk says. */
static unsigned count_stack(struct sec_magazine *magazine)
{
    unsigned count = 0;
    while (count < magazine->places && stack_of(magazine)[count])
        count++;
    return count;
}

void sec_stack_recount(const struct sec_shelf *shelf, unsigned class)
{
    struct sec_magazine *magazine = sec_magazine_of(shelf, class);
    unsigned count = count_stack(magazine);

    shuffle(shelf->desk, stack_of(magazine), count);
    for (unsigned i = 0; i < magazine->depot_arrays; i++)
        shuffle(shelf->desk, magazine->depot + i * SEC_DEPOT_ARRAY, SEC_DEPOT_ARRAY);
    show(shelf, class, count);
}

static char *desks;
static size_t desks_bytes; /* not given out yet */

void sec_desk_give(void *memory, size_t bytes)
{
    desks = memory;
    desks_bytes = bytes;
}

bool sec_shelf_open(struct sec_shelf *shelf, struct sec_magazines *magazines)
{
    if (desks_bytes < SEC_DESK_BYTES)
        return false;
    shelf->desk = (struct sec_desk *)(void *)desks;
    shelf->magazines = magazines;
    desks += SEC_DESK_BYTES;
    desks_bytes -= SEC_DESK_BYTES;
    return true;
}

void sec_desk_wipe(const struct sec_shelf *shelf)
{
    struct sec_desk *desk = shelf->desk;
    if (desk)
        *desk = (struct sec_desk){0};
}

/* ---- fresh blocks ---- */

static uint64_t *fresh_of(struct sec_magazine *magazine)
{
    return (uint64_t *)(void *)(stack_of(magazine) + magazine->places + 1);
}

static unsigned fresh_places(const struct sec_magazine *magazine)
{
    return magazine->places == SEC_PLACES ? SEC_FRESH : SEC_FRESH_FIRST;
}

static char *first_of(uint64_t run)
{
    return (char *)(uintptr_t)(run & ((1ull << SEC_LEFT_SHIFT) - 1));
}

static unsigned left_of(uint64_t run)
{
    return (unsigned)(run >> SEC_LEFT_SHIFT);
}

void sec_fill_begin(const struct sec_shelf *shelf, unsigned class, struct sec_fill *fill)
{
    struct sec_magazine *magazine = sec_magazine_of(shelf, class);

    fill->fresh = fresh_of(magazine);
    fill->draws = draw_word(shelf->desk);
    fill->dry = 0;
    fill->count = 0;
    fill->wanted = magazine->is_warm ? fresh_places(magazine) : SEC_FRESH_FIRST;
    magazine->is_warm = 1;
    for (unsigned i = 0; i < fill->wanted; i++)
        fill->dry |= (uint32_t)(fill->fresh[i] == 0) << i;
}

/* A handler that allocates may have filled a place in between. */
bool sec_fill_lacks_run(struct sec_fill *fill)
{
    while (fill->dry != 0 && fill->fresh[lowest_bit(fill->dry)] != 0)
        fill->dry &= fill->dry - 1;
    return fill->dry != 0;
}

void sec_fill_give(struct sec_fill *fill, char *first, unsigned count)
{
    fill->fresh[lowest_bit(fill->dry)] = (uint64_t)count << SEC_LEFT_SHIFT | (uintptr_t)first;
    fill->dry &= fill->dry - 1;
}

void sec_fill_draw(struct sec_fill *fill, size_t bytes)
{
    while (fill->dry == 0 && fill->count < fill->wanted) {
        unsigned place = (unsigned)fill->draws & (fill->wanted - 1);
        uint64_t run = fill->fresh[place];
        if (MOAT_LIKELY(run != 0)) { /* else a handler has used it up */
            fill->block[fill->count++] = first_of(run);
            run = left_of(run) == 1 ? 0 : run + bytes - (1ull << SEC_LEFT_SHIFT);
            fill->fresh[place] = run;
        }
        fill->dry |= (uint32_t)(run == 0) << place;
        fill->draws >>= SEC_FRESH_BITS;
    }
}

bool sec_fill_end(const struct sec_shelf *shelf, unsigned class, const struct sec_fill *fill)
{
    void **end = stack_end(shelf, class);
    if (fill->count == 0 || !has_room(sec_magazine_of(shelf, class), end, fill->count))
        return false;
    for (unsigned i = 0; i < fill->count; i++)
        end[i] = fill->block[fill->count - 1 - i];
    set_stack_end(&shelf->desk->slot[class], end + fill->count);
    return true;
}

unsigned sec_drain_run(const struct sec_shelf *shelf, unsigned class, char **first)
{
    struct sec_magazine *magazine = sec_magazine_of(shelf, class);
    uint64_t *fresh = fresh_of(magazine);

    for (unsigned i = 0; i < fresh_places(magazine); i++) {
        uint64_t run = fresh[i];
        if (run == 0)
            continue;
        fresh[i] = 0;
        *first = first_of(run);
        return left_of(run);
    }
    return 0;
}

/* ---- freed blocks ---- */

/* Empty places take what comes first: evicting while few lie there would hand out again what was freed last. Answers how
 * many they took. */
static unsigned fill_places(struct sec_magazine *magazine, void *const *blocks, unsigned count)
{
    unsigned used = 0;
    if (magazine->is_full)
        return 0;
    for (unsigned i = 0; i < magazine->places && used < count; i++)
        if (!magazine->reserve[i])
            magazine->reserve[i] = blocks[used++];
    magazine->is_full = used < count;
    return used;
}

bool sec_exchange(const struct sec_shelf *shelf, unsigned class, void *const *blocks, unsigned count)
{
    struct sec_magazine *magazine = sec_magazine_of(shelf, class);
    void **end = stack_end(shelf, class);
    if (!has_room(magazine, end, count))
        return false;
    const unsigned pairs = magazine->places / 2, filled = fill_places(magazine, blocks, count);
    uint64_t word = draw_word(shelf->desk);
    unsigned pair = (unsigned)(word % pairs), evicted = 0;

    word /= pairs;
    for (unsigned i = filled; i < count; i++, pair = (pair + 1) % pairs, word >>= 1) {
        void **place = &magazine->reserve[2 * pair + (word & 1)];
        end[evicted] = *place; /* NULL there changes nothing */
        evicted += *place != NULL;
        *place = blocks[i];
    }
    shuffle(shelf->desk, end, evicted);
    set_stack_end(&shelf->desk->slot[class], end + evicted);
    return true;
}

/* `half` is a constant where this is called, so that the compiler moves them many at once. */
MOAT_INLINE void spill_half(void **stack, void **out, unsigned half)
{
    memcpy(out, stack, half * sizeof *out);
    memcpy(stack, stack + half, half * sizeof *stack);
    memset(stack + half, 0, half * sizeof *stack);
}

unsigned sec_stack_spill(const struct sec_shelf *shelf, unsigned class, void **out)
{
    struct sec_magazine *magazine = sec_magazine_of(shelf, class);
    unsigned half = magazine->places / 2;

    if (magazine->places == SEC_PLACES)
        spill_half(stack_of(magazine), out, SEC_PLACES / 2);
    else
        spill_half(stack_of(magazine), out, SEC_PLACES_BIG / 2);
    set_stack_end(&shelf->desk->slot[class], stack_of(magazine) + half);
    return half;
}

void **sec_depot_place(const struct sec_shelf *shelf, unsigned class, size_t bytes)
{
    struct sec_magazine *magazine = sec_magazine_of(shelf, class);
    if (!magazine->depot || magazine->depot_arrays == SEC_DEPOT_ARRAYS ||
        (magazine->depot_arrays + 1u) * SEC_DEPOT_ARRAY * bytes > SEC_DEPOT_HOLDS)
        return NULL;
    return magazine->depot + SEC_DEPOT_ARRAY * magazine->depot_arrays++;
}

/* The oldest lie lowest: those below the low-water mark were not touched. */
unsigned sec_depot_cool(const struct sec_shelf *shelf, unsigned class, void **out)
{
    struct sec_magazine *magazine = sec_magazine_of(shelf, class);
    if (magazine->depot_low == 0) {
        magazine->depot_low = magazine->depot_arrays;
        return 0;
    }
    magazine->depot_low--;
    magazine->depot_arrays--;
    for (unsigned i = 0; i < SEC_DEPOT_ARRAY; i++)
        out[i] = magazine->depot[i];
    for (unsigned i = 0; i < magazine->depot_arrays * SEC_DEPOT_ARRAY; i++)
        magazine->depot[i] = magazine->depot[i + SEC_DEPOT_ARRAY];
    return SEC_DEPOT_ARRAY;
}

bool sec_is_idle(const struct sec_shelf *shelf, unsigned class)
{
    struct sec_magazine *magazine = sec_magazine_of(shelf, class);
    uint64_t print = stack_count(shelf, class) + 1;
    for (unsigned i = 0; i < magazine->places; i++)
        print = print * 3 + (uintptr_t)magazine->reserve[i];
    bool is_idle = print == magazine->print;
    magazine->print = print;
    return is_idle;
}

void *sec_drain(const struct sec_shelf *shelf, unsigned class)
{
    struct sec_magazine *magazine = sec_magazine_of(shelf, class);
    void *block = sec_take(shelf, class);
    if (!block && sec_take_from_depot(shelf, class))
        block = sec_take(shelf, class);
    for (unsigned i = 0; !block && i < magazine->places; i++) {
        block = magazine->reserve[i];
        magazine->reserve[i] = NULL;
        magazine->is_full = 0;
    }
    return block;
}

unsigned sec_kept(const struct sec_shelf *shelf, unsigned class)
{
    if (!shelf->magazines || shelf->magazines->offset[class] == 0) /* a thread without a heap has none */
        return 0;
    struct sec_magazine *magazine = sec_magazine_of(shelf, class);
    unsigned kept = count_stack(magazine) + magazine->depot_arrays * SEC_DEPOT_ARRAY;
    for (unsigned i = 0; i < magazine->places; i++)
        kept += magazine->reserve[i] != NULL;
    return kept;
}

unsigned sec_set_aside(const struct sec_shelf *shelf, unsigned class)
{
    unsigned count = 0;
    if (!shelf->magazines || shelf->magazines->offset[class] == 0)
        return 0;
    struct sec_magazine *magazine = sec_magazine_of(shelf, class);
    for (unsigned i = 0; i < fresh_places(magazine); i++)
        count += left_of(fresh_of(magazine)[i]);
    return count;
}

#endif
