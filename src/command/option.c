/* option.c - see option.h. */
#include "option.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { WORDS = 5 };

static const struct key {
    const char *name;
    const char *word[WORDS]; /* the values; none: a number up to `most` */
    uint64_t most;
    const char *fault;
} keys[] = {
    {"foreign", {"enforce", "leak", "pass"}, 0, "the value can be enforce, leak or pass"},
    {"cage", {NULL}, UINT64_MAX, "the value can be a number of bytes, or one with K, M, G or T behind it"},
    {"guards", {"auto", "madvise", "mprotect", "off"}, 0, "the value can be auto, madvise, mprotect or off"},
    {"report", {NULL}, 1 << 20, "the value can be a descriptor, up to 1048576"},
    {"verbose", {"0", "1"}, 0, "the value can be 0 or 1"},
    {"stats", {"0", "1"}, 0, "the value can be 0 or 1"},
    {"help", {"1"}, 0, "the value can be 1"},
};

/* Digits and perhaps a unit, of 64 bits in all. */
static bool is_number(const char *value, uint64_t most)
{
    static const char units[] = "KMGT";
    char *end;

    if (*value < '0' || *value > '9') /* strtoull takes blanks and signs too */
        return false;
    errno = 0;
    uint64_t number = strtoull(value, &end, 10);
    const char *unit = *end ? strchr(units, *end) : NULL;
    if (errno != 0 || (*end && (!unit || end[1] != '\0')))
        return false;
    return number <= most >> (unit ? 10 * (unit - units + 1) : 0);
}

static bool is_good(const struct key *key, const char *value)
{
    if (!key->word[0])
        return is_number(value, key->most);
    for (size_t i = 0; key->word[i]; i++) {
        if (strcmp(key->word[i], value) == 0)
            return true;
    }
    return false;
}

const char *option_fault(const char *option)
{
    size_t length = strcspn(option, "=");

    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        if (strlen(keys[i].name) == length && memcmp(keys[i].name, option, length) == 0)
            return option[length] == '=' && is_good(&keys[i], option + length + 1) ? NULL : keys[i].fault;
    }
    return "there is no such key, only foreign, cage, guards, report, verbose, stats and help";
}
