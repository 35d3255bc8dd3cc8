/* The generator: in range, even, and another stream after a restart. */
#include "unit/unit.h"

#include "random/random.h"

#include <string.h>

enum { DRAWS = 100000, BINS = 64, SAMPLE = 8 };

static void draws_lie_below_the_limit(void)
{
    static const uint64_t limits[] = {1, 2, 3, 7, 10, 1000, 1ull << 32, (1ull << 63) + 1, UINT64_MAX};
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++)
        for (int draw = 0; draw < 10000; draw++)
            EXPECT(random_below(limits[i]) < limits[i]);
}

static void small_limits_reach_every_number(void)
{
    for (uint64_t limit = 1; limit <= 32; limit++) {
        uint64_t seen = 0;
        for (int draw = 0; draw < 2000; draw++)
            seen |= 1ull << random_below(limit);
        EXPECT_EQ(seen, (1ull << limit) - 1);
    }
}

/* Chi-square with 63 degrees of freedom: a fair generator is above 160 or below 18 once in some 10^9 runs. */
static void expect_even(const unsigned *bins, const char *what)
{
    const double expected = (double)DRAWS / BINS;
    double chi_square = 0;
    for (size_t i = 0; i < BINS; i++)
        chi_square += (bins[i] - expected) * (bins[i] - expected) / expected;
    if (!EXPECT(chi_square < 160 && chi_square > 18))
        expect_say("  %s: chi-square %.1f\n", what, chi_square);
}

static void draws_are_even(void)
{
    unsigned high[BINS] = {0}, low[BINS] = {0}, pairs[BINS] = {0};
    uint64_t last = random_below(8);
    for (int i = 0; i < DRAWS; i++) {
        uint64_t draw = random_below(1ull << 63);
        high[draw >> 57]++;
        low[draw % BINS]++;
        pairs[last * 8 + draw % 8]++;
        last = draw % 8;
    }
    expect_even(high, "the upper bits");
    expect_even(low, "the lower bits");
    expect_even(pairs, "one draw and the next");
}

/* The next draws of a child by _Fork, which no handler sets right: `restart` does it, or nobody. */
static void draws_of_child(bool restart, uint64_t draws[SAMPLE])
{
    int ends[2];
    EXPECT_EQ(pipe(ends), 0);
    pid_t child = _Fork();
    if (child == 0) {
        uint64_t own[SAMPLE];
        if (restart)
            random_restart();
        for (int i = 0; i < SAMPLE; i++)
            own[i] = random_below(UINT64_MAX);
        _exit(write(ends[1], own, sizeof own) == sizeof own ? 0 : 1);
    }
    close(ends[1]);
    EXPECT_EQ(read(ends[0], draws, SAMPLE * sizeof draws[0]), SAMPLE * sizeof draws[0]);
    close(ends[0]);
    EXPECT_EQ(child_wait(child), 0);
}

static void restart_gives_another_stream(void)
{
    uint64_t parent[SAMPLE], as_it_is[SAMPLE], first[SAMPLE], second[SAMPLE];

    draws_of_child(false, as_it_is);
    draws_of_child(true, first);
    draws_of_child(true, second);
    for (int i = 0; i < SAMPLE; i++)
        parent[i] = random_below(UINT64_MAX);
    /* The control: without a restart the child has the parent's stream, so the comparisons below mean something. */
    EXPECT_EQ(memcmp(as_it_is, parent, sizeof parent), 0);
    for (int i = 0; i < SAMPLE; i++) {
        for (int j = 0; j < SAMPLE; j++) {
            EXPECT(first[i] != parent[j]);
            EXPECT(second[i] != parent[j]);
            EXPECT(first[i] != second[j]);
        }
    }
}

static void kernel_was_asked(void)
{
    EXPECT(!random_is_weak());
    EXPECT_EQ(stats_get(STAT_RANDOM_WEAK), 0);
}

int main(void)
{
    draws_lie_below_the_limit();
    small_limits_reach_every_number();
    draws_are_even();
    restart_gives_another_stream();
    kernel_was_asked();
    return expect_done();
}
