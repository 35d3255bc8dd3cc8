/* fixed.h - what is decided at start and only read afterwards, in pages of its own that are read-only.
 *
 * Before the start everything is 0: no address is in a cage of 0 slices and every request finds the empty heap, so the
 * fast paths need no test for it.
 */
#ifndef MOAT_FIXED_H
#define MOAT_FIXED_H

#include "base/config.h"
#include "base/bits.h"

enum { MOAT_EMPTY_HEAP_BYTES = 2432 };

enum foreign_policy { FOREIGN_ENFORCE, FOREIGN_LEAK, FOREIGN_PASS };
enum guard_policy { GUARD_AUTO, GUARD_MADVISE, GUARD_MPROTECT, GUARD_OFF };

struct options {
    size_t cage_bytes; /* 0: as much as the ladder gives */
    enum foreign_policy foreign;
    enum guard_policy guards;
    int report;
    bool verbose;
    bool stats;
};

struct fixed {
    uintptr_t base;         /* first byte of the cage */
    size_t slice_limit;     /* slices whose records are open; grows with the frontier */
    struct record *records; /* of slice 0 */
    uintptr_t states;       /* the state of address p lies at states + (p >> MOAT_GRANULE_BITS) */
    size_t slice_count;     /* slices for small and medium blocks */
    size_t cage_bytes;      /* all of the cage, the area of large blocks included */
    struct options options;
    bool is_passive;          /* another malloc comes first: nothing is served (passive.h) */
    bool has_other_operators; /* the program replaces an operator new or delete, and its C++ library has the rest */
    uint64_t link_keys[MOAT_LINK_KEYS]; /* secret, drawn at the start */
    /* All lists empty, for ever: what a thread without a heap allocates from (heap.h). Here, since it is read-only too. */
    unsigned char empty_heap[MOAT_EMPTY_HEAP_BYTES] MOAT_ALIGNED(MOAT_CACHE_LINE);
    uint32_t reciprocal_of[MOAT_SMALL_CLASSES];                           /* as in the records of the class */
    uint8_t class_of[(MOAT_SMALL_MAX + MOAT_ALIGN - 1) / MOAT_ALIGN + 1]; /* by (bytes + 15) / 16 */
};

union fixed_pages {
    struct fixed is;
    unsigned char pages[MOAT_OS_PAGE];
};
MOAT_STATIC_ASSERT(sizeof(union fixed_pages) == MOAT_OS_PAGE, "the read-only data is one OS page");

extern union fixed_pages moat_fixed;

/* Opens and seals the page around a change, which one thread makes at a time (LOCK_FIXED is held between). fixed_open
 * answers false when the system refuses; a refused seal is counted. */
bool fixed_open(void);
void fixed_seal(void);
/* In a child: a thread that a fork left behind may have had it open. */
void fixed_settle_child(void);

#endif
