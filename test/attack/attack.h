/* What the attack programs and their driver agree on.
 *
 * A case plays a program with a heap bug, and the attacker who knows of it: he chooses sizes, order and contents, reads
 * and writes through dangling pointers, and knows the address of each block that he got. All blocks come from grab() and
 * go with drop(), which keep the books: the moment that grab() gets a block that lies over a live one, or in a place that
 * the attacker chose, the attack has won and the process says so and ends. Wrong calls and writes are announced with
 * strike() first. A case that returns has lost, unless the last look finds a live block or a chosen place changed.
 */
#ifndef TEST_ATTACK_ATTACK_H
#define TEST_ATTACK_ATTACK_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* How the attacker writes a link that he forges: heaps differ, so the runs of a case take turns. */
enum style {
    STYLE_RAW,  /* the bare address, or slot */
    STYLE_SAFE, /* xored with the place's page number, as the GNU C library does */
    STYLE_XOR,  /* what he reads there, xored with the difference */
    STYLE_ADD,  /* what he reads there, moved by the distance */
    STYLE_SLOT, /* the block's number in its page, under what stands in the higher bits */
    STYLES
};

enum sizes { SIZES_TINY, SIZES_SMALL, SIZES_BIG, SIZES_MEDIUM, SIZES_LARGE };

/* Without all of these in the build the case may succeed. */
enum {
    NEEDS_STATES = 1, /* SECURE_DOUBLE_FREE */
    NEEDS_GUARDS = 2,
    NEEDS_ISOLATION = 4,
    NEEDS_LINKS = 8,
    NEEDS_ORDER = 16
};

enum {
    CASE_PLAIN_LOSES = 1, /* checks that every build has; without this flag it must win on the plain library */
    CASE_FAULTS = 2,      /* a fault at the attacker's own read or write is the stop */
    CASE_REUSES = 4,      /* may win by a block that was properly handed out again: counted */
    CASE_UNCOUNTED = 8,   /* wins nowhere, or by luck: must not win all the same, but is no figure */
    CASE_FIGURES = 16,    /* prints a measurement */
    CASE_OPEN = 32        /* succeeds today: shown as such, and wrong as soon as it does not */
};

struct aim {
    size_t size;
    unsigned run;
    enum style style;
};

struct attack_case {
    const char *name; /* technique.what */
    void (*run)(const struct aim *aim);
    enum sizes sizes;
    unsigned needs;
    unsigned flags;
};

/* Each ends with a case without a name. */
extern const struct attack_case attacks_double_free[];
extern const struct attack_case attacks_links[];
extern const struct attack_case attacks_lists[];
extern const struct attack_case attacks_copied[];
extern const struct attack_case attacks_remote[];
extern const struct attack_case attacks_races[];
extern const struct attack_case attacks_spirit[];
extern const struct attack_case attacks_headers[];
extern const struct attack_case attacks_bounds[];
extern const struct attack_case attacks_stale[];
extern const struct attack_case attacks_processes[];
extern const struct attack_case attacks_types[];
extern const struct attack_case attacks_leaks[];
extern const struct attack_case attacks_reuse[];

/* What the child tells the driver through REPORT_DESCRIPTOR, at most once. */
enum { REPORT_DESCRIPTOR = 3, REPORT_TEXT_MAX = 160 };
struct report {
    char text[REPORT_TEXT_MAX]; /* the goal that was reached, or a measurement */
    uint64_t figure;            /* the allocations that a reuse took, or the measured number */
};

/* Exit statuses. Others are accidents. */
enum {
    ENDED_LOST = 0,
    ENDED_WON = 90,
    ENDED_REUSED = 91,     /* won by a block that had been handed out again */
    ENDED_NOT_SET_UP = 92, /* what the attack needs did not come about, so nothing was tried */
    ENDED_NOT_BOUND = 93,  /* malloc is not the library's */
    ENDED_NO_MEMORY = 94,
    ENDED_OWN_FAULT = 95, /* a fault in the attack program: its read or write hit a guard */
    ENDED_HEAP_FAULT = 96 /* a fault elsewhere: the heap or a function that it was given to */
};

/* ---- books.c: the blocks that the program has ---- */

enum taker { TAKE_MALLOC, TAKE_CALLOC, TAKE_REALLOC, TAKE_ALIGNED, TAKE_MEMALIGN, TAKE_NEW, TAKE_NEW_ARRAY, TAKERS };
enum giver {
    GIVE_FREE,
    GIVE_REALLOC_ZERO,
    GIVE_DELETE,
    GIVE_DELETE_ARRAY,
    GIVE_DELETE_SIZED,
    GIVE_FREE_SIZED, /* free where the C library has no free_sized */
    GIVERS
};

void *grab(size_t bytes);
void *grab_by(enum taker taker, size_t bytes);
/* A pointer that some other function of the family returned, as if grab() had. */
void *grabbed(void *block, size_t bytes);
void drop(void *block);
void drop_by(enum giver giver, void *block);
/* The block is freed by other means, or was moved by realloc. */
void dropped(void *block);

