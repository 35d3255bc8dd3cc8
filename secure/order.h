/* secure/order.h - which block comes next cannot be guessed: magazines, and draws to choose by.
 *
 * A magazine (the word is J. Bonwick's) is a thread heap's array of free blocks of one class, out of the reach of any
 * pointer into the heap. It has two parts:
 *
 *     free   ->  reserve[random]   what lay there is pushed on the  ->  stack  ->  malloc
 *
 * So a freed block waits a random number of frees, and the one that malloc gets next is drawn among all in the reserve;
 * order and quarantine are one mechanism. A place of the reserve that was never filled evicts nothing: it fills as blocks
 * are freed. Fresh blocks do not pass the reserve, since their order costs the program its cache: they are pushed in
 * shuffled windows. A full stack gives its older half to the depot, arrays as whole; what the depot does not take lies in
 * its page as a state only (secure/states.h). No free block carries a link here. What lay unused in depot or magazine
 * between two looks goes home too: a block that nobody wants must not keep its page.
 *
 * The desk is the part that a child of fork must not share: the counts of the stacks, and the draws. It lies in memory
 * that the kernel wipes in a child, whatever call made it. A wiped desk says that all stacks are empty and no draw is
 * left, so the first malloc or free of each class takes its cold path, where the stacks, whose unused places are NULL, are
 * counted again and shuffled with fresh randomness (sec_desk_ready, sec_stack_recount).
 *
 * A signal handler that allocates in the middle of these functions may have a block handed out to it and again to the
 * code below it; the block's state stops that at the pop.
 *
 * On:  as said. Off: no bytes, no code; every question is answered with "none".
 */
#ifndef MOAT_SECURE_ORDER_H
#define MOAT_SECURE_ORDER_H

#include "base/compiler.h"
#include "base/config.h"
#include "random/random.h"

#if MOAT_SECURE_RANDOM_ORDER

enum { SEC_HAS_MAGAZINES = 1 };

enum {
    SEC_PLACES = 32,     /* of a reserve, and of its stack, */
    SEC_PLACES_BIG = 16, /* and from MOAT_BIG_CLASS up; powers of two */
    SEC_MAGAZINE_WORDS = (5 + 2 * SEC_PLACES) * MOAT_SMALL_CLASSES,
    SEC_DEPOT_ARRAY = 16, /* blocks to an array: half a stack */
    SEC_DRAW_BITS = 5,
    SEC_DRAWS = 12,             /* to a word, below its mark */
    SEC_WINDOW = 16,            /* fresh blocks whose order is drawn at once; each touches a cache line, */
    SEC_WINDOW_FIRST = 4,       /* and perhaps an OS page: at a class's first use, and from MOAT_BIG_CLASS up */
    SEC_DEPOT_ARRAYS = 32,      /* at most in a depot, */
    SEC_DEPOT_HOLDS = 32 << 10, /* and so many bytes of blocks: each may keep a whole page from going back */
    SEC_DEPOT_BYTES = SEC_DEPOT_ARRAYS * SEC_DEPOT_ARRAY * 8,
    SEC_SPILL_MOST = SEC_PLACES / 2,
    SEC_REST_BLOCKS = 4,        /* so many medium blocks of a size rest before one is used again, */
    SEC_REST_BYTES = 128 << 10, /* half as many above this size */
};

struct sec_desk {
    uint16_t count[MOAT_SMALL_CLASSES];  /* blocks on each stack */
    uint16_t offset[MOAT_SMALL_CLASSES]; /* where the magazine lies, in words of sec_magazines */
    uint8_t mask[MOAT_SMALL_CLASSES];    /* places of its reserve, and of its stack, less 1 */
    /* Draws of 5 bits, the next one lowest, under a mark: 1 when all are used up, 0 when the desk was wiped. */
    uint64_t draws;
    struct random_stream stream;
};

enum { SEC_DESK_BYTES = sizeof(struct sec_desk) };

/* Where a thread finds its desk; a word of its own, since the fast paths read it first. */
struct sec_magazines;
struct sec_shelf {
    struct sec_desk *desk;
    struct sec_magazines *magazines;
};

struct sec_magazine {
    void **depot;          /* arrays one after another; NULL until the first */
    uint32_t depot_arrays; /* in the depot, */
    uint32_t depot_low;    /* and the fewest since the last look (sec_depot_cool) */
    uint64_t print;        /* what stack and reserve looked like then */
    uint32_t scan[2];      /* the core's: how far it has looked for blocks that came home */
    uint32_t places;       /* of the reserve, and of the stack */
    uint32_t is_warm;      /* fresh blocks were taken before */
    void *reserve[SEC_PLACES];
    void *stack[]; /* NULL above the count */
};

