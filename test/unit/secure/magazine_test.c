/* Magazines lose no block and hand none out twice: in any order of frees, mallocs, spills, looks for idle ones and drains, and
 * when the desk is wiped in between, as the kernel does it in a child. The desk and the magazines are the test's own.
 */
#include "unit/chance.h"
#include "unit/secure/desk.h"
#include "unit/unit.h"

#include <string.h>

#if MOAT_SECURE_RANDOM_ORDER

enum { HALF_MOST = SEC_SPILL_MOST, ARRAY = SEC_DEPOT_ARRAY };

static void *depot_memory[SEC_DEPOT_BYTES / sizeof(void *)];

static void give_depot(unsigned class)
{
    if (sec_depot_lacks_memory(&own_shelf, class))
        sec_depot_give_memory(&own_shelf, class, depot_memory);
}

/* Blocks number `first` and up, in the stack in this order. */
static void fill_stack(unsigned class, size_t first, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct sec_fill fill = {.count = 1, .block = {block_of(first + i)}};
        sec_fill_end(&own_shelf, class, &fill);
    }
}

/* Sixteen blocks into SMALL's depot. */
static void add_array(size_t first)
{
    void **array = sec_depot_place(&own_shelf, SMALL, 1);
    for (size_t i = 0; EXPECT(array) && i < ARRAY; i++)
        array[i] = block_of(first + i);
}

/* ---- the stack, its halves and the depot ---- */

static void older_half_is_spilled(unsigned class)
{
    void *out[HALF_MOST];
    const unsigned places = places_of(class);

    begin();
    for (unsigned count = 0; count <= places; count++) {
        EXPECT_EQ(sec_stack_is_full(&own_shelf, class), count == places);
        EXPECT_EQ(sec_refill(&own_shelf, class), places / 2);
        EXPECT_EQ(sec_is_stocked(&own_shelf, class), count > 0);
        if (count < places)
            fill_stack(class, count, 1);
    }
    struct sec_place place;
    EXPECT(!sec_find_place(&own_shelf, class, &place)); /* no room, whatever the draws */
    EXPECT_EQ(sec_stack_spill(&own_shelf, class, out), places / 2);
    for (unsigned i = 0; i < places / 2; i++)
        EXPECT(out[i] == block_of(i));
    for (unsigned i = places; i-- > places / 2;)
        EXPECT(sec_take(&own_shelf, class) == block_of(i));
    EXPECT(sec_take(&own_shelf, class) == NULL && sec_kept(&own_shelf, class) == 0);
}

static unsigned fill_depot(unsigned class, size_t bytes)
{
    unsigned arrays = 0;
    void **array;
    while (arrays <= SEC_DEPOT_ARRAYS && (array = sec_depot_place(&own_shelf, class, bytes)) != NULL) {
        for (unsigned i = 0; i < ARRAY; i++)
            array[i] = block_of((size_t)arrays * ARRAY + i);
        arrays++;
    }
    return arrays;
}

static void depot_gives_back_whole_arrays(void)
{
    begin();
    EXPECT(!sec_take_from_depot(&own_shelf, SMALL));
    EXPECT(sec_depot_place(&own_shelf, SMALL, BYTES) == NULL); /* it has no memory yet */
    EXPECT(sec_depot_lacks_memory(&own_shelf, SMALL) && !sec_depot_lacks_memory(&own_shelf, BIG));
    EXPECT(sec_depot_place(&own_shelf, BIG, BYTES) == NULL);
    give_depot(SMALL);
    unsigned arrays = fill_depot(SMALL, BYTES);
    EXPECT(arrays > 0 && arrays <= SEC_DEPOT_ARRAYS && (size_t)arrays * ARRAY * BYTES <= SEC_DEPOT_HOLDS);
    EXPECT_EQ(sec_kept(&own_shelf, SMALL), arrays * ARRAY);
    while (arrays-- > 0) {
        EXPECT(sec_take_from_depot(&own_shelf, SMALL));
        for (unsigned i = ARRAY; i-- > 0;)
            EXPECT(sec_take(&own_shelf, SMALL) == block_of((size_t)arrays * ARRAY + i));
        EXPECT(!sec_is_stocked(&own_shelf, SMALL));
    }
    EXPECT(!sec_take_from_depot(&own_shelf, SMALL));

    /* Bounded in bytes, whatever the block. */
    for (size_t bytes = MOAT_MIN_BLOCK; bytes <= MOAT_SMALL_MAX; bytes *= 2) {
        begin();
        give_depot(SMALL);
        EXPECT(fill_depot(SMALL, bytes) * ARRAY * bytes <= SEC_DEPOT_HOLDS);
    }
}

