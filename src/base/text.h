/* text.h - one line of text on the stack, without stdio and without allocation. What does not fit is cut. */
#ifndef MOAT_BASE_TEXT_H
#define MOAT_BASE_TEXT_H

#include "base/compiler.h"

enum { TEXT_BYTES = 240 };

struct text {
    size_t used;
    char line[TEXT_BYTES];
};

void text_start(struct text *text);
void text_add(struct text *text, const char *words);
void text_add_number(struct text *text, uint64_t number);
void text_add_hex(struct text *text, uint64_t number);
/* Ends the line with a newline, always. */
void text_end(struct text *text);

#endif
