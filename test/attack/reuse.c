/* Blocks that come back: how soon and how surely, and what a stale pointer does then.
 *
 * No heap can tell a stale free of a block that was properly handed out again from a right one. What it can do is to make
 * that take long and not let it be aimed. So the first cases here may win, are counted, and say how many allocations it
 * took; others must not win, since they do not wait; and the rest measure.
 */
#include "attack.h"

#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { OTHERS = 200, TRIES = 200, FLOODED = HERD_MAX };

static struct herd herd;

/* A freed block and enough frees after it that each quarantine is full, then the victim takes it. Answers its place. */
static void *wait_for_victim(const struct aim *aim)
{
    herd_grab(&herd, aim->size, OTHERS);
    void *block = herd.block[OTHERS / 2];
    drop(block);
    for (unsigned i = 0; i < OTHERS; i++) {
        if (i != OTHERS / 2 && i % 3 != 2)
            drop(herd.block[i]);
    }
    require(bring_back(aim->size, &block, 1));
    return block;
}

static void free_of_reused(const struct aim *aim)
{
    void *block = wait_for_victim(aim);
    free_again(block);
    flood_past(aim->size, block);
}

static void free_of_reused_by_another(const struct aim *aim)
{
    static struct herd more;
    start_workers();
    herd_grab(&more, aim->size, OTHERS);
    void *block = wait_for_victim(aim);
    free_again_in_worker(0, block);
    for (unsigned i = 0; i < OTHERS; i++)
        drop_in_worker(0, more.block[i]);
    flood_in_worker(0, aim->size, 10);
    flood_past(aim->size, block);
}

static void realloc_of_reused(const struct aim *aim)
{
    void *block = wait_for_victim(aim);
    strike(block);
    grabbed(realloc(block, aim->size * 3), aim->size * 3);
    flood_past(aim->size, block);
}

static void flood_past_victim(void *argument)
{
    const struct aim *aim = argument;
    free_again(herd.block[OTHERS / 2]);
    flood_past(aim->size, herd.block[OTHERS / 2]);
}

static void free_of_reused_in_a_child(const struct aim *aim)
{
    struct aim copy = *aim;
    wait_for_victim(aim);
    in_child(flood_past_victim, &copy);
}

/* The victim's field changes, and the heap has no part in it. */
static void write_to_reused(const struct aim *aim)
{
    uintptr_t *block = wait_for_victim(aim), before = peek(block);
    overwrite(block, ~before);
    if (peek(block) == ~before)
        win_by_reuse(block, "a stale write changed a victim's field");
}

static void read_of_reused(const struct aim *aim)
{
    uintptr_t *block = wait_for_victim(aim);
    write_own(block, 0x5ec7e7);
    strike(block);
    if (peek(block) == 0x5ec7e7)
        win_by_reuse(block, "a stale read shows a victim's field");
}

static void free_of_reused_medium(const struct aim *aim)
{
    void *block = grab(aim->size);
    drop(block);
    /* One is used again only while others rest, so the flood comes and goes. */
    for (unsigned i = 0; i < 200 && !is_live(block); i++) {
        void *other = grab(aim->size);
        if (other != block)
            drop(other);
    }
    require(is_live(block));
    free_again(block);
    flood(aim->size, 60);
}

/* Large addresses rest long: the flood must be of those, and comes and goes. */
static void free_of_reused_large(const struct aim *aim)
{
    void *block = grab(aim->size);
    drop(block);
    for (unsigned i = 0; i < 2000 && !is_live(block); i++) {
        void *other = grab(aim->size);
        if (other != block)
            drop(other);
    }
    require(is_live(block));
    free_again(block);
    for (unsigned i = 0; i < 2000; i++) {
        void *other = grab(aim->size);
        if (other != block)
            drop(other);
    }
}

/* ---- without waiting ---- */

/* The victim asks right after the free. */
static void at_once(const struct aim *aim)
{
    grab(aim->size);
    void *block = grab(aim->size);
    grab(aim->size);
    drop(block);
    strike(block);
    if (grab(aim->size) == block)
        win("the next malloc answers the block that was freed last", block);
}

/* The same in a process that has used its heap for a while. */
static void at_once_after_a_while(const struct aim *aim)
{
    herd_grab(&herd, aim->size, 600);
    for (unsigned i = 0; i < 600; i += 2)
        drop(herd.block[i]);
    churn(aim->size, 500);
    unsigned hits = 0;
    for (unsigned i = 1; i < 2 * TRIES; i += 2) {
        drop(herd.block[i]);
        strike(herd.block[i]);
        hits += grab(aim->size) == herd.block[i];
    }
    if (hits > TRIES / 8)
        win("the next malloc often answers the block that was freed last", NULL);
}

