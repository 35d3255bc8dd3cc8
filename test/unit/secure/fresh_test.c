/* Fresh blocks come from places with runs of neighbours, and each is drawn among all places: without a heap, from a frontier
 * that is a number. unit.secure.guess asks the same of the heap as a program sees it.
 *
 * The draws are the product's own, from the kernel's randomness. The bounds (unit/chance.h) fail a right build once in some
 * 10^10 runs of all of this.
 */
#include "unit/chance.h"
#include "unit/secure/desk.h"
#include "unit/unit.h"

#include <string.h>

#if MOAT_SECURE_RANDOM_ORDER

enum { MILLION = 1000000 };

/* Where fresh blocks come from: runs of `run` blocks, one after another; and where the model says that the places stand. */
struct frontier {
    size_t next, run;
    size_t head[SEC_FRESH], left[SEC_FRESH];
};

/* What the core does: a run for each place that has none. Answers false if a draw would be among fewer. */
static void give_runs(struct frontier *frontier, struct sec_fill *fill)
{
    while (sec_fill_lacks_run(fill)) {
        unsigned place = 0;
        while (frontier->left[place] != 0 && place + 1 < SEC_FRESH)
            place++;
        frontier->head[place] = frontier->next;
        frontier->left[place] = frontier->run;
        sec_fill_give(fill, block_of(frontier->next), (unsigned)frontier->run);
        frontier->next += frontier->run;
    }
}

/* Draws once until a place is dry or all is there, and finds each block at the head of a place. Answers how many. */
static size_t draw_fresh(struct frontier *frontier, struct sec_fill *fill, size_t *place)
{
    size_t before = fill->count;
    sec_fill_draw(fill, BYTES);
    for (size_t i = before; i < fill->count; i++) {
        size_t at = 0, number = number_of(fill->block[i]);
        while (at < SEC_FRESH && (frontier->left[at] == 0 || frontier->head[at] != number))
            at++;
        if (!EXPECT(at < SEC_FRESH))
            return 0;
        frontier->head[at]++;
        frontier->left[at]--;
        place[i] = at;
    }
    return fill->count - before;
}

/* Fills the stack once. Answers how many blocks; they are taken out in the order of their draws. */
static size_t fill_stack_fresh(unsigned class, struct frontier *frontier, size_t *place)
{
    struct sec_fill fill;
    sec_fill_begin(&own_shelf, class, &fill);
    size_t wanted = fill.wanted;
    while (sec_fill_wants(&fill)) {
        give_runs(frontier, &fill);
        if (!EXPECT(draw_fresh(frontier, &fill, place) > 0))
            break;
    }
    EXPECT(sec_fill_end(&own_shelf, class, &fill) && fill.count == wanted);
    for (size_t i = 0; i < fill.count; i++)
        EXPECT(sec_take(&own_shelf, class) == fill.block[i]);
    EXPECT(!sec_is_stocked(&own_shelf, class));
    return fill.count;
}

/* Every place as often as any other, at each step of a fill and given the one before, however long the runs are: so no rule
 * guesses a fresh block more often than one of sixteen. */
static void fresh_blocks_are_drawn_among_all_places(unsigned class, size_t run)
{
    static uint64_t at[SEC_FRESH][SEC_FRESH], next[SEC_FRESH][SEC_FRESH];
    const size_t places = class < MOAT_BIG_CLASS ? SEC_FRESH : SEC_FRESH_FIRST;
    struct frontier frontier = {.run = run};
    size_t place[SEC_FRESH], last = 0;

    memset(at, 0, sizeof at);
    memset(next, 0, sizeof next);
    begin();
    EXPECT_EQ(fill_stack_fresh(class, &frontier, place), SEC_FRESH_FIRST);
    for (size_t fill = 0; fill < MILLION / places; fill++) {
        if (!EXPECT(fill_stack_fresh(class, &frontier, place) == places))
            return;
        for (size_t i = 0; i < places; i++) {
            if (fill > 0 || i > 0)
                next[last % places][place[i] % places]++;
            at[i][place[i] % places]++;
            last = place[i];
        }
    }
    for (size_t i = 0; i < places; i++)
        chance_expect_even(at[i], places, "places for fresh blocks");
    for (size_t i = 0; i < places; i++)
        chance_expect_even(next[i], places, "a place for fresh blocks, given the one before");
    size_t left = 0;
    for (size_t i = 0; i < places; i++)
        left += frontier.left[i];
    EXPECT(sec_kept(&own_shelf, class) == 0 && sec_set_aside(&own_shelf, class) == left);
}

/* What SECURITY.md promises: four places at first, then sixteen; always four from MOAT_BIG_CLASS up. */
static void fresh_places_are_few_at_first(void)
{
    size_t place[SEC_FRESH];
    struct frontier small = {.run = 3}, big = {.run = 2};
    begin();
    EXPECT(SEC_FRESH == 16 && SEC_FRESH_FIRST == 4);
    EXPECT_EQ(fill_stack_fresh(SMALL, &small, place), 4);
    EXPECT(small.next >= 4 * small.run && small.next < 9 * small.run);
    for (size_t i = 0; i < 10; i++) {
        EXPECT_EQ(fill_stack_fresh(SMALL, &small, place), SEC_FRESH);
        EXPECT_EQ(fill_stack_fresh(BIG, &big, place), SEC_FRESH_FIRST);
    }
    size_t in_small = 0, in_big = 0;
    for (size_t i = 0; i < SEC_FRESH; i++) {
        in_small += small.head[i] != 0 || small.left[i] != 0;
        in_big += big.head[i] != 0 || big.left[i] != 0;
    }
    EXPECT(in_small == SEC_FRESH && in_big == SEC_FRESH_FIRST);
}

