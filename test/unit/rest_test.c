/* How emptied chunks rest: in the order in which they were emptied, and none is used again before 64 others rest too. Then
 * one of the older half is drawn, each with the same chance.
 */
#include "unit/unit.h"

#include "cage.h"
#include "unit/chance.h"

enum { BLOCK = 12000, REST = 64, CHUNKS = REST + 8, PER_CHUNK = MOAT_CHUNK / BLOCK, OLDER_HALF = (REST + 1) / 2 + 1 };

static struct held {
    size_t number; /* of the chunk, by its address */
    unsigned count;
    void *block[PER_CHUNK];
} held[CHUNKS];

/* Chunks by number, the one that has rested longest first. */
static size_t resting[CHUNKS];
static unsigned resting_count;

static size_t chunk_of(const void *block)
{
    return slice_of_address(block) / MOAT_CHUNK_SLICES;
}

static unsigned blocks_of_chunk(const void *block)
{
    return MOAT_CHUNK_SLICES * unit_page_of(block)->capacity;
}

static struct held *held_of(size_t number)
{
    struct held *free_place = NULL;
    for (size_t i = 0; i < CHUNKS; i++) {
        if (held[i].count > 0 && held[i].number == number)
            return &held[i];
        if (held[i].count == 0)
            free_place = &held[i];
    }
    if (free_place)
        free_place->number = number;
    return free_place;
}

/* Allocates until all blocks of one more chunk are held. */
static struct held *take_chunk(void)
{
    for (;;) {
        void *block = moat_malloc(BLOCK);
        struct held *chunk = block ? held_of(chunk_of(block)) : NULL;
        if (!EXPECT(chunk != NULL && chunk->count < PER_CHUNK))
            return NULL;
        chunk->block[chunk->count++] = block;
        if (chunk->count == blocks_of_chunk(block))
            return chunk;
    }
}

static void drop_chunk(struct held *chunk)
{
    uint64_t before = stats_get(STAT_CHUNKS_RESTED);
    while (chunk->count > 0)
        moat_free(chunk->block[--chunk->count]);
    unit_come_home(class_of_bytes(BLOCK));
    moat_malloc_trim(0);
    EXPECT_EQ(stats_get(STAT_CHUNKS_RESTED), before + 1);
    resting[resting_count++] = chunk->number;
}

/* Its place among those that rest, resting_count if it does not rest. It is taken out. */
static unsigned place_of(size_t number)
{
    unsigned place = 0;
    while (place < resting_count && resting[place] != number)
        place++;
    if (place < resting_count) {
        resting_count--;
        for (unsigned i = place; i < resting_count; i++)
            resting[i] = resting[i + 1];
    }
    return place;
}

static void chunk_waits_for_64_others(void)
{
    struct held *chunk[REST + 1];

    EXPECT(take_chunk() != NULL); /* stays full, so that each later one is a new one */
    for (unsigned i = 0; i <= REST; i++)
        chunk[i] = take_chunk();
    if (!EXPECT(expect_failures() == 0))
        return;
    for (unsigned i = 0; i < REST; i++)
        drop_chunk(chunk[i]);
    struct held *fresh = take_chunk();
    if (!EXPECT(fresh != NULL && place_of(fresh->number) == resting_count))
        return;
    EXPECT_EQ(resting_count, REST);
    drop_chunk(chunk[REST]);
    EXPECT_EQ(resting_count, REST + 1);
}

static void one_of_the_older_half_is_drawn(void)
{
    unsigned rounds = OLDER_HALF * (8 + pace(32, 4));
    uint64_t drawn[OLDER_HALF] = {0};

    for (unsigned i = 0; i < rounds && expect_failures() == 0; i++) {
        unsigned before = resting_count;
        struct held *chunk = take_chunk();
        unsigned place = chunk ? place_of(chunk->number) : before;
        if (!EXPECT(place < OLDER_HALF))
            return;
        drawn[place]++;
        drop_chunk(chunk);
    }
    chance_expect_even(drawn, OLDER_HALF, "the older half");
}

int main(void)
{
    if (!MOAT_WITH_ISOLATION) {
        unit_skip("chunks rest", "no isolation in this build");
        expect_reached();
        return expect_done();
    }
    uint64_t early = stats_get(STAT_REUSED_EARLY);
    chunk_waits_for_64_others();
    one_of_the_older_half_is_drawn();
    EXPECT_EQ(stats_get(STAT_REUSED_EARLY), early);
    EXPECT(moat_heap_is_valid());
    return expect_done();
}
