/* Links that the attacker did not make but copied: right ones, in a wrong place or at a wrong time. An encoding that
 * binds a link to less than its block, its list and its turn lets these through.
 */
#include "attack.h"

#include <malloc.h>
#include <string.h>

enum { LIVE_MORE = 40 };

static struct herd herd, second;

static void grab_row(const struct aim *aim, struct herd *row, size_t bytes)
{
    herd_grab(row, bytes, 2 * frees_for(aim) + LIVE_MORE);
}

/* Drops every second block of a row, and answers how many. */
static unsigned drop_row(const struct aim *aim, struct herd *row)
{
    unsigned frees = frees_for(aim);
    for (unsigned i = 0; i < frees; i++)
        drop(row->block[2 * i]);
    return frees;
}

static unsigned drop_every_second(const struct aim *aim, struct herd *row, size_t bytes)
{
    grab_row(aim, row, bytes);
    return drop_row(aim, row);
}

/* Two rows in pages of their own. Answers the number of frees in each. */
static unsigned drop_in_two_pages(const struct aim *aim)
{
    grab_row(aim, &second, aim->size);
    for (unsigned i = 0; i < 3000; i++) {
        if (!is_same_page(grab(aim->size), second.block[0]))
            break;
    }
    grab_row(aim, &herd, aim->size);
    drop_row(aim, &second);
    unsigned frees = drop_row(aim, &herd);
    require(!is_same_page(herd.block[2 * frees - 2], second.block[2]));
    return frees;
}

static void copy_link(void *to, const void *from)
{
    overwrite(to, peek(from));
}

/* The freed block's link into one that was freed before it: a circle. */
static void from_the_youngest(const struct aim *aim)
{
    unsigned last = drop_every_second(aim, &herd, aim->size) - 1;
    copy_link(herd.block[2 * last - 4], herd.block[2 * last]);
    flood_past(aim->size, herd.block[2 * last - 4]);
    flood(aim->size, 200);
}

/* The same with all that stands in it, as memcpy between two dangling objects does. */
static void whole_block(const struct aim *aim)
{
    unsigned last = drop_every_second(aim, &herd, aim->size) - 1;
    unsigned char bytes[16];
    for (size_t at = 0; at < aim->size / 16 * 16; at += sizeof bytes) {
        memcpy(bytes, (const char *)herd.block[2 * last] + at, sizeof bytes);
        overwrite_bytes((char *)herd.block[2 * last - 2 * 2] + at, bytes, sizeof bytes);
    }
    flood_past(aim->size, herd.block[2 * last - 4]);
    flood(aim->size, 200);
}

static void from_other_page(const struct aim *aim)
{
    unsigned last = drop_in_two_pages(aim) - 1;
    copy_link(herd.block[2 * last], second.block[aim->run % 2 ? 2 * last : 2]);
    flood_past(aim->size, herd.block[2 * last]);
    flood(aim->size, 400);
}

/* The two pages' links change places. */
static void exchanged_with_other_page(const struct aim *aim)
{
    unsigned last = drop_in_two_pages(aim) - 1;
    uintptr_t *one = herd.block[2 * last], *two = second.block[2 * last];
    uintptr_t link = peek(one);
    copy_link(one, two);
    overwrite(two, link);
    flood_past(aim->size, one);
    flood(aim->size, 600);
}

static void exchanged_in_the_page(const struct aim *aim)
{
    unsigned last = drop_every_second(aim, &herd, aim->size) - 1;
    uintptr_t *one = herd.block[2 * last], *two = herd.block[2 * last - 4];
    uintptr_t link = peek(one);
    copy_link(one, two);
    overwrite(two, link);
    flood_past(aim->size, one);
    flood(aim->size, 400);
}

static void from_other_class(const struct aim *aim)
{
    drop_every_second(aim, &second, aim->size * 2 + 80);
    unsigned last = drop_every_second(aim, &herd, aim->size) - 1;
    copy_link(herd.block[2 * last], second.block[2 * last]);
    flood_past(aim->size, herd.block[2 * last]);
    flood(aim->size * 2 + 80, 200);
}

