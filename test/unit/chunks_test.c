/* Phases: much of one class, all of it freed, then much of another. The emptied chunks' memory moves to addresses that
 * the first class never had, and arrives there clean; the old addresses rest.
 */
#include "unit/unit.h"

#include "cage.h"
#include "chunks.h"
#include "os/os.h"

#include <string.h>

enum { SLICES_MAX = 1 << 16, PHASES = 6 };

/* The class, plus 1, that a slice has served: for life. */
static uint8_t class_of_slice[SLICES_MAX];
static size_t phase_bytes;

struct phase {
    size_t block_bytes, count;
    char **blocks;
};

static bool moves_can_be_had(void)
{
    return MOAT_WITH_ISOLATION && MOAT_WITH_GUARDS && stats_get(STAT_GUARDS_PLACED) > 0 &&
           stats_get(STAT_GUARDS_MISSING) == 0;
}

/* A block of a class that is new here reads zero, but for the link of the list that it was on. */
static bool is_clean(const void *block, size_t bytes)
{
    const uint64_t *word = block;
    uint64_t found = 0;
    for (size_t i = 1; i < bytes / sizeof *word; i++)
        found |= word[i];
    return found == 0;
}

static void note_address(const char *block, unsigned class)
{
    size_t slice = slice_of_address(block);
    if (!EXPECT(slice < SLICES_MAX))
        return;
    bool served_another = class_of_slice[slice] != 0 && class_of_slice[slice] != class + 1;
    if (MOAT_WITH_ISOLATION && !EXPECT(!served_another))
        expect_say("  %p of class %u served class %u before\n", (const void *)block, class, class_of_slice[slice] - 1u);
    class_of_slice[slice] = (uint8_t)(class + 1);
}

static struct phase begin(size_t block_bytes)
{
    struct phase phase = {.block_bytes = block_bytes, .count = phase_bytes / block_bytes};
    unsigned class = class_of_bytes(block_bytes);
    size_t dirty = 0;

    phase.blocks = malloc(phase.count * sizeof(char *));
    for (size_t i = 0; i < phase.count; i++) {
        char *block = moat_malloc(block_bytes);
        phase.blocks[i] = block;
        if (!EXPECT(block != NULL))
            break;
        note_address(block, class);
        dirty += !is_clean(block, block_bytes);
        memset(block, (int)class, block_bytes);
    }
    if (MOAT_WITH_ISOLATION && !EXPECT_EQ(dirty, 0))
        expect_say("  blocks of %zu bytes came with another class's contents\n", block_bytes);
    return phase;
}

/* Each block still has what its phase wrote. */
static void end(struct phase *phase)
{
    size_t wrong = 0;
    char class = (char)class_of_bytes(phase->block_bytes);
    for (size_t i = 0; i < phase->count; i++) {
        for (size_t at = 0; at < phase->block_bytes; at += 64)
            wrong += phase->blocks[i][at] != class;
        moat_free(phase->blocks[i]);
    }
    EXPECT_EQ(wrong, 0);
}

/* What was moved or given back does not answer any more. */
static void old_addresses_rest(const struct phase *phase)
{
    size_t faulted = 0;
    for (size_t i = 0; i < phase->count; i += phase->count / 10)
        faulted += unit_faults(phase->blocks[i], true);
    expect_say("%zu of 10 old addresses fault\n", faulted);
    EXPECT(faulted >= 5);
}

static size_t chunks_of_phase(void)
{
    return phase_bytes / MOAT_CHUNK;
}

/* One phase after another, each of a class of its own. Slow machines may give chunks back by age before the next phase
 * begins, so it is looked at over all phases.
 */
static void phases_reuse_memory_at_other_addresses(void)
{
    struct phase last = {0};
    uint64_t moved = stats_get(STAT_CHUNKS_MOVED);

    for (size_t i = 0; i < PHASES; i++) {
        struct phase phase = begin(1000 + i * 1000);
        if (i > 0 && moves_can_be_had())
            old_addresses_rest(&last);
        free(last.blocks);
        end(&phase);
        last = phase;
        EXPECT(moat_heap_is_valid());
    }
    free(last.blocks);
    moved = stats_get(STAT_CHUNKS_MOVED) - moved;
    expect_say("%zu chunks moved, %zu given back, %zu moves refused\n", (size_t)moved,
               (size_t)stats_get(STAT_CHUNKS_RESTED), (size_t)stats_get(STAT_MOVES_REFUSED));
    if (moves_can_be_had()) {
        EXPECT(moved >= chunks_of_phase() / 2);
        EXPECT_EQ(stats_get(STAT_MOVES_REFUSED), 0);
    } else {
        unit_skip("chunks move", "no isolation or no guards in this build or on this kernel");
        EXPECT_EQ(moved, 0);
    }
}

/* The first class comes again: at addresses that only it ever had. */
static void class_that_comes_again_finds_its_own_addresses(void)
{
    for (int i = 0; i < 3; i++) {
        struct phase phase = {.block_bytes = 1000, .count = phase_bytes / 1000};
        phase.blocks = malloc(phase.count * sizeof(char *));
        for (size_t j = 0; j < phase.count; j++) {
            phase.blocks[j] = moat_malloc(phase.block_bytes);
            note_address(phase.blocks[j], class_of_bytes(phase.block_bytes));
            memset(phase.blocks[j], (int)class_of_bytes(phase.block_bytes), phase.block_bytes);
        }
        end(&phase);
        free(phase.blocks);
    }
    EXPECT(moat_heap_is_valid());
}

/* A fork drops the stock, which would cost a copy of each page. */
static void stock_is_dropped_at_fork(void)
{
    struct phase phase = begin(200);
    uint64_t rested = stats_get(STAT_CHUNKS_RESTED);
    end(&phase);
    free(phase.blocks);
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    EXPECT_EQ(child_wait(child), 0);
    if (MOAT_WITH_ISOLATION)
        EXPECT(stats_get(STAT_CHUNKS_RESTED) - rested >= chunks_of_phase() / 2);
}

static void trim_gives_the_stock_back(void)
{
    struct phase phase = begin(600);
    uint64_t rested = stats_get(STAT_CHUNKS_RESTED);
    end(&phase);
    EXPECT_EQ(moat_malloc_trim(0), 1);
    if (MOAT_WITH_ISOLATION) {
        EXPECT(stats_get(STAT_CHUNKS_RESTED) - rested >= chunks_of_phase() / 2);
        EXPECT(unit_faults(phase.blocks[phase.count / 2], false));
    }
    free(phase.blocks);
}

int main(void)
{
    phase_bytes = (size_t)pace(200, 40) << 20;
    moat_free(moat_malloc(1));
    phases_reuse_memory_at_other_addresses();
    class_that_comes_again_finds_its_own_addresses();
    stock_is_dropped_at_fork();
    trim_gives_the_stock_back();
    return expect_done();
}
