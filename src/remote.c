/* remote.c - see remote.h. Names of functions here are those of the models in test/model. */
#include "remote.h"

#include "base/atomic.h"
#include "report.h"
#include "secure/hooks.h"
#include "stats.h"
#include "orphans.h"
#include "page.h"
#include "shelf.h"

static const uint64_t owned_bit = REMOTE_OWNED_BITS;
static const uint64_t epoch_mask = 0xfffffffe;
static const uint64_t epoch_step = 2;

/* The number that links of the list carry. */
static uint32_t epoch_of(uint64_t word)
{
    return (uint32_t)((word & epoch_mask) / epoch_step);
}

static struct {
    uint64_t below, survivor; /* set in a fork's child, while it has one thread */
} lost;

static _Noreturn void die_of_list(const struct record *page, const char *function)
{
    moat_die(KIND_CORRUPTED_REMOTE_LIST, function, page_start(page), DETAIL_CLASS, page->block_bytes);
}

static char *block_of_head(const struct record *page, unsigned head)
{
    return page_start(page) + ((size_t)(head - 1) << MOAT_ALIGN_BITS);
}

static unsigned head_of_block(const void *block)
{
    return ((unsigned)(uintptr_t)block & (MOAT_SLICE - 1)) / MOAT_ALIGN + 1;
}

bool remote_is_waiting(const struct record *page)
{
    return remote_head(atomic_get(&page->remote)) != 0;
}

void remote_each(const struct record *page, void (*see)(void *block, void *argument), void *argument)
{
    /* Acquire: the pushers' links. Only the owner takes nodes away, so what hangs on this word stays. */
    uint64_t word = atomic_get_acquire(&page->remote);
    unsigned head = remote_head(word);

    for (unsigned i = remote_count(word); i > 0 && head != 0 && head <= (MOAT_SLICE >> MOAT_ALIGN_BITS); i--) {
        char *block = block_of_head(page, head);
        see(block, argument);
        head = hook_remote_next_of(block, *(uint64_t *)(void *)block, epoch_of(word));
    }
}

unsigned remote_collect(struct record *page)
{
    uint64_t epoch = (atomic_get(&page->remote) + epoch_step) & epoch_mask;
    /* Acquire: what the pushers wrote. Release: pairs with a push that claims the page after we gave it up. */
    uint64_t word = __atomic_exchange_n(&page->remote, epoch | owned_bit, __ATOMIC_ACQ_REL);
    unsigned count = remote_count(word);
    unsigned head = remote_head(word);

    for (unsigned i = 0; i < count; i++) {
        char *block = block_of_head(page, head);
        if (head == 0 || head > (MOAT_SLICE >> MOAT_ALIGN_BITS) || !hook_is_block_start(block, page->reciprocal) ||
            !hook_collected(block))
            die_of_list(page, "malloc");
        head = hook_remote_next_of(block, *(uint64_t *)(void *)block, epoch_of(word));
        if (!HOOK_HAS_MAGAZINES) {
            *(void **)(void *)block = hook_link_of(block, page->free);
            page->free = block;
        }
    }
    if (head != 0)
        die_of_list(page, "malloc");
    return count;
}

void remote_open(struct record *page, struct heap *heap)
{
    uint64_t epoch = atomic_get(&page->remote) & epoch_mask;
    uint64_t word = __atomic_exchange_n(&page->remote, epoch | owned_bit, __ATOMIC_ACQ_REL);
    if (remote_head(word) != 0 || remote_count(word) != 0)
        die_of_list(page, "malloc");
    /* In this order: a waker that sees the owner sees its heap, and wakes are let in last. */
    atomic_set(&page->waker, heap);
    atomic_set_release(&page->owner, heap->number);
    atomic_set_release(&page->is_woken, 0);
}

bool remote_hold_wakes(struct record *page)
{
    return __atomic_exchange_n(&page->is_woken, 1, __ATOMIC_ACQ_REL) == 0;
}

/* A page in the pool keeps its owned bit, so that a racing double free cannot claim it. */
bool remote_close(struct record *page)
{
    atomic_set(&page->owner, OWNER_NONE);
    uint64_t epoch = (atomic_get(&page->remote) + epoch_step) & epoch_mask;
    uint64_t word = __atomic_exchange_n(&page->remote, epoch | owned_bit, __ATOMIC_ACQ_REL);
    return remote_head(word) == 0 && remote_count(word) == 0;
}