/* ---- from an earlier life ---- */

/* The same block was freed before, just after a block that is live now. `between` happens while both are live. */
static void from_earlier_life(const struct aim *aim, void (*between)(const struct aim *aim))
{
    unsigned last = drop_every_second(aim, &herd, aim->size) - 1;
    uintptr_t *block = herd.block[2 * last];
    uintptr_t link = peek(block);
    void *next = herd.block[2 * last - 2];
    void *wanted[] = {block, next};
    require(bring_back(aim->size, wanted, 2));
    if (between != NULL)
        between(aim);
    unsigned frees = frees_for(aim);
    herd_grab(&second, aim->size, 2 * frees);
    for (unsigned i = 1; i < frees; i++)
        drop(second.block[2 * i]);
    write_own(next, 0);
    drop(block);
    overwrite(block, link);
    flood_past(aim->size, block);
}

static void saved(const struct aim *aim)
{
    from_earlier_life(aim, NULL);
}

static void trim(const struct aim *aim)
{
    churn(aim->size, 100);
    malloc_trim(0);
}

static void saved_across_trim(const struct aim *aim)
{
    from_earlier_life(aim, trim);
}

static void many_lives(const struct aim *aim)
{
    for (unsigned life = 0; life < 10; life++) {
        herd_grab(&second, aim->size, 200);
        herd_drop(&second, 0, 200);
    }
}

static void saved_for_long(const struct aim *aim)
{
    from_earlier_life(aim, many_lives);
}

/* Everything of the page is freed, taken again, and freed in another order; then all links are put back as they were. */
static void whole_page_saved(const struct aim *aim)
{
    static uintptr_t links[HERD_MAX];
    herd_grab(&herd, aim->size, 96);
    herd_drop(&herd, 0, 96);
    for (unsigned i = 0; i < 96; i++)
        links[i] = peek(herd.block[i]);
    require(bring_back(aim->size, herd.block, 96));
    for (unsigned i = 0; i < 96; i++) {
        if (i % 4 != aim->run % 4)
            drop(herd.block[i]);
    }
    for (unsigned i = 0; i < 96; i++) {
        if (i % 4 != aim->run % 4)
            overwrite(herd.block[i], links[i]);
        else
            write_own(herd.block[i], links[i]);
    }
    flood(aim->size, 600);
}

/* ---- from another thread, or process ---- */

static void drop_every_second_there(void *argument)
{
    const struct aim *aim = argument;
    drop_every_second(aim, &second, aim->size);
}

static void flood_there(void *argument)
{
    const struct aim *aim = argument;
    flood(aim->size, 400);
}

static void from_other_thread(const struct aim *aim)
{
    struct aim copy = *aim;
    start_workers();
    in_worker(0, drop_every_second_there, &copy);
    unsigned last = drop_every_second(aim, &herd, aim->size) - 1;
    copy_link(herd.block[2 * last], second.block[2 * last]);
    flood_past(aim->size, herd.block[2 * last]);
    in_worker(0, flood_there, &copy);
}

/* Two lists of one thread's heap, of which one came from a thread that ended. */
static void from_ended_thread(const struct aim *aim)
{
    struct aim copy = *aim;
    flood(aim->size, 2); /* or this thread's first page is the one that the other leaves */
    in_ending_thread(drop_every_second_there, &copy);
    unsigned last = drop_every_second(aim, &herd, aim->size) - 1;
    copy_link(herd.block[2 * last], second.block[2 * last]);
    flood_past(aim->size, herd.block[2 * last]);
    flood(aim->size, 1500);
}

static uintptr_t parents_link;
static uintptr_t *parents_block;

