/* What freed and fresh blocks tell to a reader: where the heap lies, which block comes next, and links to use again. */
#include "attack.h"

#include <dlfcn.h>

enum { LIVE_MORE = 40, SEEN = 24, PAGE_BITS = 12 };

static struct herd herd;
static uintptr_t lowest = UINTPTR_MAX, highest;

/* The range in which the program's blocks lie, with the pages around. */
static void learn_range(const void *block)
{
    uintptr_t at = (uintptr_t)block;
    lowest = at < lowest ? at & ~(uintptr_t)0xffff : lowest;
    highest = at > highest ? at | 0xffff : highest;
}

static bool is_pointer(uintptr_t word)
{
    Dl_info information;
    if (word >= lowest && word <= highest)
        return true;
    return word > 1 << 16 && word >> 47 == 0 && dladdr(launder((const void *)word), &information) != 0;
}

/* A pointer, or one that is hidden under the place's own page number. */
static void look(const void *block, size_t bytes)
{
    for (size_t at = 0; at + sizeof(uintptr_t) <= bytes; at += sizeof(uintptr_t)) {
        uintptr_t word = peek((const char *)block + at);
        uintptr_t page = ((uintptr_t)block + at) >> PAGE_BITS;
        if (is_pointer(word) || word == page || is_pointer(word ^ page))
            win("a block tells an address", (const char *)block + at);
    }
}

static void grab_row(size_t bytes, unsigned count)
{
    herd_grab(&herd, bytes, count);
    for (unsigned i = 0; i < count; i++)
        learn_range(herd.block[i]);
    strike(NULL);
}

static void freed_block(const struct aim *aim)
{
    unsigned frees = frees_for(aim);
    grab_row(aim->size, 2 * frees + LIVE_MORE);
    for (unsigned i = 0; i < frees; i++)
        drop(herd.block[2 * i]);
    for (unsigned i = 0; i < frees; i++)
        look(herd.block[2 * i], aim->size);
}

static void freed_by_another(const struct aim *aim)
{
    start_workers();
    grab_row(aim->size, 200);
    for (unsigned i = 0; i < 96; i++)
        drop_in_worker(0, herd.block[2 * i]);
    for (unsigned i = 0; i < 96; i++)
        look(herd.block[2 * i], aim->size);
}

static void freed_medium(const struct aim *aim)
{
    grab_row(aim->size, 8);
    for (unsigned i = 0; i < 8; i += 2)
        drop(herd.block[i]);
    for (unsigned i = 0; i < 8; i += 2)
        look(herd.block[i], 256);
}

static void freed_big(const struct aim *aim)
{
    grab_row(aim->size, 80);
    for (unsigned i = 0; i < 80; i += 2)
        drop(herd.block[i]);
    for (unsigned i = 0; i < 80; i += 2)
        look(herd.block[i], 256);
}

static void *take_unread(enum taker taker, size_t bytes)
{
    void *block = NULL;
    switch (taker) {
    case TAKE_REALLOC:
        return realloc(NULL, bytes);
    case TAKE_MEMALIGN:
        require(posix_memalign(&block, 32, bytes) == 0);
        return block;
    default:
        return malloc(bytes);
    }
}

/* Read before it is written, as programs do that forget to clear. */
static void new_blocks(const struct aim *aim, enum taker taker)
{
    grab_row(aim->size, 200);
    for (unsigned i = 0; i < 96; i++)
        drop(herd.block[2 * i]);
    for (unsigned i = 0; i < 400; i++) {
        void *block = take_unread(taker, aim->size);
        require(block != NULL);
        learn_range(block);
        look(block, aim->size);
        grabbed(block, aim->size);
    }
}

static void new_block(const struct aim *aim)
{
    new_blocks(aim, TAKE_MALLOC);
}

static void new_by_realloc(const struct aim *aim)
{
    new_blocks(aim, TAKE_REALLOC);
}

static void new_aligned(const struct aim *aim)
{
    new_blocks(aim, TAKE_MEMALIGN);
}

static void new_medium(const struct aim *aim)
{
    grab_row(aim->size, 8);
    for (unsigned i = 0; i < 8; i += 2)
        drop(herd.block[i]);
    for (unsigned i = 0; i < 8; i++) {
        void *block = malloc(aim->size);
        require(block != NULL);
        look(block, 256);
        grabbed(block, aim->size);
    }
}

/* Past the end of the youngest block. */
static void unborn(const struct aim *aim)
{
    grab_row(aim->size, 20 + aim->run % 9);
    const char *top = herd_top(&herd);
    size_t stride = herd_stride(&herd);
    for (unsigned i = 1; i < 6; i++) {
        if (is_same_page(top, top + (i + 1) * stride))
            look(top + i * stride, sizeof(uintptr_t));
    }
}