/* The attacker does his wrong call or write now, to this address. */
void strike(const void *address);
/* strike(), then the call; the books stay as they are. */
void free_again(void *block);
void free_again_by(enum giver giver, void *block);
/* strike(), then one word or some bytes are written through a dangling pointer. The books do not blame the heap for it. */
void overwrite(void *at, uintptr_t word);
void overwrite_bytes(void *at, const void *bytes, size_t count);
/* The attacker writes into a block that he properly has. */
void write_own(void *at, uintptr_t word);
uintptr_t peek(const void *at);

/* A place where the heap has no business: it wins if a block lies there, or if it is changed. At most 4 KiB. */
void choose_place(void *start, size_t bytes, const char *what);
/* The same for a place that cannot be read. */
void choose_hole(void *start, size_t bytes, const char *what);

_Noreturn void win(const char *goal, const void *where);
_Noreturn void not_set_up(void);
void require(bool is_set_up);
/* A measurement: does not end the process, and is shown once the case has lost. */
void report_figure(uint64_t figure, const char *text);

bool is_live(const void *block);
/* True if the address lies in a live block. */
bool is_in_live(const void *address);
/* The attack has met a block that was handed out again, and has what it wanted. */
_Noreturn void win_by_reuse(const void *block, const char *goal);
/* Ends the process without a look at the books: the attacker wrote over so much that they prove nothing. */
_Noreturn void lose(void);
/* All grabs of the process so far. */
uint64_t grabs(void);
/* From here on a block wins that lies over a former one of another size. */
void watch_types(void);
/* The last look at all live blocks and chosen places; the process ends. */
_Noreturn void finish(void);
/* For the handler of faults: the heap handed out a block where there is no memory. */
bool is_filling(void);

/* ---- tricks.c: what many attacks do ---- */

enum { HERD_MAX = 1024 };
struct herd {
    void *block[HERD_MAX];
    unsigned count;
};
void herd_grab(struct herd *herd, size_t bytes, unsigned count);
void herd_drop(struct herd *herd, unsigned from, unsigned to);
/* The distance from one block of the herd to the next, in whatever order they came; and the one furthest up. */
size_t herd_stride(const struct herd *herd);
char *herd_top(const struct herd *herd);
bool is_same_page(const void *one, const void *two);

/* So many frees before the link is forged that the style's heap has the block on the list that malloc takes from. */
unsigned frees_for(const struct aim *aim);
/* The word that makes `block`, whose link leads to `next`, lead to `target`. */
uintptr_t forge(const struct aim *aim, const void *block, const void *next, const void *target);
/* The same for lists of page slots. */
uintptr_t forge_slot(const struct aim *aim, const void *block, const void *next, const void *target);
unsigned slot_of(const void *block);
/* Every second block of a row is freed, so that each freed one has live neighbours, and some live ones follow. */
enum { FREED_LIVE_MORE = 40 };
struct freed {
    void *last; /* freed last, */
    void *next; /* just before it, */
    void *live; /* and a live block of the row */
};
struct freed herd_free_every_second(struct herd *herd, const struct aim *aim);
/* Overwrites the youngest freed one's link. */
void lead(const struct aim *aim, struct freed freed, const void *target);

/* Grabs `count` blocks and keeps them. */
void flood(size_t bytes, unsigned count);
void flood_by(enum taker taker, size_t bytes, unsigned count);
/* Grabs, then also drops, until the freed blocks that are wanted are live again. False: a limit came first. */
bool bring_back(size_t bytes, void *const wanted[], unsigned count);
/* The same for one block, which may have an owner already, and a flood after it. */
bool flood_past(size_t bytes, const void *block);
bool flood_past_by(enum taker taker, size_t bytes, const void *block);
/* grab and drop, many times: fills and empties whatever holds blocks back. */
void churn(size_t bytes, unsigned rounds);

/* Two threads that wait for work; start them before the first free, since pthread_create allocates. */
void start_workers(void);
void in_worker(unsigned worker, void (*work)(void *), void *argument);
/* The two at the same moment. */
void in_both_workers(void (*work)(void *), void *one, void *two);
void drop_in_worker(unsigned worker, void *block);
void free_again_in_worker(unsigned worker, void *block);
void flood_in_worker(unsigned worker, size_t bytes, unsigned count);
/* The same numbers again for the same run of a case. */
unsigned draw(unsigned limit);
void draw_for(const struct aim *aim);

/* Runs it in a thread that ends. */
void in_ending_thread(void (*work)(void *), void *argument);
/* Runs it in a forked child; ends as that did unless it lost. */
void in_child(void (*work)(void *), void *argument);

/* A pointer of which the compiler knows nothing. */
static inline void *launder(const void *pointer)
{
    uintptr_t address = (uintptr_t)pointer;
    __asm__ volatile("" : "+r"(address));
    return (void *)address; // NOLINT
}

#endif
