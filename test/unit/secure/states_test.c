/* The state of a block: every edge from every state, the test for a block's start at every offset of every class, and the
 * check of a page that is given up. A build without states answers yes to everything; the same calls compile in both.
 */
#include "unit/unit.h"

#include <string.h>

/* Written down here again: a state that changes its number by mistake must be noticed. */
enum { UNUSED = 0, FREE = 1, REMOTE = 2, KEPT = 3, LIVE = 0x80 };
/* What malloc hands out: without magazines a block of the page's list, behind them only one that is in the magazine. */
enum { READY = HOOK_HAS_MAGAZINES ? KEPT : FREE };

enum { SLICE_STATES = MOAT_SLICE >> MOAT_GRANULE_BITS, BEHIND = 64 };

/* The states of one slice that exists nowhere, with bytes behind them that nobody may touch. */
static union {
    uint8_t byte[SLICE_STATES + BEHIND];
    uint64_t word;
} slice_states;
static char *const slice = (char *)((uintptr_t)5 << MOAT_SLICE_BITS);

static uintptr_t states_base(void)
{
    return (uintptr_t)slice_states.byte - ((uintptr_t)slice >> MOAT_GRANULE_BITS);
}

enum edge { HAND_OUT, FREE_LOCAL, FREE_REMOTE, FREE_MEDIUM, COLLECT, SHELVE, SEND_HOME, EDGES };

static bool take_edge(enum edge edge, const void *block)
{
    switch (edge) {
    case HAND_OUT:
        return sec_state_hand_out(states_base(), block);
    case FREE_LOCAL:
        return sec_state_free_local(states_base(), block);
    case FREE_REMOTE:
        return sec_state_free_remote(states_base(), block);
    case FREE_MEDIUM:
        return sec_state_free_medium(states_base(), block);
    case COLLECT:
        return sec_state_collect(states_base(), block);
    case SHELVE:
        return sec_state_shelve(states_base(), block);
    case SEND_HOME:
    case EDGES:
        break;
    }
    return sec_state_send_home(states_base(), block);
}

static bool may_take(enum edge edge, unsigned state)
{
    static const unsigned only[EDGES] = {[HAND_OUT] = READY, [COLLECT] = REMOTE, [SHELVE] = FREE, [SEND_HOME] = KEPT};
    return only[edge] != 0 ? state == only[edge] : state >= LIVE;
}

static void edges_are_taken_from_the_right_state_only(size_t granule)
{
    static const unsigned after[EDGES] = {
        [HAND_OUT] = LIVE, [FREE_LOCAL] = READY, [FREE_REMOTE] = REMOTE, [FREE_MEDIUM] = READY,
        [COLLECT] = FREE,  [SHELVE] = KEPT,      [SEND_HOME] = FREE};
    uint8_t *state = &slice_states.byte[granule];
    const void *block = slice + (granule << MOAT_GRANULE_BITS);

    for (enum edge edge = 0; edge < EDGES; edge++) {
        for (unsigned before = 0; before < 256; before++) {
            memset(slice_states.byte, 0x5a, sizeof slice_states);
            *state = (uint8_t)before;
            bool taken = take_edge(edge, block);
            EXPECT_EQ(taken, may_take(edge, before));
            EXPECT_EQ(*state, taken ? after[edge] : before);
            *state = 0x5a;
            for (size_t i = granule < 2 ? 0 : granule - 2; i <= granule + 2; i++)
                EXPECT_EQ(slice_states.byte[i], 0x5a);
        }
    }
}

static void questions_are_answered_by_the_state(void)
{
    for (unsigned state = 0; state < 256; state++) {
        slice_states.byte[9] = (uint8_t)state;
        const void *block = slice + (9 << MOAT_GRANULE_BITS);
        EXPECT_EQ(sec_state_is_live(states_base(), block), state >= LIVE);
        EXPECT_EQ(sec_state_was_never_used(states_base(), block), state == UNUSED);
        EXPECT_EQ(sec_state_is_free(states_base(), block), state == FREE);
        EXPECT_EQ(slice_states.byte[9], state);
    }
    slice_states.byte[9] = UNUSED;
    sec_state_carve(states_base(), slice + (9 << MOAT_GRANULE_BITS));
    EXPECT_EQ(slice_states.byte[9], READY);
}

