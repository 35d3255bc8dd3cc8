/* Links in free blocks, written to by a program that uses a block after its free: where a forged link may lead, and that
 * malloc, malloc_trim and the end of a thread each stop at one that leads elsewhere.
 */
#include "unit/unit.h"

#include <string.h>

enum { BYTES = 1000, COUNT = 12, OTHER = 48 };
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

/* Frees blocks and writes a link into one of them. */
static void forge(const struct attempt *attempt)
{
    char stack[64] MOAT_ALIGNED(64);
    for (size_t i = 0; i < COUNT; i++)
        blocks[i] = moat_malloc(BYTES);
    for (size_t i = 0; i < FREED; i++)
        moat_free(blocks[i]);
    void *link = forged_link(attempt->forgery, stack);
    memcpy(blocks[attempt->forged], &link, sizeof link);
}

static void allocate_on(void *argument)
{
    forge(argument);
    for (size_t i = 0; i < 500; i++)
        moat_malloc(BYTES);
}

/* The youngest of them is handed out, so the others are the list that malloc takes from. */
static void take_list(void *argument)
{
    forge(argument);
    while (moat_malloc(BYTES) != blocks[YOUNGEST])
        continue;
}

static void trim(void *argument)
{
    take_list(argument);
    moat_malloc_trim(0);
}

static void *take_list_in_thread(void *argument)
{
    take_list(argument);
    return NULL;
}

static void end_thread(void *argument)
{
    unit_in_thread(take_list_in_thread, argument);
}

static void dies(void (*misuse)(void *), enum forgery forgery, size_t forged, const char *function)
{
    struct attempt attempt = {.forgery = forgery, .forged = forged};
    struct death death = death_of(misuse, &attempt);
    char wanted[64];
    snprintf(wanted, sizeof wanted, "moat: corrupted free list in %s(): 0x", function);
    if (!EXPECT(death_is_by(&death, SIGABRT) && strncmp(death.text, wanted, strlen(wanted)) == 0))
        expect_say("  a link to %s: status %#x, said: %s\n", forgery_words[forgery], (unsigned)death.status,
                   death.text);
}

/* The same steps, and the link that the block had is written back. */
static void forges_nothing(void *argument)
{
    struct attempt attempt = {.forgery = FORGERIES, .forged = SECOND};
    for (size_t i = 0; i < COUNT; i++)
        blocks[i] = moat_malloc(BYTES);
    for (size_t i = 0; i < FREED; i++)
        moat_free(blocks[i]);
    void *link = *(void **)(void *)blocks[attempt.forged];
    memcpy(blocks[attempt.forged], &link, sizeof link);
    while (moat_malloc(BYTES) != blocks[YOUNGEST])
        continue;
    moat_malloc_trim(0);
    (void)argument;
}

int main(void)
{
    moat_free(moat_malloc(1));
    struct death control = death_of(forges_nothing, NULL);
    EXPECT(death_is_exit(&control, DEATH_SURVIVED) && control.length == 0);
    if (!MOAT_WITH_STATES) {
        unit_skip("forged links", "built without SECURE_DOUBLE_FREE");
        return expect_done();
    }
    for (enum forgery forgery = 0; forgery < FORGERIES; forgery++) {
        dies(allocate_on, forgery, YOUNGEST, "malloc");
        if (forgery != CYCLE) { /* a cycle is found when its block is handed out a second time */
            dies(trim, forgery, SECOND, "free");
            dies(end_thread, forgery, SECOND, "free");
        }
    }
    return expect_done();
}