/* What lay below the lowest mark since the last look, the oldest first, and nothing else. */
static void only_untouched_arrays_go(void)
{
    void *out[ARRAY];

    begin();
    give_depot(SMALL);
    EXPECT_EQ(sec_depot_cool(&own_shelf, SMALL, out), 0);
    for (size_t i = 0; i < 4; i++)
        add_array(i * ARRAY);
    EXPECT_EQ(sec_depot_cool(&own_shelf, SMALL, out), 0); /* they came since the last look */
    sec_take_from_depot(&own_shelf, SMALL);
    while (sec_take(&own_shelf, SMALL))
        continue;
    add_array(3 * ARRAY);
    for (unsigned i = 0; i < 3; i++) {
        EXPECT_EQ(sec_depot_cool(&own_shelf, SMALL, out), ARRAY);
        for (unsigned k = 0; k < ARRAY; k++)
            EXPECT(out[k] == block_of((size_t)i * ARRAY + k));
    }
    EXPECT_EQ(sec_depot_cool(&own_shelf, SMALL, out), 0);
    EXPECT_EQ(sec_kept(&own_shelf, SMALL), ARRAY);
    EXPECT_EQ(sec_depot_cool(&own_shelf, SMALL, out), ARRAY); /* nobody took it in between */
    EXPECT(out[0] == block_of(3 * ARRAY) && sec_kept(&own_shelf, SMALL) == 0);
}

static void used_class_is_not_idle(unsigned class)
{
    begin();
    fill_reserve(class);
    sec_is_idle(&own_shelf, class);
    EXPECT(sec_is_idle(&own_shelf, class));
    for (size_t i = 0; i < 200; i++) {
        sec_take(&own_shelf, class);
        put(class, block_of(1000 + i));
        EXPECT(!sec_is_idle(&own_shelf, class));
        EXPECT(sec_is_idle(&own_shelf, class));
    }
    while (sec_take(&own_shelf, class))
        EXPECT(!sec_is_idle(&own_shelf, class));
    EXPECT(sec_is_idle(&own_shelf, class));
}

/* Each class's places are its own, however many are opened. */
static void magazines_lie_apart(void)
{
    begin();
    for (unsigned i = 0; i < MOAT_SMALL_CLASSES; i++)
        sec_magazine_open(&own_shelf, i * 37 % MOAT_SMALL_CLASSES);
    EXPECT(own_magazines.used <= SEC_MAGAZINE_WORDS);
    for (unsigned class = 0; class < MOAT_SMALL_CLASSES; class ++) {
        const void *end = sec_magazine_of(&own_shelf, class)->reserve + 2 * places_of(class) + SEC_BELOW + 1 +
                          (class < MOAT_BIG_CLASS ? SEC_FRESH : SEC_FRESH_FIRST);
        EXPECT(end <= (void *)(own_magazines.memory + own_magazines.used));
        for (unsigned other = 0; other < MOAT_SMALL_CLASSES; other++) {
            const void *start = sec_magazine_of(&own_shelf, other);
            EXPECT(other == class || start >= end || start < (void *)sec_magazine_of(&own_shelf, class));
        }
    }
    for (unsigned class = 0; class < MOAT_SMALL_CLASSES; class ++) {
        for (unsigned i = 0; i < places_of(class); i++) {
            sec_magazine_of(&own_shelf, class)->reserve[i] = block_of(class * 100ul + 50 + i);
            fill_stack(class, class * 100ul + i, 1);
        }
    }
    for (unsigned class = 0; class < MOAT_SMALL_CLASSES; class ++) {
        const unsigned places = places_of(class);
        EXPECT_EQ(sec_kept(&own_shelf, class), 2 * places);
        for (unsigned i = 0; i < 2 * places; i++) {
            size_t wanted = class * 100ul + (i < places ? places - 1 - i : 50 + i - places);
            EXPECT(sec_drain(&own_shelf, class) == block_of(wanted));
        }
        EXPECT(sec_drain(&own_shelf, class) == NULL && sec_kept(&own_shelf, class) == 0);
    }
}