static void after_realloc(const struct aim *aim)
{
    grab_row(aim->size, 60);
    for (unsigned i = 0; i < 60; i += 2) {
        dropped(herd.block[i]);
        grabbed(realloc(herd.block[i], aim->size * 3), aim->size * 3);
    }
    for (unsigned i = 0; i < 60; i += 2)
        look(herd.block[i], aim->size);
}

static void drop_row(void *argument)
{
    const struct aim *aim = argument;
    grab_row(aim->size, 100);
    for (unsigned i = 0; i < 96; i++)
        drop(herd.block[i]);
}

static void after_a_threads_end(const struct aim *aim)
{
    struct aim copy = *aim;
    in_ending_thread(drop_row, &copy);
    for (unsigned i = 0; i < 96; i++)
        look(herd.block[i], aim->size);
}

/* ---- links of the other threads' list ---- */

static void push_row(const struct aim *aim)
{
    start_workers();
    grab_row(aim->size, 200);
    for (unsigned i = 0; i < 96; i++)
        drop_in_worker(0, herd.block[2 * i]);
}

/* True if the two blocks pushed at these turns have one page, so that the later may lead to the earlier. */
static bool are_of_one_list(unsigned one, unsigned other)
{
    return is_same_page(herd.block[2 * one], herd.block[2 * other]);
}

/* The number of the block that was freed before this one, as it is. */
static void slots(const struct aim *aim)
{
    unsigned right = 0;
    push_row(aim);
    for (unsigned i = 1; i < 96; i++)
        right += are_of_one_list(i, i - 1) && (peek(herd.block[2 * i]) & 0xffff) == slot_of(herd.block[2 * i - 2]);
    if (right > 48)
        win("links tell which block is next", herd.block[0]);
}

/* Two links under one mask give the distance away. */
static void distances(const struct aim *aim)
{
    unsigned right = 0;
    push_row(aim);
    for (unsigned i = 2; i < 96; i++) {
        uintptr_t seen = peek(herd.block[2 * i]) ^ peek(herd.block[2 * i - 2]);
        unsigned wanted = slot_of(herd.block[2 * i - 2]) ^ slot_of(herd.block[2 * i - 4]);
        right += are_of_one_list(i, i - 1) && are_of_one_list(i, i - 2) && (seen & 0xffff) == wanted;
    }
    if (right > 24)
        win("links tell how far the next blocks are from each other", herd.block[0]);
}

/* The part of a link that says where it leads, taken apart by what the attacker knows: he freed most of the blocks himself.
 * A mask that is a sum of its parts gives three of a square's corners, and then the fourth; so he reads where the others'
 * links lead. */
static bool is_others(unsigned turn)
{
    return turn % 5 == 2;
}

static bool foretell(const unsigned slot[96], const unsigned mask[96], unsigned unknown, unsigned *foretold)
{
    for (unsigned c = 1; c < 96; c++) {
        unsigned flipped = slot[unknown] ^ slot[c];
        for (unsigned a = 1; a < 96; a++) {
            for (unsigned b = 1; b < 96; b++) {
                if (a == c || is_others(a) || is_others(b) || is_others(c) || slot[a] == 0 || slot[b] == 0 ||
                    slot[c] == 0 || (slot[a] ^ slot[b]) != flipped || ((slot[a] ^ slot[c]) & flipped) != 0)
                    continue;
                *foretold = (mask[c] + mask[b] - mask[a]) & 0x1fff;
                return true;
            }
        }
    }
    return false;
}

static void masks(const struct aim *aim)
{
    unsigned slot[96] = {0}, mask[96] = {0}, tries = 0, right = 0, foretold;
    push_row(aim);
    for (unsigned i = 1; i < 96; i++) {
        if (!are_of_one_list(i, i - 1) || !are_of_one_list(i, 20))
            continue;
        slot[i] = slot_of(herd.block[2 * i]);
        mask[i] = (unsigned)(peek(herd.block[2 * i]) & 0x1fff) ^ slot_of(herd.block[2 * i - 2]);
    }
    for (unsigned i = 1; i < 96; i++) {
        if (slot[i] == 0 || !is_others(i) || !foretell(slot, mask, i, &foretold))
            continue;
        tries++;
        right += ((foretold - mask[i] + 2) & 0x1fff) <= 4;
    }
    require(tries >= 8);
    if (right > tries / 2)
        win("known links tell where unknown ones lead", herd.block[0]);
}

