/* Writes and reads that run on, past a block's end or in front of its start. In its own page nothing stops them yet; they
 * win when they reach a live block of another page, so of another size or of another owner.
 */
#include "attack.h"

#include <malloc.h>

enum { RUN_MOST = 1 << 20, LOOK_EACH = 64, AROUND = 12 };

/* Runs from `from` upward or downward. Small blocks share their page; others have none to share. */
static _Noreturn void run(char *from, int step, bool is_write, bool is_small)
{
    const char *start = from;
    unsigned char sum = 0;
    strike(from);
    for (size_t i = 0; i < RUN_MOST; i++, from += step) {
        volatile unsigned char *at = (volatile unsigned char *)from;
        if (is_write)
            *at = 0x41;
        else
            sum ^= *at;
        if (i % LOOK_EACH == 0 && !(is_small && is_same_page(from, start)) && is_in_live(from))
            win(is_write ? "the overflow reached another page's block" : "the read reached another page's block", from);
    }
    report_figure(sum, "");
    lose();
}

/* Blocks of this size and of others, before and after, so that there is something to reach. */
static void surround(size_t bytes)
{
    for (unsigned i = 0; i < AROUND; i++) {
        grab(bytes * 2 + 48 * i);
        grab(40 + 16 * i);
        grab(bytes);
    }
}

static char *surrounded(const struct aim *aim, enum taker taker)
{
    surround(aim->size);
    char *block = grab_by(taker, aim->size);
    surround(aim->size);
    return block;
}

static void up(const struct aim *aim)
{
    run(surrounded(aim, TAKE_MALLOC) + aim->size, 1, true, true);
}

static void down(const struct aim *aim)
{
    run(surrounded(aim, TAKE_MALLOC) - 1, -1, true, true);
}

static void reads_up(const struct aim *aim)
{
    run(surrounded(aim, TAKE_MALLOC) + aim->size, 1, false, true);
}

static void reads_down(const struct aim *aim)
{
    run(surrounded(aim, TAKE_MALLOC) - 1, -1, false, true);
}

static void up_from_calloc(const struct aim *aim)
{
    run(surrounded(aim, TAKE_CALLOC) + aim->size, 1, true, true);
}

static void up_from_new(const struct aim *aim)
{
    run(surrounded(aim, TAKE_NEW_ARRAY) + aim->size, 1, true, true);
}

static void up_from_aligned(const struct aim *aim)
{
    surround(aim->size);
    surround(4096);
    char *block = grabbed(aligned_alloc(4096, 4096), 4096);
    surround(4096);
    run(block + 4096, 1, true, true);
}

/* Grown again and again, as strings are. */
static void up_from_realloc(const struct aim *aim)
{
    char *block = grab(aim->size);
    for (size_t bytes = aim->size; bytes < aim->size * 6; bytes += aim->size) {
        surround(bytes);
        dropped(block);
        block = grabbed(realloc(block, bytes + aim->size), bytes + aim->size);
    }
    run(block, 1, true, true);
}

/* The page was emptied and given back before, and serves again. */
static void up_in_a_page_that_serves_again(const struct aim *aim)
{
    static struct herd herd;
    for (unsigned round = 0; round < 3; round++) {
        herd_grab(&herd, aim->size, 400);
        herd_drop(&herd, 0, 400);
        malloc_trim(0);
    }
    up(aim);
}

static void run_up(void *argument)
{
    run(argument, 1, true, true);
}

static void up_by_another(const struct aim *aim)
{
    start_workers();
    in_worker(0, run_up, surrounded(aim, TAKE_MALLOC) + aim->size);
}

static void up_in_a_child(const struct aim *aim)
{
    in_child(run_up, surrounded(aim, TAKE_MALLOC) + aim->size);
}

static void surround_there(void *argument)
{
    const struct aim *aim = argument;
    *(char **)argument = surrounded(aim, TAKE_MALLOC);
}

/* The page's thread has ended. */
static void up_from_an_ended_thread(const struct aim *aim)
{
    union {
        struct aim aim;
        char *block;
    } both = {.aim = *aim};
    in_ending_thread(surround_there, &both);
    surround(aim->size);
    run(both.block + aim->size, 1, true, true);
}

/* ---- blocks with a place of their own ---- */

static char *row(const struct aim *aim, unsigned which)
{
    char *blocks[6];
    for (unsigned i = 0; i < 6; i++)
        blocks[i] = grab(aim->size);
    return blocks[which];
}

static void up_own(const struct aim *aim)
{
    run(row(aim, aim->run % 5) + aim->size, 1, true, false);
}