/* A hole among the attacker's blocks, and the victim is to fall into it: free one, take a few. */
static void into_a_hole(const struct aim *aim)
{
    herd_grab(&herd, aim->size, 600);
    churn(aim->size, 100);
    unsigned hits = 0;
    for (unsigned i = 0; i < TRIES; i++) {
        void *hole = herd.block[100 + 2 * i];
        drop(hole);
        strike(hole);
        for (unsigned j = 0; j < 4; j++)
            hits += grab(aim->size) == hole;
    }
    if (hits > TRIES / 2)
        win("a victim falls into a hole that was made for it", NULL);
}

/* ---- after a rest ----
 *
 * A heap may put away what lay idle, and then have fewer blocks to choose from. Its clock is here, so that nobody waits.
 */
static time_t seconds_idle;

int clock_gettime(clockid_t clock, struct timespec *now)
{
    long answer = syscall(SYS_clock_gettime, clock, now);
    now->tv_sec += seconds_idle;
    return (int)answer;
}

/* The thread uses other sizes for some seconds, and the heap gets to look at its blocks of this one more than once. */
static void be_idle(const struct aim *aim)
{
    static void *other[OTHERS / 2];
    for (unsigned look = 0; look < 3; look++) {
        seconds_idle++;
        for (unsigned i = 0; i < OTHERS / 2; i++)
            other[i] = malloc(aim->size * 2 + 64);
        for (unsigned i = 0; i < OTHERS / 2; i++)
            free(other[i]);
    }
}

/* Far more often than one of 32 candidates comes, or of 16 from 1 KiB up, where the block of the last small size may lie too:
 * less than once in 10^7 processes by chance. */
static unsigned too_often(const struct aim *aim, unsigned draws)
{
    return draws * 3 / (aim->size < 1000 ? 32 : 16);
}

static void run_idle(const struct aim *aim, unsigned holes, void (*attack)(const struct aim *aim, void **block))
{
    enum { HERD = 600 };
    unsigned hits = 0;
    herd_grab(&herd, aim->size, HERD);
    for (unsigned i = 1; i <= holes; i++)
        drop(herd.block[HERD - i]);
    for (unsigned i = 0; i < 2 * TRIES; i++) {
        void **place = &herd.block[i * 7 % (HERD - OTHERS)], *block = *place;
        attack(aim, place);
        hits += *place == block;
    }
    if (hits > too_often(aim, 2 * TRIES))
        win("after a rest the next malloc often answers the block that was freed last", NULL);
    report_figure(hits, "of 400 blocks were back at once after a rest");
}

static void free_then_rest(const struct aim *aim, void **place)
{
    drop(*place);
    be_idle(aim);
    strike(*place);
    *place = grab(aim->size);
}

static void rest_then_free(const struct aim *aim, void **place)
{
    be_idle(aim);
    drop(*place);
    strike(*place);
    *place = grab(aim->size);
}

/* The attacker knows of the rest, and frees another one after it: what is now brought back? */
static void free_rest_and_free(const struct aim *aim, void **place)
{
    void *other = grab(aim->size);
    drop(*place);
    be_idle(aim);
    drop(other);
    strike(*place);
    *place = grab(aim->size);
}

static void idle_then_malloc(const struct aim *aim)
{
    run_idle(aim, OTHERS, free_then_rest);
}

/* Nothing but this block is free. */
static void idle_then_malloc_alone(const struct aim *aim)
{
    run_idle(aim, 0, free_then_rest);
}

static void idle_then_free_alone(const struct aim *aim)
{
    run_idle(aim, 0, rest_then_free);
}

static void free_idle_free_alone(const struct aim *aim)
{
    run_idle(aim, 0, free_rest_and_free);
}

/* Blocks with pages of their own are few, and each is dear: is the freed one the next? */
static void medium_at_once(const struct aim *aim)
{
    void *other = grab(aim->size), *block = grab(aim->size);
    drop(block);
    strike(block);
    if (grab(aim->size) == block)
        win("the next malloc answers the medium block that was freed last", block);
    drop(other);
}

/* The free is another thread's, the next malloc is the owner's. */
static void at_once_from_another(const struct aim *aim)
{
    start_workers();
    herd_grab(&herd, aim->size, 100);
    void *block = herd.block[50];
    drop_in_worker(0, block);
    strike(block);
    flood_in_worker(0, aim->size, 1);
    if (is_live(block) || grab(aim->size) == block)
        win("the next malloc answers the block that another thread freed last", block);
}

