/* check.h - is the heap what its comments say? For tests and fuzzers. */
#ifndef MOAT_CHECK_H
#define MOAT_CHECK_H

#include "base/compiler.h"

/* Checks every page that the calling thread and its first-class heaps own: lists, counters, queues, states, owners. Answers false, after one line
 * that says what is wrong. Other threads' pages are left alone. */
bool moat_heap_is_valid(void);

#endif
