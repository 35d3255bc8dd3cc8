/* text.c - see text.h. One byte is kept for the newline. */
#include "base/text.h"

static void add_char(struct text *text, char c)
{
    if (text->used < TEXT_BYTES - 1)
        text->line[text->used++] = c;
}

static void add_digits(struct text *text, uint64_t number, unsigned base)
{
    char digits[20];
    size_t count = 0;

    do {
        digits[count++] = "0123456789abcdef"[number % base];
        number /= base;
    } while (number != 0);
    while (count > 0)
        add_char(text, digits[--count]);
}

void text_start(struct text *text)
{
    text->used = 0;
}

void text_add(struct text *text, const char *words)
{
    while (*words)
        add_char(text, *words++);
}

void text_add_number(struct text *text, uint64_t number)
{
    add_digits(text, number, 10);
}

void text_add_hex(struct text *text, uint64_t number)
{
    text_add(text, "0x");
    add_digits(text, number, 16);
}

void text_end(struct text *text)
{
    text->line[text->used++] = '\n';
}
