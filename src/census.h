/* census.h - how much is in use, counted when somebody asks: no fast path keeps figures. */
#ifndef MOAT_CENSUS_H
#define MOAT_CENSUS_H

#include "base/compiler.h"

struct census {
    size_t page_bytes;   /* of small blocks' pages that heaps have, and of medium blocks in use */
    size_t live_bytes;   /* of these, handed out */
    size_t free_blocks;  /* carved and not handed out */
    size_t large_blocks; /* live */
    size_t large_bytes;
    size_t thread_heaps;
    size_t first_class_heaps;
};

/* Other threads' pages are read while they change; what they did before is counted. In a build without states the lists that
 * other threads allocate from cannot be read: their blocks, one page's at most for each class, count as handed out. Walks
 * all open records, and their states. */
struct census census_take(void);

#endif