/* ---- a wiped desk ---- */

static void wiped_desk_answers_no(unsigned class)
{
    struct sec_place place;
    EXPECT(!sec_is_stocked(&own_shelf, class) && sec_take(&own_shelf, class) == NULL);
    EXPECT(!sec_find_place(&own_shelf, class, &place));
    EXPECT(!sec_draw_on(&own_shelf));
    EXPECT(!sec_take_from_depot(&own_shelf, class));
}

/* `how`: by the function, or as the kernel does it. */
static void wipe(unsigned how)
{
    if (how % 2)
        sec_desk_wipe(&own_shelf);
    else
        memset(&own_desk, 0, sizeof own_desk);
}

/* Blocks 0 to 31 may be in the stack, 32 and up in the reserve, 64 and up in the depot. */
static void wiped_desk_is_counted_again(unsigned class, unsigned in_stack, unsigned in_reserve, unsigned arrays)
{
    bool came[64 + ARRAY * 2] = {false};
    size_t count = 0;

    begin();
    give_depot(class);
    fill_stack(class, 0, in_stack);
    for (unsigned i = 0; i < in_reserve; i++)
        sec_magazine_of(&own_shelf, class)->reserve[i] = block_of(32 + i);
    for (unsigned i = 0; i < arrays; i++)
        add_array(64ul + i * ARRAY);
    const unsigned kept = in_stack + in_reserve + arrays * ARRAY;
    EXPECT_EQ(sec_kept(&own_shelf, class), kept);
    wipe(in_stack);
    wiped_desk_answers_no(class);
    /* A page of the class may come to the heap before anything is counted. */
    if (in_reserve % 2)
        sec_magazine_open(&own_shelf, class);
    wiped_desk_answers_no(class);
    make_ready();
    EXPECT_EQ(sec_kept(&own_shelf, class), kept);
    EXPECT_EQ(sec_is_stocked(&own_shelf, class), in_stack > 0);
    for (void *block; (block = sec_drain(&own_shelf, class)) != NULL; count++) {
        size_t number = number_of(block);
        bool is_known = number < 32   ? number < in_stack
                        : number < 64 ? number - 32 < in_reserve
                                      : number - 64 < arrays * ARRAY;
        if (EXPECT(is_known && !came[number]))
            came[number] = true;
        if (count < in_stack)
            EXPECT(number < 32); /* the stack is drained first */
    }
    EXPECT_EQ(count, kept);
}

static void every_filling_survives_a_wipe(void)
{
    for (unsigned in_stack = 0; in_stack <= SEC_PLACES; in_stack++) {
        for (unsigned in_reserve = 0; in_reserve <= SEC_PLACES; in_reserve += 5)
            for (unsigned arrays = 0; arrays <= 2; arrays++)
                wiped_desk_is_counted_again(SMALL, in_stack, in_reserve, arrays);
        if (in_stack <= SEC_PLACES_BIG)
            for (unsigned in_reserve = 0; in_reserve <= SEC_PLACES_BIG; in_reserve++)
                wiped_desk_is_counted_again(BIG, in_stack, in_reserve, 0);
    }
}

/* The order that a parent knows is gone: any block of the stack may come at any place. */
static void wiped_stack_comes_in_any_order(unsigned count)
{
    static uint64_t place[SEC_PLACES][SEC_PLACES], moved[SEC_PLACES];

    memset(place, 0, sizeof place);
    memset(moved, 0, sizeof moved);
    begin();
    for (size_t draw = 0; draw < 60000; draw++) {
        size_t first = 0;
        fill_stack(SMALL, 0, count);
        wipe((unsigned)draw);
        make_ready();
        for (unsigned i = 0; i < count; i++) {
            void *block = sec_take(&own_shelf, SMALL);
            size_t number = EXPECT(block) ? number_of(block) % SEC_PLACES : 0;
            place[i][number]++;
            first = i == 0 ? number : first;
            if (i == 1)
                moved[(number + count - first) % count]++;
        }
    }
    for (unsigned i = 0; i < count; i++)
        chance_expect_even(place[i], count, "blocks of a wiped stack");
    if (count > 2) {
        EXPECT_EQ(moved[0], 0);
        chance_expect_even(moved + 1, count - 1, "the second block, seen from the first");
    }
}