/* Magazines stand one behind another as their classes are first used: a small process touches few OS pages. */
struct sec_magazines {
    uint16_t offset[MOAT_SMALL_CLASSES]; /* as in the desk, which may be wiped; 0 for none yet */
    uint32_t used;                       /* words of `memory` */
    uint64_t memory[SEC_MAGAZINE_WORDS];
};

/* `offset` is one of the desk's. */
MOAT_INLINE struct sec_magazine *sec_magazine_at(const struct sec_shelf *shelf, size_t offset)
{
    return (struct sec_magazine *)(void *)((uint64_t *)(void *)shelf->magazines + offset);
}

MOAT_INLINE struct sec_magazine *sec_magazine_of(const struct sec_shelf *shelf, unsigned class)
{
    return sec_magazine_at(shelf, shelf->magazines->offset[class]);
}

/* The stack's top, or NULL when it is empty. */
MOAT_INLINE void *sec_take(const struct sec_shelf *shelf, unsigned class)
{
    struct sec_desk *desk = shelf->desk;
    size_t count = desk->count[class];
    if (MOAT_UNLIKELY(count == 0))
        return NULL;
    void **place = &sec_magazine_at(shelf, desk->offset[class])->stack[count - 1];
    void *block = *place;
    *place = NULL;
    desk->count[class] = (uint16_t)(count - 1);
    if (!block)
        __builtin_unreachable(); /* below the count no place is */
    return block;
}

MOAT_INLINE bool sec_is_stocked(const struct sec_shelf *shelf, unsigned class)
{
    return shelf->desk->count[class] != 0;
}

MOAT_INLINE bool sec_stack_is_full(const struct sec_shelf *shelf, unsigned class)
{
    return shelf->desk->count[class] > shelf->desk->mask[class];
}

/* Where a freed block goes, looked up before the first side effect. */
struct sec_place {
    struct sec_desk *desk;
    struct sec_magazine *magazine;
    unsigned class;
    size_t drawn, count;
};

/* False: draws or room have to be made first. */
MOAT_INLINE bool sec_find_place(const struct sec_shelf *shelf, unsigned class, struct sec_place *place)
{
    struct sec_desk *desk = shelf->desk;
    uint64_t draws = desk->draws;
    size_t count = desk->count[class], mask = desk->mask[class];
    if (MOAT_UNLIKELY(draws <= 1) || MOAT_UNLIKELY(count > mask))
        return false;
    *place = (struct sec_place){desk, sec_magazine_at(shelf, desk->offset[class]), class, draws & mask, count};
    return true;
}

/* Puts a block into the reserve and what it evicts on the stack. */
MOAT_INLINE void sec_put(const struct sec_place *place, void *block)
{
    void *evicted = place->magazine->reserve[place->drawn];
    place->magazine->reserve[place->drawn] = block;
    place->magazine->stack[place->count] = evicted;
    place->desk->draws >>= SEC_DRAW_BITS;
    uint16_t *count = &place->desk->count[place->class]; /* read again: one register less than keeping it */
    *count = (uint16_t)(*count + (evicted != NULL));
}

MOAT_INLINE uint64_t sec_draws_of(uint64_t word)
{
    const uint64_t mark = 1ull << (SEC_DRAW_BITS * SEC_DRAWS);
    return (word & (mark - 1)) | mark;
}

/* The draws of the last word are used up and the stream has another: takes it, short and without a call. False: go the
 * cold way. */
MOAT_INLINE bool sec_draw_on(const struct sec_shelf *shelf)
{
    struct sec_desk *desk = shelf->desk;
    uint64_t word;
    if (desk->draws != 1 || !random_stream_pop(&desk->stream, &word))
        return false;
    desk->draws = sec_draws_of(word);
    return true;
}

/* An empty stack takes the depot's last array. False: the depot is empty, or the desk has to be revived first. */
MOAT_INLINE bool sec_take_from_depot(const struct sec_shelf *shelf, unsigned class)
{
    if (MOAT_UNLIKELY(shelf->desk->mask[class] == 0)) /* wiped, or no magazine yet */
        return false;
    struct sec_magazine *magazine = sec_magazine_of(shelf, class);
    if (magazine->depot_arrays == 0)
        return false;
    void **array = magazine->depot + SEC_DEPOT_ARRAY * --magazine->depot_arrays;
    if (magazine->depot_low > magazine->depot_arrays)
        magazine->depot_low = magazine->depot_arrays;
    for (unsigned i = 0; i < SEC_DEPOT_ARRAY; i++)
        magazine->stack[i] = array[i];
    shelf->desk->count[class] = SEC_DEPOT_ARRAY;
    return true;
}

