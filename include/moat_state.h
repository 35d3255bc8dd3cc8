/* moat_state.h - what a process on Moat shows to readers outside it: `moat status PID`, debuggers, core dumps.
 *
 * libmoat.so, libmoat-secure.so, libmoat.a and moat.o hold one object under the symbol "moat_state": a struct moat_state
 * and, behind it, its two tables. It is for reading only, and nothing that Moat decides depends on what stands in it.
 *
 *     gdb -p PID -batch -ex 'print moat_state'
 *     const struct moat_state *state = dlsym(RTLD_DEFAULT, MOAT_STATE_SYMBOL);      in the process itself
 *
 * No variable is declared here: a linker would copy the object into the program, at the size that it had on that day.
 *
 * Versions  the layout number changes when a field changes its meaning or its place. Fields are added at the end of the
 *           structs without a new number, so a reader goes by the offsets, sizes and counts that it finds, never by sizeof.
 * Texts     end with a zero byte, in plain ASCII. A reader of a process that it does not trust checks that.
 * Threads   counts rise while one reads; each by itself is whole, together they are a moment's picture.
 * Fork      a child begins with its parent's counts. `forks` rises when the child has settled: at once after fork, with
 *           its first memory from the slow paths after _Fork and clone. A vfork's child has no state of its own.
 * Dumps     the object is in core dumps; no key and no address of a table of Moat's is in it.
 */
#ifndef MOAT_STATE_H
#define MOAT_STATE_H

#include <stdint.h>

#define MOAT_STATE_SYMBOL "moat_state"
#define MOAT_STATE_MAGIC "MOATSTAT" /* eight bytes, no end */

enum { MOAT_STATE_LAYOUT = 1 };

enum moat_state_mode {
    MOAT_STATE_ASLEEP = 0,  /* nobody has asked for memory yet, or the start failed */
    MOAT_STATE_ACTIVE = 1,  /* the heap of this process */
    MOAT_STATE_PASSIVE = 2, /* loaded, and the program's own malloc answers */
};

struct moat_state {
    char magic[8];
    uint32_t layout;
    uint32_t bytes; /* of the whole object, tables included */
    char version[16];
    char profile[16]; /* "plain" or "secure" */
    uint32_t mode;    /* enum moat_state_mode */
    uint32_t forks;   /* between the process that loaded the library and this one */
    uint64_t cage_base;
    uint64_t cage_bytes;  /* 0 before the start */
    uint64_t protections; /* bit i: entry i of the protections is built in */
    uint64_t degraded;    /* the sum of the counts of kind MOAT_COUNTS_DEGRADED */
    uint32_t protections_at, protections_count, protection_bytes; /* offset from this struct, entries, size of one */
    uint32_t counters_at, counters_count, counter_bytes;
    char last_words[240]; /* the line of the violation that ends this process, or a vfork's child of it; else empty */
};

struct moat_state_protection {
    char option[32]; /* of CMake, as in SECURITY.md: "SECURE_GUARD_PAGES" */
    char words[64];
};

enum moat_state_kind {
    MOAT_COUNTS_WORK = 0,     /* what was done */
    MOAT_COUNTS_DEGRADED = 1, /* a protection that was not there as it should be */
    MOAT_COUNTS_TROUBLE = 2,  /* what cost time or memory, and no protection */
};

struct moat_state_counter {
    uint64_t count;
    uint32_t kind; /* enum moat_state_kind */
    char name[52]; /* as in the lines `moat: stats: ...` */
};

#endif
