/* Blocks that another thread freed: until their owner collects them they wait on a list of their own, and the attacker
 * writes into them then. A heap that counts them can only be led by a list of the right length, so where it matters the
 * block that takes another's place goes on to where that one led.
 */
#include "attack.h"

#include <malloc.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LIVE_MORE = 40, PLACE = 512 };

static struct herd herd;
static uint64_t table[PLACE / sizeof(uint64_t)] __attribute__((aligned(64)));

static unsigned frees_of(const struct aim *aim)
{
    return aim->style == STYLE_SAFE ? 5 : 96;
}

static struct freed pushed_at(unsigned last)
{
    return (struct freed){herd.block[2 * last], herd.block[2 * last - 2], herd.block[2 * last - 1]};
}

static struct freed push_every_second(const struct aim *aim)
{
    unsigned frees = frees_of(aim);
    start_workers();
    herd_grab(&herd, aim->size, 2 * frees + LIVE_MORE);
    for (unsigned i = 0; i < frees; i++)
        drop_in_worker(0, herd.block[2 * i]);
    return pushed_at(frees - 1);
}

/* What was freed comes back: in the owner's hands, or in those of the thread that freed it. */
static void collect(const struct aim *aim, const void *block)
{
    flood_in_worker(0, aim->size, 8);
    flood_past(aim->size, block);
    flood(aim->size, 200);
}

static void lead_slot(const struct aim *aim, struct freed pushed, const void *target)
{
    overwrite(pushed.last, forge_slot(aim, pushed.last, pushed.next, target));
}

/* ---- where to ---- */

static void to_live(const struct aim *aim)
{
    struct freed pushed = push_every_second(aim);
    require(is_same_page(pushed.last, pushed.next));
    write_own(pushed.live, peek(pushed.next));
    lead_slot(aim, pushed, pushed.live);
    collect(aim, pushed.last);
}

static void to_interior(const struct aim *aim)
{
    struct freed pushed = push_every_second(aim);
    require(is_same_page(pushed.last, pushed.next));
    write_own((char *)pushed.live + 16, peek(pushed.next));
    lead_slot(aim, pushed, (char *)pushed.live + 16);
    collect(aim, pushed.last);
}

static void to_itself(const struct aim *aim)
{
    struct freed pushed = push_every_second(aim);
    lead_slot(aim, pushed, pushed.last);
    collect(aim, pushed.last);
}

static void in_a_circle(const struct aim *aim)
{
    struct freed pushed = push_every_second(aim);
    overwrite(pushed.next, forge_slot(aim, pushed.next, herd.block[2 * frees_of(aim) - 6], pushed.last));
    collect(aim, pushed.last);
}

static void to_global(const struct aim *aim)
{
    struct freed pushed = push_every_second(aim);
    choose_place(table, sizeof table, "a table of the program");
    lead_slot(aim, pushed, table);
    collect(aim, pushed.last);
}

static void to_other_class(const struct aim *aim)
{
    void *other = grab(aim->size * 4 + 100);
    write_own(other, 0);
    struct freed pushed = push_every_second(aim);
    lead_slot(aim, pushed, other);
    collect(aim, pushed.last);
}

/* One that stands on the owner's own list as well. */
static void to_locally_free(const struct aim *aim)
{
    struct freed pushed = push_every_second(aim);
    require(is_same_page(pushed.last, pushed.live));
    uintptr_t link = peek(pushed.next);
    drop(pushed.live);
    drop(herd.block[2 * frees_of(aim) + 1]);
    overwrite(pushed.live, link);
    lead_slot(aim, pushed, pushed.live);
    collect(aim, pushed.last);
}

/* Where nobody has had a block yet; the attacker reaches it by an overflow. */
static void to_never_used(const struct aim *aim)
{
    struct freed pushed = push_every_second(aim);
    char *target = herd_top(&herd) + 24 * herd_stride(&herd);
    require(is_same_page(target, pushed.last) && !is_live(target));
    overwrite(target, peek(pushed.next));
    lead_slot(aim, pushed, target);
    collect(aim, pushed.last);
    flood(aim->size, 800);
}

