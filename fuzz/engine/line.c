/* See line.h. Read by hand from left to right: a pattern that says the same would forgive more. */
#include "line.h"

#include <stddef.h>
#include <string.h>

static bool take(const char **at, const char *word)
{
    size_t length = strlen(word);
    if (strncmp(*at, word, length) != 0)
        return false;
    *at += length;
    return true;
}

/* Everything up to `end`, which is taken too. */
static bool take_until(const char **at, const char *end, char out[LINE_WORDS_MAX])
{
    const char *found = strstr(*at, end);
    if (found == NULL || found == *at || found - *at >= LINE_WORDS_MAX)
        return false;
    memcpy(out, *at, (size_t)(found - *at));
    out[found - *at] = '\0';
    *at = found + strlen(end);
    return true;
}

/* No sign, no leading zeros. */
static bool take_number(const char **at, unsigned base, uint64_t *number)
{
    static const char digits[] = "0123456789abcdef";
    const char *start = *at;
    *number = 0;
    for (;; *at += 1) {
        const char *digit = **at == '\0' ? NULL : memchr(digits, **at, base);
        if (digit == NULL)
            break;
        *number = *number * base + (uint64_t)(digit - digits);
    }
    return *at > start && (*start != '0' || *at == start + 1);
}

static bool take_detail(const char **at, struct line *line)
{
    if (take(at, "unknown")) {
        line->detail = LINE_UNKNOWN;
        return true;
    }
    line->detail = take(at, "class ") ? LINE_CLASS : LINE_BYTES;
    return take_number(at, 10, &line->bytes) && (line->detail == LINE_CLASS || take(at, " bytes"));
}

bool line_read(const char *words, struct line *line)
{
    const char *at = words;
    *line = (struct line){.detail = LINE_UNKNOWN};
    return take(&at, "moat: ") && take_until(&at, " in ", line->kind) && take_until(&at, "(): 0x", line->function) &&
           take_number(&at, 16, &line->address) && take(&at, " (") && take_detail(&at, line) &&
           take(&at, "), thread ") && take_number(&at, 10, &line->thread) && strcmp(at, "\n") == 0;
}

bool line_is_one_of(const char *word, const char *words)
{
    size_t length = strlen(word);
    for (const char *at = words; at != NULL; at = strchr(at, '|')) {
        at += *at == '|';
        if (strncmp(at, word, length) == 0 && (at[length] == '|' || at[length] == '\0'))
            return true;
    }
    return false;
}
