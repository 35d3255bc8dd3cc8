/* The order that magazines bring about, without a heap: the draws, and which block comes next.
 * unit.secure.guess asks the same of the heap as a program sees it, unit.secure.magazine whether blocks get lost.
 *
 * The draws are the product's own, from the kernel's randomness, so no run repeats another. The bounds (unit/chance.h) fail a
 * right build once in some 10^10 runs of all of this.
 */
#include "unit/chance.h"
#include "unit/secure/desk.h"
#include "unit/unit.h"

#include <string.h>

#if MOAT_SECURE_RANDOM_ORDER

enum { MILLION = 1000000 };

/* ---- draws ---- */

static void places_are_drawn_evenly(unsigned class)
{
    static uint64_t place[SEC_PLACES], next[SEC_PLACES][SEC_PLACES], word[SEC_PLACES][SEC_PLACES];
    const unsigned places = places_of(class);
    size_t drawn[SEC_DRAWS + 1] = {0};

    memset(place, 0, sizeof place);
    memset(next, 0, sizeof next);
    memset(word, 0, sizeof word);
    begin();
    for (size_t i = 0; i < MILLION; i++) {
        struct sec_place found;
        if (!find_place(class, &found))
            return;
        sec_put(&found, block_of(1));
        sec_take(&own_shelf, class);
        memmove(drawn + 1, drawn, SEC_DRAWS * sizeof drawn[0]);
        drawn[0] = (size_t)(found.drawn - found.slot->reserve);
        place[drawn[0]]++;
        if (i >= SEC_DRAWS) {
            next[drawn[1]][drawn[0] % places]++;
            word[drawn[SEC_DRAWS]][drawn[0] % places]++; /* the same bits of two words */
        }
    }
    chance_expect_even(place, places, "places of the reserve");
    for (unsigned i = 0; i < places; i++) {
        chance_expect_even(next[i], places, "a place, given the one before");
        chance_expect_even(word[i], places, "a place, given the one a word before");
    }
}

/* The mark stands above twelve draws of five bits, and every one of them is used. */
static void words_have_twelve_draws(void)
{
    begin();
    for (size_t word = 0; word < 1000; word++) {
        uint64_t draws = own_desk.draws;
        EXPECT_EQ(draws >> (SEC_DRAW_BITS * SEC_DRAWS), 1);
        for (unsigned i = 0; i < SEC_DRAWS; i++) {
            struct sec_place place;
            if (!EXPECT(sec_find_place(&own_shelf, SMALL, &place)))
                return;
            EXPECT_EQ((size_t)(place.drawn - place.slot->reserve), draws >> (SEC_DRAW_BITS * i) & (SEC_PLACES - 1));
            sec_put(&place, block_of(1));
            sec_take(&own_shelf, SMALL);
        }
        struct sec_place none;
        EXPECT(own_desk.draws == 1 && !sec_find_place(&own_shelf, SMALL, &none));
        if (!sec_draw_on(&own_shelf))
            EXPECT(sec_desk_ready(&own_shelf)); /* the desk was not wiped, so no stack has to be counted */
    }
}

static int compare_words(const void *a, const void *b)
{
    const uint64_t *left = a, *right = b;
    return *left < *right ? -1 : *left > *right;
}

/* So few that two are alike by chance once in 2^31 runs. A wiped desk begins a new stream each time. */
static void no_word_comes_twice(void)
{
    enum { WORDS = 30000, WIPES = 100 };
    static uint64_t words[WORDS];
    size_t repeated = 0, kept = 0;

    begin();
    for (size_t i = 0; i < WORDS; i++) {
        if (i % (WORDS / WIPES) == 0)
            sec_desk_wipe(&own_shelf);
        else
            own_desk.draws = 1;
        if (!sec_draw_on(&own_shelf))
            make_ready();
        words[i] = own_desk.draws;
        for (size_t at = own_desk.stream.left; at < sizeof own_desk.stream.draw / sizeof own_desk.stream.draw[0]; at++)
            kept += own_desk.stream.draw[at] != 0; /* what was handed out is erased */
    }
    qsort(words, WORDS, sizeof words[0], compare_words);
    for (size_t i = 1; i < WORDS; i++)
        repeated += words[i] == words[i - 1];
    EXPECT_EQ(repeated, 0);
    EXPECT_EQ(kept, 0);
}

