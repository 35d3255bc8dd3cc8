/* census.c - see census.h. */
#include "census.h"

#include "base/atomic.h"
#include "classes.h"
#include "large.h"
#include "page.h"
#include "remote.h"
#include "secure/hooks.h"

static void count_small(struct census *census, const struct record *page)
{
    size_t back = page->owner == OWNER_ORPHAN ? atomic_get(&page->needed) : page_back(page);
    back += remote_count(atomic_get(&page->remote));
    back = min_size(back, page->carved);
    census->page_bytes += MOAT_SLICE;
    census->live_bytes += (page->carved - back) * page->block_bytes;
    census->free_blocks += back;
}

static void count_own_lists(struct census *census)
{
    for (unsigned class = 0; class < MOAT_SMALL_CLASSES; class ++) {
        void *block = HOOK_HAS_MAGAZINES ? NULL : moat_self.heap->free[class];
        size_t kept = HOOK_HAS_MAGAZINES ? hook_kept(&moat_self.shelf, class) : 0;
        census->live_bytes -= kept * class_bytes(class);
        census->free_blocks += kept;
        const struct record *page = block ? record_of_slice(slice_of_address(block)) : NULL;
        for (unsigned count = 0; block && count < page->carved; count++) {
            void *next = hook_next_of(block, *(void **)block);
            census->live_bytes -= page->block_bytes;
            census->free_blocks++;
            block = hook_link_stays(block, next, page->reciprocal) ? next : NULL;
        }
    }
}

struct census census_take(void)
{
    struct census census = {0};
    size_t limit = atomic_get(&moat_fixed.is.slice_limit);

    for (size_t slice = 1; slice < limit; slice++) {
        const struct record *page = record_of_slice(slice);
        uint64_t owner = atomic_get_acquire(&page->owner);
        if (owner == OWNER_MEDIUM) {
            census.page_bytes += page->block_bytes;
            if (atomic_get(&page->is_handed_out))
                census.live_bytes += page->block_bytes;
        } else if (owner == OWNER_ORPHAN || owner >= OWNER_FIRST_HEAP) {
            count_small(&census, page);
        }
    }
    count_own_lists(&census);
    large_count(&census.large_blocks, &census.large_bytes);
    return census;
}
