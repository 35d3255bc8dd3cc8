/* Random inputs.
 *
 * Uniform bytes would seldom fill a page: each record would have a size of its own. So an input has a theme, drawn first: a few sizes that most
 * records share, how many threads work, whether bursts or single calls prevail. Pages then fill, empty, are abandoned and claimed. */
#include "generate.h"

#include "input.h"

#include <stdbool.h>

enum { HOT_SIZES = 3, LEAST_RECORDS = 16, MOST_RECORDS = 600 };

struct theme {
    uint64_t random;
    unsigned threads;       /* how many of the threads work */
    unsigned percent_burst; /* of records */
    unsigned percent_hot;   /* records with one of the hot sizes */
    unsigned percent_free;  /* of single calls */
    uint8_t hot_mode[HOT_SIZES];
    uint16_t hot_arg[HOT_SIZES];
};

static uint32_t draw(struct theme *theme, uint32_t below)
{
    theme->random += 0x9e3779b97f4a7c15u;
    uint64_t mixed = theme->random;
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9u;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebu;
    mixed ^= mixed >> 31;
    return (uint32_t)(((mixed >> 32) * below) >> 32);
}

static bool chance(struct theme *theme, unsigned percent)
{
    return draw(theme, 100) < percent;
}

/* Small sizes most of the time: they have lists, states and remote words. */
static uint8_t draw_mode(struct theme *theme)
{
    static const uint8_t modes[] = {SIZE_TINY,    SIZE_TINY,       SIZE_SMALL,      SIZE_SMALL,
                                    SIZE_EIGHTHS, SIZE_EIGHTHS,    SIZE_POWER,      SIZE_OS_PAGES,
                                    SIZE_MEDIUM,  SIZE_SIXTEENTHS, SIZE_SIXTEENTHS, SIZE_LARGE,
                                    SIZE_HUGE,    SIZE_EXACT,      SIZE_IMPOSSIBLE, SIZE_THRESHOLD};
    return modes[draw(theme, sizeof(modes))];
}

static struct theme draw_theme(uint64_t seed)
{
    struct theme theme = {.random = seed * 0xd1342543de82ef95u + 1};
    theme.threads = 1 + draw(&theme, THREADS);
    theme.percent_burst = draw(&theme, 2) == 0 ? 5 : 10 + draw(&theme, 40);
    theme.percent_hot = 50 + draw(&theme, 50);
    theme.percent_free = 20 + draw(&theme, 50);
    for (unsigned i = 0; i < HOT_SIZES; i++) {
        theme.hot_mode[i] = draw_mode(&theme);
        theme.hot_arg[i] = (uint16_t)draw(&theme, 65536);
    }
    return theme;
}

static uint8_t draw_operation(struct theme *theme)
{
    static const uint8_t allocations[] = {OP_MALLOC,  OP_MALLOC,       OP_MALLOC,        OP_CALLOC,         OP_REALLOC,
                                          OP_REALLOC, OP_REALLOCARRAY, OP_ALIGNED_ALLOC, OP_MEMALIGN,       OP_VALLOC,
                                          OP_PVALLOC, OP_NEW,          OP_CALLOC,        OP_POSIX_MEMALIGN, OP_NEW};
    static const uint8_t bursts[] = {OP_BURST_ALLOCATE, OP_BURST_ALLOCATE, OP_BURST_FREE,
                                     OP_BURST_FREE,     OP_SIDE_BY_SIDE,   OP_ROUNDS};
    if (chance(theme, fuzz_shape.percent_own))
        return (uint8_t)(OP_OF_TARGET + draw(theme, 64 - OP_OF_TARGET));
    if (chance(theme, 2))
        return (uint8_t)draw(theme, OP_COUNT);
    if (chance(theme, 2))
        return OP_END_THREAD;
    if (chance(theme, theme->percent_burst))
        return bursts[draw(theme, sizeof(bursts))];
    if (chance(theme, theme->percent_free))
        return chance(theme, 50) ? OP_FREE : OP_FREE_AS;
    return allocations[draw(theme, sizeof(allocations))];
}

static void draw_record(struct theme *theme, uint8_t out[RECORD_BYTES])
{
    uint8_t mode = draw_mode(theme);
    uint16_t arg16 = (uint16_t)draw(theme, 65536);
    if (chance(theme, theme->percent_hot)) {
        unsigned hot = draw(theme, HOT_SIZES);
        mode = theme->hot_mode[hot];
        arg16 = theme->hot_arg[hot];
    }
    out[0] = (uint8_t)(draw_operation(theme) | (draw(theme, theme->threads) << 6));
    out[1] = (uint8_t)draw(theme, 256);
    out[2] = (uint8_t)(mode | (draw(theme, 16) << 4));
    out[3] = (uint8_t)arg16;
    out[4] = (uint8_t)(arg16 >> 8);
    out[5] = (uint8_t)draw(theme, 256);
    out[6] = (uint8_t)draw(theme, 256);
    /* The high byte is an alignment's exponent in some operations: keep most of them in a useful range. */
    out[7] = (uint8_t)draw(theme, chance(theme, 80) ? 16 : 256);
}

size_t fuzz_generate(uint64_t seed, uint8_t *out, size_t room)
{
    struct theme theme = draw_theme(seed);
    size_t records = LEAST_RECORDS + draw(&theme, MOST_RECORDS - LEAST_RECORDS);
    if (records > room / RECORD_BYTES)
        records = room / RECORD_BYTES;
    for (size_t i = 0; i < records; i++)
        draw_record(&theme, out + i * RECORD_BYTES);
    for (size_t i = RECORD_BYTES; i < (1 + fuzz_shape.random_records) * RECORD_BYTES && i < records * RECORD_BYTES; i++)
        out[i] = (uint8_t)draw(&theme, 256);
    for (size_t i = 2; i < RECORD_BYTES && records > 0; i++)
        out[i] = (uint8_t)draw(&theme, 256);
    if (records > 0) {
        out[0] = (uint8_t)(draw(&theme, 4) == 0 ? 0 : FLAG_SIDE_BY_SIDE);
        out[1] = (uint8_t)(4 + draw(&theme, 60));
    }
    return records * RECORD_BYTES;
}