/* The last bytes of the page: a block there would reach into the next page. */
static void to_the_tail(const struct aim *aim)
{
    push_every_second(aim);
    unsigned second = 1;
    while (second < frees_of(aim) - 1 && !is_same_page(herd.block[2 * second], herd.block[2 * second - 2]))
        second++;
    struct freed pushed = pushed_at(second);
    char *tail = launder((const void *)(((uintptr_t)pushed.last | 0xffff) - 15));
    require(!is_live(tail));
    for (unsigned i = 0; i < 20; i++)
        grab(aim->size * 2 + 100 * i);
    lead_slot(aim, pushed, tail);
    collect(aim, pushed.last);
    flood(aim->size, 200);
}

/* ---- by how much, from where ---- */

static void low_bytes(const struct aim *aim, unsigned count)
{
    unsigned frees = frees_of(aim);
    push_every_second(aim);
    for (unsigned i = frees - 1; i > 0; i--) {
        struct freed pushed = pushed_at(i);
        uintptr_t word = forge_slot(aim, pushed.last, pushed.next, pushed.live);
        if (!is_same_page(pushed.last, pushed.live) || (word ^ peek(pushed.last)) >> (8 * count) != 0)
            continue;
        write_own(pushed.live, peek(pushed.next));
        overwrite_bytes(pushed.last, &word, count);
        collect(aim, pushed.last);
        return;
    }
    not_set_up();
}

static void one_byte(const struct aim *aim)
{
    low_bytes(aim, 1);
}

static void two_bytes(const struct aim *aim)
{
    low_bytes(aim, 2);
}

static void one_bit(const struct aim *aim)
{
    struct freed pushed = push_every_second(aim);
    uintptr_t link = peek(pushed.next);
    for (unsigned i = 1; i < herd.count; i += 2)
        write_own(herd.block[i], link);
    unsigned bit = aim->run < 16 ? aim->run / 2 : aim->run * 13 % 64;
    overwrite(pushed.last, peek(pushed.last) ^ (uintptr_t)1 << bit);
    collect(aim, pushed.last);
}

/* Too few: the list ends early. */
static void cut_short(const struct aim *aim)
{
    struct freed pushed = push_every_second(aim);
    overwrite(pushed.last, aim->run % 2 ? 0 : peek(herd.block[0]));
    collect(aim, pushed.last);
}

/* Too many: behind the oldest comes a live one. */
static void made_longer(const struct aim *aim)
{
    push_every_second(aim);
    write_own(herd.block[1], peek(herd.block[0]));
    overwrite(herd.block[0], aim->style == STYLE_SLOT ? slot_of(herd.block[1]) : peek(herd.block[2]));
    collect(aim, herd.block[0]);
}

/* ---- right links, wrong time or place ---- */

/* Freed in the same order in an earlier life, next to a block that stays live now. Both links of that time are put back. */
static void saved(const struct aim *aim)
{
    start_workers();
    herd_grab(&herd, aim->size, 2 * 96 + LIVE_MORE);
    uintptr_t *young = herd.block[40], *live = herd.block[38], *old = herd.block[36];
    require(is_same_page(young, old));
    for (unsigned i = 0; i < 96; i++)
        drop_in_worker(0, herd.block[2 * i]);
    uintptr_t young_link = peek(young), live_link = peek(live);
    require(bring_back(aim->size, herd.block, 2 * 96));
    for (unsigned i = 0; i < 96; i++) {
        if (i != 19 && is_live(herd.block[2 * i]))
            drop_in_worker(0, herd.block[2 * i]);
        if (i == 18)
            drop_in_worker(0, herd.block[39]); /* in the live one's place */
    }
    write_own(live, live_link);
    overwrite(young, young_link);
    collect(aim, young);
}

