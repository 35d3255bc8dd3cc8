/* secure/order.h - which block comes next cannot be guessed: magazines, and draws to choose by.
 *
 * A magazine (the word is J. Bonwick's) is a thread heap's array of free blocks of one class, out of the reach of any
 * pointer into the heap. It has two parts:
 *
 *     free   ->  reserve[random]   what lay there is pushed on the  ->  stack  ->  malloc
 *
 * So a freed block waits a random number of frees, and the one that malloc gets next is drawn among all in the reserve;
 * order and quarantine are one mechanism. A place of the reserve that was never filled evicts nothing: it fills as
 * blocks are freed. Blocks that other threads freed come by the dozen and pass the reserve together (sec_exchange): of
 * each two neighbouring places one is drawn, and what lay there is shuffled; empty places are filled before any gives
 * something back. Fresh blocks do not pass the reserve, since their order costs the program its cache. A magazine has
 * places for them too, each with a run of neighbours: the place of the next one is drawn, and each run is used upward
 * (struct sec_fill). A full stack gives its older half to the depot, arrays as whole; what the depot does not take
 * lies in its page as a state only (secure/states.h). No free block carries a link here. What lay unused in depot or
 * magazine between two looks goes home too: a block that nobody wants must not keep its page.
 *
 * The desk is the part that a child of fork must not share: where the stacks' tops are, and the draws. It lies in memory
 * that the kernel wipes in a child, whatever call made it. A wiped desk says that all stacks are empty and no draw is
 * left, so the first malloc or free of each class takes its cold path, where the stacks, whose unused places are NULL, are
 * counted again and shuffled with fresh randomness (sec_desk_ready, sec_stack_recount).
 *
 * A signal handler that allocates in the middle of these functions may have a block handed out to it and again to the
 * code below it; the block's state stops that at the pop. What is read below an empty stack is NULL.
 *
 * On:  as said. Off: no bytes, no code; every question is answered with "none". More than 500 lines, since the second half
 * answers for each function of the first, and fresh blocks lie in the same magazine as freed ones.
 */
#ifndef MOAT_SECURE_ORDER_H
#define MOAT_SECURE_ORDER_H

#include "base/atomic.h"
#include "base/compiler.h"
#include "base/config.h"
#include "random/random.h"

#include <stddef.h>

#if MOAT_SECURE_RANDOM_ORDER

enum { SEC_HAS_MAGAZINES = 1 };

enum {
    SEC_PLACES = 32,     /* of a reserve, and of its stack, */
    SEC_PLACES_BIG = 16, /* and from MOAT_BIG_CLASS up; powers of two */
    SEC_BELOW = 2,
    SEC_FRESH = 16,      /* places for fresh blocks; each touches a cache line, */
    SEC_FRESH_FIRST = 4, /* and perhaps an OS page: at a class's first use, and from MOAT_BIG_CLASS up; powers of two */
    SEC_FRESH_BITS = 4,
    SEC_LEFT_SHIFT = 48, /* in a place's word: how many blocks it has, over the first one's address */
    SEC_MAGAZINE_WORDS = (4 + SEC_PLACES + SEC_BELOW + SEC_PLACES + 1 + SEC_FRESH) * MOAT_SMALL_CLASSES,
    SEC_DEPOT_ARRAY = 16, /* blocks to an array: half a stack */
    SEC_DRAW_BITS = 5,
    SEC_DRAWS = 12,             /* to a word, below its mark */
    SEC_DEPOT_ARRAYS = 32,      /* at most in a depot, */
    SEC_DEPOT_HOLDS = 32 << 10, /* and so many bytes of blocks: each may keep a whole page from going back */
    SEC_DEPOT_BYTES = SEC_DEPOT_ARRAYS * SEC_DEPOT_ARRAY * 8,
    SEC_SPILL_MOST = SEC_PLACES / 2,
    SEC_REST_BLOCKS = 4,        /* so many medium blocks of a size rest before one is used again, */
    SEC_REST_BYTES = 128 << 10, /* half as many above this size */
};

