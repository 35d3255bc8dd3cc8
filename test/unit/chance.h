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

/* Chi-square with so many degrees of freedom: the inequality of B. Laurent and P. Massart (2000). What agrees too well fails
 * too. */
static inline bool chance_is_chi_square(double sum, double freedom)
{
    double away = sum - freedom;
    double beyond = away > 0 ? away - 2 * chance_nats : -away;
    return beyond <= 0 || beyond * beyond <= 4 * chance_nats * freedom;
}

/* Bins that should have these shares of all draws; NULL for equal ones. */
static inline bool chance_expect_shares(const uint64_t *bins, const double *shares, size_t count, const char *what)
{
    uint64_t draws = 0;
    double sum = 0, least = 1;
    for (size_t i = 0; i < count; i++)
        draws += bins[i];
    for (size_t i = 0; i < count; i++) {
        double share = shares ? shares[i] : 1 / (double)count;
        double expected = share * (double)draws;
        sum += ((double)bins[i] - expected) * ((double)bins[i] - expected) / expected;
        least = share < least ? share : least;
    }
    bool as_drawn = EXPECT(least * (double)draws >= 5 && chance_is_chi_square(sum, (double)count - 1));
    if (!as_drawn)
        expect_say("  %s: chi-square %.1f of %zu bins and %lu draws\n", what, sum, count, (unsigned long)draws);
    return as_drawn;
}

static inline bool chance_expect_even(const uint64_t *bins, size_t count, const char *what)
{
    return chance_expect_shares(bins, NULL, count, what);
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