/* Another page's list, at the same distance from its start. */
static void copied_from_other_page(const struct aim *aim)
{
    static struct herd first;
    start_workers();
    herd_grab(&first, aim->size, 192);
    for (unsigned i = 0; i < 3000; i++) {
        if (!is_same_page(grab(aim->size), first.block[0]))
            break;
    }
    herd_grab(&herd, aim->size, 192 + LIVE_MORE);
    for (unsigned i = 0; i < 96; i++)
        drop_in_worker(0, herd.block[2 * i]);
    for (unsigned i = 0; i < 192; i++)
        drop_in_worker(0, first.block[i]);
    struct freed pushed = pushed_at(95);
    require(!is_same_page(pushed.last, first.block[0]));
    /* From that block there whose successor has the number of a live one here. */
    for (unsigned i = 1; i < 192; i++) {
        void *target = (char *)((uintptr_t)pushed.last & ~(uintptr_t)0xffff) + ((uintptr_t)first.block[i - 1] & 0xffff);
        if (!is_live(target) || !is_same_page(first.block[i], first.block[i - 1]))
            continue;
        write_own(target, peek(pushed.next));
        overwrite(pushed.last, peek(first.block[i]));
        collect(aim, pushed.last);
        return;
    }
    not_set_up();
}

/* Of this list, from one place to another: the list runs through some blocks twice. */
static void copied_in_the_page(const struct aim *aim)
{
    push_every_second(aim);
    unsigned last = frees_of(aim) - 1;
    overwrite(herd.block[2 * last - 4], peek(herd.block[2 * last]));
    collect(aim, herd.block[2 * last]);
}

/* ---- when ---- */

/* The other order: the owner has taken the list over already. */
static void after_the_collection(const struct aim *aim)
{
    push_every_second(aim);
    flood(aim->size, 3);
    for (unsigned i = 0; i < 100; i++) /* until the owner has met its freed blocks */
        grab(aim->size);
    for (unsigned i = 1; i + 1 < 96 && 2 * i < herd.count; i++) {
        void *block = herd.block[2 * i], *live = herd.block[2 * i + 1];
        if (is_live(block))
            continue;
        write_own(live, 0);
        struct aim local = *aim;
        overwrite(block, forge(&local, block, herd.block[2 * i + 2], live));
    }
    collect(aim, herd.block[2]);
}

struct owner {
    struct aim aim;
    struct freed pushed;
};

static void grab_herd(void *argument)
{
    const struct aim *aim = argument;
    herd_grab(&herd, aim->size, 2 * 96 + LIVE_MORE);
}

/* The owner ends while the list waits. */
static void at_the_owners_end(const struct aim *aim)
{
    struct aim copy = *aim;
    flood(aim->size, 2);
    in_ending_thread(grab_herd, &copy);
    for (unsigned i = 0; i < 96; i++)
        drop(herd.block[2 * i]); /* the first free takes the page over, */
    struct freed pushed = pushed_at(95);
    write_own(pushed.live, 0);
    /* so what waits is this thread's own list. */
    overwrite(pushed.last, forge(aim, pushed.last, pushed.next, pushed.live));
    flood_past(aim->size, pushed.last);
    flood(aim->size, 2500);
}

static void push_herd(void *argument)
{
    const struct owner *owner = argument;
    for (unsigned i = 0; i < frees_of(&owner->aim); i++)
        drop(herd.block[2 * i]);
}

/* So does the thread that freed. */
static void at_the_freers_end(const struct aim *aim)
{
    struct owner owner = {.aim = *aim};
    start_workers();
    herd_grab(&herd, aim->size, 2 * frees_of(aim) + LIVE_MORE);
    in_ending_thread(push_herd, &owner);
    struct freed pushed = pushed_at(frees_of(aim) - 1);
    require(is_same_page(pushed.last, pushed.next));
    write_own(pushed.live, peek(pushed.next));
    lead_slot(aim, pushed, pushed.live);
    collect(aim, pushed.last);
}