/* What the fast paths need of a class's magazine, in one half of a cache line. The two words that are written do not stand
 * side by side: gcc would write them as one of 16 bytes, from which the next pair's loads take their halves late. */
struct sec_slot {
    void *next; /* what lies at the top, so that malloc has it with one load: NULL when the stack is empty */
    void **reserve;
    void **top;    /* the stack's highest place in use, or the one below all; NULL when the desk was wiped, or is new */
    uint64_t mask; /* places of the reserve, and of the stack, less 1 */
};

struct sec_desk {
    struct sec_slot slot[MOAT_SMALL_CLASSES];
    /* Draws of 5 bits, the next one lowest, under a mark: 1 when all are used up, 0 when the desk was wiped. */
    uint64_t draws;
    struct random_stream stream;
};

/* All of it, and what is read of one on which nothing was ever drawn. */
enum { SEC_DESK_BYTES = sizeof(struct sec_desk), SEC_BARE_DESK_BYTES = offsetof(struct sec_desk, stream) };

/* Where a thread finds its desk; a word of its own, since the fast paths read it first. */
struct sec_magazines;
struct sec_shelf {
    struct sec_desk *desk;
    struct sec_magazines *magazines;
};

struct sec_magazine {
    void **depot;         /* arrays one after another; NULL until the first */
    uint64_t print;       /* what stack and reserve looked like at the last look */
    uint32_t scan[2];     /* the core's: how far it has looked for blocks that came home */
    uint8_t depot_arrays; /* in the depot, */
    uint8_t depot_low;    /* and the fewest since the last look (sec_depot_cool) */
    uint8_t places;       /* of the reserve, and of the stack */
    uint8_t is_warm;      /* fresh blocks were taken before */
    uint8_t is_full;      /* no place of the reserve is empty; 0 says nothing */
    /* The reserve; SEC_BELOW words that are NULL, since no block lies below the stack; the stack, NULL above its top; and a
     * wall, which is not NULL; the places for fresh blocks. */
    void *reserve[];
};

/* A stack being filled with fresh blocks. The core sets runs aside for the places that have none; then each block is drawn
 * among all places, and the fill stops where one runs dry, so that no draw is among fewer. A block is carved when it is drawn:
 * before that nobody had it, and a report says so. A place is one word: a signal handler finds it whole. */
struct sec_fill {
    uint64_t *fresh;
    uint64_t draws;
    uint32_t dry;           /* a bit for each place without a run */
    uint32_t count, wanted; /* blocks; as many are wanted as there are places, a power of two */
    void *block[SEC_FRESH];
};

/* Magazines stand one behind another as their classes are first used: a small process touches few OS pages. */
struct sec_magazines {
    uint16_t offset[MOAT_SMALL_CLASSES]; /* where a magazine lies, in words of this; 0 for none yet */
    uint32_t used;                       /* words of `memory` */
    uint64_t memory[SEC_MAGAZINE_WORDS];
};

MOAT_INLINE struct sec_magazine *sec_magazine_of(const struct sec_shelf *shelf, unsigned class)
{
    return (struct sec_magazine *)(void *)((uint64_t *)(void *)shelf->magazines + shelf->magazines->offset[class]);
}

MOAT_INLINE struct sec_slot *sec_slot_of(struct sec_desk *desk, unsigned class)
{
    struct sec_slot *slot = &desk->slot[class];
    MOAT_IN_REGISTER(slot);
    return slot;
}

/* The stack's top, or NULL when it is empty. */
MOAT_INLINE void *sec_take(const struct sec_shelf *shelf, unsigned class)
{
    struct sec_slot *slot = sec_slot_of(shelf->desk, class);
    void **top = slot->top;
    atomic_fence_for_handlers(); /* whose fork wipes the slot: a block that is still there was so with its top */
    void *block = slot->next;
    if (MOAT_UNLIKELY(!block))
        return NULL;
    slot->next = top[-1];
    slot->top = top - 1;
    *top = NULL;
    return block;
}

