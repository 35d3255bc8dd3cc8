/* How emptied chunks rest: in the order in which they were emptied, and none is used again before 64 others rest too. Then
 * one of the older half is drawn, each with the same chance.
 */
#include "unit/unit.h"

#include "cage.h"
#include "unit/chance.h"

enum { CLASS = MOAT_SMALL_CLASSES - 1, REST = 64, CHUNKS = REST + 8, OLDER_HALF = (REST + 1) / 2 + 1 };

static struct held {
    size_t number; /* of the chunk, by its address */
    unsigned count;
    struct record *page[MOAT_CHUNK_SLICES];
} held[CHUNKS];

/* Chunks by number, the one that has rested longest first. */
static size_t resting[CHUNKS];
static unsigned resting_count;

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

/* Opens pages until one more chunk has no other slice. */
static struct held *take_chunk(void)
{
    for (;;) {
        struct record *page = page_open(heap_of_thread(), CLASS);
        struct held *chunk = page ? held_of(slice_of_record(page) / MOAT_CHUNK_SLICES) : NULL;
        if (!EXPECT(chunk != NULL && chunk->count < MOAT_CHUNK_SLICES))
            return NULL;
        chunk->page[chunk->count++] = page;
        if (chunk->count == MOAT_CHUNK_SLICES)
            return chunk;
    }
}

static void drop_chunk(struct held *chunk)
{
    uint64_t before = stats_get(STAT_CHUNKS_RESTED);
    while (chunk->count > 0)
        EXPECT(page_release(heap_of_thread(), chunk->page[--chunk->count]));
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
