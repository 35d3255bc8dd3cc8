/* A program that writes to blocks after it has freed them, and what it can reach by that.
 *
 * Without magazines a block that its own thread freed carries a link. Where states or encoded links are built, one that leads
 * elsewhere ends the process: at malloc, malloc_trim and the end of a thread alike. Behind a magazine such a block carries
 * nothing that the heap reads: the same writes, and the whole block full of them, change nothing. Blocks that other threads
 * freed carry links in every build; unit.remote forges those.
 */
#include "unit/unit.h"

#include <string.h>

enum { BYTES = 1000, COUNT = 12, OTHER = 48, ENOUGH = 500 };
/* Enough to wake the page in every build. */
enum { FREED = 5, YOUNGEST = FREED - 1, SECOND = FREED - 2 };

static char *blocks[COUNT];
static uint64_t global[16];

enum forgery {
    OTHER_CLASS,
    INTERIOR,
    NEIGHBOUR_GRANULE,
    MEDIUM_RUN,
    STACK,
    GLOBAL,
    WILD,
    CYCLE,
    LIVE_BLOCK,
    FORGERIES
};

static const char *const forgery_words[FORGERIES] = {"a free block of another class",
                                                     "the middle of a free block",
                                                     "16 bytes into a free block",
                                                     "a free medium run",
                                                     "the stack",
                                                     "a global",
                                                     "a wild address",
                                                     "itself",
                                                     "a live block"};

static void *forged_link(enum forgery forgery, void *stack)
{
    switch (forgery) {
    case OTHER_CLASS: {
        void *other = moat_malloc(OTHER);
        moat_free(other);
        return other;
    }
    case INTERIOR:
        return blocks[1] + BYTES / 2;
    case NEIGHBOUR_GRANULE:
        return blocks[1] + MOAT_ALIGN;
    case MEDIUM_RUN: {
        void *medium = moat_malloc(100000);
        moat_free(medium);
        return page_start(unit_page_of(medium));
    }
    case STACK:
        return stack;
    case GLOBAL:
        return global;
    case WILD:
        return (void *)(uintptr_t)0x4141414141414140;
    case CYCLE:
        return blocks[YOUNGEST];
    case LIVE_BLOCK:
        return blocks[COUNT - 1];
    case FORGERIES:
        break;
    }
    return NULL;
}

struct attempt {
    enum forgery forgery;
    size_t forged; /* which of the freed blocks is written to */
};

/* FORGERIES: the word that is there is written back. */
static void write_into(char *block, const struct attempt *attempt, void *stack)
{
    void *link = *(void **)(void *)block;
    if (attempt->forgery != FORGERIES)
        link = forged_link(attempt->forgery, stack);
    memcpy(block, &link, sizeof link);
    for (size_t at = sizeof link; HOOK_HAS_MAGAZINES && at + sizeof link <= BYTES; at += sizeof link)
        memcpy(block + at, &link, sizeof link);
}

/* Frees blocks and writes into one of them; behind a magazine into all, since nobody knows which one is looked at. */
static void forge(const struct attempt *attempt)
{
    char stack[64] MOAT_ALIGNED(64);
    for (size_t i = 0; i < COUNT; i++)
        blocks[i] = moat_malloc(BYTES);
    for (size_t i = 0; i < FREED; i++)
        moat_free(blocks[i]);
    for (size_t i = 0; i < FREED; i++)
        if (HOOK_HAS_MAGAZINES || i == attempt->forged)
            write_into(blocks[i], attempt, stack);
}

/* The process lives: then every block that malloc hands out must be a block of its class that nobody has. */
static void expect_whole_blocks(void)
{
    static char *again[ENOUGH];
    const unsigned class = unit_page_of(blocks[COUNT - 1])->class;

    for (size_t i = 0; i < ENOUGH; i++) {
        again[i] = moat_malloc(BYTES);
        const struct record *page = unit_page_of(again[i]);
        bool whole = page->class == class && unit_offset_of(again[i]) % page->block_bytes == 0;
        for (size_t j = FREED; j < COUNT; j++)
            whole &= again[i] != blocks[j];
        for (size_t j = 0; j < i; j++)
            whole &= again[i] != again[j];
        if (!whole)
            _exit(1);
    }
    if (!moat_heap_is_valid())
        _exit(2);
}

static void allocate_on(void *argument)
{
    forge(argument);
    expect_whole_blocks();
}

/* The youngest of them is handed out, so the others are the list that malloc takes from; behind a magazine they lie anywhere
 * in it. */
static void take_list(void *argument)
{
    forge(argument);
    for (size_t i = 0; moat_malloc(BYTES) != blocks[YOUNGEST] && i < ENOUGH; i++)
        if (i + 1 == ENOUGH && !HOOK_HAS_MAGAZINES)
            _exit(3);
}

static void trim(void *argument)
{
    take_list(argument);
    moat_malloc_trim(0);
    expect_whole_blocks();
}

static void *take_list_in_thread(void *argument)
{
    take_list(argument);
    return NULL;
}

