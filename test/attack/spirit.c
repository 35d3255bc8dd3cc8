/* Frees of places that the heap never gave out, made up to look like its blocks: with the size in front that heaps with
 * headers believe, and with neighbours behind.
 */
#include "attack.h"

#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PLACE = 4096, SECRET = 0x5ec7e75e };

static uint64_t table[PLACE / sizeof(uint64_t)] __attribute__((aligned(4096)));

/* Makes `block` look like one for `bytes`; 16 bytes in front and the block's end must be the attacker's own. */
static void make_up(uint64_t *block, size_t bytes)
{
    size_t whole = bytes < 24 ? 32 : (bytes + 8 + 15) & ~(size_t)15;
    block[-2] = 0;
    block[-1] = whole | 1;
    block[whole / 8 - 1] = 0x41; /* the next one, in use */
    block[whole / 8 - 1 + 8] = 0x41;
}

/* It is free now, says the heap: does it come out again? */
static void harvest(const struct aim *aim)
{
    flood(aim->size, 150);
    flood_by(TAKE_CALLOC, aim->size, 20);
}

static void free_in(const struct aim *aim, uint64_t *place, const char *what, enum giver giver)
{
    uint64_t *block = place + 8;
    require(aim->size < PLACE / 2);
    make_up(block, aim->size);
    /* Freed, it may be written to by the heap; what counts is that it is handed out. */
    choose_hole(block, aim->size, what);
    free_again_by(giver, block);
    harvest(aim);
}

static void on_the_stack(const struct aim *aim)
{
    uint64_t buffer[PLACE / sizeof(uint64_t)] __attribute__((aligned(64))) = {0};
    free_in(aim, buffer, "a buffer on the stack", GIVE_FREE);
    finish();
}

static void in_a_table(const struct aim *aim)
{
    free_in(aim, table, "a table of the program", GIVE_FREE);
}

static void by_delete(const struct aim *aim)
{
    free_in(aim, table, "a table of the program", aim->run % 2 ? GIVE_DELETE : GIVE_DELETE_SIZED);
}

static void by_realloc_to_nothing(const struct aim *aim)
{
    free_in(aim, table, "a table of the program", GIVE_REALLOC_ZERO);
}

static uint64_t *map(size_t bytes)
{
    void *mapping = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    require(mapping != MAP_FAILED);
    return mapping;
}

static void in_a_mapping(const struct aim *aim)
{
    free_in(aim, map(1 << 16), "a mapping of the program", GIVE_FREE);
}

static bool map_at(uintptr_t address)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
    return mmap((void *)address, PLACE, PROT_READ | PROT_WRITE, flags, -1, 0) != MAP_FAILED;
}

/* Right before the heap's own memory, as near as one gets. */
static void beside_the_heap(const struct aim *aim)
{
    const uintptr_t page = 4096, heap = (uintptr_t)grab(60000) & ~(page - 1);
    uintptr_t taken = 0, free_at = page;
    while (free_at < heap && !map_at(heap - free_at)) {
        taken = free_at;
        free_at *= 2;
    }
    require(free_at < heap);
    while (free_at - taken > page) {
        uintptr_t middle = (taken + (free_at - taken) / 2) & ~(page - 1);
        if (map_at(heap - middle))
            free_at = middle;
        else
            taken = middle;
    }
    free_in(aim, launder((const void *)(heap - free_at)), "a mapping of the program", GIVE_FREE);
}

/* The list that a heap keeps beside its first is not as careful. */
static void with_the_first_list_full(const struct aim *aim)
{
    void *full[7];
    for (unsigned i = 0; i < 7; i++)
        full[i] = grab(aim->size);
    for (unsigned i = 0; i < 7; i++)
        drop(full[i]);
    free_in(aim, table, "a table of the program", GIVE_FREE);
}

/* ---- inside a live block ---- */

/* Frees before it, so that a heap which looks at a list only when it has some comes by. */
static void fill_lists(size_t bytes)
{
    static struct herd herd;
    herd_grab(&herd, bytes, 96);
    herd_drop(&herd, 0, 96);
}

static void free_inside(const struct aim *aim, size_t whole, size_t at)
{
    uint64_t *block = grab(whole), *place = launder((char *)block + at);
    for (size_t i = 0; i < whole / sizeof *block; i++)
        write_own(block + i, 0);
    make_up(place, at + aim->size + 128 < whole ? aim->size : 24);
    fill_lists(whole);
    free_again(place);
    flood(whole, 150);
    harvest(aim);
}