/* ---- everything at random, with a heap that is an array ---- */

enum { BLOCKS = 4096, OPERATIONS = 400000 };
enum where { FRESH, ASIDE, IN_USE, KEPT, HOME };

struct toy {
    unsigned class;
    uint8_t where[BLOCKS];
    size_t count[HOME + 1];
    size_t fresh;
};

static void move(struct toy *toy, const void *block, enum where from, enum where to)
{
    size_t number = number_of(block);
    if (!EXPECT(number < BLOCKS && toy->where[number] == from)) {
        expect_say("  block %zu is %d and should be %d\n", number, number < BLOCKS ? toy->where[number] : -1,
                   (int)from);
        return;
    }
    toy->where[number] = (uint8_t)to;
    toy->count[from]--;
    toy->count[to]++;
}

static void *any(const struct toy *toy, enum where where, struct rng *rng)
{
    size_t number = rng_below(rng, BLOCKS);
    while (toy->where[number] != where)
        number = (number + 1) % BLOCKS;
    return block_of(number);
}

static void toy_home(struct toy *toy, void *const *blocks, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        move(toy, blocks[i], KEPT, HOME);
}

static void toy_free(struct toy *toy, struct rng *rng)
{
    void *out[HALF_MOST];
    struct sec_place place;
    if (toy->count[IN_USE] == 0)
        return;
    make_ready();
    if (sec_stack_is_full(&own_shelf, toy->class)) {
        if (rng_below(rng, 4) != 0)
            give_depot(toy->class);
        void **array = sec_depot_place(&own_shelf, toy->class, BYTES);
        unsigned count = sec_stack_spill(&own_shelf, toy->class, array ? array : out);
        EXPECT_EQ(count, places_of(toy->class) / 2);
        if (!array)
            toy_home(toy, out, count);
    }
    void *block = any(toy, IN_USE, rng);
    if (EXPECT(sec_find_place(&own_shelf, toy->class, &place))) {
        sec_put(&place, block);
        move(toy, block, IN_USE, KEPT);
    }
}

static void toy_fill(struct toy *toy, struct rng *rng)
{
    struct sec_fill fill;
    sec_fill_begin(&own_shelf, toy->class, &fill);
    while (sec_fill_wants(&fill)) {
        while (sec_fill_lacks_run(&fill) && toy->fresh < BLOCKS) {
            size_t run = 1 + rng_below(rng, 5);
            run = run < BLOCKS - toy->fresh ? run : BLOCKS - toy->fresh;
            sec_fill_give(&fill, block_of(toy->fresh), (unsigned)run);
            for (size_t i = 0; i < run; i++)
                move(toy, block_of(toy->fresh++), FRESH, ASIDE);
        }
        if (sec_fill_lacks_run(&fill))
            break;
        sec_fill_draw(&fill, BYTES);
    }
    for (unsigned i = 0; i < sec_fill_count(&fill); i++)
        move(toy, sec_fill_block(&fill, i), ASIDE, KEPT);
    EXPECT_EQ(sec_fill_end(&own_shelf, toy->class, &fill), fill.count > 0);
}

/* The last fresh blocks lie in places that give none while others are dry. */
static void toy_drain_runs(struct toy *toy)
{
    char *first;
    for (unsigned count; (count = sec_drain_run(&own_shelf, toy->class, &first)) > 0;)
        for (unsigned i = 0; i < count; i++)
            move(toy, first + i * BYTES, ASIDE, HOME);
}

static void toy_refill(struct toy *toy, struct rng *rng)
{
    make_ready();
    if (sec_is_stocked(&own_shelf, toy->class) || sec_take_from_depot(&own_shelf, toy->class))
        return;
    void *blocks[HALF_MOST];
    unsigned count = 0;
    for (; count < sec_refill(&own_shelf, toy->class) && toy->count[HOME] > 0; count++) {
        blocks[count] = any(toy, HOME, rng);
        move(toy, blocks[count], HOME, KEPT);
    }
    if (count > 0)
        sec_exchange(&own_shelf, toy->class, blocks, count);
    if (!sec_is_stocked(&own_shelf, toy->class))
        toy_fill(toy, rng);
}