static void free_in_other_order(void *argument)
{
    const struct aim *aim = argument;
    unsigned frees = frees_for(aim);
    void *next = herd.block[2 * frees - 4];
    void *wanted[] = {parents_block, next};
    require(bring_back(aim->size, wanted, 2));
    herd_grab(&second, aim->size, 2 * frees);
    for (unsigned i = 1; i < frees; i++)
        drop(second.block[2 * i]);
    write_own(next, 0);
    drop(parents_block);
    overwrite(parents_block, parents_link);
    flood_past(aim->size, parents_block);
}

/* A link that was read in the parent is used in the child. */
static void from_the_parent(const struct aim *aim)
{
    struct aim copy = *aim;
    unsigned last = drop_every_second(aim, &herd, aim->size) - 1;
    parents_block = herd.block[2 * last];
    parents_link = peek(parents_block);
    in_child(free_in_other_order, &copy);
}

/* Three links of one list, xored: what an encoding that is a sum of its parts cannot tell from a right one. */
static void sum_of_three(const struct aim *aim)
{
    unsigned last = drop_every_second(aim, &herd, aim->size) - 1;
    uintptr_t *block = herd.block[2 * last], *one = herd.block[2 * last - 2], *two = herd.block[2 * last - 4];
    /* block leads to one, one to two: with the places' own part taken out, block leads to itself. */
    uintptr_t place = (uintptr_t)block >> 12 ^ (uintptr_t)one >> 12;
    uintptr_t difference = (uintptr_t)one ^ (uintptr_t)block;
    overwrite(block, peek(one) ^ (uintptr_t)two ^ (uintptr_t)one ^ place ^ difference);
    flood_past(aim->size, block);
}

/* All of it, in any order: blocks come and go, and each freed one may get any other one's link, or the way to a live
 * block. The run's number is the seed. */
static void at_random(const struct aim *aim)
{
    static void *blocks[300];
    draw_for(aim);
    for (unsigned i = 0; i < 300; i++)
        blocks[i] = grab(aim->size);
    for (unsigned step = 0; step < 6000; step++) {
        void *block = blocks[draw(300)], *other = blocks[draw(300)];
        unsigned act = draw(8);
        if (is_live(block) && act < 4)
            drop(block);
        else if (!is_live(block) && act == 4)
            copy_link(block, other);
        else if (!is_live(block) && act == 5)
            overwrite(block, forge(aim, block, other, blocks[draw(300)]));
        else if (act > 5)
            grab(aim->size);
    }
}

const struct attack_case attacks_copied[] = {
    {"copied.from_the_youngest", from_the_youngest, SIZES_SMALL, NEEDS_STATES, 0},
    {"copied.whole_block", whole_block, SIZES_SMALL, NEEDS_STATES, 0},
    {"copied.from_other_page", from_other_page, SIZES_SMALL, NEEDS_STATES, 0},
    {"copied.exchanged_with_other_page", exchanged_with_other_page, SIZES_SMALL, NEEDS_STATES, CASE_UNCOUNTED},
    {"copied.exchanged_in_the_page", exchanged_in_the_page, SIZES_SMALL, NEEDS_STATES, CASE_UNCOUNTED},
    {"copied.from_other_class", from_other_class, SIZES_SMALL, NEEDS_STATES, 0},
    {"copied.saved", saved, SIZES_SMALL, NEEDS_STATES, 0},
    {"copied.saved_across_trim", saved_across_trim, SIZES_SMALL, NEEDS_STATES, 0},
    {"copied.saved_for_long", saved_for_long, SIZES_SMALL, NEEDS_STATES, 0},
    {"copied.whole_page_saved", whole_page_saved, SIZES_SMALL, NEEDS_STATES, 0},
    {"copied.from_other_thread", from_other_thread, SIZES_SMALL, NEEDS_STATES, 0},
    {"copied.from_ended_thread", from_ended_thread, SIZES_SMALL, NEEDS_STATES, 0},
    {"copied.from_the_parent", from_the_parent, SIZES_SMALL, NEEDS_STATES, 0},
    {"copied.sum_of_three", sum_of_three, SIZES_SMALL, NEEDS_STATES, 0},
    {"copied.at_random", at_random, SIZES_SMALL, NEEDS_STATES, 0},
    {0},
};