static void end_thread(void *argument)
{
    unit_in_thread(take_list_in_thread, argument);
    expect_whole_blocks();
}

static const struct {
    void (*misuse)(void *);
    const char *function; /* that finds it */
    size_t forged;
} ways[] = {{allocate_on, "malloc", YOUNGEST}, {trim, "free", SECOND}, {end_thread, "free", SECOND}};

enum { WAYS = sizeof ways / sizeof ways[0] };

static void survives(enum forgery forgery)
{
    for (size_t i = 0; i < WAYS; i++) {
        struct attempt attempt = {.forgery = forgery, .forged = ways[i].forged};
        struct death death = death_of(ways[i].misuse, &attempt);
        if (!EXPECT(death_is_exit(&death, DEATH_SURVIVED) && death.length == 0))
            expect_say("  a link to %s, way %zu: status %#x, said: %s\n",
                       forgery < FORGERIES ? forgery_words[forgery] : "what it led to", i, (unsigned)death.status,
                       death.text);
    }
}

static void dies(enum forgery forgery)
{
    for (size_t i = 0; i < WAYS; i++) {
        struct attempt attempt = {.forgery = forgery, .forged = ways[i].forged};
        char wanted[64];
        /* A plain cycle is found when its block is handed out a second time, so not by those who send the list home. */
        if (forgery == CYCLE && !SEC_LINKS_ARE_ENCODED && ways[i].misuse != allocate_on)
            continue;
        struct death death = death_of(ways[i].misuse, &attempt);
        snprintf(wanted, sizeof wanted, "moat: corrupted free list in %s(): 0x", ways[i].function);
        if (!EXPECT(death_is_by(&death, SIGABRT) && strncmp(death.text, wanted, strlen(wanted)) == 0))
            expect_say("  a link to %s, way %zu: status %#x, said: %s\n", forgery_words[forgery], i,
                       (unsigned)death.status, death.text);
    }
}

/* Malloc has other blocks at hand first; then what was freed, the youngest first. */
static void take_until(const char *block)
{
    for (size_t i = 0; moat_malloc(BYTES) != block; i++)
        if (i == ENOUGH)
            _exit(3);
}

/* The word that was right in the youngest of the freed blocks, where it led to the second; all are in use again. */
static void *save_link(void)
{
    for (size_t i = 0; i < COUNT; i++)
        blocks[i] = moat_malloc(BYTES);
    for (size_t i = 0; i < FREED; i++)
        moat_free(blocks[i]);
    void *saved = *(void **)(void *)blocks[YOUNGEST];
    take_until(blocks[YOUNGEST]);
    for (size_t i = FREED - 1; i-- > 0;)
        if (moat_malloc(BYTES) != blocks[i])
            _exit(3);
    return saved;
}

/* The block is free again, behind others than before, and its old word comes back. */
static void replay(bool is_second_free)
{
    void *saved = save_link();
    if (is_second_free)
        moat_free(blocks[SECOND]);
    for (size_t i = FREED; i < FREED + FREED; i++)
        moat_free(blocks[i]);
    moat_free(blocks[YOUNGEST]);
    if (*(void **)(void *)blocks[YOUNGEST] == saved)
        _exit(3);
    memcpy(blocks[YOUNGEST], &saved, sizeof saved);
    take_until(blocks[YOUNGEST]);
    if (moat_malloc(BYTES) != blocks[SECOND])
        _exit(3);
}

static void replay_to_live_block(void *unused)
{
    (void)unused;
    replay(false);
}

/* What SECURITY.md says of builds without magazines: the replay is taken, and chooses among the free blocks of the page. */
static void replay_to_free_block(void *unused)
{
    (void)unused;
    replay(true);
}

static void replays_choose_free_blocks_only(void)
{
    static const char wanted[] = "moat: corrupted free list in malloc(): 0x";
    struct death death = death_of(replay_to_live_block, NULL);
    if (!EXPECT(death_is_by(&death, SIGABRT) && strncmp(death.text, wanted, strlen(wanted)) == 0))
        expect_say("  a replay to a live block: status %#x, said: %s\n", (unsigned)death.status, death.text);
    death = death_of(replay_to_free_block, NULL);
    if (!EXPECT(death_is_exit(&death, DEATH_SURVIVED) && death.length == 0))
        expect_say("  a replay to a free block: status %#x, said: %s\n", (unsigned)death.status, death.text);
}

int main(void)
{
    moat_free(moat_malloc(1));
    survives(FORGERIES); /* the control */
    if (!HOOK_HAS_MAGAZINES && !MOAT_WITH_STATES && !SEC_LINKS_ARE_ENCODED) {
        unit_skip("forged links", "built without states and with links as they are");
        return expect_done();
    }
    for (enum forgery forgery = 0; forgery < FORGERIES; forgery++) {
        if (HOOK_HAS_MAGAZINES)
            survives(forgery);
        else
            dies(forgery);
    }
    if (MOAT_WITH_STATES && !HOOK_HAS_MAGAZINES)
        replays_choose_free_blocks_only();
    else
        unit_skip("replayed links", "magazines, or no states, in this build");
    return expect_done();
}
