/* census.h - how much is in use, counted when somebody asks: no fast path keeps figures. */
#ifndef MOAT_CENSUS_H
#define MOAT_CENSUS_H

#include "base/compiler.h"

struct census {
    size_t page_bytes;   /* small and medium pages in use */
    size_t live_bytes;   /* of these, handed out */
    size_t free_blocks;  /* carved and not handed out */
    size_t large_blocks; /* live */
    size_t large_bytes;
};

/* Exact for what the calling thread did; other threads' pages are read while they change. Walks all open records. */
struct census census_take(void);

#endif