/* The heap has a page of the class: makes its magazine if it has none. */
void sec_magazine_open(const struct sec_shelf *shelf, unsigned class);
/* Cold, by the desk's thread: after it there are draws. Answers false if the desk was wiped, or is new: then each stack
 * that holds anything is to be counted again. */
bool sec_desk_ready(const struct sec_shelf *shelf);
void sec_stack_recount(const struct sec_shelf *shelf, unsigned class);
/* What the kernel does in a child where it wipes. */
void sec_desk_wipe(const struct sec_shelf *shelf);
/* Puts `count` blocks that begin at `first`, `bytes` apart, on an empty stack, in an order drawn among all orders. */
void sec_push_shuffled(const struct sec_shelf *shelf, unsigned class, char *first, size_t bytes, unsigned count);
/* How many more blocks malloc wants on the stack when it is refilled: up to half of it. */
MOAT_INLINE unsigned sec_stack_room(const struct sec_shelf *shelf, unsigned class)
{
    unsigned half = (shelf->desk->mask[class] + 1u) / 2;
    unsigned count = shelf->desk->count[class];
    return count < half ? half - count : 0;
}
/* How many fresh blocks to push next: the window in which their order is drawn. */
unsigned sec_fresh_window(const struct sec_shelf *shelf, unsigned class);
/* Moves the older half of a full stack to `out`, SEC_SPILL_MOST blocks. Answers how many. */
unsigned sec_stack_spill(const struct sec_shelf *shelf, unsigned class, void **out);
/* Takes any one block out of the stack, the depot or the reserve; NULL when none is left. */
void *sec_drain(const struct sec_shelf *shelf, unsigned class);
/* Blocks in stack, depot and reserve. */
unsigned sec_kept(const struct sec_shelf *shelf, unsigned class);
/* A place for one more array of blocks of `bytes`, NULL when the depot is full or has none. */
void **sec_depot_place(const struct sec_shelf *shelf, unsigned class, size_t bytes);
/* Takes one array that lay in the depot since the last look, to `out`. Answers how many blocks, 0 when there is none. */
unsigned sec_depot_cool(const struct sec_shelf *shelf, unsigned class, void **out);
/* Ends a look. True if stack and reserve are as they were at the last one: nobody used the class. */
bool sec_is_idle(const struct sec_shelf *shelf, unsigned class);
MOAT_INLINE bool sec_depot_lacks_memory(const struct sec_shelf *shelf, unsigned class)
{
    return class < MOAT_BIG_CLASS && !sec_magazine_of(shelf, class)->depot;
}
MOAT_INLINE void sec_depot_give_memory(const struct sec_shelf *shelf, unsigned class, void *memory)
{
    sec_magazine_of(shelf, class)->depot = memory;
}

MOAT_INLINE uint32_t *sec_scan_of(const struct sec_shelf *shelf, unsigned class)
{
    return sec_magazine_of(shelf, class)->scan;
}

/* A number below `limit`, for choices that are not made at every malloc. */
MOAT_INLINE unsigned sec_choose(unsigned limit)
{
    return limit < 2 ? 0 : (unsigned)random_below(limit);
}

/* Of `count` freed blocks of `bytes`, newest first, which one to use again: never the newest, and none while few rest. */
MOAT_INLINE unsigned sec_choose_rested(unsigned count, size_t bytes)
{
    unsigned fewest = bytes <= SEC_REST_BYTES ? SEC_REST_BLOCKS : SEC_REST_BLOCKS / 2;
    return count < fewest ? UINT32_MAX : 1 + sec_choose(count - 1);
}

#define SEC_SHELF_AT(memory)                         \
    {                                                \
        .desk = (struct sec_desk *)(void *)(memory), \
    }
/* Under the caller's lock: memory for desks, which reads zero, and again in every child; and a desk of it for a new heap,
 * false when it is used up. */
void sec_desk_give(void *memory, size_t bytes);
bool sec_shelf_open(struct sec_shelf *shelf, struct sec_magazines *magazines);

#else

enum { SEC_HAS_MAGAZINES = 0, SEC_DESK_BYTES = 0, SEC_DEPOT_BYTES = 0, SEC_SPILL_MOST = 1 };