static void choices_are_even(void)
{
    uint64_t bins[32];
    EXPECT(sec_choose(0) == 0 && sec_choose(1) == 0);
    for (unsigned limit = 2; limit <= 32; limit++) {
        size_t beyond = 0;
        memset(bins, 0, sizeof bins);
        for (size_t i = 0; i < MILLION / 32; i++) {
            unsigned chosen = sec_choose(limit);
            beyond += chosen >= limit;
            bins[chosen % limit]++;
        }
        EXPECT_EQ(beyond, 0);
        chance_expect_even(bins, limit, "choices");
    }
}

/* Medium blocks that rest: never the newest, none while few rest, and any other as often. */
static void rested_blocks_are_drawn_evenly(void)
{
    static const size_t sizes[] = {16 * 1024, 64 * 1024, MOAT_MEDIUM_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        size_t wrong = 0, resting = 0;
        for (unsigned count = 0; count <= 16; count++) {
            uint64_t bins[16] = {0};
            if (sec_choose_rested(count, sizes[i]) == UINT32_MAX) {
                wrong += resting != count; /* fewer do not rest longer */
                resting++;
                continue;
            }
            for (size_t draw = 0; draw < MILLION / 100; draw++) {
                unsigned chosen = sec_choose_rested(count, sizes[i]);
                wrong += chosen == 0 || chosen >= count;
                bins[chosen % 16]++;
            }
            if (count > 2)
                chance_expect_even(bins + 1, count - 1, "medium blocks that rest");
        }
        EXPECT_EQ(wrong, 0);
        EXPECT(resting >= 2 && resting < 16);
    }
}

/* ---- blocks of other threads ---- */

/* Blocks of other threads, half a stack at a time: what they evict is any of the reserve's, and what comes after one is any
 * other but its neighbour, which stays. */
static void exchanged_blocks_come_from_all_places(void)
{
    enum { N = SEC_PLACES };
    static uint64_t first[N], second[N * (N - 2)];
    void *blocks[N / 2];

    begin();
    struct sec_magazine *magazine = sec_magazine_of(&own_shelf, SMALL);
    for (size_t i = 0; i < N / 2; i++)
        blocks[i] = block_of(N + i);
    size_t neighbours = 0;
    for (size_t draw = 0; draw < MILLION / 2; draw++) {
        for (size_t i = 0; i < N; i++)
            magazine->reserve[i] = block_of(i);
        sec_exchange(&own_shelf, SMALL, blocks, N / 2);
        size_t one = number_of(sec_take(&own_shelf, SMALL)), other = number_of(sec_take(&own_shelf, SMALL));
        neighbours += one / 2 == other / 2;
        first[one % N]++;
        second[(one % N) * (N - 2) + (other % N - (other > one ? 2 : 0)) % (N - 2)]++;
        for (size_t i = 2; i < N / 2; i++)
            EXPECT(number_of(sec_take(&own_shelf, SMALL)) < N);
        EXPECT(sec_take(&own_shelf, SMALL) == NULL && sec_kept(&own_shelf, SMALL) == N);
    }
    EXPECT_EQ(neighbours, 0);
    chance_expect_even(first, N, "the first of what an exchange evicts");
    chance_expect_even(second, N * (N - 2), "the second, given the first");
}