/* Puts the page on the woken stack of `heap` if that still has the number. */
static bool push_woken(struct heap *heap, uint64_t number, struct record *page)
{
    const uint64_t slice_mask = (1u << WOKEN_NUMBER_SHIFT) - 1;
    uint64_t seen = atomic_get_acquire(&heap->woken);
    do {
        if (seen >> WOKEN_NUMBER_SHIFT != number)
            return false;
        atomic_set(&page->woken_next, (uint32_t)(seen & slice_mask));
    } while (!atomic_cas_acq_rel(&heap->woken, &seen, (seen & ~slice_mask) | slice_of_record(page)));
    return true;
}

/* Each turn means that the owner has changed since, so this ends; whoever claims or ends collects after it, so a page is
 * never left with a full remote list and nobody told. */
static void heap_wake(struct record *page, unsigned threshold)
{
    for (;;) {
        if (__atomic_exchange_n(&page->is_woken, 1, __ATOMIC_ACQ_REL) != 0)
            return;
        uint64_t number = atomic_get_acquire(&page->owner);
        struct heap *heap = atomic_get_acquire(&page->waker);
        if (number >= OWNER_FIRST_HEAP && push_woken(heap, number, page))
            return;
        __atomic_exchange_n(&page->is_woken, 0, __ATOMIC_ACQ_REL);
        uint64_t word = atomic_get_acquire(&page->remote);
        if (!remote_is_owned(word) || remote_count(word) < threshold)
            return;
        uint64_t now = atomic_get_acquire(&page->owner);
        if (now < OWNER_FIRST_HEAP || now == number)
            return;
    }
}

/* The page came to this heap with its owned bit: makes it the heap's. */
static void settle(struct heap *heap, struct record *page)
{
    atomic_set(&page->waker, heap);
    atomic_set_release(&page->owner, heap->number);
    unsigned back = page->needed; /* what its last owner left there */
    unsigned more = remote_collect(page);
    stats_add(STAT_PAGES_CLAIMED, 1);
    page_adopt(heap, page, back + more);
}

/* Pushes the block; a page without an owner is claimed by the same compare-and-swap when `heap` is not NULL. Answers the
 * word that it replaced. */
static uint64_t remote_push(struct record *page, void *block, struct heap *heap, const char *function)
{
    uint64_t seen = atomic_get(&page->remote);
    uint64_t next;

    do {
        if (remote_count(seen) >= page->capacity)
            die_of_list(page, function);
        *(uint64_t *)block = hook_remote_link_of(block, remote_head(seen), epoch_of(seen));
        next = ((uint64_t)head_of_block(block) << REMOTE_HEAD_SHIFT) |
               ((uint64_t)(remote_count(seen) + 1) << REMOTE_COUNT_SHIFT) | (seen & (epoch_mask | owned_bit)) |
               (heap ? owned_bit : 0);
        /* Release: the link and what was done to the block. Acquire: a claim must see what the last owner left. */
    } while (!atomic_cas_acq_rel(&page->remote, &seen, next));
    return seen;
}

void remote_free(struct record *page, void *block, const char *function)
{
    struct heap *heap = NULL;
    uint64_t owner = atomic_get(&page->owner);

    if (!remote_is_owned(atomic_get(&page->remote)) && !moat_self.is_torn)
        heap = heap_of_thread();
    if (!hook_freed_remote(block))
        moat_die(hook_was_never_used(block) ? KIND_NEVER_ALLOCATED : KIND_DOUBLE_FREE, function, block, DETAIL_CLASS,
                 page->block_bytes);
    if (MOAT_UNLIKELY(owner < lost.below && owner >= OWNER_FIRST_HEAP && owner != lost.survivor))
        stats_add(STAT_FREED_INTO_LOST, 1);

    unsigned threshold = page->threshold;
    uint64_t seen = remote_push(page, block, heap, function);
    if (!remote_is_owned(seen) && heap) {
        orphans_forget(page);
        settle(heap, page);
    } else if ((remote_count(seen) + 1) % threshold == 0) {
        heap_wake(page, threshold);
    }
}

