/* census.c - see census.h. */
#include "census.h"

#include "base/atomic.h"
#include "heaps.h"
#include "large.h"
#include "page.h"
#include "remote.h"
#include "secure/hooks.h"

/* Of `carved` blocks, those in use. With states, what these say, wherever a free block is kept; else all that are on none of
 * the page's lists. */
static size_t live_blocks_of(const struct record *page, size_t carved)
{
    if (HOOK_IS_EXACT)
        return min_size(hook_count_live(page_start(page)), carved);
    size_t back = page->owner == OWNER_ORPHAN ? atomic_get(&page->needed) : page_back(page);
    return carved - min_size(back + remote_count(atomic_get(&page->remote)), carved);
}

static void count_small(struct census *census, const struct record *page)
{
    size_t carved = page->carved, live = live_blocks_of(page, carved);
    census->page_bytes += MOAT_SLICE;
    census->live_bytes += live * page->block_bytes;
    census->free_blocks += carved - live;
}

/* What malloc takes from next: blocks that are on no page's list. */
static void count_list(struct census *census, void *first)
{
    if (!first)
        return;
    const struct record *page = record_of_slice(slice_of_address(first));
    unsigned left = page->carved;
    for (void *block = first; block && left > 0; left--) {
        void *next = hook_next_of(block, *(void **)block);
        census->live_bytes -= page->block_bytes;
        census->free_blocks++;
        block = hook_link_stays(block, next, page->reciprocal) ? next : NULL;
    }
}

static void count_own_lists(struct census *census)
{
    if (HOOK_IS_EXACT)
        return;
    for (const struct heap *heap = moat_self.heap; heap; heap = heap->made_next)
        for (unsigned class = 0; class < MOAT_SMALL_CLASSES; class ++)
            count_list(census, heap->free[class]);
}

struct census census_take(void)
{
    struct census census = {0};
    size_t limit = atomic_get(&moat_fixed.is.slice_limit);

    for (size_t slice = 1; slice < limit; slice++) {
        const struct record *page = record_of_slice(slice);
        uint64_t owner = atomic_get_acquire(&page->owner);
        if (owner == OWNER_MEDIUM) {
            size_t live = atomic_get(&page->is_handed_out) ? page->block_bytes : 0; /* else it waits for its next use */
            census.page_bytes += live;
            census.live_bytes += live;
        } else if (owner == OWNER_ORPHAN || owner >= OWNER_FIRST_HEAP) {
            count_small(&census, page);
        }
    }
    count_own_lists(&census);
    large_count(&census.large_blocks, &census.large_bytes);
    census.first_class_heaps = heaps_count();
    census.thread_heaps = heap_count() - census.first_class_heaps;
    return census;
}
