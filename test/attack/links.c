/* Writes into freed blocks, where a heap may keep the way to the next free one.
 *
 * Every second block of a row is freed, so that each freed one has live neighbours. The youngest freed one is overwritten
 * so that malloc would be led to a place of the attacker's choice, and then blocks are taken until it must have come by.
 */
#include "attack.h"

#include <sys/mman.h>

enum { PLACE = 512 };

static struct herd herd;
static uint64_t table[PLACE / sizeof(uint64_t)] __attribute__((aligned(64)));

/* The row and what was freed of it. */
static struct freed free_every_second(const struct aim *aim)
{
    return herd_free_every_second(&herd, aim);
}

static void lead_and_take(const struct aim *aim, const void *target)
{
    struct freed freed = free_every_second(aim);
    lead(aim, freed, target);
    flood_past(aim->size, freed.last);
}

/* ---- where to ---- */

static void to_global(const struct aim *aim)
{
    choose_place(table, sizeof table, "a table of the program");
    lead_and_take(aim, table);
}

static void to_stack(const struct aim *aim)
{
    uint64_t buffer[PLACE / sizeof(uint64_t)] __attribute__((aligned(64))) = {0};
    choose_place(buffer, sizeof buffer, "a buffer on the stack");
    lead_and_take(aim, buffer);
    finish(); /* while the buffer is there */
}

