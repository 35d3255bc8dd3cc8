/* Two threads free one block at the same moment: each believes that it is the last. */
#include "attack.h"

#include <pthread.h>

enum { OTHERS = 96 };

static struct herd others, more;

/* Both have freed. Whatever lists the block is on, everything is collected and handed out again. */
static void harvest(const struct aim *aim, void *block)
{
    herd_drop(&others, 0, OTHERS);
    flood_in_worker(0, aim->size, 20);
    flood_in_worker(1, aim->size, 20);
    flood_past(aim->size, block);
    if (is_live(block))
        write_own(block, 0); /* what ends a list there */
    for (unsigned i = 0; i < more.count; i++)
        drop_in_worker(i % 2, more.block[i]);
    flood_in_worker(0, aim->size, 100);
    flood_in_worker(1, aim->size, 100);
    flood(aim->size, 400);
}

static void prepare(const struct aim *aim)
{
    start_workers();
    herd_grab(&others, aim->size, OTHERS);
    herd_grab(&more, aim->size, OTHERS);
}

static void two_others(const struct aim *aim)
{
    prepare(aim);
    void *block = grab(aim->size);
    dropped(block);
    in_both_workers(free_again, block, block);
    harvest(aim, block);
}

struct racer {
    void *block;
    size_t size;
};

static void owner_frees_and_takes(void *argument)
{
    const struct racer *racer = argument;
    free_again(racer->block);
    flood(racer->size, 30);
}

static void other_frees(void *argument)
{
    const struct racer *racer = argument;
    free_again(racer->block);
}

static void grab_here(void *argument)
{
    struct racer *racer = argument;
    racer->block = grab(racer->size);
    herd_grab(&more, racer->size, OTHERS);
}

/* The owner, the first worker, is one of the two. */
static void race_of_owner(const struct aim *aim, void (*work)(void *))
{
    struct racer racer = {NULL, aim->size};
    start_workers();
    herd_grab(&others, aim->size, OTHERS);
    in_worker(0, grab_here, &racer);
    dropped(racer.block);
    in_both_workers(work, &racer, &racer);
    flood_in_worker(0, aim->size, 300);
    if (is_live(racer.block))
        write_own(racer.block, 0); /* what ends a list there */
    for (unsigned i = 0; i < OTHERS; i++)
        drop_in_worker(1, more.block[i]);
    more.count = 0;
    flood_in_worker(0, aim->size, 300);
    harvest(aim, racer.block);
}

static void owner_and_other(const struct aim *aim)
{
    race_of_owner(aim, other_frees);
}

static void owner_takes_again(const struct aim *aim)
{
    race_of_owner(aim, owner_frees_and_takes);
}

static void resize_or_free(void *argument)
{
    struct racer *racer = argument;
    strike(racer->block);
    void *moved = realloc(racer->block, racer->size * 3);
    if (moved != NULL)
        grabbed(moved, racer->size * 3);
}

/* realloc that moves frees the old block, so two of these are two frees. */
static void two_reallocs(const struct aim *aim)
{
    struct racer racer = {NULL, aim->size};
    prepare(aim);
    racer.block = grab(aim->size);
    dropped(racer.block);
    in_both_workers(resize_or_free, &racer, &racer);
    harvest(aim, racer.block);
}

static void delete_it(void *block)
{
    free_again_by(GIVE_DELETE, block);
}

static void two_deletes(const struct aim *aim)
{
    prepare(aim);
    void *block = grab_by(TAKE_NEW, aim->size);
    dropped(block);
    in_both_workers(delete_it, block, block);
    harvest(aim, block);
}

/* Many blocks, so that the two are at all distances. */
struct part {
    const struct herd *row;
    unsigned from, to;
};

static void free_part(void *argument)
{
    const struct part *part = argument;
    for (unsigned i = part->from; i < part->to; i++)
        free_again(part->row->block[i]);
}

/* One has a start of none to all blocks, in turn: so some runs do not depend on how many processors the two have, and when. */
static void free_row_backwards(const struct aim *aim)
{
    enum { ROW = 64, STARTS = 5 };
    static struct herd row, backwards;
    unsigned start = aim->run % STARTS * ROW / (STARTS - 1);
    prepare(aim);
    herd_grab(&row, aim->size, ROW);
    for (unsigned i = 0; i < row.count; i++) {
        dropped(row.block[i]);
        backwards.block[row.count - 1 - i] = row.block[i];
    }
    struct part first = {&row, 0, start}, rest = {&row, start, ROW}, back = {&backwards, 0, ROW};
    in_worker(0, free_part, &first);
    in_both_workers(free_part, &rest, &back);
    harvest(aim, row.block[ROW / 2]);
}

static void two_medium(const struct aim *aim)
{
    start_workers();
    void *block = grab(aim->size), *other = grab(aim->size);
    dropped(block);
    in_both_workers(free_again, block, block);
    drop(other);
    flood_in_worker(0, aim->size, 4);
    flood_in_worker(1, aim->size, 4);
    flood(aim->size, 8);
}

/* The block belongs to a thread that has ended: both would take its page over. */
static void of_an_ended_thread(const struct aim *aim)
{
    static struct herd row;
    struct racer racer = {NULL, aim->size};
    prepare(aim);
    in_ending_thread(grab_here, &racer);
    dropped(racer.block);
    in_both_workers(free_again, racer.block, racer.block);
    herd_grab(&row, aim->size, 4);
    harvest(aim, racer.block);
    flood_in_worker(0, aim->size, 900);
    flood_in_worker(1, aim->size, 900);
    flood(aim->size, 1500);
}

const struct attack_case attacks_races[] = {
    {"races.two_others", two_others, SIZES_SMALL, NEEDS_STATES, CASE_PLAIN_LOSES},
    {"races.owner_and_other", owner_and_other, SIZES_SMALL, NEEDS_STATES, 0},
    {"races.owner_takes_again", owner_takes_again, SIZES_SMALL, NEEDS_STATES, CASE_REUSES},
    {"races.two_reallocs", two_reallocs, SIZES_SMALL, NEEDS_STATES, CASE_PLAIN_LOSES | CASE_REUSES},
    {"races.two_deletes", two_deletes, SIZES_SMALL, NEEDS_STATES, CASE_PLAIN_LOSES},
    {"races.rows_both_ways", free_row_backwards, SIZES_SMALL, NEEDS_STATES, CASE_PLAIN_LOSES},
    {"races.two_medium", two_medium, SIZES_MEDIUM, NEEDS_STATES, 0},
    {"races.of_an_ended_thread", of_an_ended_thread, SIZES_SMALL, NEEDS_STATES, CASE_PLAIN_LOSES},
    {0},
};
