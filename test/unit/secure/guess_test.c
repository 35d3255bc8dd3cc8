/* What somebody who sees addresses can say about the next one: nothing beyond chance, by any rule tried here. Through malloc and
 * free as a program calls them; unit.secure.order looks at the parts.
 *
 * Without SECURE_RANDOM_ORDER the same questions have an answer, and the tests expect it: that shows that they would find one.
 */
#include "unit/chance.h"
#include "unit/unit.h"

#include "moat.h"

#include <string.h>

enum { HAS_ORDER = MOAT_WITH_RANDOM_ORDER };

static void *allocate(unsigned class)
{
    return moat_malloc(class_bytes(class) - 1);
}

static size_t place_of(const void *block)
{
    return unit_offset_of(block) / unit_page_of(block)->block_bytes;
}

/* ---- fresh blocks ---- */

enum { FRESH_PLACES = 16, FRESH_RULES = 4 };

static const char *const fresh_rules[FRESH_RULES] = {"the neighbour of the last one", "the place that waits longest",
                                                     "the place drawn most often", "any known place"};

/* What somebody knows who sees every fresh block and how runs are carved: where each place stands that he has seen. */
struct place {
    const char *next; /* NULL: its next run was not seen yet */
    size_t left, drawn, last;
};

struct observer {
    unsigned class;
    size_t places, now;
    struct place place[FRESH_PLACES];
    uint64_t guessed[FRESH_RULES], right[FRESH_RULES];
};

/* The block that each rule names, NULL for none. */
static void name_fresh(const struct observer *observer, struct rng *rng, const char *named[FRESH_RULES])
{
    const struct place *best[3] = {NULL};
    for (size_t i = 0; i < observer->places; i++) {
        const struct place *place = &observer->place[i];
        if (!place->next)
            continue;
        if (!best[0] || place->last > best[0]->last)
            best[0] = place;
        if (!best[1] || place->last < best[1]->last)
            best[1] = place;
        if (!best[2] || place->drawn > best[2]->drawn)
            best[2] = place;
    }
    named[0] = best[0] && best[0]->last == observer->now ? best[0]->next : NULL;
    named[1] = best[1] ? best[1]->next : NULL;
    named[2] = best[2] ? best[2]->next : NULL;
    named[3] = observer->place[rng_below(rng, observer->places)].next;
}

/* Finds the place that a block came from: the one that stood there, or one that had used up its run. */
static void note_fresh(struct observer *observer, const char *block)
{
    const struct record *page = unit_page_of(block);
    const size_t bytes = page->block_bytes, run = max_size(1, MOAT_OS_PAGE / bytes), number = place_of(block);
    size_t found = 0;

    while (found < observer->places && observer->place[found].next != block)
        found++;
    for (size_t i = 0; found == observer->places && i < observer->places; i++)
        if (!observer->place[i].next)
            found = i;
    if (!EXPECT(found < observer->places))
        return;
    struct place *place = &observer->place[found];
    if (!place->next) {
        place->left = min_size(run - number % run, page->capacity - number);
    }
    place->left--;
    place->next = place->left == 0 ? NULL : block + bytes;
    place->drawn++;
    place->last = ++observer->now;
}

/* From a class's second page on, where runs are an OS page long: each place that is known is the next one as often as there
 * are places, 16, or 4 from 1 KiB up. */
static void fresh_blocks_come_from_any_place(struct rng *rng, unsigned class)
{
    enum { FRESH = 60000 };
    static struct observer observer;
    observer = (struct observer){.class = class, .places = class < MOAT_BIG_CLASS ? FRESH_PLACES : 4};

    /* The first page's blocks lie in places for a while, one in each. */
    const struct record *first = unit_page_of(allocate(class));
    for (size_t i = 0; i < 20u * FRESH_PLACES || unit_queue_of(class)->page_count < 2; i++)
        allocate(class);
    for (size_t since = 0; since < 40u * FRESH_PLACES; since++)
        if (unit_page_of(allocate(class)) == first)
            since = 0;
    for (size_t i = 0; i < FRESH && expect_failures() == 0; i++) {
        const char *named[FRESH_RULES], *block;
        name_fresh(&observer, rng, named);
        block = allocate(class);
        if (i > FRESH / 4)
            for (size_t rule = 0; rule < FRESH_RULES; rule++) {
                observer.guessed[rule] += named[rule] != NULL;
                observer.right[rule] += named[rule] == block;
            }
        note_fresh(&observer, block);
    }
    for (size_t rule = 0; rule < FRESH_RULES; rule++) {
        EXPECT(observer.guessed[rule] > FRESH / 100);
        chance_expect_rate(observer.right[rule], observer.guessed[rule], 1.0 / (double)observer.places,
                           fresh_rules[rule]);
    }
}

