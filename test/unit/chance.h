/* Is this chance? Bounds for tests that count what should be drawn evenly.
 *
 * Both bounds hold for any number of draws, and a right build misses each once in some 10^13 runs (e^-30), so that a program
 * with a thousand of them fails by bad luck less than once in 10^9. Neither needs the mathematics library.
 */
#ifndef TEST_UNIT_CHANCE_H
#define TEST_UNIT_CHANCE_H

#include "support/expect.h"

#include <stddef.h>
#include <stdint.h>

static const double chance_nats = 30;

/* `hits` of `draws` that should come with `rate`: the inequality of Bernstein, both ways. */
static inline bool chance_is_rate(uint64_t hits, uint64_t draws, double rate)
{
    double mean = (double)draws * rate;
    double away = (double)hits > mean ? (double)hits - mean : mean - (double)hits;
    return away * away <= 2 * chance_nats * (mean * (1 - rate) + away / 3);
}

/* Chi-square of `count` bins that should be equally full: the inequality of B. Laurent and P. Massart (2000). Bins that agree
 * too well fail too. */
static inline double chance_chi_square(const uint64_t *bins, size_t count, uint64_t *draws)
{
    double sum = 0;
    *draws = 0;
    for (size_t i = 0; i < count; i++)
        *draws += bins[i];
    double expected = (double)*draws / (double)count;
    for (size_t i = 0; i < count; i++)
        sum += ((double)bins[i] - expected) * ((double)bins[i] - expected) / expected;
    return sum;
}

static inline bool chance_is_chi_square(double sum, double freedom)
{
    double away = sum - freedom;
    double beyond = away > 0 ? away - 2 * chance_nats : -away;
    return beyond <= 0 || beyond * beyond <= 4 * chance_nats * freedom;
}

static inline bool chance_expect_even(const uint64_t *bins, size_t count, const char *what)
{
    uint64_t draws;
    double sum = chance_chi_square(bins, count, &draws);
    bool even = EXPECT(draws / count >= 5 && chance_is_chi_square(sum, (double)count - 1));
    if (!even)
        expect_say("  %s: chi-square %.1f of %zu bins and %lu draws\n", what, sum, count, (unsigned long)draws);
    return even;
}

static inline bool chance_expect_rate(uint64_t hits, uint64_t draws, double rate, const char *what)
{
    bool is_chance = EXPECT(draws > 0 && chance_is_rate(hits, draws, rate));
    if (!is_chance)
        expect_say("  %s: %lu of %lu, chance is %.1f\n", what, (unsigned long)hits, (unsigned long)draws,
                   rate * (double)draws);
    return is_chance;
}

#endif