static void collect_there(void *argument)
{
    const struct owner *owner = argument;
    flood_past(owner->aim.size, owner->pushed.last);
    flood(owner->aim.size, 200);
}

/* The list is collected in a forked child. */
static void in_a_child(const struct aim *aim)
{
    struct owner owner = {.aim = *aim};
    owner.pushed = push_every_second(aim);
    require(is_same_page(owner.pushed.last, owner.pushed.next));
    write_own(owner.pushed.live, peek(owner.pushed.next));
    lead_slot(aim, owner.pushed, owner.pushed.live);
    in_child(collect_there, &owner);
}

/* By malloc_trim, which gathers what it can. */
static void by_trim(const struct aim *aim)
{
    struct freed pushed = push_every_second(aim);
    require(is_same_page(pushed.last, pushed.next));
    write_own(pushed.live, peek(pushed.next));
    lead_slot(aim, pushed, pushed.live);
    malloc_trim(0);
    collect(aim, pushed.last);
}

struct side {
    struct aim aim;
    bool is_writer;
};

static void race(void *argument)
{
    const struct side *side = argument;
    if (!side->is_writer) {
        flood(side->aim.size, 600);
        return;
    }
    for (unsigned i = 95 - side->aim.run % 8; i > 7; i -= 8) {
        struct freed pushed = pushed_at(i);
        if (is_same_page(pushed.last, pushed.next) && !is_live(pushed.last))
            overwrite(pushed.last, forge_slot(&side->aim, pushed.last, pushed.next, pushed.live));
    }
}

/* The attacker writes while the owner collects; several times, since it is a matter of luck. */
static void while_collecting(const struct aim *aim)
{
    struct aim copy = *aim;
    struct side owner = {*aim, false}, writer = {*aim, true};
    start_workers();
    for (unsigned round = 0; round < 12; round++) {
        in_worker(0, grab_herd, &copy);
        for (unsigned i = 0; i < 96; i++)
            drop_in_worker(1, herd.block[2 * i]);
        for (unsigned i = 1; i < 96; i++)
            write_own(herd.block[2 * i - 1], peek(herd.block[2 * i - 2]));
        in_both_workers(race, &owner, &writer);
        flood_in_worker(0, aim->size, 200);
    }
}

static uintptr_t seen_links[2];

static void push_in_other_order(void *argument)
{
    void *const young = herd.block[40], *const live = herd.block[38];
    for (unsigned i = 0; i < 96; i++) {
        if (i != 19)
            drop(herd.block[2 * i]);
        if (i == 18)
            drop(herd.block[39]); /* in the live one's place */
    }
    overwrite(young, seen_links[0]);
    write_own(live, seen_links[1]);
    (void)argument;
}

static void push_and_collect(void *argument)
{
    in_ending_thread(push_in_other_order, argument);
    collect_there(argument);
}

static void push_and_tell(void *argument)
{
    const int *end = argument;
    for (unsigned i = 0; i < 96; i++)
        drop(herd.block[2 * i]);
    uintptr_t links[] = {peek(herd.block[40]), peek(herd.block[38])};
    require(write(*end, links, sizeof links) == sizeof links);
}

/* Two children of one process know the same secrets: what one shows is used in the other, at the same turn of the list. */
static void saved_in_a_sibling(const struct aim *aim)
{
    struct owner owner = {.aim = *aim};
    int ends[2], status;
    require(pipe(ends) == 0);
    herd_grab(&herd, aim->size, 2 * 96 + LIVE_MORE);
    owner.pushed = pushed_at(20);
    require(is_same_page(herd.block[40], herd.block[36]));
    pid_t child = fork();
    require(child >= 0);
    if (child == 0) {
        in_ending_thread(push_and_tell, &ends[1]);
        _exit(0);
    }
    require(read(ends[0], seen_links, sizeof seen_links) == sizeof seen_links);
    require(waitpid(child, &status, 0) == child && status == 0);
    in_child(push_and_collect, &owner);
}