MOAT_INLINE bool sec_is_stocked(const struct sec_shelf *shelf, unsigned class)
{
    return shelf->desk->slot[class].next != NULL;
}

/* Of a desk that is ready, a class that has a magazine. */
MOAT_INLINE bool sec_stack_is_full(const struct sec_shelf *shelf, unsigned class)
{
    return shelf->desk->slot[class].top[1] != NULL;
}

/* Where a freed block goes, looked up before the first side effect. */
struct sec_place {
    struct sec_desk *desk;
    struct sec_slot *slot;
    void **top, **drawn;
};

/* False: draws or room have to be made first. */
MOAT_INLINE bool sec_find_place(const struct sec_shelf *shelf, unsigned class, struct sec_place *place)
{
    struct sec_desk *desk = shelf->desk;
    struct sec_slot *slot = sec_slot_of(desk, class);
    void **top = slot->top, **reserve = slot->reserve;
    atomic_fence_for_handlers(); /* as above: where there are draws, the slot was not wiped */
    uint64_t draws = desk->draws;
    if (MOAT_UNLIKELY(draws <= 1) || MOAT_UNLIKELY(top[1] != NULL))
        return false;
    *place = (struct sec_place){desk, slot, top, reserve + (draws & slot->mask)};
    return true;
}

/* Puts a block into the reserve and what it evicts on the stack. */
MOAT_INLINE void sec_put(const struct sec_place *place, void *block)
{
    void *evicted = *place->drawn;
    *place->drawn = block;
    place->desk->draws >>= SEC_DRAW_BITS;
    if (MOAT_UNLIKELY(!evicted))
        return;
    place->top[1] = evicted;
    place->slot->top = place->top + 1;
    place->slot->next = evicted;
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
    if (desk->draws != 1 || !random_stream_pop(&desk->stream, &word) || atomic_get(&desk->draws) != 1)
        return false;
    desk->draws = sec_draws_of(word);
    return true;
}

