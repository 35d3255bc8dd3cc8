/* Lines on the stack: numbers as printf writes them, what does not fit is cut, and the newline always fits. */
#include "base/text.h"
#include "support/expect.h"
#include "support/pace.h"

#include <inttypes.h>
#include <string.h>

static bool text_is(const struct text *text, const char *wanted)
{
    return text->used == strlen(wanted) && memcmp(text->line, wanted, text->used) == 0;
}

static void number_is_written_as_printf_does(uint64_t number)
{
    struct text text;
    char wanted[64];

    text_start(&text);
    text_add_number(&text, number);
    text_add(&text, " ");
    text_add_hex(&text, number);
    text_end(&text);
    snprintf(wanted, sizeof wanted, "%" PRIu64 " 0x%" PRIx64 "\n", number, number);
    if (!EXPECT(text_is(&text, wanted)))
        expect_say("  %s", wanted);
}

static void numbers_are_whole(void)
{
    struct rng rng = rng_stream(rng_seed(), 0);
    uint64_t power_of_ten = 1;
    number_is_written_as_printf_does(0);
    number_is_written_as_printf_does(UINT64_MAX);
    for (int digits = 1; digits < 20; digits++, power_of_ten *= 10) {
        number_is_written_as_printf_does(power_of_ten - 1);
        number_is_written_as_printf_does(power_of_ten);
    }
    for (unsigned bit = 0; bit < 64; bit++) {
        number_is_written_as_printf_does((uint64_t)1 << bit);
        number_is_written_as_printf_does(rng_next(&rng) >> bit);
    }
}

/* A line of `length` letters, then something more. */
static void line_is_cut_at_its_end(size_t length, void (*more)(struct text *))
{
    struct text text;
    const size_t room = TEXT_BYTES - 1;

    memset(&text, '#', sizeof text);
    text_start(&text);
    for (size_t i = 0; i < length; i++)
        text_add(&text, "x");
    size_t before = text.used;
    more(&text);
    EXPECT_EQ(before, length < room ? length : room);
    EXPECT(text.used >= before && text.used <= room);
    text_end(&text);
    EXPECT(text.used <= TEXT_BYTES);
    EXPECT_EQ(text.line[text.used - 1], '\n');
    EXPECT(memchr(text.line, '\n', text.used) == &text.line[text.used - 1]);
}

static void add_words(struct text *text)
{
    text_add(text, "0123456789");
}

static void add_number(struct text *text)
{
    text_add_number(text, UINT64_MAX);
}

static void add_hex(struct text *text)
{
    text_add_hex(text, UINT64_MAX);
}

static void nothing_is_written_behind_the_line(void)
{
    struct {
        struct text text;
        char behind[64];
    } both;
    memset(&both, '#', sizeof both);
    text_start(&both.text);
    for (int i = 0; i < 100; i++)
        text_add_hex(&both.text, UINT64_MAX);
    text_end(&both.text);
    for (size_t i = 0; i < sizeof both.behind; i++)
        EXPECT_EQ(both.behind[i], '#');
}

int main(void)
{
    struct text text;

    numbers_are_whole();
    for (size_t length = 0; length < TEXT_BYTES + 20; length++) {
        line_is_cut_at_its_end(length, add_words);
        line_is_cut_at_its_end(length, add_number);
        line_is_cut_at_its_end(length, add_hex);
    }
    nothing_is_written_behind_the_line();
    text_start(&text);
    text_end(&text);
    EXPECT(text_is(&text, "\n"));
    return expect_done();
}