/* Blocks come and go on both lists, and links of all kinds are written into the freed ones. The run's number is the
 * seed. */
static void at_random(const struct aim *aim)
{
    static void *blocks[200];
    start_workers();
    draw_for(aim);
    for (unsigned i = 0; i < 200; i++)
        blocks[i] = grab(aim->size);
    for (unsigned step = 0; step < 2000; step++) {
        void *block = blocks[draw(200)], *other = blocks[draw(200)];
        unsigned act = draw(9);
        if (is_live(block) && act < 2)
            drop(block);
        else if (is_live(block) && act < 6)
            drop_in_worker(draw(2), block);
        else if (!is_live(block) && act == 6 && step > 100)
            overwrite(block, draw(2) ? peek(other) : forge_slot(aim, block, other, blocks[draw(200)]));
        else if (act > 6)
            grab(aim->size);
    }
    flood(aim->size, 400);
}

const struct attack_case attacks_remote[] = {
    {"remote.to_live", to_live, SIZES_SMALL, NEEDS_STATES, 0},
    {"remote.to_interior", to_interior, SIZES_SMALL, NEEDS_STATES, 0},
    {"remote.to_itself", to_itself, SIZES_SMALL, NEEDS_STATES, CASE_PLAIN_LOSES},
    {"remote.in_a_circle", in_a_circle, SIZES_SMALL, NEEDS_STATES, CASE_PLAIN_LOSES},
    {"remote.to_global", to_global, SIZES_SMALL, NEEDS_STATES, CASE_PLAIN_LOSES},
    {"remote.to_other_class", to_other_class, SIZES_SMALL, NEEDS_STATES, CASE_PLAIN_LOSES},
    {"remote.to_locally_free", to_locally_free, SIZES_SMALL, NEEDS_STATES, 0},
    {"remote.to_never_used", to_never_used, SIZES_SMALL, NEEDS_STATES, CASE_FAULTS},
    {"remote.to_the_tail", to_the_tail, SIZES_SMALL, NEEDS_STATES, 0},
    {"remote.one_byte", one_byte, SIZES_TINY, NEEDS_STATES, 0},
    {"remote.two_bytes", two_bytes, SIZES_SMALL, NEEDS_STATES, 0},
    {"remote.one_bit", one_bit, SIZES_SMALL, NEEDS_STATES, 0},
    {"remote.cut_short", cut_short, SIZES_SMALL, NEEDS_STATES, CASE_UNCOUNTED},
    {"remote.made_longer", made_longer, SIZES_SMALL, NEEDS_STATES, CASE_UNCOUNTED},
    {"remote.saved", saved, SIZES_SMALL, NEEDS_STATES, 0},
    {"remote.saved_in_a_sibling", saved_in_a_sibling, SIZES_SMALL, NEEDS_STATES, 0},
    {"remote.copied_from_other_page", copied_from_other_page, SIZES_SMALL, NEEDS_STATES, 0},
    {"remote.copied_in_the_page", copied_in_the_page, SIZES_SMALL, NEEDS_STATES, CASE_PLAIN_LOSES},
    {"remote.after_the_collection", after_the_collection, SIZES_SMALL, NEEDS_STATES, 0},
    {"remote.at_the_owners_end", at_the_owners_end, SIZES_SMALL, NEEDS_STATES, 0},
    {"remote.at_the_freers_end", at_the_freers_end, SIZES_SMALL, NEEDS_STATES, 0},
    {"remote.in_a_child", in_a_child, SIZES_SMALL, NEEDS_STATES, 0},
    {"remote.by_trim", by_trim, SIZES_SMALL, NEEDS_STATES, 0},
    {"remote.while_collecting", while_collecting, SIZES_SMALL, NEEDS_STATES, 0},
    {"remote.at_random", at_random, SIZES_SMALL, NEEDS_STATES, 0},
    {0},
};
