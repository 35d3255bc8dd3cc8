/* Rounding, powers of two, and arithmetic that must not wrap unnoticed. */
#include "base/bits.h"
#include "support/expect.h"
#include "support/pace.h"

static void powers_of_two_and_nothing_else(void)
{
    EXPECT(!is_power_of_two(0));
    for (unsigned bit = 0; bit < 64; bit++) {
        size_t power = (size_t)1 << bit;
        EXPECT(is_power_of_two(power));
        EXPECT_EQ(log2_floor(power), bit);
        if (bit > 1) {
            EXPECT(!is_power_of_two(power - 1));
            EXPECT(!is_power_of_two(power + 1));
            EXPECT_EQ(log2_floor(power - 1), bit - 1);
            EXPECT_EQ(log2_floor(power + 1), bit);
        }
    }
    EXPECT(!is_power_of_two(SIZE_MAX));
    EXPECT_EQ(log2_floor(SIZE_MAX), 63);
}

static void rounding_meets_the_multiple_on_its_side(void)
{
    struct rng rng = rng_stream(rng_seed(), 0);
    for (unsigned bit = 0; bit < 40; bit++) {
        size_t to = (size_t)1 << bit;
        EXPECT_EQ(round_up(0, to), 0);
        EXPECT_EQ(round_down(0, to), 0);
        EXPECT_EQ(round_up(1, to), to);
        EXPECT_EQ(round_up(to, to), to);
        EXPECT_EQ(round_down(to, to), to);
        EXPECT_EQ(round_down(2 * to - 1, to), to);
        for (int i = 0; i < 100; i++) {
            size_t n = rng_below(&rng, (size_t)1 << 60);
            size_t up = round_up(n, to), down = round_down(n, to);
            EXPECT(up % to == 0 && up >= n && up - n < to);
            EXPECT(down % to == 0 && down <= n && n - down < to);
        }
    }
}

static void products_and_sums_that_do_not_fit_are_refused(void)
{
    size_t answer;
    EXPECT(checked_mul(0, SIZE_MAX, &answer) && answer == 0);
    EXPECT(checked_mul(SIZE_MAX, 1, &answer) && answer == SIZE_MAX);
    EXPECT(checked_mul((size_t)1 << 31, (size_t)1 << 32, &answer) && answer == (size_t)1 << 63);
    EXPECT(!checked_mul((size_t)1 << 32, (size_t)1 << 32, &answer));
    EXPECT(!checked_mul(SIZE_MAX / 2 + 1, 2, &answer));
    EXPECT(checked_mul(SIZE_MAX / 2, 2, &answer) && answer == SIZE_MAX - 1);
    EXPECT(checked_add(SIZE_MAX - 1, 1, &answer) && answer == SIZE_MAX);
    EXPECT(!checked_add(SIZE_MAX, 1, &answer));
    EXPECT(!checked_add(SIZE_MAX / 2 + 1, SIZE_MAX / 2 + 1, &answer));
}

int main(void)
{
    powers_of_two_and_nothing_else();
    rounding_meets_the_multiple_on_its_side();
    products_and_sums_that_do_not_fit_are_refused();
    EXPECT(min_size(1, SIZE_MAX) == 1 && min_size(SIZE_MAX, 1) == 1 && min_size(3, 3) == 3);
    EXPECT(max_size(1, SIZE_MAX) == SIZE_MAX && max_size(SIZE_MAX, 1) == SIZE_MAX && max_size(3, 3) == 3);
    return expect_done();
}