/* No page has more: what was drawn is pushed, what lies in the places stays, and a drain finds each block once. */
static void dry_places_end_a_fill(void)
{
    bool came[64] = {false};
    char *first;
    for (size_t given = 0; given <= SEC_FRESH_FIRST; given++) {
        struct sec_fill fill;
        begin();
        memset(came, 0, sizeof came);
        sec_fill_begin(&own_shelf, SMALL, &fill);
        for (size_t i = 0; i < given; i++)
            sec_fill_give(&fill, block_of(i * 8), 1 + (unsigned)i);
        EXPECT_EQ(sec_fill_lacks_run(&fill), given < SEC_FRESH_FIRST);
        sec_fill_draw(&fill, BYTES);
        EXPECT_EQ(fill.count > 0, given == SEC_FRESH_FIRST);
        EXPECT_EQ(sec_fill_end(&own_shelf, SMALL, &fill), fill.count > 0);
        size_t kept = given * (given + 1) / 2, drained = 0;
        EXPECT_EQ(sec_kept(&own_shelf, SMALL) + sec_set_aside(&own_shelf, SMALL), kept);
        for (char *block; (block = sec_drain(&own_shelf, SMALL)) != NULL; drained++)
            came[number_of(block)] = true;
        for (unsigned count; (count = sec_drain_run(&own_shelf, SMALL, &first)) > 0; drained += count)
            for (size_t i = 0; i < count; i++)
                came[number_of(first) + i] = true;
        EXPECT(drained == kept && sec_kept(&own_shelf, SMALL) + sec_set_aside(&own_shelf, SMALL) == 0);
        for (size_t i = 0; i < sizeof came; i++)
            EXPECT_EQ(came[i], i / 8 < given && i % 8 <= i / 8);
    }
}

/* A handler that allocates in the middle of a fill may have filled a dry place, or used one up. */
static void handlers_leave_places_whole(void)
{
    struct sec_fill outer, inner;
    char *first;
    begin();
    sec_fill_begin(&own_shelf, BIG, &outer);
    sec_fill_begin(&own_shelf, BIG, &inner);
    for (size_t i = 0; sec_fill_lacks_run(&inner); i++)
        sec_fill_give(&inner, block_of(i), 1);
    EXPECT(!sec_fill_lacks_run(&outer)); /* else the blocks that lie there would be lost */
    for (unsigned i = 0; i < SEC_FRESH_FIRST; i++)
        EXPECT_EQ(sec_drain_run(&own_shelf, BIG, &first), 1);
    sec_fill_draw(&outer, BYTES); /* and now a place is drawn that has none */
    EXPECT(outer.count == 0 && sec_fill_lacks_run(&outer));
}

/* A handler that frees in the middle of a fill may have filled the stack: nothing is pushed behind the wall, where the places
 * lie. */
static void full_stacks_take_no_more(unsigned class)
{
    struct sec_fill fill;
    size_t put_in = 0;
    begin();
    sec_fill_begin(&own_shelf, class, &fill);
    for (size_t i = 0; sec_fill_lacks_run(&fill); i++)
        sec_fill_give(&fill, block_of(1000 + i * 8), 8);
    sec_fill_draw(&fill, BYTES);
    unsigned left = sec_set_aside(&own_shelf, class);
    while (!sec_stack_is_full(&own_shelf, class) && put_in < 1000)
        put(class, block_of(put_in++));

    void *more = block_of(put_in);
    EXPECT(fill.count > 0 && !sec_fill_end(&own_shelf, class, &fill));
    EXPECT(!sec_exchange(&own_shelf, class, &more, 1));
    EXPECT_EQ(sec_set_aside(&own_shelf, class), left);
    EXPECT_EQ(sec_kept(&own_shelf, class), put_in);
    for (size_t i = 0; i < places_of(class); i++)
        EXPECT(number_of(sec_take(&own_shelf, class)) < put_in);
    EXPECT(!sec_is_stocked(&own_shelf, class));
    EXPECT(sec_exchange(&own_shelf, class, &more, 1));
}

int main(void)
{
    for (size_t run = 1; run <= 128; run += run < 4 ? 1 : 31) {
        fresh_blocks_are_drawn_among_all_places(SMALL, run);
        fresh_blocks_are_drawn_among_all_places(BIG, run);
    }
    fresh_places_are_few_at_first();
    dry_places_end_a_fill();
    handlers_leave_places_whole();
    full_stacks_take_no_more(SMALL);
    full_stacks_take_no_more(BIG);
    return expect_done();
}

#else

/* Without the protection no place has a run, and none is asked for. */
int main(void)
{
    struct sec_shelf shelf = {};
    struct sec_fill fill = {};
    char *first = NULL;
    unit_skip("fresh blocks from drawn places", "built without SECURE_RANDOM_ORDER");
    sec_fill_begin(&shelf, 1, &fill);
    EXPECT(!sec_fill_wants(&fill) && !sec_fill_lacks_run(&fill) && sec_fill_count(&fill) == 0);
    EXPECT(!sec_fill_end(&shelf, 1, &fill) && sec_drain_run(&shelf, 1, &first) == 0 && sec_set_aside(&shelf, 1) == 0);
    return expect_done();
}

#endif
