/* The same writes as in links.c, and the other ways on which a heap comes by the block: by each function of the family, in
 * a child, when a thread ends; and the lists of bigger blocks, as heaps with headers keep them.
 */
#include "attack.h"

#include <malloc.h>

enum { PLACE = 512 };

static struct herd herd;
static uint64_t table[PLACE / sizeof(uint64_t)] __attribute__((aligned(64)));

static struct freed free_every_second(const struct aim *aim)
{
    return herd_free_every_second(&herd, aim);
}

static void lead_and_take(const struct aim *aim, const void *target, enum taker taker)
{
    struct freed freed = free_every_second(aim);
    lead(aim, freed, target);
    flood_past_by(taker, aim->size, freed.last);
}

static void out_by(const struct aim *aim, enum taker taker)
{
    choose_place(table, sizeof table, "a table of the program");
    lead_and_take(aim, table, taker);
}

static void out_by_calloc(const struct aim *aim)
{
    out_by(aim, TAKE_CALLOC);
}

static void out_by_realloc(const struct aim *aim)
{
    out_by(aim, TAKE_REALLOC);
}

static void out_by_aligned(const struct aim *aim)
{
    out_by(aim, aim->run % 2 ? TAKE_ALIGNED : TAKE_MEMALIGN);
}

static void out_by_new(const struct aim *aim)
{
    out_by(aim, aim->run % 2 ? TAKE_NEW : TAKE_NEW_ARRAY);
}

/* realloc that moves a growing block takes the new one from the list. */
static void out_by_growing(const struct aim *aim)
{
    static void *small[200];
    for (unsigned i = 0; i < 200; i++)
        small[i] = grab(aim->size / 2);
    struct freed freed = free_every_second(aim);
    choose_place(table, sizeof table, "a table of the program");
    lead(aim, freed, table);
    for (unsigned i = 0; i < 200; i++) {
        dropped(small[i]);
        grabbed(realloc(small[i], aim->size), aim->size);
    }
    flood_past(aim->size, freed.last);
}

/* The list is on its way out already: some of it was handed out when the attacker writes. */
static void half_way_out(const struct aim *aim)
{
    free_every_second(aim);
    unsigned frees = frees_for(aim), left = frees;
    choose_place(table, sizeof table, "a table of the program");
    for (unsigned i = 0; i < 3000 && left > frees - 2; i++) {
        grab(aim->size);
        for (left = frees; left > 0 && is_live(herd.block[2 * left - 2]); left--) {
        }
    }
    require(left > 1);
    void *block = herd.block[2 * left - 2];
    overwrite(block, forge(aim, block, herd.block[2 * left - 4], table));
    flood_past(aim->size, block);
}

static void across_trim(const struct aim *aim)
{
    struct freed freed = free_every_second(aim);
    write_own(freed.live, 0);
    lead(aim, freed, freed.live);
    malloc_trim(0);
    flood_past(aim->size, freed.last);
}

static void flood_past_last(void *argument)
{
    const struct aim *aim = argument;
    flood_past(aim->size, herd.block[2 * frees_for(aim) - 2]);
}

static void in_a_child(const struct aim *aim)
{
    struct aim copy = *aim;
    struct freed freed = free_every_second(aim);
    choose_place(table, sizeof table, "a table of the program");
    lead(aim, freed, table);
    in_child(flood_past_last, &copy);
}

static void free_and_lead(void *argument)
{
    const struct aim *aim = argument;
    struct freed freed = free_every_second(aim);
    write_own(freed.live, 0);
    lead(aim, freed, freed.live);
}

/* A thread ends, and its lists go to whoever wants them. */
static void across_a_threads_end(const struct aim *aim)
{
    struct aim copy = *aim;
    in_ending_thread(free_and_lead, &copy);
    flood_past_last(&copy);
}