/* An empty stack takes the depot's last array. False: the depot is empty, or the desk has to be revived first. */
MOAT_INLINE bool sec_take_from_depot(const struct sec_shelf *shelf, unsigned class)
{
    struct sec_slot *slot = &shelf->desk->slot[class];
    if (MOAT_UNLIKELY(shelf->desk->draws == 0) || MOAT_UNLIKELY(!slot->top)) /* wiped, or no magazine yet */
        return false;
    struct sec_magazine *magazine = sec_magazine_of(shelf, class);
    if (magazine->depot_arrays == 0)
        return false;
    void **array = magazine->depot + SEC_DEPOT_ARRAY * --magazine->depot_arrays;
    if (magazine->depot_low > magazine->depot_arrays)
        magazine->depot_low = magazine->depot_arrays;
    void **stack = magazine->reserve + magazine->places + SEC_BELOW;
    for (unsigned i = 0; i < SEC_DEPOT_ARRAY; i++)
        stack[i] = array[i];
    slot->top = &stack[SEC_DEPOT_ARRAY - 1];
    slot->next = *slot->top;
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
/* Begins to fill an empty stack with fresh blocks. */
void sec_fill_begin(const struct sec_shelf *shelf, unsigned class, struct sec_fill *fill);
/* Is there a place without a run? Gives it `count` blocks that begin at `first`. */
bool sec_fill_lacks_run(struct sec_fill *fill);
void sec_fill_give(struct sec_fill *fill, char *first, unsigned count);
/* Draws blocks of `bytes` until a place is dry or enough are there. */
void sec_fill_draw(struct sec_fill *fill, size_t bytes);
MOAT_INLINE bool sec_fill_wants(const struct sec_fill *fill)
{
    return fill->count < fill->wanted;
}
MOAT_INLINE unsigned sec_fill_count(const struct sec_fill *fill)
{
    return fill->count;
}
MOAT_INLINE void *sec_fill_block(const struct sec_fill *fill, unsigned i)
{
    return fill->block[i];
}
/* Pushes what was drawn, so that the first comes first. False: nothing was, or a handler has filled the stack. */
bool sec_fill_end(const struct sec_shelf *shelf, unsigned class, const struct sec_fill *fill);
/* Passes `count` free blocks through the reserve, and puts what they evict on the stack: half a stack at most.
 * Nothing is evicted while a place is empty. False, and nothing is done: a handler has filled the stack. */
bool sec_exchange(const struct sec_shelf *shelf, unsigned class, void *const *blocks, unsigned count);
/* How many blocks malloc wants on the stack when it is refilled: half of it. */
MOAT_INLINE unsigned sec_refill(const struct sec_shelf *shelf, unsigned class)
{
    return ((unsigned)shelf->desk->slot[class].mask + 1) / 2;
}
/* Moves the older half of a full stack to `out`, SEC_SPILL_MOST blocks. Answers how many. */
unsigned sec_stack_spill(const struct sec_shelf *shelf, unsigned class, void **out);
/* Takes any one block out of the stack, the depot or the reserve; NULL when none is left. */
void *sec_drain(const struct sec_shelf *shelf, unsigned class);
/* Takes a run of fresh blocks, from `first` on. Answers how many, 0 when no place has any. */
unsigned sec_drain_run(const struct sec_shelf *shelf, unsigned class, char **first);
/* Blocks in stack, depot and reserve; and those in runs. */
unsigned sec_kept(const struct sec_shelf *shelf, unsigned class);
unsigned sec_set_aside(const struct sec_shelf *shelf, unsigned class);
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

enum { SEC_HAS_MAGAZINES = 0, SEC_DESK_BYTES = 0, SEC_BARE_DESK_BYTES = 0, SEC_DEPOT_BYTES = 0, SEC_SPILL_MOST = 1 };

struct sec_shelf {
};
struct sec_magazines {
};
struct sec_place {
};
struct sec_fill {
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

MOAT_INLINE void sec_fill_begin(const struct sec_shelf *shelf, unsigned class, struct sec_fill *fill)
{
    (void)shelf, (void)class, (void)fill;
}

MOAT_INLINE bool sec_fill_lacks_run(struct sec_fill *fill)
{
    (void)fill;
    return false;
}

MOAT_INLINE void sec_fill_give(struct sec_fill *fill, char *first, unsigned count)
{
    (void)fill, (void)first, (void)count;
}

MOAT_INLINE void sec_fill_draw(struct sec_fill *fill, size_t bytes)
{
    (void)fill, (void)bytes;
}

MOAT_INLINE bool sec_fill_wants(const struct sec_fill *fill)
{
    (void)fill;
    return false;
}

MOAT_INLINE unsigned sec_fill_count(const struct sec_fill *fill)
{
    (void)fill;
    return 0;
}

MOAT_INLINE void *sec_fill_block(const struct sec_fill *fill, unsigned i)
{
    (void)fill, (void)i;
    return NULL;
}

MOAT_INLINE unsigned sec_set_aside(const struct sec_shelf *shelf, unsigned class)
{
    (void)shelf, (void)class;
    return 0;
}

MOAT_INLINE bool sec_fill_end(const struct sec_shelf *shelf, unsigned class, const struct sec_fill *fill)
{
    (void)shelf, (void)class, (void)fill;
    return false;
}

MOAT_INLINE unsigned sec_drain_run(const struct sec_shelf *shelf, unsigned class, char **first)
{
    (void)shelf, (void)class, (void)first;
    return 0;
}

MOAT_INLINE bool sec_exchange(const struct sec_shelf *shelf, unsigned class, void *const *blocks, unsigned count)
{
    (void)shelf, (void)class, (void)blocks, (void)count;
    return false;
}

MOAT_INLINE unsigned sec_refill(const struct sec_shelf *shelf, unsigned class)
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
