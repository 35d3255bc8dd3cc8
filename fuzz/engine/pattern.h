/* What a live block holds: a pattern made from the block's number and the offset, so that a byte that came from another block, or
 * from another place of the same block, is seen.
 *
 * Blocks up to PATTERN_WHOLE_BYTES are filled and checked whole. In bigger ones only the two ends and sixteen bytes of OS pages between
 * are, which is enough to see an overlap or a lost page and keeps an input cheap. Which bytes those are depends on the address at
 * which the block was filled: after a move the check still knows the old one. */
#ifndef FUZZ_ENGINE_PATTERN_H
#define FUZZ_ENGINE_PATTERN_H

#include <stddef.h>
#include <stdint.h>

enum { PATTERN_WHOLE_BYTES = 32 * 1024 };

/* Fills a block. `number` names it; two blocks alive at once have two numbers. */
void pattern_fill(unsigned char *block, size_t bytes, uint64_t number);

/* Answers the offset of the first wrong byte below `bytes`, or SIZE_MAX when all are right. `filled_at` and `filled_bytes` are what
 * pattern_fill was given; `block` is where the contents are now. */
size_t pattern_check(const unsigned char *block, size_t bytes, uintptr_t filled_at, size_t filled_bytes,
                     uint64_t number);

/* Answers the offset of the first byte that is not zero, or SIZE_MAX. Looks at all bytes up to 256 KiB, above that at those that
 * pattern_fill would have written. */
size_t pattern_zero_check(const unsigned char *block, size_t bytes);

#endif