static void toy_malloc(struct toy *toy, struct rng *rng)
{
    if (!sec_is_stocked(&own_shelf, toy->class))
        toy_refill(toy, rng);
    void *block = sec_take(&own_shelf, toy->class);
    if (block)
        move(toy, block, KEPT, IN_USE);
}

static void toy_rarely(struct toy *toy, struct rng *rng)
{
    void *out[ARRAY];
    unsigned count;
    switch (rng_below(rng, 4)) {
    case 0:
        while ((count = sec_depot_cool(&own_shelf, toy->class, out)) > 0)
            toy_home(toy, out, count);
        break;
    case 1:
        make_ready();
        for (size_t i = rng_below(rng, 40); i > 0; i--)
            if ((out[0] = sec_drain(&own_shelf, toy->class)) != NULL)
                toy_home(toy, out, 1);
        if (rng_below(rng, 4) == 0)
            toy_drain_runs(toy);
        break;
    case 2:
        wipe((unsigned)rng_next(rng));
        break;
    default:
        sec_is_idle(&own_shelf, toy->class);
        sec_magazine_open(&own_shelf, toy->class);
        break;
    }
}

static void nothing_is_lost_or_doubled(struct rng *rng, unsigned class)
{
    static struct toy toy;
    size_t drained = 0;

    toy = (struct toy){.class = class, .count = {[FRESH] = BLOCKS}};
    begin();
    for (size_t i = 0; i < OPERATIONS && expect_failures() == 0; i++) {
        /* By turns more frees and more mallocs, so that all parts fill and become empty. */
        size_t choice = rng_below(rng, 1000), frees = i / 3000 % 2 ? 650 : 350;
        if (choice < 4)
            toy_rarely(&toy, rng);
        else if (choice < frees)
            toy_free(&toy, rng);
        else
            toy_malloc(&toy, rng);
        EXPECT_EQ(sec_set_aside(&own_shelf, class), toy.count[ASIDE]);
        if (own_desk.draws != 0)
            EXPECT_EQ(sec_kept(&own_shelf, class), toy.count[KEPT]);
    }
    EXPECT(toy.count[KEPT] > 0 && toy.count[HOME] + toy.count[IN_USE] > 0);
    make_ready();
    for (void *block; (block = sec_drain(&own_shelf, class)) != NULL; drained++)
        move(&toy, block, KEPT, HOME);
    toy_drain_runs(&toy);
    EXPECT(drained > 0 && toy.count[KEPT] + toy.count[ASIDE] == 0 && sec_kept(&own_shelf, class) == 0);
}

int main(void)
{
    struct rng rng = rng_stream(rng_seed(), 0);
    older_half_is_spilled(SMALL);
    older_half_is_spilled(BIG);
    depot_gives_back_whole_arrays();
    only_untouched_arrays_go();
    used_class_is_not_idle(SMALL);
    used_class_is_not_idle(BIG);
    magazines_lie_apart();
    every_filling_survives_a_wipe();
    wiped_stack_comes_in_any_order(2);
    wiped_stack_comes_in_any_order(SEC_PLACES / 2);
    wiped_stack_comes_in_any_order(SEC_PLACES);
    nothing_is_lost_or_doubled(&rng, SMALL);
    nothing_is_lost_or_doubled(&rng, BIG);
    return expect_done();
}

#else

/* Without the protection there are no magazines: none keeps, gives or takes a block. */
int main(void)
{
    struct sec_shelf shelf = {};
    struct sec_magazines magazines = {};
    void *out[SEC_SPILL_MOST];
    unit_skip("magazines, depots and wiped desks", "built without SECURE_RANDOM_ORDER");
    EXPECT(sec_shelf_open(&shelf, &magazines) && sec_desk_ready(&shelf));
    EXPECT(!sec_take_from_depot(&shelf, 1) && sec_refill(&shelf, 1) == 0 && !sec_stack_is_full(&shelf, 1));
    EXPECT(sec_stack_spill(&shelf, 1, out) == 0 && sec_depot_cool(&shelf, 1, out) == 0);
    EXPECT(sec_depot_place(&shelf, 1, 64) == NULL && sec_drain(&shelf, 1) == NULL);
    EXPECT(SEC_DESK_BYTES == 0 && SEC_DEPOT_BYTES == 0);
    return expect_done();
}

#endif
