/* See run.h. What a library does with each misuse, for scripts/draw-detection, which makes docs/detection.md of it.
 *
 * One line a run, fields between tabs: case, kind of block, run, protections, accepted kinds, accepted functions, the
 * detail in brackets (`block`, `unknown`, `either`), `late` when another call than the wrong one may notice, how the
 * process ended, what the driver finds wrong with that (`-`: nothing), and what stood on stderr, on one line.
 */
#include "run.h"
#include "../support/sizes.h"

#include <stdio.h>
#include <string.h>

static void print_end(const struct outcome *outcome)
{
    int status = outcome->death.status;
    if (outcome->death.hung)
        printf("hung");
    else if (WIFSIGNALED(status))
        printf("signal %d", WTERMSIG(status));
    else
        printf("exit %d", WEXITSTATUS(status));
}

static void print_escaped(const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '\n')
            fputs("\\n", stdout);
        else
            putchar(*text >= ' ' && *text <= '~' && *text != '\\' ? *text : '?');
    }
}

static void record_once(const struct death_case *death_case, const struct subject *subject, const char *block,
                        const char *library)
{
    struct outcome outcome = run_once(death_case, subject, library);
    const char *wrong = verdict_on_death(death_case, &outcome);
    const char *detail = death_case->flags & CASE_UNKNOWN         ? "unknown"
                         : death_case->flags & CASE_MAYBE_UNKNOWN ? "either"
                                                                  : "block";
    printf("%s\t%s\t%u\t%s\t%s\t%s\t%s\t%s\t", death_case->name, block, subject->run, death_case->protection,
           death_case->kinds, death_case->functions, detail, outcome.report.any_address ? "late" : "-");
    print_end(&outcome);
    printf("\t%s\t", wrong != NULL ? wrong : "-");
    print_escaped(outcome.death.text);
    putchar('\n');
}

void record_case(const struct death_case *death_case, unsigned runs, const char *library)
{
    static const size_t none[] = {0};
    const struct {
        unsigned flag;
        const char *block;
        const size_t *sizes;
        size_t count;
    } groups[] = {
        {CASE_SMALL, "small", sizes_small, SIZES_COUNT(sizes_small)},
        {CASE_MEDIUM, "medium", sizes_medium, SIZES_COUNT(sizes_medium)},
        {CASE_LARGE, "large", sizes_large, SIZES_COUNT(sizes_large)},
        {CASE_NO_SIZE, "any", none, 1},
    };

    for (size_t i = 0; i < SIZES_COUNT(groups); i++) {
        for (unsigned run = 0; run < runs && (death_case->flags & groups[i].flag); run++) {
            struct subject subject = {.run = run, .misuse = true};
            subject.size = groups[i].sizes[(size_t)run * 29 % groups[i].count];
            record_once(death_case, &subject, groups[i].block, library);
        }
    }
}