/* On a class's first page, where a place has one block: whoever knows which were carved knows sixteen candidates, the lowest
 * that did not come yet among them, and the one that
 * is carved for the place drawn last. Hundreds of heaps, each with a first page. */
static void first_fresh_blocks_come_from_any_place(size_t bytes)
{
    enum { HEAPS = 400, MOST = MOAT_SLICE / 32 };
    uint64_t guessed = 0, lowest = 0, carved = 0;

    for (size_t round = 0; round < HEAPS; round++) {
        bool came[MOST + 1] = {false};
        moat_heap_t *heap = moat_heap_new();
        const char *block = moat_heap_malloc(heap, bytes);
        const struct record *page = unit_page_of(block);
        size_t low = 0, next = page->carved, since = 0; /* a fill carves, and its blocks come after */
        while (page->carved + 16u < page->capacity) {
            came[place_of(block)] = true;
            while (came[low])
                low++;
            block = moat_heap_malloc(heap, bytes);
            if (since == 15) { /* now one begins; in the middle, more is carved than a draw was among */
                guessed++;
                lowest += place_of(block) == low;
                carved += place_of(block) == next;
            }
            since = page->carved == next ? since + 1 : 0;
            next = page->carved;
        }
        moat_heap_destroy(heap);
    }
    chance_expect_rate(lowest, guessed, 1.0 / 16, "the lowest that did not come yet");
    chance_expect_rate(carved, guessed, 1.0 / 16, "the one carved next");
}

/* A class's pages come from anywhere in its runs of slices. */
static void pages_do_not_ascend(unsigned class)
{
    size_t ascending = 0, steps = 0;
    const struct record *last = unit_page_of(allocate(class));
    for (size_t i = 0; steps < 100 && EXPECT(i < 100000); i++) {
        const struct record *page = unit_page_of(allocate(class));
        if (page != last && ++steps)
            ascending += page > last;
        last = page;
    }
    EXPECT(HAS_ORDER ? ascending < steps : ascending == steps);
}

/* ---- freed blocks, in pairs of a free and a malloc ---- */

enum { LIVE = 400, TABLE = 8192, PAIRS = 400000, WARM = 20000, RULES = 4 };

static const char *const rules[RULES] = {"the one freed before", "the one that waits longest", "any of them",
                                         "the neighbour of the last one"};

/* By address; a hash table that is never full. */
struct seen {
    char *block;
    size_t freed_at; /* 0: in use, or freed while the heap was not yet warm */
};

static struct seen table[TABLE];

static struct seen *seen_of(const void *block)
{
    size_t i = (uintptr_t)block / MOAT_ALIGN * 0x9e3779b97f4a7c15u >> 51;
    while (table[i].block && table[i].block != block)
        i = (i + 1) % TABLE;
    table[i].block = (char *)(uintptr_t)block;
    return &table[i];
}

struct watch {
    struct seen *waiting[2 * UNIT_RESERVE + 2]; /* freed since, and not yet back: the oldest first */
    size_t count, longest;
    uint64_t guessed[RULES], right[RULES], waits[5 * UNIT_RESERVE + 1];
    char *last;
};

static size_t find(const struct watch *watch, const struct seen *seen)
{
    size_t i = 0;
    while (i < watch->count && watch->waiting[i] != seen)
        i++;
    return i;
}

/* Before the pair whose malloc gave `given`: what would have been guessed? */
static void compare(struct watch *watch, struct rng *rng, const struct seen *given, size_t block_bytes)
{
    const struct seen *guess[RULES] = {NULL};
    if (watch->count > 0) {
        guess[0] = watch->waiting[watch->count - 1];
        guess[1] = watch->waiting[0];
        guess[2] = watch->waiting[rng_below(rng, watch->count)];
        for (int side = -1; side <= 1; side += 2) {
            const struct seen *beside = seen_of(watch->last + side * (ptrdiff_t)block_bytes);
            if (find(watch, beside) < watch->count)
                guess[3] = beside;
        }
    }
    for (size_t rule = 0; rule < RULES; rule++) {
        watch->guessed[rule] += guess[rule] != NULL;
        watch->right[rule] += guess[rule] && guess[rule] == given;
    }
}

static void note_given(struct watch *watch, struct seen *given, size_t now)
{
    size_t at = find(watch, given);
    if (at < watch->count) {
        size_t wait = now - given->freed_at;
        watch->waits[wait <= watch->longest ? wait - 1 : watch->longest]++;
        watch->count--;
        memmove(&watch->waiting[at], &watch->waiting[at + 1], (watch->count - at) * sizeof watch->waiting[0]);
    }
    watch->last = given->block;
}

