/* A dangling pointer is worth most when its block comes back as something else: an address must not serve another size. */
#include "attack.h"

#include <malloc.h>
#include <stdint.h>

enum { MANY = 1000 };

static struct herd herd;

/* Everything of the first size goes, and the other is taken in plenty. */
static void change(size_t from, unsigned from_count, size_t to, unsigned to_count, bool is_trimmed)
{
    watch_types();
    herd_grab(&herd, from, from_count);
    strike(herd.block[0]);
    herd_drop(&herd, 0, from_count);
    if (is_trimmed)
        malloc_trim(0);
    flood(to, to_count);
}

static void small_to_bigger(const struct aim *aim)
{
    change(aim->size, MANY, aim->size * 3, MANY, aim->run % 2);
}

static void small_to_smaller(const struct aim *aim)
{
    change(aim->size * 3, MANY, aim->size, 3 * MANY, aim->run % 2);
}

static void big_to_small(const struct aim *aim)
{
    change(aim->size, 200, 48, 4 * MANY, aim->run % 2);
}

static void small_to_medium(const struct aim *aim)
{
    change(aim->size, MANY, 20000 + 10000 * (aim->run % 8), 60, aim->run % 2);
}

static void medium_to_small(const struct aim *aim)
{
    change(aim->size, 12, 300 + 100 * (aim->run % 5), 2 * MANY, aim->run % 2);
}

static void medium_to_other_medium(const struct aim *aim)
{
    change(aim->size, 20, aim->size / 2, 60, aim->run % 2);
}

static void large_to_small(const struct aim *aim)
{
    drop(grab(aim->size)); /* a heap may learn from it that large blocks come and go */
    change(aim->size, 6, 1000, 2 * MANY, aim->run % 2);
}

static void large_to_larger(const struct aim *aim)
{
    change(aim->size, 6, aim->size * 2, 10, true);
}

static void small_to_large(const struct aim *aim)
{
    drop(grab(aim->size));
    change(12000, 800, aim->size, 6, aim->run % 2);
}

/* Whole chunks of 2 MiB are emptied, and their memory is wanted elsewhere. */
static void chunks_change(const struct aim *aim)
{
    for (unsigned i = 0; i < 4; i++)
        change(9000 - i * 1500 - aim->size, 1000, 700 + aim->size + i * 400, 1000, false);
}

/* By realloc alone. Only upward: a block that shrinks in place is of its class still. */
static void by_growing(const struct aim *aim)
{
    static const unsigned factors[] = {1, 2, 4, 8, 3, 6, 12};
    watch_types();
    strike(NULL);
    for (unsigned i = 0; i < sizeof factors / sizeof factors[0]; i++) {
        size_t bytes = aim->size * factors[i];
        bool is_anew = i == 0 || factors[i] < factors[i - 1];
        for (unsigned j = 0; j < 200; j++) {
            if (i > 0)
                dropped(herd.block[j]);
            if (i > 0 && is_anew)
                free(herd.block[j]);
            herd.block[j] = grabbed(realloc(is_anew ? NULL : herd.block[j], bytes), bytes);
        }
    }
}

static void to_aligned(const struct aim *aim)
{
    watch_types();
    herd_grab(&herd, aim->size, MANY);
    strike(herd.block[0]);
    herd_drop(&herd, 0, MANY);
    for (unsigned i = 0; i < 200; i++)
        grabbed(aligned_alloc(2048, 2048), 2048);
}

static void grab_and_drop(void *argument)
{
    const struct aim *aim = argument;
    herd_grab(&herd, aim->size, MANY);
    strike(herd.block[0]);
    herd_drop(&herd, 0, MANY);
}

static void grab_bigger(void *argument)
{
    const struct aim *aim = argument;
    flood(aim->size * 3, MANY);
}

static void across_threads(const struct aim *aim)
{
    struct aim copy = *aim;
    watch_types();
    in_ending_thread(grab_and_drop, &copy);
    if (aim->run % 2)
        in_ending_thread(grab_bigger, &copy);
    else
        grab_bigger(&copy);
}

static void in_a_forked_child(const struct aim *aim)
{
    struct aim copy = *aim;
    watch_types();
    grab_and_drop(&copy);
    in_child(grab_bigger, &copy);
}

const struct attack_case attacks_types[] = {
    {"types.small_to_bigger", small_to_bigger, SIZES_SMALL, NEEDS_ISOLATION, 0},
    {"types.small_to_smaller", small_to_smaller, SIZES_SMALL, NEEDS_ISOLATION, 0},
    {"types.big_to_small", big_to_small, SIZES_BIG, NEEDS_ISOLATION, 0},
    {"types.small_to_medium", small_to_medium, SIZES_SMALL, NEEDS_ISOLATION, CASE_PLAIN_LOSES},
    {"types.medium_to_small", medium_to_small, SIZES_MEDIUM, NEEDS_ISOLATION, CASE_PLAIN_LOSES},
    {"types.medium_to_other_medium", medium_to_other_medium, SIZES_MEDIUM, NEEDS_ISOLATION, CASE_PLAIN_LOSES},
    {"types.large_to_small", large_to_small, SIZES_LARGE, NEEDS_ISOLATION, CASE_PLAIN_LOSES},
    {"types.large_to_larger", large_to_larger, SIZES_LARGE, NEEDS_ISOLATION, CASE_PLAIN_LOSES},
    {"types.small_to_large", small_to_large, SIZES_LARGE, NEEDS_ISOLATION, CASE_PLAIN_LOSES},
    {"types.chunks_change", chunks_change, SIZES_TINY, NEEDS_ISOLATION, 0},
    {"types.by_growing", by_growing, SIZES_SMALL, NEEDS_ISOLATION, 0},
    {"types.to_aligned", to_aligned, SIZES_SMALL, NEEDS_ISOLATION, 0},
    {"types.across_threads", across_threads, SIZES_SMALL, NEEDS_ISOLATION, 0},
    {"types.in_a_forked_child", in_a_forked_child, SIZES_SMALL, NEEDS_ISOLATION, 0},
    {0},
};
