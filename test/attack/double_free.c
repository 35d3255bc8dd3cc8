/* One block freed twice while nobody else has it: it must not get two owners. */
#include "attack.h"

#include <malloc.h>

enum { OTHERS = 96, MORE = 200 };

/* What two owners would come from: everything that was freed is handed out again, and more. */
static void harvest(const struct aim *aim, const void *block)
{
    flood_past(aim->size, block);
    flood(aim->size, MORE);
}

struct way {
    enum taker taker;
    enum giver first, second;
    unsigned between; /* blocks freed between the two */
    bool is_wiped;    /* the attacker clears the freed block's first words before the second free */
};

static void free_twice(const struct aim *aim, struct way way)
{
    static struct herd others, between;
    herd_grab(&others, aim->size, OTHERS);
    void *block = grab_by(way.taker, aim->size);
    herd_grab(&between, aim->size, way.between);

    herd_drop(&others, 0, frees_for(aim));
    drop_by(way.first, block);
    herd_drop(&between, 0, way.between);
    for (unsigned word = 0; way.is_wiped && word < 2; word++)
        overwrite((char *)block + word * sizeof(uintptr_t), 0);
    free_again_by(way.second, block);
    harvest(aim, block);
}

static void at_once(const struct aim *aim)
{
    free_twice(aim, (struct way){0});
}

static void one_between(const struct aim *aim)
{
    free_twice(aim, (struct way){.between = 1});
}

static void two_between(const struct aim *aim)
{
    free_twice(aim, (struct way){.between = 2});
}

static void many_between(const struct aim *aim)
{
    free_twice(aim, (struct way){.between = 3 + aim->run % 25});
}

/* Marks that a heap leaves in freed blocks to know them by are the attacker's to clear. */
static void marks_wiped(const struct aim *aim)
{
    free_twice(aim, (struct way){.is_wiped = true});
}

static void of_calloc(const struct aim *aim)
{
    free_twice(aim, (struct way){.taker = TAKE_CALLOC, .is_wiped = true});
}

static void of_aligned(const struct aim *aim)
{
    free_twice(aim, (struct way){.taker = aim->run % 2 ? TAKE_ALIGNED : TAKE_MEMALIGN, .is_wiped = true});
}

static void of_new(const struct aim *aim)
{
    free_twice(aim, (struct way){TAKE_NEW, GIVE_DELETE, GIVE_DELETE, .is_wiped = true});
}

static void of_new_array_by_free(const struct aim *aim)
{
    free_twice(aim, (struct way){TAKE_NEW_ARRAY, GIVE_DELETE_ARRAY, GIVE_FREE, .is_wiped = true});
}

static void by_sized_delete(const struct aim *aim)
{
    free_twice(aim, (struct way){TAKE_NEW, GIVE_FREE, GIVE_DELETE_SIZED, .is_wiped = true});
}

static void by_free_sized(const struct aim *aim)
{
    free_twice(aim, (struct way){TAKE_MALLOC, GIVE_FREE_SIZED, GIVE_FREE_SIZED, .is_wiped = true});
}

static void by_realloc_to_nothing(const struct aim *aim)
{
    free_twice(aim, (struct way){TAKE_REALLOC, GIVE_FREE, GIVE_REALLOC_ZERO, .between = 1, .is_wiped = true});
}

/* realloc that moves frees the old block. */
static void by_realloc_that_moves(const struct aim *aim)
{
    static struct herd others;
    herd_grab(&others, aim->size, OTHERS);
    void *block = grab(aim->size), *fence = grab(aim->size);
    herd_drop(&others, 0, frees_for(aim));
    drop(block);
    overwrite((char *)block + sizeof(uintptr_t), 0);
    strike(block);
    grabbed(realloc(block, aim->size * 3), aim->size * 3);
    harvest(aim, block);
    drop(fence);
}

/* A heap that joins freed neighbours: the second free comes after the block became part of a bigger one. */
static void of_a_joined_block(const struct aim *aim)
{
    static struct herd full;
    size_t bytes = 200 + aim->run % 8 * 64;
    herd_grab(&full, bytes, 7);
    void *front = grab(bytes), *block = grab(bytes), *fence = grab(16);
    herd_drop(&full, 0, 7);
    drop(block);
    drop(front);
    grab(bytes);
    require(!is_live(block));
    free_again(block);
    for (unsigned i = 0; i < 40; i++)
        grab(i % 2 ? bytes : 2 * bytes);
    drop(fence);
}

/* ---- two threads ---- */

/* Enough blocks with it that the owner is told of the other thread's frees. */
static void drop_many_in_worker(struct herd *herd)
{
    for (unsigned i = 0; i < herd->count; i++)
        drop_in_worker(0, herd->block[i]);
}