static void expect_geometric(const struct watch *watch, unsigned places)
{
    double shares[5 * UNIT_RESERVE + 1], left = 1;
    for (size_t i = 0; i < watch->longest; i++) {
        shares[i] = left / places;
        left -= shares[i];
    }
    shares[watch->longest] = left;
    chance_expect_shares(watch->waits, shares, watch->longest + 1, "frees until a block came back");
}

/* All that was freed since the heap was warm and is not back lies in the reserve, so a guess among it is right as often as the
 * reserve has places; what was freed earlier may lie deeper and be no guess at all. */
static void next_block_is_not_guessed(struct rng *rng, unsigned class)
{
    static char *live[LIVE];
    static struct watch watch;
    const unsigned places = class < MOAT_BIG_CLASS ? UNIT_RESERVE : UNIT_RESERVE / 2;
    size_t at_once = 0, beyond = 0;

    memset(table, 0, sizeof table);
    watch = (struct watch){.longest = 5 * places};
    for (size_t i = 0; i < LIVE; i++)
        live[i] = allocate(class);
    for (size_t now = 1; now <= WARM + PAIRS && beyond == 0; now++) {
        size_t chosen = rng_below(rng, LIVE);
        struct seen *freed = seen_of(live[chosen]);
        moat_free(freed->block);
        live[chosen] = allocate(class);
        at_once += live[chosen] == freed->block;
        if (now <= WARM)
            continue;
        struct seen *given = seen_of(live[chosen]);
        if (now > 2 * WARM)
            compare(&watch, rng, given, class_bytes(class));
        note_given(&watch, given, now);
        freed->freed_at = now;
        if (watch.count < sizeof watch.waiting / sizeof watch.waiting[0])
            watch.waiting[watch.count++] = freed;
        else
            beyond++;
    }
    EXPECT_EQ(at_once, 0); /* never at once */
    EXPECT_EQ(beyond, 0);
    EXPECT_EQ(watch.count, places);
    expect_say("class %u: %lu of %lu guesses are right, chance is 1 in %u\n", class, (unsigned long)watch.right[0],
               (unsigned long)watch.guessed[0], places);
    for (size_t rule = 0; rule < RULES; rule++)
        chance_expect_rate(watch.right[rule], watch.guessed[rule], 1.0 / places, rules[rule]);
    expect_geometric(&watch, places);
    for (size_t i = 0; i < LIVE; i++)
        moat_free(live[i]);
    EXPECT(moat_heap_is_valid());
}

/* A class that was cleared, as after a rest or a trim, and one block freed since: it is not the next one. */
static void next_block_is_not_guessed_after_a_clear(unsigned class)
{
    enum { ROUNDS = 4000 };
    static void *blocks[LIVE];
    size_t at_once = 0;
    for (size_t round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < LIVE; i++)
            blocks[i] = allocate(class);
        for (size_t i = 1; i < LIVE; i++)
            moat_free(blocks[i]);
        unit_come_home(class);
        moat_free(blocks[0]);
        void *next = allocate(class);
        at_once += next == blocks[0];
        moat_free(next);
    }
    chance_expect_rate(at_once, ROUNDS, 1.0 / (class < MOAT_BIG_CLASS ? UNIT_RESERVE : UNIT_RESERVE / 2),
                       "the only block freed since a clear");
}

/* What it is without: the youngest first, so all that was freed of a page comes back in the opposite order. */
static void next_block_is_the_youngest(unsigned class)
{
    enum { COUNT = 32 };
    void *blocks[COUNT];
    size_t same = 0;
    for (size_t i = 0; i < COUNT; i++)
        blocks[i] = allocate(class);
    for (size_t i = 0; i < COUNT; i++)
        moat_free(blocks[i]);
    for (size_t i = 0; i < 2 * COUNT && same < COUNT; i++)
        same += allocate(class) == blocks[COUNT - 1 - same];
    EXPECT_EQ(same, COUNT);
}

int main(void)
{
    uint64_t seed = rng_seed();
    struct rng small = rng_stream(seed, 1), big = rng_stream(seed, 2);

    pages_do_not_ascend(class_of_bytes(12000));
    if (HAS_ORDER) {
        fresh_blocks_come_from_any_place(&small, class_of_bytes(100));
        fresh_blocks_come_from_any_place(&big, class_of_bytes(1100));
        first_fresh_blocks_come_from_any_place(100);
        next_block_is_not_guessed(&small, class_of_bytes(200));
        next_block_is_not_guessed(&big, class_of_bytes(2200));
        next_block_is_not_guessed_after_a_clear(class_of_bytes(300));
        next_block_is_not_guessed_after_a_clear(class_of_bytes(3000));
    } else {
        next_block_is_the_youngest(class_of_bytes(600));
        unit_skip("guesses at chance", "built without SECURE_RANDOM_ORDER");
    }
    EXPECT(moat_heap_is_valid());
    return expect_done();
}
