/* The sizes that tests try.
 *
 * The class edges are not asked from the library: a table that is wrong would then test itself. Classes lie at 16-byte
 * steps or at eighths of a doubling; a hardened build moves them by a few bytes. So both sides of every eighth, and of
 * every eighth less 16 and plus 16, are edges, and each class of any such table is met.
 */
#ifndef TEST_SUPPORT_SIZES_H
#define TEST_SUPPORT_SIZES_H

#include <stddef.h>

enum {
    SIZES_SMALL_LIMIT = 16 * 1024,    /* small is below */
    SIZES_MEDIUM_LIMIT = 1024 * 1024, /* medium is up to this, large above */
    SIZES_EDGES_MAX = 1024
};

static const size_t sizes_small[] = {
    1,    2,    7,    8,    15,   16,   17,   24,   31,   32,   33,    40,    47,    48,    49,   63,   64,
    65,   80,   96,   100,  112,  127,  128,  129,  160,  192,  200,   255,   256,   257,   320,  384,  448,
    500,  511,  512,  513,  640,  768,  1000, 1023, 1024, 1025, 1280,  1536,  2000,  2047,  2048, 2049, 3000,
    4000, 4095, 4096, 4097, 5000, 6000, 8000, 8191, 8192, 8193, 10000, 12000, 12288, 14000,
};
static const size_t sizes_medium[] = {
    16384,  16385,  20000,  20480,  32767,  32768,  32769,  50000,  65535,   65536,   65537,
    100000, 131072, 200000, 262144, 262145, 500000, 524288, 700000, 1000000, 1048575, 1048576,
};
static const size_t sizes_large[] = {
    1048577, 1200000, 1572864, 2097151,  2097152,  2097153,  3000000,
    4194304, 5000001, 8388608, 16777216, 20000000, 67108863, 67108865,
};

#define SIZES_COUNT(list) (sizeof(list) / sizeof((list)[0]))

static inline void sizes_add(size_t *list, size_t *count, size_t size)
{
    if (size == 0 || size >= SIZES_SMALL_LIMIT || (*count > 0 && list[*count - 1] >= size))
        return;
    list[*count] = size;
    *count += 1;
}

/* Ascending, without doubles; answers how many. */
static inline size_t sizes_edges(size_t list[SIZES_EDGES_MAX])
{
    size_t count = 0;
    sizes_add(list, &count, 1);
    for (size_t edge = 16; edge <= SIZES_SMALL_LIMIT;) {
        size_t top = 16;
        while (top * 2 <= edge)
            top *= 2;
        if (edge > 16) {
            sizes_add(list, &count, edge - 16);
            sizes_add(list, &count, edge - 15);
        }
        sizes_add(list, &count, edge);
        sizes_add(list, &count, edge + 1);
        sizes_add(list, &count, edge + 16);
        sizes_add(list, &count, edge + 17);
        edge += top / 8 > 16 ? top / 8 : 16;
    }
    return count;
}

#endif
