/* How many inputs were played, how many calls of the malloc family they made, and how many of them the heap ended by a report, by all processes
 * of a run.
 *
 * The numbers lie in the file that FUZZ_COUNTS names (three 64-bit words; made if need be), so that they outlive a process that ends
 * by a find; without it in memory that children share. */
#ifndef FUZZ_ENGINE_COUNTS_H
#define FUZZ_ENGINE_COUNTS_H

#include <stdint.h>

void counts_add_input(void);
void counts_add_report(void);
void counts_add_operations(uint64_t number);

uint64_t counts_inputs(void);
uint64_t counts_operations(void);
uint64_t counts_reports(void);

#endif