/* The same list in another life has the same links: what was read once can be used again. */
static void same_twice(const struct aim *aim)
{
    static uintptr_t words[96];
    unsigned same = 0;
    push_row(aim);
    for (unsigned i = 0; i < 96; i++)
        words[i] = peek(herd.block[2 * i]);
    require(bring_back(aim->size, herd.block, 200));
    for (unsigned i = 0; i < 96; i++)
        drop_in_worker(0, herd.block[2 * i]);
    for (unsigned i = 1; i < 96; i++)
        same += peek(herd.block[2 * i]) == words[i];
    if (same > 48)
        win("links are the same in another life", herd.block[0]);
}

/* ---- what comes next ---- */

/* The link in the block that was freed last says what malloc answers after it. */
static void next_by_its_link(const struct aim *aim)
{
    unsigned frees = frees_for(aim);
    grab_row(aim->size, 2 * frees + LIVE_MORE);
    for (unsigned i = 0; i < frees; i++)
        drop(herd.block[2 * i]);
    uintptr_t *last = herd.block[2 * frees - 2], word = peek(last), page = (uintptr_t)last >> PAGE_BITS;
    for (unsigned i = 0; i < 1000 && !is_live(last); i++)
        grab(aim->size);
    void *wanted = last;
    bring_back(aim->size, &wanted, 1);
    uintptr_t next = (uintptr_t)grab(aim->size);
    if (next == word || next == (word ^ page))
        win("a link told what malloc answers next", launder((const void *)next));
}

/* Fresh blocks lie one after another. */
static void next_fresh_by_distance(const struct aim *aim)
{
    unsigned right = 0;
    grab_row(aim->size, SEEN);
    for (unsigned i = 2; i < SEEN; i++) {
        uintptr_t stride = (uintptr_t)herd.block[1] - (uintptr_t)herd.block[0];
        right += (uintptr_t)herd.block[i] - (uintptr_t)herd.block[i - 1] == stride;
    }
    if (right > 2 * SEEN / 3)
        win("fresh blocks come at a known distance", herd.block[0]);
}

/* Freed blocks come back the last first, or the first first. */
static void next_freed_by_its_turn(const struct aim *aim)
{
    const unsigned frees = 60;
    unsigned right = 0;
    grab_row(aim->size, 2 * frees + LIVE_MORE);
    for (unsigned i = 0; i < frees; i++)
        drop(herd.block[2 * i]);
    const void *before = NULL;
    for (unsigned i = 0; i < 1000; i++) {
        const void *block = grab(aim->size);
        for (unsigned j = 1; j + 1 < frees; j++) {
            if (block == herd.block[2 * j])
                right += before == herd.block[2 * j + 2] || before == herd.block[2 * j - 2];
        }
        before = block;
    }
    if (right > frees / 2)
        win("freed blocks come back in a known order", herd.block[0]);
}

const struct attack_case attacks_leaks[] = {
    {"leaks.freed_block", freed_block, SIZES_SMALL, NEEDS_LINKS, 0},
    {"leaks.freed_by_another", freed_by_another, SIZES_SMALL, NEEDS_LINKS, CASE_PLAIN_LOSES},
    {"leaks.freed_medium", freed_medium, SIZES_MEDIUM, 0, CASE_PLAIN_LOSES},
    {"leaks.freed_big", freed_big, SIZES_BIG, NEEDS_LINKS, 0},
    {"leaks.new_block", new_block, SIZES_SMALL, NEEDS_LINKS, 0},
    {"leaks.new_by_realloc", new_by_realloc, SIZES_SMALL, NEEDS_LINKS, 0},
    {"leaks.new_aligned", new_aligned, SIZES_SMALL, NEEDS_LINKS, 0},
    {"leaks.new_medium", new_medium, SIZES_MEDIUM, 0, CASE_PLAIN_LOSES},
    {"leaks.unborn", unborn, SIZES_SMALL, NEEDS_LINKS, 0},
    {"leaks.after_realloc", after_realloc, SIZES_SMALL, NEEDS_LINKS, 0},
    {"leaks.after_a_threads_end", after_a_threads_end, SIZES_SMALL, NEEDS_LINKS, 0},
    {"leaks.slots", slots, SIZES_SMALL, NEEDS_LINKS, 0},
    {"leaks.distances", distances, SIZES_SMALL, NEEDS_LINKS, 0},
    {"leaks.masks", masks, SIZES_SMALL, NEEDS_LINKS, 0},
    {"leaks.same_twice", same_twice, SIZES_SMALL, NEEDS_LINKS, 0},
    {"leaks.next_by_its_link", next_by_its_link, SIZES_SMALL, NEEDS_LINKS | NEEDS_ORDER, 0},
    {"leaks.next_fresh_by_distance", next_fresh_by_distance, SIZES_SMALL, NEEDS_ORDER, 0},
    {"leaks.next_freed_by_its_turn", next_freed_by_its_turn, SIZES_SMALL, NEEDS_ORDER, 0},
    {0},
};
