/* Whether a run ended as it must: the signal, and every byte on stderr.
 *
 * The line is read from left to right by hand. A regular expression that says the same is longer and forgives more.
 */
#include "run.h"
#include "../support/sizes.h"

#include <string.h>

/* If `text` begins with one of the words, separated by bars, then which one it is, from 1; else 0. The longest that
 * fits counts. */
static unsigned match_one_of(const char **text, const char *words)
{
    unsigned number = 0, found = 0;
    size_t longest = 0;
    while (words != NULL) {
        const char *bar = strchr(words, '|');
        size_t length = bar != NULL ? (size_t)(bar - words) : strlen(words);
        number++;
        if (length > longest && strncmp(*text, words, length) == 0) {
            found = number;
            longest = length;
        }
        words = bar != NULL ? bar + 1 : NULL;
    }
    *text += longest;
    return found;
}

static bool match(const char **text, const char *word)
{
    size_t length = strlen(word);
    if (strncmp(*text, word, length) != 0)
        return false;
    *text += length;
    return true;
}

/* Without leading zeros, sign or anything else that strtoull would take. */
static bool match_number(const char **text, unsigned base, uint64_t *number)
{
    const char *start = *text;
    *number = 0;
    for (;; *text += 1) {
        char c = **text;
        unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                         : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
                                                : 16;
        if (digit >= base)
            break;
        *number = *number * base + digit;
    }
    return *text > start && (*start != '0' || *text == start + 1);
}

/* Small blocks are told by their class, others by their bytes. Which it is for requests close below 16 KiB depends on
 * the rounding. */
static const char *wrong_detail(const char **text, const struct death_case *death_case, const struct outcome *outcome)
{
    uint64_t bytes = 0;
    bool is_small = outcome->report.low < SIZES_SMALL_LIMIT;
    bool is_surely_small = outcome->report.high < SIZES_SMALL_LIMIT && !outcome->report.is_aligned;

    if (match(text, "unknown"))
        return death_case->flags & (CASE_UNKNOWN | CASE_MAYBE_UNKNOWN) ? NULL : "the block is unknown";
    if (death_case->flags & CASE_UNKNOWN)
        return "`unknown` is missing";
    if (match(text, "class ")) {
        if (!is_small)
            return "a class, but the block is not small";
        if (!match_number(text, 10, &bytes))
            return "class without number";
    } else {
        if (is_surely_small)
            return "no class, but the block is small";
        if (!match_number(text, 10, &bytes) || !match(text, " bytes"))
            return "neither class nor bytes";
    }
    if (bytes < outcome->report.low || bytes > outcome->report.high)
        return "the block's bytes are not those of the block";
    return NULL;
}

/* NULL if stderr holds exactly one line, and exactly the promised one; else what is wrong with it. */
static const char *wrong_line(const struct death_case *death_case, const struct outcome *outcome)
{
    const char *text = outcome->death.text;
    uint64_t number = 0;

    if (!match(&text, "moat: "))
        return "the line does not begin with `moat: `";
    unsigned kind = match_one_of(&text, death_case->kinds);
    if (kind == 0 || !match(&text, " in "))
        return "wrong kind";
    if (outcome->report.function[0] != '\0' ? !match(&text, outcome->report.function)
                                            : match_one_of(&text, death_case->functions) == 0)
        return "wrong function";
    if (!match(&text, "(): 0x"))
        return "wrong function or no address";
    if (!match_number(&text, 16, &number))
        return "no address";
    if (number != outcome->report.address && !(outcome->report.any_address && kind > 1))
        return "wrong address";
    if (!match(&text, " ("))
        return "no detail";
    const char *wrong = wrong_detail(&text, death_case, outcome);
    if (wrong != NULL)
        return wrong;
    if (!match(&text, "), thread "))
        return "no thread";
    if (!match_number(&text, 10, &number) ||
        (outcome->report.thread != 0 && number != (uint64_t)outcome->report.thread))
        return "wrong thread";
    if (strcmp(text, "\n") != 0 || outcome->death.length != (size_t)(text + 1 - outcome->death.text))
        return "more than one line";
    return NULL;
}

const char *verdict_on_death(const struct death_case *death_case, const struct outcome *outcome)
{
    bool is_fault = death_case->flags & CASE_FAULT;
    if (outcome->death.hung)
        return "it hangs";
    if (!death_is_by(&outcome->death, is_fault ? SIGSEGV : SIGABRT))
        return is_fault ? "it did not end by SIGSEGV" : "it did not end by SIGABRT";
    if (!outcome->reported)
        return "it ended before its misuse";
    if (is_fault)
        return outcome->death.length == 0 ? NULL : "something on stderr";
    return wrong_line(death_case, outcome);
}

const char *verdict_on_control(const struct outcome *outcome)
{
    if (outcome->death.hung)
        return "the control hangs";
    if (!death_is_exit(&outcome->death, 0))
        return "the control did not exit with 0";
    return outcome->death.length == 0 ? NULL : "the control wrote to stderr";
}

const char *verdict_on_status(int status)
{
    if (!WIFEXITED(status))
        return "";
    switch (WEXITSTATUS(status)) {
    case CASE_SURVIVED:
        return " (the misuse was not noticed)";
    case CASE_HANDED_TWICE:
        return " (one block had two owners)";
    case CASE_NOT_BOUND:
        return " (malloc is not the library's)";
    case CASE_NOT_SET_UP:
        return " (the case could not be set up)";
    case CASE_NO_MEMORY:
        return " (no memory)";
    case CASE_WRONG_FAULT:
        return " (a fault at another place than promised)";
    default:
        return "";
    }
}
