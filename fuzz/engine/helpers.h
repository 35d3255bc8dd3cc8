/* Helper threads that work in lock-step with the main thread: one job at a time, and whoever gives it can wait for its end. So an
 * input that frees from another thread does the same each time it is run. A heap that ends in a job, or as a helper ends, takes the thread
 * that waits out of its frame too (trap.h).
 *
 * Only the main thread calls these functions. Helpers are numbered from 1; number 0 means the main thread itself. */
#ifndef FUZZ_ENGINE_HELPERS_H
#define FUZZ_ENGINE_HELPERS_H

#include <stdbool.h>

typedef void helper_job(void *argument);

/* Carries out a job on the thread `number` and returns when it is done. Starts the helper when it does not run. */
void helper_run(unsigned number, helper_job *job, void *argument);

/* The two halves of helper_run, for a helper (not 0): between them the main thread does work of its own. */
void helper_start(unsigned number, helper_job *job, void *argument);
void helper_wait(unsigned number);

/* Whether a thread runs; number 0 always does. */
bool helper_runs(unsigned number);

/* Ends a helper and joins it, so that all its thread-exit work is done at the return. Does nothing when it does not run. */
void helper_end(unsigned number);
void helper_end_all(void);

#endif