/* Whether the scan finds from `from` what a loop finds, `wanted` at a time. */
static bool finds_all(uint32_t from, unsigned wanted)
{
    uint32_t found[16], granule = from;
    for (uint32_t expected = from;;) {
        unsigned count = sec_states_find_free(states_base(), slice, &granule, SLICE_STATES, found, wanted);
        for (unsigned i = 0; i < count; i++, expected++) {
            while (expected < SLICE_STATES && slice_states.byte[expected] != FREE)
                expected++;
            if (found[i] != expected)
                return false;
        }
        if (count == wanted)
            continue;
        while (expected < SLICE_STATES && slice_states.byte[expected] != FREE)
            expected++;
        return granule == SLICE_STATES && expected == SLICE_STATES;
    }
}

/* A scan reads eight states at a step: every state beside every other, and a free one wherever it lies. */
static void scan_finds_every_free_block(struct rng *rng)
{
    static const uint8_t states[] = {UNUSED, FREE, REMOTE, KEPT, LIVE, LIVE | FREE, 0x7f, 0xff};
    size_t wrong = 0;

    for (size_t round = 0; round < 64; round++) {
        for (size_t i = 0; i < SLICE_STATES; i++) /* from half of them free to none */
            slice_states.byte[i] = round == 0 ? LIVE : rng_below(rng, 128) < round ? FREE : states[rng_below(rng, 8)];
        memset(slice_states.byte + SLICE_STATES, FREE, BEHIND);
        for (uint32_t from = 0; from < SLICE_STATES; from++)
            wrong += !finds_all(from, 1 + from % 16);
    }
    for (uint32_t at = 0; at < SLICE_STATES; at++) {
        memset(slice_states.byte, at % 2 ? KEPT : UNUSED, SLICE_STATES);
        slice_states.byte[at] = FREE;
        wrong += !(finds_all(0, 1) && finds_all(at, 2) && finds_all(at + 1, 2));
    }
    EXPECT_EQ(wrong, 0);
}

/* A page of the class as page_open makes it: all blocks' states, and each of them wrong in turn. */
static void release_looks_at_every_block(unsigned class)
{
    size_t block = class_bytes(class);
    size_t capacity = (MOAT_SLICE - HOOK_GUARD_BYTES) / block;
    size_t missed = 0, kept = 0;

    for (size_t i = 0; i < capacity; i++) {
        uint8_t *state = &slice_states.byte[i * block >> MOAT_GRANULE_BITS];
        memset(slice_states.byte, 0, SLICE_STATES);
        for (size_t other = 0; other < capacity; other++)
            slice_states.byte[other * block >> MOAT_GRANULE_BITS] = FREE;
        *state = (uint8_t)(i % 3 == 0 ? REMOTE : i % 3 == 1 ? KEPT : LIVE);
        missed += sec_states_release(states_base(), slice, capacity * block);
        kept += *state != UNUSED;
    }
    if (!EXPECT_EQ(missed, 0))
        expect_say("  blocks of %zu bytes: the last of %zu blocks are not looked at\n", block, capacity);
    if (!EXPECT_EQ(kept, 0))
        expect_say("  blocks of %zu bytes: states that are not unused afterwards\n", block);
}

static void release_detects_each_wrong_byte(void)
{
    const size_t bytes = 64 << MOAT_GRANULE_BITS;
    for (unsigned state = 0; state < 256; state++) {
        for (size_t at = 0; at < 64; at++) {
            memset(slice_states.byte, FREE, sizeof slice_states);
            slice_states.byte[at] = (uint8_t)state;
            EXPECT_EQ(sec_states_release(states_base(), slice, bytes), state <= FREE);
            EXPECT_EQ(slice_states.byte[at], UNUSED);
        }
    }
    memset(slice_states.byte, 0x77, sizeof slice_states);
    memset(slice_states.byte, UNUSED, 64);
    EXPECT(sec_states_release(states_base(), slice, bytes));
    for (size_t i = 64; i < sizeof slice_states; i++)
        EXPECT_EQ(slice_states.byte[i], 0x77);
}

/* The states of a whole slice must not reach into the next one's. */
static void release_stays_in_its_slice(unsigned class)
{
    size_t block = class_bytes(class);
    memset(slice_states.byte, FREE, SLICE_STATES);
    memset(slice_states.byte + SLICE_STATES, 0x77, BEHIND);
    EXPECT(sec_states_release(states_base(), slice, (MOAT_SLICE - HOOK_GUARD_BYTES) / block * block));
    for (size_t i = SLICE_STATES; i < sizeof slice_states; i++)
        EXPECT_EQ(slice_states.byte[i], 0x77);
}

