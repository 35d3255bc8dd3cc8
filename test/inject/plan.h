/* Which system calls of the library are to fail. Used by tests that are linked with moat-inject.
 *
 * One plan at a time: the first-th call of the kind `nr` fails with -error, counted from 1 since the plan was armed, or
 * all from the first-th on. For calls before main the plan comes from the environment,
 * MOAT_TEST_INJECT=nr:first:persistent:error, and counts from the process's start.
 */
#ifndef TEST_INJECT_PLAN_H
#define TEST_INJECT_PLAN_H

#include <stdbool.h>

struct inject_plan {
    long nr;
    unsigned long first;
    bool persistent;
    int error;
};

/* Replaces the plan and starts the counts anew. */
void inject_arm(const struct inject_plan *plan);
/* No call fails any more. The counts stay. */
void inject_disarm(void);
/* Calls of a kind since the last inject_arm, or since the start of the process. */
unsigned long inject_calls(long nr);
/* How many calls were made to fail. */
unsigned long inject_hits(void);

#endif