/* ---- figures ---- */

/* Pairs of free and malloc, in a process with a steady number of live blocks, until a freed block is back. */
static void measure_distance(size_t bytes, void (*rest)(const struct aim *aim))
{
    herd_grab(&herd, bytes, 300);
    for (unsigned i = 0; i < 2000; i++) {
        unsigned at = (i * 7919u + 13) % 300;
        drop(herd.block[at]);
        herd.block[at] = grab(bytes);
    }
    void *block = herd.block[150];
    herd.block[150] = grab(bytes);
    strike(NULL);
    drop(block);
    if (rest != NULL)
        rest(&(struct aim){.size = bytes});
    uint64_t pairs = 1;
    for (; pairs < 20000; pairs++) {
        void *other = grab(bytes);
        if (other == block)
            break;
        unsigned at = (unsigned)(pairs * 104729u + 7) % 300;
        drop(herd.block[at]);
        herd.block[at] = other;
    }
    report_figure(pairs, "frees and mallocs until a freed block is back");
}

static void distance_64(const struct aim *aim)
{
    (void)aim;
    measure_distance(64, NULL);
}

static void distance_1024(const struct aim *aim)
{
    (void)aim;
    measure_distance(1024, NULL);
}

static void distance_64_after_a_rest(const struct aim *aim)
{
    (void)aim;
    measure_distance(64, be_idle);
}

static void distance_1024_after_a_rest(const struct aim *aim)
{
    (void)aim;
    measure_distance(1024, be_idle);
}

static void distance_medium(const struct aim *aim)
{
    void *block = grab(aim->size);
    strike(NULL);
    drop(block);
    uint64_t pairs = 1;
    for (; pairs < 2000; pairs++) {
        void *other = grab(aim->size);
        if (other == block)
            break;
        drop(other);
    }
    report_figure(pairs, "frees and mallocs until a freed medium block is back");
}

/* Mallocs alone, with no free after the block's own, while many freed blocks lie in their pages: these pass the reserve on
 * their way to malloc. What lies before them is taken in part, by `before` mallocs, before the block is freed. */
static void measure_flood(size_t bytes, unsigned before)
{
    herd_grab(&herd, bytes, FLOODED);
    for (unsigned i = 0; i < FLOODED; i++) {
        if (i != FLOODED / 2 && i % 3 != 2)
            drop(herd.block[i]);
    }
    for (; before > 0; before--)
        grab(bytes);
    void *block = herd.block[FLOODED / 2];
    strike(NULL);
    drop(block);
    uint64_t mallocs = 1;
    while (mallocs < 2 * FLOODED && grab(bytes) != block)
        mallocs++;
    report_figure(mallocs, "mallocs alone until a freed block is back");
}

static void flood_64(const struct aim *aim)
{
    measure_flood(64, aim->run % 40 * 16);
}

static void flood_1024(const struct aim *aim)
{
    measure_flood(1024, aim->run % 40);
}

static void fresh_in_thousand(const struct aim *aim)
{
    unsigned right = 0;
    strike(NULL);
    herd_grab(&herd, aim->size, 1000);
    uintptr_t stride = 0;
    for (unsigned i = 1; i < 1000; i++) {
        uintptr_t step = (uintptr_t)herd.block[i] - (uintptr_t)herd.block[i - 1];
        right += step == stride;
        stride = step;
    }
    report_figure(right, "of 1000 fresh blocks guessed by the last distance");
}

/* The attacker's block first, then the victim: is it the neighbour? */
static void neighbours_in_thousand(const struct aim *aim)
{
    unsigned right = 0;
    strike(NULL);
    herd_grab(&herd, aim->size, 400);
    for (unsigned i = 0; i < 400; i += 3)
        drop(herd.block[i]);
    for (unsigned i = 0; i < 1000; i++) {
        uintptr_t own = (uintptr_t)grab(aim->size), victim = (uintptr_t)grab(aim->size);
        right += victim > own && victim - own < 2 * aim->size + 16;
    }
    report_figure(right, "of 1000 victims right behind the attacker's block");
}

/* Every second block of a spray is freed, and victims fall into the holes: each then has an attacker's block in front. */
static void sprayed_in_thousand(const struct aim *aim)
{
    static struct herd spray;
    unsigned right = 0;
    strike(NULL);
    herd_grab(&spray, aim->size, 800);
    for (unsigned i = 1; i < 800; i += 2)
        drop(spray.block[i]);
    for (unsigned i = 0; i < 100; i++) {
        const void *victim = grab(aim->size);
        bool is_in_hole = false;
        for (unsigned j = 1; j < 800; j += 2)
            is_in_hole |= spray.block[j] == victim;
        right += is_in_hole ? 10 : 0;
    }
    report_figure(right, "of 1000 victims in a hole of a spray");
}