static void inside_a_bigger_block(const struct aim *aim)
{
    free_inside(aim, aim->size * 2 + 400, 64);
}

static void misaligned_inside(const struct aim *aim)
{
    free_inside(aim, aim->size + 160, 24);
}

static void by_16_inside(const struct aim *aim)
{
    free_inside(aim, aim->size + 120, 16);
}

static void inside_a_medium_block(const struct aim *aim)
{
    free_inside(aim, 40000 + aim->size, 4096);
}

static void inside_a_large_block(const struct aim *aim)
{
    free_inside(aim, (2 << 20) + aim->size, 8192);
}

static void inside_an_aligned_block(const struct aim *aim)
{
    uint64_t *block = grabbed(aligned_alloc(1024, 2048), 2048);
    for (size_t i = 0; i < 256; i++)
        write_own(block + i, 0);
    make_up(block + 16, aim->size < 1000 ? aim->size : 24);
    fill_lists(2048);
    free_again(block + 16);
    for (unsigned i = 0; i < 100; i++)
        grabbed(aligned_alloc(1024, 2048), 2048);
    harvest(aim);
}

static void free_it(void *block)
{
    free_again(block);
}

/* Another thread frees it, and enough else that the owner hears of it. */
static void inside_by_another(const struct aim *aim)
{
    static struct herd herd;
    start_workers();
    uint64_t *block = grab(aim->size + 100);
    for (size_t i = 0; i < (aim->size + 100) / sizeof *block; i++)
        write_own(block + i, 0);
    herd_grab(&herd, aim->size + 100, 96);
    make_up(block + 2, 24);
    in_worker(0, free_it, block + 2);
    for (unsigned i = 0; i < 96; i++)
        drop_in_worker(0, herd.block[i]);
    flood_in_worker(0, 24, 20);
    flood(aim->size + 100, 200);
}

static void inside_there(void *argument)
{
    const struct aim *aim = argument;
    free_inside(aim, aim->size + 160, 32);
}

static void inside_in_a_child(const struct aim *aim)
{
    struct aim copy = *aim;
    grab(aim->size);
    in_child(inside_there, &copy);
}

/* realloc of a made-up block copies what stands there: the attacker reads it, and the place is freed. */
static void read_by_realloc(const struct aim *aim)
{
    uint64_t *block = table + 8;
    make_up(block, aim->size);
    block[0] = block[1] = SECRET;
    strike(block);
    uint64_t *moved = realloc(block, aim->size * 2 + 64);
    if (moved == NULL)
        return;
    if (moved[0] == SECRET || moved[1] == SECRET)
        win("realloc copied what was never in the heap", moved);
    grabbed(moved, aim->size * 2 + 64);
    harvest(aim);
}

/* The same from the middle of a block: what lies behind its end comes along. */
static void read_on_by_realloc(const struct aim *aim)
{
    uint64_t *block = grab(aim->size), *behind = grab(aim->size);
    size_t whole = aim->size / 16 * 16;
    make_up(block + 2, whole);
    for (size_t i = 0; i < aim->size / sizeof *behind; i++)
        write_own(behind + i, SECRET);
    strike(block + 2);
    uint64_t *moved = realloc(block + 2, aim->size * 2 + 64);
    if (moved == NULL)
        return;
    for (size_t i = whole / sizeof *moved - 1; i < aim->size / sizeof *moved; i++) {
        if (moved[i] == SECRET)
            win("realloc copied the next block's contents", moved);
    }
    grabbed(moved, aim->size * 2 + 64);
    flood(aim->size, 150);
}

/* It answers how much room there is, so it takes the place for its own. */
static void measured(const struct aim *aim)
{
    uint64_t *block = table + 8;
    make_up(block, aim->size);
    strike(block);
    if (malloc_usable_size(block) != 0)
        win("malloc_usable_size knows a block that never was", block);
}

/* ---- with a mapping of its own ---- */

/* A header that says "unmap me" takes a piece out of the program's memory. */
static void unmaps_a_chosen_place(const struct aim *aim)
{
    uint64_t *place = map(1 << 16), *block = place + 2;
    unsigned char resident[16];
    block[-2] = 0;
    block[-1] = (uint64_t)(1 + aim->run % 8) * 4096 | 2;
    free_again(block);
    if (mincore(place, 1 << 12, resident) != 0)
        win("free took the program's mapping away", place);
}