/* The list's end is put on while a thread lives that then ends: its heap walks what it gives back. */
static void lead_later(void *argument)
{
    const struct aim *aim = argument;
    free_every_second(aim);
    flood(aim->size, 3); /* malloc has taken the list by now, so the thread's end must give it back */
    for (unsigned i = frees_for(aim) - 1; i > 0; i--) {
        if (!is_live(herd.block[2 * i])) {
            write_own(herd.block[2 * i + 1], 0);
            overwrite(herd.block[2 * i], forge(aim, herd.block[2 * i], herd.block[2 * i - 2], herd.block[2 * i + 1]));
            return;
        }
    }
}

static void given_back_at_the_end(const struct aim *aim)
{
    struct aim copy = *aim;
    in_ending_thread(lead_later, &copy);
    flood_past_last(&copy);
}

/* ---- lists of bigger blocks, as heaps with headers keep them ---- */

/* A list sorted by size with a second pair of links: taking part in it, the heap writes where these lead. */
static void of_sorted_lists(const struct aim *aim)
{
    size_t bytes = 1080 + aim->run % 4 * 64;
    uintptr_t *big = grab(bytes + 32), *fence = grab(16), *small = grab(bytes), *fence2 = grab(16);
    drop(big);
    grab(bytes + 4000);
    drop(small);
    choose_place(table, sizeof table, "a table of the program");
    overwrite(big + 3, (uintptr_t)table - 4 * sizeof(uintptr_t) + 64);
    grab(bytes + 4000);
    drop(fence);
    drop(fence2);
}

/* A two-way list from which more than was asked for is put aside. */
static void of_two_way_lists(const struct aim *aim)
{
    static void *fences[9], *blocks[9];
    size_t bytes = 200 + aim->run % 6 * 64;
    uintptr_t *fake = table;
    for (unsigned i = 0; i < 9; i++) {
        blocks[i] = grab(bytes);
        fences[i] = grab(16);
    }
    for (unsigned i = 0; i < 9; i++)
        drop(blocks[(i + 2) % 9]);
    grab(bytes + 2000);
    flood(bytes, 2); /* room for two more on the list of those put aside */
    /* Two wait in the two-way list; behind them comes a block of the attacker's making. */
    fake[3] = (uintptr_t)(fake + 16);
    choose_place(fake + 2, 64, "a table of the program");
    overwrite((uintptr_t *)blocks[1] + 1, (uintptr_t)fake);
    grab_by(TAKE_CALLOC, bytes);
    flood(bytes, 12);
    drop(fences[0]);
}

const struct attack_case attacks_lists[] = {
    {"lists.out_by_calloc", out_by_calloc, SIZES_SMALL, NEEDS_STATES, 0},
    {"lists.out_by_realloc", out_by_realloc, SIZES_SMALL, NEEDS_STATES, 0},
    {"lists.out_by_aligned", out_by_aligned, SIZES_SMALL, NEEDS_STATES, 0},
    {"lists.out_by_new", out_by_new, SIZES_SMALL, NEEDS_STATES, 0},
    {"lists.out_by_growing", out_by_growing, SIZES_SMALL, NEEDS_STATES, 0},
    {"lists.half_way_out", half_way_out, SIZES_SMALL, NEEDS_STATES, 0},
    {"lists.across_trim", across_trim, SIZES_SMALL, NEEDS_STATES, 0},
    {"lists.in_a_child", in_a_child, SIZES_SMALL, NEEDS_STATES, 0},
    {"lists.across_a_threads_end", across_a_threads_end, SIZES_SMALL, NEEDS_STATES, 0},
    {"lists.given_back_at_the_end", given_back_at_the_end, SIZES_SMALL, NEEDS_STATES, 0},
    {"lists.of_sorted_lists", of_sorted_lists, SIZES_SMALL, NEEDS_STATES, CASE_PLAIN_LOSES},
    {"lists.of_two_way_lists", of_two_way_lists, SIZES_SMALL, NEEDS_STATES, CASE_PLAIN_LOSES},
    {0},
};