/* The reciprocal is the one that a real page of the class carries. */
static void block_starts_are_known_at_every_offset(unsigned class)
{
    const struct record *page = unit_page_of(moat_malloc(class_bytes(class) - (class == MOAT_SMALL_CLASSES - 1)));
    size_t wrong = 0;

    EXPECT_EQ(page->block_bytes, class_bytes(class));
    for (uint32_t offset = 0; offset < MOAT_SLICE; offset++)
        wrong += sec_is_block_start(offset, page->reciprocal) != (!MOAT_WITH_STATES || offset % page->block_bytes == 0);
    if (!EXPECT_EQ(wrong, 0))
        expect_say("  blocks of %u bytes\n", page->block_bytes);
}

/* A link found in a free block leads to a block's start in the same slice, or nowhere. */
static void links_stay_in_their_page(unsigned class)
{
    const uint32_t block_bytes = (uint32_t)class_bytes(class);
    const uint32_t reciprocal = unit_page_of(moat_malloc(block_bytes - (class == MOAT_SMALL_CLASSES - 1)))->reciprocal;
    const char *block = slice + block_bytes;
    size_t wrong = 0;

    for (uint32_t offset = 0; offset < MOAT_SLICE; offset++)
        wrong += sec_link_stays(block, slice + offset, reciprocal) != (!MOAT_WITH_STATES || offset % block_bytes == 0);
    EXPECT_EQ(wrong, 0);
    EXPECT(sec_link_stays(block, NULL, reciprocal));
    EXPECT_EQ(sec_link_stays(block, slice + MOAT_SLICE, reciprocal), !MOAT_WITH_STATES);
    EXPECT_EQ(sec_link_stays(block, slice - MOAT_SLICE, reciprocal), !MOAT_WITH_STATES);
    for (unsigned bit = MOAT_SLICE_BITS; bit < 64; bit++)
        EXPECT_EQ(sec_link_stays(block, (char *)((uintptr_t)slice ^ (uintptr_t)1 << bit), reciprocal),
                  !MOAT_WITH_STATES);
}

static void without_states_all_is_well(void)
{
    for (unsigned state = 0; state < 256; state++) {
        memset(slice_states.byte, (int)state, sizeof slice_states);
        for (enum edge edge = 0; edge < EDGES; edge++)
            EXPECT(take_edge(edge, slice));
        EXPECT(sec_state_is_live(states_base(), slice));
        EXPECT(!sec_state_was_never_used(states_base(), slice));
        EXPECT(sec_state_is_free(states_base(), slice));
        EXPECT(sec_states_release(states_base(), slice, MOAT_SLICE));
        uint32_t granule = 0, found[1];
        EXPECT_EQ(sec_states_find_free(states_base(), slice, &granule, SLICE_STATES, found, 1), 0);
        sec_state_carve(states_base(), slice);
        for (size_t i = 0; i < sizeof slice_states; i++)
            EXPECT_EQ(slice_states.byte[i], state);
    }
    EXPECT(sec_size_fits(SIZE_MAX, 16));
    EXPECT_EQ(SEC_STATE_BYTES_PER_SLICE, 0);
}

static void with_states_all_is_looked_at(void)
{
    static const size_t granules[] = {0, 1, 7, 8, 1000, SLICE_STATES - 1};
    for (size_t i = 0; i < sizeof granules / sizeof granules[0]; i++)
        edges_are_taken_from_the_right_state_only(granules[i]);
    questions_are_answered_by_the_state();
    struct rng rng = rng_stream(rng_seed(), 0);
    scan_finds_every_free_block(&rng);
    release_detects_each_wrong_byte();
    for (unsigned class = class_of_bytes(1); class < MOAT_SMALL_CLASSES; class ++) {
        release_looks_at_every_block(class);
        release_stays_in_its_slice(class);
    }
    EXPECT(sec_size_fits(64, 64) && sec_size_fits(0, 64) && !sec_size_fits(65, 64));
    EXPECT_EQ(SEC_STATE_BYTES_PER_SLICE, SLICE_STATES);
}

int main(void)
{
    for (unsigned class = class_of_bytes(1); class < MOAT_SMALL_CLASSES; class ++) {
        block_starts_are_known_at_every_offset(class);
        links_stay_in_their_page(class);
    }
    if (MOAT_WITH_STATES) {
        with_states_all_is_looked_at();
    } else {
        unit_skip("the edges of the state machine", "no states in this build");
        without_states_all_is_well();
    }
    return expect_done();
}