void heap_drain_woken(struct heap *heap)
{
    uint64_t word = __atomic_exchange_n(&heap->woken, heap->number << WOKEN_NUMBER_SHIFT, __ATOMIC_ACQ_REL);
    uint32_t slice = (uint32_t)(word & ((1u << WOKEN_NUMBER_SHIFT) - 1));

    while (slice != 0) {
        struct record *page = record_of_slice(slice);
        slice = atomic_get(&page->woken_next); /* before others may put the page elsewhere, */
        unsigned threshold = page->threshold;  /* or open it anew */
        __atomic_exchange_n(&page->is_woken, 0, __ATOMIC_ACQ_REL);
        uint64_t owner = atomic_get_acquire(&page->owner);
        if (owner == heap->number) {
            page_took_back(heap, page, remote_collect(page));
        } else {
            uint64_t remote = atomic_get_acquire(&page->remote);
            if (remote_is_owned(remote) && remote_count(remote) >= threshold && owner >= OWNER_FIRST_HEAP)
                heap_wake(page, threshold);
        }
    }
}

void heap_open_woken(struct heap *heap)
{
    atomic_set_release(&heap->woken, heap->number << WOKEN_NUMBER_SHIFT);
}

void heap_close_woken(struct heap *heap)
{
    heap_drain_woken(heap);
    /* What came between is drained from the closed word: number 0 lets nobody push any more. */
    uint64_t seen = atomic_get(&heap->woken);
    while ((seen & ((1u << WOKEN_NUMBER_SHIFT) - 1)) != 0 || !atomic_cas_acq_rel(&heap->woken, &seen, 0)) {
        heap_drain_woken(heap);
        seen = atomic_get(&heap->woken);
    }
}

/* The page is on no list of the heap's and its list has `back` blocks. */
static void page_abandon(struct heap *heap, struct record *page, unsigned back)
{
    for (;;) {
        back += remote_collect(page);
        if (back == page->carved && remote_hold_wakes(page)) {
            page_give_up(page);
            return;
        }
        page->phase = PAGE_AWAY;
        page->needed = back;
        atomic_set_release(&page->owner, OWNER_ORPHAN);
        if (orphans_add(page)) {
            stats_add(STAT_PAGES_ABANDONED, 1);
            return;
        }
        atomic_set_release(&page->owner, heap->number); /* a push came in between: collect it */
    }
}

void heap_abandon_pages(struct heap *heap)
{
    for (unsigned class = 0; class < MOAT_SMALL_CLASSES; class ++) {
        struct class_queue *queue = &heap->queue[class];
        shelf_clear(heap, class);
        while (queue->owned != 0) {
            struct record *page = record_of_slice(queue->owned);
            unsigned back = page_back(page);
            page_disown(heap, page);
            page_abandon(heap, page, back);
        }
    }
}

/* All free blocks of a page on its list again, in a build with states: which they are, these say. */
static void relink(struct record *page)
{
    page->free = NULL;
    for (unsigned i = page->carved; i-- > 0;) {
        char *block = page_start(page) + (size_t)i * page->block_bytes;
        if (hook_is_free(block)) {
            *(void **)(void *)block = hook_link_of(block, page->free);
            page->free = block;
        }
    }
}

/* The page is on no list of the heap's; `back` of its blocks are. Takes the others too. */
static void page_destroy(struct heap *heap, struct record *page, unsigned back)
{
    back += remote_collect(page);
    if (HOOK_IS_EXACT) {
        /* What is missing now is on its way to the remote list, and keeps the page. */
        back += hook_took_live(page_start(page));
        if (!HOOK_HAS_MAGAZINES)
            relink(page);
    } else if (remote_hold_wakes(page)) {
        page_give_up(page);
        return;
    }
    page_abandon(heap, page, back);
}

void heap_destroy_pages(struct heap *heap)
{
    for (unsigned class = 0; class < MOAT_SMALL_CLASSES; class ++) {
        struct class_queue *queue = &heap->queue[class];
        shelf_clear(heap, class);
        while (queue->owned != 0) {
            struct record *page = record_of_slice(queue->owned);
            unsigned back = page_back(page);
            page_disown(heap, page);
            page_destroy(heap, page, back);
        }
    }
}

bool heap_claim_orphan(struct heap *heap, unsigned class)
{
    struct record *page = orphans_claim(class);
    if (!page)
        return false;
    settle(heap, page);
    return true;
}

void remote_forget_others(uint64_t below, uint64_t survivor)
{
    lost.below = below;
    lost.survivor = survivor;
}