/* The same from inside a large block: a hole in the heap, into which something else is mapped. */
static void unmaps_inside_a_large_block(const struct aim *aim)
{
    char *large = grab(4 << 20);
    uint64_t *block = (uint64_t *)(void *)(((uintptr_t)large + (1 << 20)) & ~(uintptr_t)0xfff) + 2;
    unsigned char resident[16];
    write_own(block - 2, 0);
    write_own(block - 1, (uint64_t)(1 + aim->run % 8) * 4096 | 2);
    free_again(block);
    if (mincore(block - 2, 1 << 12, resident) != 0)
        win("free took a piece of a live block away", block);
}

/* Where malloc has not been yet: handed out now, and once more in its turn. */
static void of_the_unborn(const struct aim *aim)
{
    static struct herd herd;
    herd_grab(&herd, aim->size, 40);
    char *place = herd_top(&herd) + (30 + aim->run % 20) * herd_stride(&herd);
    require(is_same_page(place, herd.block[39]) && !is_live(place));
    herd_drop(&herd, 0, 36);
    free_again(place);
    flood(aim->size, 900);
}

/* The last bytes of a page, where no block fits. */
static void in_the_tail(const struct aim *aim)
{
    static struct herd herd;
    size_t bytes = aim->size + 100;
    herd_grab(&herd, bytes, 100);
    char *page = launder((const void *)((uintptr_t)herd.block[50] & ~(uintptr_t)0xffff));
    for (unsigned i = 0; i < 20; i++)
        grab(bytes * 2 + 100 * i);
    herd_drop(&herd, 20, 96);
    free_again(page + 65536 - 16);
    flood(bytes, 1200);
}

const struct attack_case attacks_spirit[] = {
    {"spirit.on_the_stack", on_the_stack, SIZES_SMALL, NEEDS_STATES, CASE_PLAIN_LOSES},
    {"spirit.in_a_table", in_a_table, SIZES_SMALL, NEEDS_STATES, CASE_PLAIN_LOSES},
    {"spirit.in_a_mapping", in_a_mapping, SIZES_SMALL, NEEDS_STATES, CASE_PLAIN_LOSES},
    {"spirit.beside_the_heap", beside_the_heap, SIZES_SMALL, NEEDS_STATES, CASE_PLAIN_LOSES},
    {"spirit.with_the_first_list_full", with_the_first_list_full, SIZES_TINY, NEEDS_STATES, CASE_PLAIN_LOSES},
    {"spirit.by_delete", by_delete, SIZES_SMALL, NEEDS_STATES, CASE_PLAIN_LOSES},
    {"spirit.by_realloc_to_nothing", by_realloc_to_nothing, SIZES_SMALL, NEEDS_STATES, CASE_PLAIN_LOSES},
    {"spirit.inside_a_bigger_block", inside_a_bigger_block, SIZES_SMALL, NEEDS_STATES, 0},
    {"spirit.misaligned_inside", misaligned_inside, SIZES_SMALL, NEEDS_STATES, 0},
    {"spirit.by_16_inside", by_16_inside, SIZES_SMALL, NEEDS_STATES, 0},
    {"spirit.inside_a_medium_block", inside_a_medium_block, SIZES_SMALL, NEEDS_STATES, CASE_PLAIN_LOSES},
    {"spirit.inside_a_large_block", inside_a_large_block, SIZES_SMALL, NEEDS_STATES, CASE_PLAIN_LOSES},
    {"spirit.inside_an_aligned_block", inside_an_aligned_block, SIZES_SMALL, NEEDS_STATES, 0},
    {"spirit.inside_by_another", inside_by_another, SIZES_SMALL, NEEDS_STATES, 0},
    {"spirit.inside_in_a_child", inside_in_a_child, SIZES_SMALL, NEEDS_STATES, 0},
    {"spirit.read_by_realloc", read_by_realloc, SIZES_SMALL, NEEDS_STATES, CASE_PLAIN_LOSES},
    {"spirit.read_on_by_realloc", read_on_by_realloc, SIZES_SMALL, NEEDS_STATES, 0},
    {"spirit.measured", measured, SIZES_SMALL, NEEDS_STATES, CASE_PLAIN_LOSES},
    {"spirit.unmaps_a_chosen_place", unmaps_a_chosen_place, SIZES_SMALL, NEEDS_STATES, CASE_PLAIN_LOSES},
    {"spirit.unmaps_inside_a_large_block", unmaps_inside_a_large_block, SIZES_SMALL, NEEDS_STATES, CASE_PLAIN_LOSES},
    {"spirit.of_the_unborn", of_the_unborn, SIZES_SMALL, NEEDS_STATES, 0},
    {"spirit.in_the_tail", in_the_tail, SIZES_SMALL, NEEDS_STATES, 0},
    {0},
};
