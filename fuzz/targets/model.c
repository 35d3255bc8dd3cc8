/* Fuzz target: the whole malloc family against a reference.
 *
 * The input is a list of eight-byte records (engine/input.h); engine/play.h says what is done and checked. Only correct programs are played
 * here, so any abort by the heap is a find. In the end everything is freed, and the heap must count nothing as handed out. */
#include "engine/fresh.h"
#include "engine/generate.h"
#include "engine/play.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

const struct generate_shape fuzz_shape = {.random_records = 0, .percent_own = 0};

static void play(void *argument)
{
    const struct input *input = argument;
    play_begin(input);
    play_finish(input, play_records(input, 1));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input;
    if (!input_open(&input, data, size, 2))
        return 0;
    fresh_play(input.seed, play, &input);
    return 0;
}
