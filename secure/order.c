/* order.c - the cold half of order.h. */
#include "secure/order.h"

#include "base/bits.h"

#if MOAT_SECURE_RANDOM_ORDER

static uint64_t draw_word(struct sec_desk *desk)
{
    uint64_t word = 0;
    while (!random_stream_pop(&desk->stream, &word))
        random_stream_refill(&desk->stream);
    return word;
}

/* Puts `count` entries, 16 at most, in an order drawn among all orders. One word is enough: 16! is below 2^45, and each
 * step takes its choice from the word's top and keeps the rest, so the bias is below 2^-19. */
static void shuffle(struct sec_desk *desk, void **entries, unsigned count)
{
    uint64_t word = draw_word(desk);
    for (unsigned left = count; left > 1; left--) {
        unsigned __int128 product = (unsigned __int128)word * left;
        unsigned chosen = (unsigned)(product >> 64);
        word = (uint64_t)product;
        void *entry = entries[left - 1];
        entries[left - 1] = entries[chosen];
        entries[chosen] = entry;
    }
}

/* Blocks whose order a parent knows. */
static void shuffle_stack(struct sec_desk *desk, void **stack, unsigned count)
{
    for (unsigned left = count; left > 1; left--) {
        unsigned chosen = (unsigned)(((unsigned __int128)draw_word(desk) * left) >> 64);
        void *entry = stack[left - 1];
        stack[left - 1] = stack[chosen];
        stack[chosen] = entry;
    }
}

/* What the fast paths need of a magazine stands in the desk. */
static void show(const struct sec_shelf *shelf, unsigned class)
{
    shelf->desk->offset[class] = shelf->magazines->offset[class];
    shelf->desk->mask[class] = (uint8_t)(sec_magazine_of(shelf, class)->places - 1);
}

void sec_magazine_open(const struct sec_shelf *shelf, unsigned class)
{
    struct sec_magazines *magazines = shelf->magazines;
    if (magazines->offset[class] == 0) {
        uint32_t places = class < MOAT_BIG_CLASS ? SEC_PLACES : SEC_PLACES_BIG;
        uint64_t *memory = &magazines->memory[magazines->used];
        magazines->used += (uint32_t)(sizeof(struct sec_magazine) / sizeof *memory) + places;
        magazines->offset[class] = (uint16_t)(memory - (uint64_t *)(void *)magazines);
        sec_magazine_of(shelf, class)->places = places;
    }
    if (shelf->desk->draws != 0) /* a wiped desk shows nothing before its stacks are counted (sec_stack_recount) */
        show(shelf, class);
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

void sec_stack_recount(const struct sec_shelf *shelf, unsigned class)
{
    struct sec_magazine *magazine = sec_magazine_of(shelf, class);
    unsigned count = 0;

    while (count < magazine->places && magazine->stack[count])
        count++;
    shuffle_stack(shelf->desk, magazine->stack, count);
    shuffle_stack(shelf->desk, magazine->depot, magazine->depot_arrays * SEC_DEPOT_ARRAY);
    show(shelf, class);
    shelf->desk->count[class] = (uint16_t)count;
}

static char *desks, *desks_end;

void sec_desk_give(void *memory, size_t bytes)
{
    desks = memory;
    desks_end = desks + bytes;
}

bool sec_shelf_open(struct sec_shelf *shelf, struct sec_magazines *magazines)
{
    if (desks_end - desks < SEC_DESK_BYTES)
        return false;
    shelf->desk = (struct sec_desk *)(void *)desks;
    shelf->magazines = magazines;
    desks += SEC_DESK_BYTES;
    return true;
}

void sec_desk_wipe(const struct sec_shelf *shelf)
{
    struct sec_desk *desk = shelf->desk;
    if (desk)
        *desk = (struct sec_desk){0};
}

unsigned sec_fresh_window(const struct sec_shelf *shelf, unsigned class)
{
    struct sec_magazine *magazine = sec_magazine_of(shelf, class);
    bool was_warm = magazine->is_warm;
    magazine->is_warm = 1;
    return was_warm && class < MOAT_BIG_CLASS ? SEC_WINDOW : SEC_WINDOW_FIRST;
}

void sec_push_shuffled(const struct sec_shelf *shelf, unsigned class, char *first, size_t bytes, unsigned count)
{
    struct sec_desk *desk = shelf->desk;
    void **stack = sec_magazine_of(shelf, class)->stack + desk->count[class];
    for (unsigned i = 0; i < count; i++)
        stack[i] = first + i * bytes;
    shuffle(desk, stack, count);
    desk->count[class] = (uint16_t)(desk->count[class] + count);
}

unsigned sec_stack_spill(const struct sec_shelf *shelf, unsigned class, void **out)
{
    struct sec_desk *desk = shelf->desk;
    void **stack = sec_magazine_of(shelf, class)->stack;
    const unsigned places = desk->mask[class] + 1u, spilled = places / 2;

    for (unsigned i = 0; i < spilled; i++)
        out[i] = stack[i];
    for (unsigned i = 0; i < places; i++)
        stack[i] = i + spilled < places ? stack[i + spilled] : NULL;
    desk->count[class] = (uint16_t)(places - spilled);
    return spilled;
}

void **sec_depot_place(const struct sec_shelf *shelf, unsigned class, size_t bytes)
{
    struct sec_magazine *magazine = sec_magazine_of(shelf, class);
    if (!magazine->depot || magazine->depot_arrays == SEC_DEPOT_ARRAYS ||
        (magazine->depot_arrays + 1) * SEC_DEPOT_ARRAY * bytes > SEC_DEPOT_HOLDS)
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
    uint64_t print = shelf->desk->count[class] + 1u;
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
    }
    return block;
}

unsigned sec_kept(const struct sec_shelf *shelf, unsigned class)
{
    if (!shelf->magazines || shelf->magazines->offset[class] == 0) /* a thread without a heap has none */
        return 0;
    struct sec_magazine *magazine = sec_magazine_of(shelf, class);
    unsigned kept = shelf->desk->count[class] + magazine->depot_arrays * SEC_DEPOT_ARRAY;
    for (unsigned i = 0; i < magazine->places; i++)
        kept += magazine->reserve[i] != NULL;
    return kept;
}

#endif