static void to_mapping(const struct aim *aim)
{
    char *mapping = mmap(NULL, 1 << 16, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    require(mapping != MAP_FAILED);
    choose_place(mapping + 1024, PLACE, "a mapping of the program");
    lead_and_take(aim, mapping + 1024);
}

/* There is nothing to be had there, but a heap that follows the link crashes where the attacker says. */
static void to_nowhere(const struct aim *aim)
{
    char *hole = mmap(NULL, 1 << 16, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    require(hole != MAP_FAILED);
    choose_hole(hole, 1 << 16, "no memory");
    lead_and_take(aim, aim->run % 3 ? hole + 4096 : launder((const void *)0x4141414141414140));
}

static void to_live(const struct aim *aim)
{
    struct freed freed = free_every_second(aim);
    write_own(freed.live, 0);
    lead(aim, freed, freed.live);
    flood_past(aim->size, freed.last);
}

static void to_interior(const struct aim *aim)
{
    struct freed freed = free_every_second(aim);
    write_own((char *)freed.live + 16, 0);
    lead(aim, freed, (char *)freed.live + 16);
    flood_past(aim->size, freed.last);
}

/* Half of the block under the attacker's own, half of its neighbour. */
static void to_misaligned(const struct aim *aim)
{
    struct freed freed = free_every_second(aim);
    write_own((char *)freed.live + 8, 0);
    lead(aim, freed, (char *)freed.live + 8);
    flood_past(aim->size, freed.last);
}

static void to_itself(const struct aim *aim)
{
    struct freed freed = free_every_second(aim);
    lead(aim, freed, freed.last);
    flood_past(aim->size, freed.last);
}

static void in_a_circle(const struct aim *aim)
{
    struct freed freed = free_every_second(aim);
    const void *third = herd.block[2 * frees_for(aim) - 6];
    overwrite(freed.next, forge(aim, freed.next, third, freed.last));
    flood_past(aim->size, freed.last);
}

static void to_live_of_other_page(const struct aim *aim)
{
    void *far = grab(aim->size);
    for (unsigned i = 0; i < 3000; i++) {
        if (!is_same_page(grab(aim->size), far))
            break;
    }
    struct freed freed = free_every_second(aim);
    require(!is_same_page(freed.last, far));
    write_own(far, 0);
    lead(aim, freed, far);
    flood_past(aim->size, freed.last);
}

/* One that is free already: it would stand on two lists. */
static void to_free_of_other_page(const struct aim *aim)
{
    static struct herd first;
    herd_grab(&first, aim->size, FREED_LIVE_MORE + 96);
    for (unsigned i = 0; i < 3000; i++) {
        if (!is_same_page(grab(aim->size), first.block[0]))
            break;
    }
    struct freed freed = free_every_second(aim);
    require(!is_same_page(freed.last, first.block[0]));
    herd_drop(&first, 0, 96);
    lead(aim, freed, first.block[aim->run % 8]);
    flood_past(aim->size, freed.last);
    flood(aim->size, 400);
}

static void to_other_class(const struct aim *aim)
{
    void *other = grab(aim->size * 4 + 100);
    write_own(other, 0);
    lead_and_take(aim, other);
}

static void to_medium(const struct aim *aim)
{
    void *other = grab(60000);
    write_own(other, 0);
    lead_and_take(aim, other);
}

/* A place further on in the page that nobody has had yet: it will be handed out in its turn, too. */
static void to_never_used(const struct aim *aim)
{
    struct freed freed = free_every_second(aim);
    char *target = herd_top(&herd) + 24 * herd_stride(&herd);
    require(is_same_page(target, freed.last) && !is_live(target));
    lead(aim, freed, target);
    flood_past(aim->size, freed.last);
    flood(aim->size, 600);
}

/* No two owners yet, but the attacker says which free block is next: he knows what his victim will get. Once may be luck. */
static void chooses_the_next(const struct aim *aim)
{
    unsigned right = 0;
    for (unsigned round = 0; round < 4; round++) {
        struct freed freed = free_every_second(aim);
        const void *wanted = herd.block[2 * (frees_for(aim) / 2) - 2];
        lead(aim, freed, wanted);
        bring_back(aim->size, &freed.last, 1);
        right += grab(aim->size) == wanted;
    }
    if (right >= 3)
        win("malloc's next block is the attacker's choice", NULL);
}

/* ---- by how much ---- */

/* The low bytes alone, as an overflow or a counter that is off writes them. There must be a live block that differs from
 * what stands there in these alone. */
static void low_bytes(const struct aim *aim, unsigned count)
{
    unsigned frees = frees_for(aim);
    free_every_second(aim);
    for (unsigned i = frees - 1; i > 0; i--) {
        void *block = herd.block[2 * i];
        const void *next = herd.block[2 * i - 2];
        for (unsigned live = 1; live < 2 * frees; live += 2) {
            uintptr_t difference = (uintptr_t)next ^ (uintptr_t)herd.block[live];
            if (difference >> (8 * count) != 0)
                continue;
            write_own(herd.block[live], 0);
            uintptr_t word = forge(aim, block, next, herd.block[live]);
            overwrite_bytes(block, &word, count);
            flood_past(aim->size, block);
            return;
        }
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

static void three_bytes(const struct aim *aim)
{
    low_bytes(aim, 3);
}

/* A string's end, one byte too far. */
static void nul_byte(const struct aim *aim)
{
    unsigned frees = frees_for(aim);
    free_every_second(aim);
    for (unsigned i = frees - 1; i > 0; i--) {
        void *block = herd.block[2 * i];
        uintptr_t word = peek(block) & ~(uintptr_t)0xff;
        for (unsigned live = 1; live < 2 * frees; live += 2) {
            if (word == forge(aim, block, herd.block[2 * i - 2], herd.block[live])) {
                write_own(herd.block[live], 0);
                overwrite_bytes(block, "", 1);
                flood_past(aim->size, block);
                return;
            }
        }
    }
    /* Blind, then. */
    overwrite_bytes(herd.block[2 * frees - 2], "", 1);
    flood_past(aim->size, herd.block[2 * frees - 2]);
}

/* A counter in the freed object goes up or down by what lies between two blocks. */
static void moved_by(const struct aim *aim, bool is_up)
{
    struct freed freed = free_every_second(aim);
    uintptr_t stride = herd_stride(&herd);
    void *target = launder((const void *)((uintptr_t)freed.next + (is_up ? stride : -stride)));
    if (is_live(target))
        write_own(target, 0);
    overwrite(freed.last, peek(freed.last) + (is_up ? stride : -stride));
    flood_past(aim->size, freed.last);
}

static void counted_up(const struct aim *aim)
{
    moved_by(aim, true);
}

static void counted_down(const struct aim *aim)
{
    moved_by(aim, false);
}

/* A flag in the freed object is turned over: each bit has its turn. */
static void one_bit(const struct aim *aim)
{
    struct freed freed = free_every_second(aim);
    for (unsigned i = 1; i < herd.count; i += 2) {
        write_own(herd.block[i], 0);
        for (unsigned at = 16; at < aim->size; at += 16)
            write_own((char *)herd.block[i] + at - 8 * (at % 16 != 0), 0);
    }
    unsigned bit = aim->run < 10 ? 4 + aim->run % 5 : aim->run * 13 % 64;
    overwrite(freed.last, peek(freed.last) ^ (uintptr_t)1 << bit);
    flood_past(aim->size, freed.last);
}

/* Each word of the freed block, wherever the link may be. */
static void every_word(const struct aim *aim)
{
    struct freed freed = free_every_second(aim);
    choose_place(table, sizeof table, "a table of the program");
    for (size_t at = 0; at + sizeof(uintptr_t) <= aim->size; at += sizeof(uintptr_t))
        overwrite((char *)freed.last + at, forge(aim, freed.last, freed.next, table));
    flood_past(aim->size, freed.last);
}

/* Each freed block, so that no order of reuse saves any. */
static void every_block(const struct aim *aim)
{
    free_every_second(aim);
    choose_place(table, sizeof table, "a table of the program");
    for (unsigned i = frees_for(aim) - 1; i > 0; i--)
        overwrite(herd.block[2 * i], forge(aim, herd.block[2 * i], herd.block[2 * i - 2], table));
    flood(aim->size, 600);
}

/* From the live block in front, over whatever lies between. */
static void by_overflow(const struct aim *aim)
{
    free_every_second(aim);
    size_t stride = herd_stride(&herd);
    for (unsigned i = frees_for(aim) - 1; i > 0; i--) {
        char *freed = herd.block[2 * i], *live = freed - stride;
        if (!is_live(live) || !is_same_page(live, freed))
            continue;
        choose_place(table, sizeof table, "a table of the program");
        uintptr_t word = forge(aim, freed, herd.block[2 * i - 2], table);
        for (char *at = live + (aim->size & ~(size_t)7); at < freed; at += sizeof(uintptr_t))
            overwrite(at, 0);
        overwrite(freed, word);
        flood_past(aim->size, freed);
        return;
    }
    not_set_up();
}

/* Past the end of the youngest block, into one that was never handed out. */
static void of_the_unborn(const struct aim *aim)
{
    herd_grab(&herd, aim->size, 20 + aim->run % 7);
    char *top = herd_top(&herd);
    size_t stride = herd_stride(&herd);
    choose_place(table, sizeof table, "a table of the program");
    for (unsigned i = 1; i <= 4; i++) {
        if (is_same_page(top, top + (i + 1) * stride))
            overwrite(top + i * stride, (uintptr_t)table);
    }
    flood(aim->size, 200);
}

const struct attack_case attacks_links[] = {
    {"links.to_global", to_global, SIZES_SMALL, NEEDS_STATES, 0},
    {"links.to_stack", to_stack, SIZES_SMALL, NEEDS_STATES, 0},
    {"links.to_mapping", to_mapping, SIZES_SMALL, NEEDS_STATES, 0},
    {"links.to_nowhere", to_nowhere, SIZES_SMALL, NEEDS_STATES, 0},
    {"links.to_live", to_live, SIZES_SMALL, NEEDS_STATES, 0},
    {"links.to_interior", to_interior, SIZES_SMALL, NEEDS_STATES, 0},
    {"links.to_misaligned", to_misaligned, SIZES_SMALL, NEEDS_STATES, 0},
    {"links.to_itself", to_itself, SIZES_SMALL, NEEDS_STATES, 0},
    {"links.in_a_circle", in_a_circle, SIZES_SMALL, NEEDS_STATES, 0},
    {"links.to_live_of_other_page", to_live_of_other_page, SIZES_SMALL, NEEDS_STATES, 0},
    {"links.to_free_of_other_page", to_free_of_other_page, SIZES_SMALL, NEEDS_STATES, 0},
    {"links.to_other_class", to_other_class, SIZES_SMALL, NEEDS_STATES, 0},
    {"links.to_medium", to_medium, SIZES_SMALL, NEEDS_STATES, 0},
    {"links.to_never_used", to_never_used, SIZES_SMALL, NEEDS_STATES, 0},
    {"links.chooses_the_next", chooses_the_next, SIZES_SMALL, NEEDS_LINKS | NEEDS_ORDER, 0},
    {"links.one_byte", one_byte, SIZES_TINY, NEEDS_STATES, 0},
    {"links.two_bytes", two_bytes, SIZES_SMALL, NEEDS_STATES, 0},
    {"links.three_bytes", three_bytes, SIZES_SMALL, NEEDS_STATES, 0},
    {"links.nul_byte", nul_byte, SIZES_TINY, NEEDS_STATES, 0},
    {"links.counted_up", counted_up, SIZES_SMALL, NEEDS_STATES, 0},
    {"links.counted_down", counted_down, SIZES_SMALL, NEEDS_STATES, 0},
    {"links.one_bit", one_bit, SIZES_SMALL, NEEDS_STATES, 0},
    {"links.every_word", every_word, SIZES_SMALL, NEEDS_STATES, 0},
    {"links.every_block", every_block, SIZES_SMALL, NEEDS_STATES, 0},
    {"links.by_overflow", by_overflow, SIZES_SMALL, NEEDS_STATES, 0},
    {"links.of_the_unborn", of_the_unborn, SIZES_SMALL, NEEDS_STATES, 0},
    {0},
};