/* Few blocks and empty places: nothing is lost, nothing comes out twice. */
static void small_exchanges_lose_nothing(void)
{
    for (unsigned count = 1; count <= SEC_PLACES_BIG / 2; count++) {
        size_t sum = 0, expected = 0;
        begin();
        for (size_t round = 0; round < 50; round++) {
            void *blocks[SEC_PLACES_BIG / 2];
            for (unsigned i = 0; i < count; i++) {
                blocks[i] = block_of(round * count + i);
                expected += round * count + i;
            }
            sec_exchange(&own_shelf, BIG, blocks, count);
            for (void *block; (block = sec_take(&own_shelf, BIG)) != NULL;)
                sum += number_of(block);
        }
        EXPECT(sec_kept(&own_shelf, BIG) <= SEC_PLACES_BIG);
        for (void *block; (block = sec_drain(&own_shelf, BIG)) != NULL;)
            sum += number_of(block);
        EXPECT_EQ(sum, expected);
    }
}

/* A block that lies in a reserve nearly empty is not what comes out next because others come in. */
static void empty_places_give_nothing_back(void)
{
    enum { N = SEC_PLACES, ROUNDS = 20000 };
    size_t at_once = 0;
    for (size_t round = 0; round < ROUNDS; round++) {
        begin();
        put(SMALL, block_of(0));
        void *next = NULL;
        for (size_t taken = 1; !next && EXPECT(taken <= 2 * N); taken += N / 2) {
            void *blocks[N / 2];
            for (size_t i = 0; i < N / 2; i++)
                blocks[i] = block_of(taken + i);
            sec_exchange(&own_shelf, SMALL, blocks, N / 2);
            next = sec_take(&own_shelf, SMALL);
            EXPECT_EQ(next != NULL, taken + N / 2 > N);
        }
        at_once += next == block_of(0);
    }
    chance_expect_rate(at_once, ROUNDS, 1.0 / N, "the only block freed comes back first");
}

/* ---- guesses: which block does the next free evict? ---- */

enum { BLOCKS = 256, RULES = 5 };
static const char *const rules[RULES] = {"the newest, in the place that was drawn last", "the oldest",
                                         "the one evicted most often", "any", "the neighbour of the last one"};

struct past {
    size_t freed_at[BLOCKS]; /* 0: not in the reserve */
    size_t evicted[BLOCKS];
    size_t last; /* block that was evicted */
};

static bool is_kept(const struct past *past, size_t number)
{
    return number < BLOCKS && past->freed_at[number] != 0;
}

/* The blocks that somebody who knows all before would guess; BLOCKS for none. */
static void guess(const struct past *past, size_t guesses[RULES])
{
    for (size_t rule = 0; rule < RULES; rule++)
        guesses[rule] = BLOCKS;
    for (size_t i = 0; i < BLOCKS; i++) {
        if (!is_kept(past, i))
            continue;
        if (!is_kept(past, guesses[0]) || past->freed_at[i] > past->freed_at[guesses[0]])
            guesses[0] = i;
        if (!is_kept(past, guesses[1]) || past->freed_at[i] < past->freed_at[guesses[1]])
            guesses[1] = i;
        if (!is_kept(past, guesses[2]) || past->evicted[i] > past->evicted[guesses[2]])
            guesses[2] = i;
    }
    for (size_t i = 0; i < BLOCKS && !is_kept(past, guesses[3]); i++)
        guesses[3] = (past->last * 7 + i) % BLOCKS;
    guesses[4] = is_kept(past, past->last + 1) ? past->last + 1 : past->last - 1;
}

