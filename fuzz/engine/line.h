/* The one line that the heap says before it ends a process, taken apart. */
#ifndef FUZZ_ENGINE_LINE_H
#define FUZZ_ENGINE_LINE_H

#include <stdbool.h>
#include <stdint.h>

enum { LINE_WORDS_MAX = 48 };

enum line_detail { LINE_UNKNOWN, LINE_CLASS, LINE_BYTES };

struct line {
    char kind[LINE_WORDS_MAX];
    char function[LINE_WORDS_MAX];
    uint64_t address;
    enum line_detail detail;
    uint64_t bytes;
    uint64_t thread;
};

/* False if `words` is not exactly one line of that form, to the byte. */
bool line_read(const char *words, struct line *line);

/* Whether `word` is one of several, with bars between them. */
bool line_is_one_of(const char *word, const char *words);

#endif