static void down_own(const struct aim *aim)
{
    run(row(aim, 1 + aim->run % 5) - 1, -1, true, false);
}

static void reads_up_own(const struct aim *aim)
{
    run(row(aim, aim->run % 5) + aim->size, 1, false, false);
}

static void reads_down_own(const struct aim *aim)
{
    run(row(aim, 1 + aim->run % 5) - 1, -1, false, false);
}

static void up_own_grown(const struct aim *aim)
{
    char *block = grab(aim->size / 2);
    row(aim, 0);
    dropped(block);
    block = grabbed(realloc(block, aim->size), aim->size);
    row(aim, 0);
    dropped(block);
    block = grabbed(realloc(block, aim->size + 1000), aim->size + 1000);
    run(block + aim->size + 1000, 1, true, false);
}

static void up_own_that_serves_again(const struct aim *aim)
{
    for (unsigned i = 0; i < 4; i++) {
        void *one = grab(aim->size), *two = grab(aim->size - 100);
        drop(one);
        drop(two);
        malloc_trim(0);
    }
    up_own(aim);
}

enum { SMALL_FLAGS = CASE_FAULTS, LARGE_FLAGS = CASE_FAULTS | CASE_PLAIN_LOSES };

const struct attack_case attacks_bounds[] = {
    {"bounds.up", up, SIZES_SMALL, NEEDS_GUARDS, SMALL_FLAGS},
    {"bounds.up_big", up, SIZES_BIG, NEEDS_GUARDS, SMALL_FLAGS},
    {"bounds.down", down, SIZES_SMALL, NEEDS_GUARDS, SMALL_FLAGS},
    {"bounds.down_big", down, SIZES_BIG, NEEDS_GUARDS, SMALL_FLAGS},
    {"bounds.reads_up", reads_up, SIZES_SMALL, NEEDS_GUARDS, SMALL_FLAGS},
    {"bounds.reads_down", reads_down, SIZES_SMALL, NEEDS_GUARDS, SMALL_FLAGS},
    {"bounds.up_from_calloc", up_from_calloc, SIZES_SMALL, NEEDS_GUARDS, SMALL_FLAGS},
    {"bounds.up_from_new", up_from_new, SIZES_SMALL, NEEDS_GUARDS, SMALL_FLAGS},
    {"bounds.up_from_aligned", up_from_aligned, SIZES_SMALL, NEEDS_GUARDS, SMALL_FLAGS},
    {"bounds.up_from_realloc", up_from_realloc, SIZES_SMALL, NEEDS_GUARDS, SMALL_FLAGS},
    {"bounds.up_in_a_page_that_serves_again", up_in_a_page_that_serves_again, SIZES_SMALL, NEEDS_GUARDS, SMALL_FLAGS},
    {"bounds.up_by_another", up_by_another, SIZES_SMALL, NEEDS_GUARDS, SMALL_FLAGS},
    {"bounds.up_in_a_child", up_in_a_child, SIZES_SMALL, NEEDS_GUARDS, SMALL_FLAGS},
    {"bounds.up_from_an_ended_thread", up_from_an_ended_thread, SIZES_SMALL, NEEDS_GUARDS, SMALL_FLAGS},
    {"bounds.up_medium", up_own, SIZES_MEDIUM, NEEDS_GUARDS, SMALL_FLAGS},
    {"bounds.down_medium", down_own, SIZES_MEDIUM, NEEDS_GUARDS, SMALL_FLAGS},
    {"bounds.reads_up_medium", reads_up_own, SIZES_MEDIUM, NEEDS_GUARDS, SMALL_FLAGS},
    {"bounds.reads_down_medium", reads_down_own, SIZES_MEDIUM, NEEDS_GUARDS, SMALL_FLAGS},
    {"bounds.up_medium_grown", up_own_grown, SIZES_MEDIUM, NEEDS_GUARDS, SMALL_FLAGS},
    {"bounds.up_medium_that_serves_again", up_own_that_serves_again, SIZES_MEDIUM, NEEDS_GUARDS, SMALL_FLAGS},
    {"bounds.up_large", up_own, SIZES_LARGE, 0, LARGE_FLAGS},
    {"bounds.down_large", down_own, SIZES_LARGE, 0, LARGE_FLAGS},
    {"bounds.reads_up_large", reads_up_own, SIZES_LARGE, 0, LARGE_FLAGS},
    {"bounds.up_large_grown", up_own_grown, SIZES_LARGE, 0, LARGE_FLAGS},
    {0},
};