/* The block's second free lies on the other thread's list, and is only met once that has enough on it. */
static void harvest_twice(const struct aim *aim, void *block, struct herd *more)
{
    harvest(aim, block);
    if (is_live(block))
        write_own(block, 0); /* what ends a list there */
    drop_many_in_worker(more);
    harvest(aim, more->block[0]);
}

static void second_by_another(const struct aim *aim)
{
    static struct herd others, more;
    start_workers();
    herd_grab(&others, aim->size, OTHERS);
    void *block = grab(aim->size);
    herd_grab(&more, aim->size, OTHERS);
    herd_drop(&others, 0, frees_for(aim));
    drop(block);
    overwrite((char *)block + sizeof(uintptr_t), 0);
    free_again_in_worker(0, block);
    flood_in_worker(0, aim->size, 20);
    harvest_twice(aim, block, &more);
}

static void first_by_another(const struct aim *aim)
{
    static struct herd others;
    start_workers();
    herd_grab(&others, aim->size, OTHERS);
    void *block = grab(aim->size);
    drop_in_worker(0, block);
    overwrite((char *)block + sizeof(uintptr_t), 0);
    free_again(block);
    drop_many_in_worker(&others);
    flood_in_worker(0, aim->size, 20);
    harvest(aim, block);
}

static void both_by_another(const struct aim *aim)
{
    static struct herd others;
    start_workers();
    herd_grab(&others, aim->size, OTHERS);
    void *block = grab(aim->size);
    drop_in_worker(0, block);
    overwrite((char *)block + sizeof(uintptr_t), 0);
    free_again_in_worker(0, block);
    drop_many_in_worker(&others);
    flood_in_worker(0, aim->size, 20);
    harvest(aim, block);
}

static void by_two_others(const struct aim *aim)
{
    static struct herd others;
    start_workers();
    herd_grab(&others, aim->size, OTHERS);
    void *block = grab(aim->size);
    drop_in_worker(0, block);
    drop_many_in_worker(&others);
    overwrite((char *)block + sizeof(uintptr_t), 0);
    free_again_in_worker(1, block);
    flood_in_worker(1, aim->size, 20);
    flood_in_worker(0, aim->size, 200);
    harvest(aim, block);
}

/* The owner has taken the block back from the other thread's list, but nobody has got it yet. */
static void across_a_collection(const struct aim *aim)
{
    static struct herd others, more;
    start_workers();
    herd_grab(&others, aim->size, 3 * OTHERS);
    herd_grab(&more, aim->size, OTHERS);
    drop_many_in_worker(&others);
    flood(aim->size, OTHERS); /* the owner looks after its pages now */
    void *block = NULL;
    for (unsigned i = 0; i < others.count && block == NULL; i++)
        block = is_live(others.block[i]) ? NULL : others.block[i];
    require(block != NULL);
    overwrite((char *)block + sizeof(uintptr_t), 0);
    free_again_in_worker(0, block);
    flood_in_worker(0, aim->size, 20);
    harvest_twice(aim, block, &more);
}

/* ---- threads and pages that are gone ---- */

static void grab_for(void *argument)
{
    struct herd *herd = argument;
    for (unsigned i = 0; i < herd->count; i++)
        herd->block[i] = grab((size_t)(uintptr_t)herd->block[HERD_MAX - 1]);
}

static void of_an_ended_thread(const struct aim *aim)
{
    static struct herd herd;
    herd.count = OTHERS;
    herd.block[HERD_MAX - 1] = launder((const void *)aim->size);
    in_ending_thread(grab_for, &herd);
    void *block = herd.block[OTHERS / 2];
    herd_drop(&herd, 0, OTHERS - 8);
    overwrite((char *)block + sizeof(uintptr_t), 0);
    free_again(block);
    harvest(aim, block);
}

static void drop_herd(void *argument)
{
    struct herd *herd = argument;
    herd_drop(herd, 0, herd->count);
}

/* The first free is the last act of a thread. */
static void after_the_freeing_thread(const struct aim *aim)
{
    static struct herd herd;
    herd_grab(&herd, aim->size, OTHERS);
    void *block = herd.block[aim->run % 2 ? OTHERS / 2 : 0], *fence = grab(aim->size);
    in_ending_thread(drop_herd, &herd);
    overwrite((char *)block + sizeof(uintptr_t), 0);
    free_again(block);
    harvest(aim, block);
    drop(fence);
}