enum { MAY_REUSE = CASE_REUSES, FIGURES = CASE_FIGURES | CASE_UNCOUNTED };

const struct attack_case attacks_reuse[] = {
    {"reuse.free_of_reused", free_of_reused, SIZES_SMALL, 0, MAY_REUSE},
    {"reuse.free_of_reused_by_another", free_of_reused_by_another, SIZES_SMALL, 0, MAY_REUSE},
    {"reuse.realloc_of_reused", realloc_of_reused, SIZES_SMALL, 0, MAY_REUSE},
    {"reuse.free_of_reused_in_a_child", free_of_reused_in_a_child, SIZES_SMALL, 0, MAY_REUSE},
    {"reuse.write_to_reused", write_to_reused, SIZES_SMALL, 0, MAY_REUSE},
    {"reuse.read_of_reused", read_of_reused, SIZES_SMALL, 0, MAY_REUSE},
    {"reuse.free_of_reused_medium", free_of_reused_medium, SIZES_MEDIUM, 0, MAY_REUSE},
    {"reuse.free_of_reused_large", free_of_reused_large, SIZES_LARGE, 0, MAY_REUSE | CASE_PLAIN_LOSES},
    {"reuse.at_once", at_once, SIZES_SMALL, NEEDS_ORDER, CASE_PLAIN_LOSES},
    {"reuse.at_once_after_a_while", at_once_after_a_while, SIZES_SMALL, NEEDS_ORDER, CASE_PLAIN_LOSES},
    {"reuse.idle_then_malloc", idle_then_malloc, SIZES_SMALL, NEEDS_ORDER, CASE_PLAIN_LOSES},
    {"reuse.idle_then_malloc_big", idle_then_malloc, SIZES_BIG, NEEDS_ORDER, CASE_PLAIN_LOSES},
    {"reuse.idle_then_malloc_alone", idle_then_malloc_alone, SIZES_SMALL, NEEDS_ORDER, CASE_PLAIN_LOSES},
    {"reuse.idle_then_malloc_alone_big", idle_then_malloc_alone, SIZES_BIG, NEEDS_ORDER, CASE_PLAIN_LOSES},
    {"reuse.idle_then_free_alone", idle_then_free_alone, SIZES_SMALL, NEEDS_ORDER, CASE_PLAIN_LOSES},
    {"reuse.idle_then_free_alone_big", idle_then_free_alone, SIZES_BIG, NEEDS_ORDER, CASE_PLAIN_LOSES},
    {"reuse.free_idle_free_alone", free_idle_free_alone, SIZES_SMALL, NEEDS_ORDER, CASE_PLAIN_LOSES | CASE_UNCOUNTED},
    {"reuse.free_idle_free_alone_big", free_idle_free_alone, SIZES_BIG, NEEDS_ORDER, CASE_PLAIN_LOSES | CASE_UNCOUNTED},
    {"reuse.into_a_hole", into_a_hole, SIZES_SMALL, NEEDS_ORDER, CASE_PLAIN_LOSES},
    {"reuse.medium_at_once", medium_at_once, SIZES_MEDIUM, NEEDS_ORDER, 0},
    {"reuse.at_once_from_another", at_once_from_another, SIZES_SMALL, NEEDS_ORDER, CASE_PLAIN_LOSES},
    {"reuse.distance_64", distance_64, SIZES_SMALL, 0, FIGURES},
    {"reuse.distance_1024", distance_1024, SIZES_SMALL, 0, FIGURES},
    {"reuse.distance_64_after_a_rest", distance_64_after_a_rest, SIZES_SMALL, 0, FIGURES},
    {"reuse.distance_1024_after_a_rest", distance_1024_after_a_rest, SIZES_SMALL, 0, FIGURES},
    {"reuse.distance_medium", distance_medium, SIZES_MEDIUM, 0, FIGURES},
    {"reuse.flood_64", flood_64, SIZES_SMALL, 0, FIGURES},
    {"reuse.flood_1024", flood_1024, SIZES_SMALL, 0, FIGURES},
    {"reuse.fresh_in_thousand", fresh_in_thousand, SIZES_SMALL, 0, FIGURES},
    {"reuse.neighbours_in_thousand", neighbours_in_thousand, SIZES_SMALL, 0, FIGURES},
    {"reuse.sprayed_in_thousand", sprayed_in_thousand, SIZES_SMALL, 0, FIGURES},
    {0},
};