static void next_block_is_not_guessed(struct rng *rng, unsigned class)
{
    static struct past past;
    uint64_t right[RULES] = {0}, guessed[RULES] = {0};
    size_t guesses[RULES], wrong = 0;

    memset(&past, 0, sizeof past);
    begin();
    fill_reserve(class);
    for (size_t i = 0; i < places_of(class); i++)
        past.freed_at[i] = i + 1;
    for (size_t i = 0; i < MILLION / 4 && wrong == 0; i++) {
        size_t freed;
        do {
            freed = rng_below(rng, BLOCKS);
        } while (is_kept(&past, freed));
        guess(&past, guesses);
        void *block = exchange(class, block_of(freed));
        size_t evicted = block ? number_of(block) : BLOCKS;
        wrong += !is_kept(&past, evicted); /* one that was freed and is not in use */
        for (size_t rule = 0; rule < RULES; rule++) {
            guessed[rule] += is_kept(&past, guesses[rule]);
            right[rule] += is_kept(&past, guesses[rule]) && guesses[rule] == evicted;
        }
        past.freed_at[evicted % BLOCKS] = 0;
        past.freed_at[freed] = BLOCKS + i;
        past.evicted[evicted % BLOCKS]++;
        past.last = evicted;
    }
    EXPECT_EQ(wrong, 0);
    for (size_t rule = 0; rule < RULES; rule++)
        if (!chance_expect_rate(right[rule], guessed[rule], 1.0 / places_of(class), rules[rule]))
            expect_say("  of class %u\n", class);
}

/* A freed block comes back at each later free with the same chance: after 22 of them in the middle for 32 places, 11 for 16. */
static void freed_blocks_wait_as_designed(unsigned class)
{
    static uint64_t waits[5 * SEC_PLACES + 1];
    static size_t freed_at[SEC_PLACES + 1];
    double shares[5 * SEC_PLACES + 1], left = 1;
    const double chance = 1.0 / places_of(class);
    const size_t longest = 5 * places_of(class);
    size_t middle = 0, number = places_of(class);
    uint64_t draws = 0, half = 0;

    memset(waits, 0, sizeof waits);
    memset(freed_at, 0, sizeof freed_at);
    begin();
    fill_reserve(class);
    for (size_t i = 1; i <= MILLION; i++) {
        void *block = exchange(class, block_of(number));
        freed_at[number] = i;
        number = EXPECT(block) ? number_of(block) : number;
        size_t wait = i - freed_at[number];
        if (freed_at[number] != 0 && i > 20 * longest) {
            waits[wait <= longest ? wait - 1 : longest]++;
            draws++;
        }
    }
    for (size_t i = 0; i < longest; i++) {
        shares[i] = left * chance;
        left -= shares[i];
    }
    shares[longest] = left;
    chance_expect_shares(waits, shares, longest + 1, "frees until a block came back");
    while (half < draws / 2)
        half += waits[middle++];
    EXPECT(class < MOAT_BIG_CLASS ? middle >= 21 && middle <= 23 : middle >= 10 && middle <= 12);
    expect_say("class %u: half of all blocks are back after %zu frees\n", class, middle);
}

int main(void)
{
    struct rng rng = rng_stream(rng_seed(), 0);
    places_are_drawn_evenly(SMALL);
    places_are_drawn_evenly(BIG);
    words_have_twelve_draws();
    no_word_comes_twice();
    choices_are_even();
    rested_blocks_are_drawn_evenly();
    exchanged_blocks_come_from_all_places();
    small_exchanges_lose_nothing();
    empty_places_give_nothing_back();
    next_block_is_not_guessed(&rng, SMALL);
    next_block_is_not_guessed(&rng, BIG);
    freed_blocks_wait_as_designed(SMALL);
    freed_blocks_wait_as_designed(BIG);
    return expect_done();
}

#else

/* Without the protection nothing is drawn, and the first of all is chosen. */
int main(void)
{
    struct sec_shelf shelf = {};
    struct sec_place place;
    unit_skip("draws, shuffles and guesses", "built without SECURE_RANDOM_ORDER");
    EXPECT(sec_choose(1000) == 0 && !sec_draw_on(&shelf));
    EXPECT(sec_find_place(&shelf, 1, &place)); /* a free never waits for a draw */
    EXPECT(sec_take(&shelf, 1) == NULL && !sec_is_stocked(&shelf, 1) && sec_kept(&shelf, 1) == 0);
    return expect_done();
}

#endif
