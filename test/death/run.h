/* One run of a case in a process of its own, and the verdict on how it ended. */
#ifndef TEST_DEATH_RUN_H
#define TEST_DEATH_RUN_H

#include "cases.h"
#include "../support/death.h"

struct outcome {
    struct death death;
    struct report report;
    bool reported; /* the case came as far as its misuse */
};

/* Starts this program again as the child of a case, with `library` preloaded (NULL: none), and waits for its end. */
struct outcome run_once(const struct death_case *death_case, const struct subject *subject, const char *library);

/* NULL if it ended as it must; else what is wrong, in words. */
const char *verdict_on_death(const struct death_case *death_case, const struct outcome *outcome);
const char *verdict_on_control(const struct outcome *outcome);
/* Runs the misuse of a case so many times for each kind of block, and prints what came of each run (record.c). */
void record_case(const struct death_case *death_case, unsigned runs, const char *library);
/* What an exit status of cases.h means, in brackets, or nothing. */
const char *verdict_on_status(int status);

#endif