struct sec_shelf {
};
struct sec_magazines {
};
struct sec_place {
};

#define SEC_SHELF_AT(memory) \
    {                        \
    }

MOAT_INLINE void sec_desk_give(void *memory, size_t bytes)
{
    (void)memory, (void)bytes;
}

MOAT_INLINE bool sec_shelf_open(struct sec_shelf *shelf, struct sec_magazines *magazines)
{
    (void)shelf, (void)magazines;
    return true;
}

MOAT_INLINE void *sec_take(const struct sec_shelf *shelf, unsigned class)
{
    (void)shelf, (void)class;
    return NULL;
}

MOAT_INLINE bool sec_is_stocked(const struct sec_shelf *shelf, unsigned class)
{
    (void)shelf, (void)class;
    return false;
}

MOAT_INLINE bool sec_stack_is_full(const struct sec_shelf *shelf, unsigned class)
{
    (void)shelf, (void)class;
    return false;
}

MOAT_INLINE bool sec_find_place(const struct sec_shelf *shelf, unsigned class, struct sec_place *place)
{
    (void)shelf, (void)class, (void)place;
    return true;
}

MOAT_INLINE void sec_put(const struct sec_place *place, void *block)
{
    (void)place, (void)block;
}

MOAT_INLINE bool sec_draw_on(const struct sec_shelf *shelf)
{
    (void)shelf;
    return false;
}

MOAT_INLINE bool sec_take_from_depot(const struct sec_shelf *shelf, unsigned class)
{
    (void)shelf, (void)class;
    return false;
}

MOAT_INLINE void sec_magazine_open(const struct sec_shelf *shelf, unsigned class)
{
    (void)shelf, (void)class;
}

MOAT_INLINE bool sec_desk_ready(const struct sec_shelf *shelf)
{
    (void)shelf;
    return true;
}

MOAT_INLINE void sec_stack_recount(const struct sec_shelf *shelf, unsigned class)
{
    (void)shelf, (void)class;
}

MOAT_INLINE void sec_desk_wipe(const struct sec_shelf *shelf)
{
    (void)shelf;
}

MOAT_INLINE void sec_push_shuffled(const struct sec_shelf *shelf, unsigned class, char *first, size_t bytes,
                                   unsigned count)
{
    (void)shelf, (void)class, (void)first, (void)bytes, (void)count;
}

MOAT_INLINE unsigned sec_fresh_window(const struct sec_shelf *shelf, unsigned class)
{
    (void)shelf, (void)class;
    return 0;
}

MOAT_INLINE unsigned sec_stack_room(const struct sec_shelf *shelf, unsigned class)
{
    (void)shelf, (void)class;
    return 0;
}

MOAT_INLINE unsigned sec_stack_spill(const struct sec_shelf *shelf, unsigned class, void **out)
{
    (void)shelf, (void)class, (void)out;
    return 0;
}

MOAT_INLINE void *sec_drain(const struct sec_shelf *shelf, unsigned class)
{
    (void)shelf, (void)class;
    return NULL;
}

MOAT_INLINE unsigned sec_kept(const struct sec_shelf *shelf, unsigned class)
{
    (void)shelf, (void)class;
    return 0;
}

MOAT_INLINE void **sec_depot_place(const struct sec_shelf *shelf, unsigned class, size_t bytes)
{
    (void)shelf, (void)class, (void)bytes;
    return NULL;
}

MOAT_INLINE unsigned sec_depot_cool(const struct sec_shelf *shelf, unsigned class, void **out)
{
    (void)shelf, (void)class, (void)out;
    return 0;
}

MOAT_INLINE bool sec_is_idle(const struct sec_shelf *shelf, unsigned class)
{
    (void)shelf, (void)class;
    return false;
}

MOAT_INLINE bool sec_depot_lacks_memory(const struct sec_shelf *shelf, unsigned class)
{
    (void)shelf, (void)class;
    return false;
}

MOAT_INLINE void sec_depot_give_memory(const struct sec_shelf *shelf, unsigned class, void *memory)
{
    (void)shelf, (void)class, (void)memory;
}

MOAT_INLINE uint32_t *sec_scan_of(const struct sec_shelf *shelf, unsigned class)
{
    (void)shelf, (void)class;
    return NULL;
}

MOAT_INLINE unsigned sec_choose(unsigned limit)
{
    (void)limit;
    return 0;
}

MOAT_INLINE unsigned sec_choose_rested(unsigned count, size_t bytes)
{
    (void)count, (void)bytes;
    return 0;
}

#endif

#endif
