/* reads.h - reading within a budget.
 *
 * What `moat status` looks into may be made to be read for ever: chains without an end, thousands of mappings of one file, an
 * environment of terabytes. Each loop over such things has its own bound; the budget bounds their product. Whatever the
 * command reads of a process and of ELF files is paid from it. A spent budget makes every further read fail, so that what is
 * there looks like what is not: whoever draws a conclusion asks reads_are_spent() first.
 */
#ifndef MOAT_COMMAND_READS_H
#define MOAT_COMMAND_READS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* From now on, at most so many reads and so many bytes; without it there is no limit. */
void reads_limit(uint64_t reads, uint64_t bytes);
bool reads_are_spent(void);

/* For what is read in another way: false if the budget does not have it, and is spent by that. */
bool reads_pay(uint64_t reads, uint64_t bytes);
/* As pread, and -1 when the budget is spent. */
ssize_t reads_some(int file, uint64_t at, void *into, size_t bytes);
/* True if all the bytes were read. */
bool reads_all(int file, uint64_t at, void *into, size_t bytes);

#endif