static void after_trim(const struct aim *aim)
{
    static struct herd herd;
    herd_grab(&herd, aim->size, 2 * OTHERS);
    void *block = herd.block[40];
    for (unsigned i = 0; i < 2 * OTHERS; i++) {
        if (i % 8 != 7) /* the page stays in use */
            drop(herd.block[i]);
    }
    malloc_trim(0);
    overwrite((char *)block + sizeof(uintptr_t), 0);
    free_again(block);
    harvest(aim, block);
}

static void of_an_emptied_page(const struct aim *aim)
{
    static struct herd herd;
    herd_grab(&herd, aim->size, 4 * OTHERS);
    void *block = herd.block[OTHERS];
    herd_drop(&herd, 0, 4 * OTHERS);
    overwrite((char *)block + sizeof(uintptr_t), 0);
    free_again(block);
    harvest(aim, block);
    flood(aim->size, 4 * OTHERS);
}

/* ---- bigger blocks ---- */

static void of_a_big_block(const struct aim *aim)
{
    static struct herd herd;
    herd_grab(&herd, aim->size, 40);
    herd_drop(&herd, 0, 30);
    free_again(herd.block[9 + aim->run % 20]);
    harvest(aim, herd.block[9]);
}

static void of_a_medium_block(const struct aim *aim)
{
    void *block = grab(aim->size), *other = grab(aim->size);
    drop(block);
    if (aim->run % 2)
        drop(other);
    free_again(block);
    flood(aim->size, 8);
}

static void of_a_medium_block_by_two(const struct aim *aim)
{
    start_workers();
    void *block = grab(aim->size), *other = grab(aim->size);
    drop(block);
    drop(other);
    free_again_in_worker(0, block);
    flood_in_worker(0, aim->size, 4);
    flood(aim->size, 8);
}

const struct attack_case attacks_double_free[] = {
    {"double_free.at_once", at_once, SIZES_SMALL, NEEDS_STATES, 0},
    {"double_free.one_between", one_between, SIZES_SMALL, NEEDS_STATES, 0},
    {"double_free.two_between", two_between, SIZES_SMALL, NEEDS_STATES, 0},
    {"double_free.many_between", many_between, SIZES_SMALL, NEEDS_STATES, 0},
    {"double_free.marks_wiped", marks_wiped, SIZES_SMALL, NEEDS_STATES, 0},
    {"double_free.of_calloc", of_calloc, SIZES_SMALL, NEEDS_STATES, 0},
    {"double_free.of_aligned", of_aligned, SIZES_SMALL, NEEDS_STATES, 0},
    {"double_free.of_new", of_new, SIZES_SMALL, NEEDS_STATES, 0},
    {"double_free.of_new_array_by_free", of_new_array_by_free, SIZES_SMALL, NEEDS_STATES, 0},
    {"double_free.by_sized_delete", by_sized_delete, SIZES_SMALL, NEEDS_STATES, 0},
    {"double_free.by_free_sized", by_free_sized, SIZES_SMALL, NEEDS_STATES, 0},
    {"double_free.by_realloc_to_nothing", by_realloc_to_nothing, SIZES_SMALL, NEEDS_STATES, 0},
    {"double_free.by_realloc_that_moves", by_realloc_that_moves, SIZES_SMALL, NEEDS_STATES, 0},
    {"double_free.of_a_joined_block", of_a_joined_block, SIZES_SMALL, NEEDS_STATES, CASE_PLAIN_LOSES},
    {"double_free.second_by_another", second_by_another, SIZES_SMALL, NEEDS_STATES, 0},
    {"double_free.first_by_another", first_by_another, SIZES_SMALL, NEEDS_STATES, 0},
    {"double_free.both_by_another", both_by_another, SIZES_SMALL, NEEDS_STATES, CASE_PLAIN_LOSES},
    {"double_free.by_two_others", by_two_others, SIZES_SMALL, NEEDS_STATES, 0},
    {"double_free.across_a_collection", across_a_collection, SIZES_SMALL, NEEDS_STATES, 0},
    {"double_free.of_an_ended_thread", of_an_ended_thread, SIZES_SMALL, NEEDS_STATES, 0},
    {"double_free.after_the_freeing_thread", after_the_freeing_thread, SIZES_SMALL, NEEDS_STATES, 0},
    {"double_free.after_trim", after_trim, SIZES_SMALL, NEEDS_STATES, 0},
    {"double_free.of_an_emptied_page", of_an_emptied_page, SIZES_SMALL, NEEDS_STATES, 0},
    {"double_free.of_a_big_block", of_a_big_block, SIZES_BIG, NEEDS_STATES, 0},
    {"double_free.of_a_medium_block", of_a_medium_block, SIZES_MEDIUM, NEEDS_STATES, 0},
    {"double_free.of_a_medium_block_by_two", of_a_medium_block_by_two, SIZES_MEDIUM, NEEDS_STATES, 0},
    {0},
};
