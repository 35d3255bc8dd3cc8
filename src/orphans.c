/* orphans.c - see orphans.h. Lists and flags under LOCK_ORPHANS; the counts are hints. */
#include "orphans.h"

#include "base/atomic.h"
#include "os/lock.h"
#include "remote.h"

static uint32_t first_of[MOAT_SMALL_CLASSES];
static uint32_t count_of[MOAT_SMALL_CLASSES];
static uint32_t generation = 1; /* of the lists; a page listed in an earlier one stands nowhere */

/* A fork left the lists half changed: they begin anew. Their pages can still be claimed by a push. */
static void take_lock(void)
{
    if (lock_take(LOCK_ORPHANS)) {
        generation++;
        for (unsigned class = 0; class < MOAT_SMALL_CLASSES; class ++) {
            first_of[class] = 0;
            atomic_set(&count_of[class], 0);
        }
    }
}

static void enter(struct record *page)
{
    uint32_t *first = &first_of[page->class];
    page->orphan_previous = 0;
    page->orphan_next = *first;
    if (*first)
        record_of_slice(*first)->orphan_previous = slice_of_record(page);
    page->is_listed = generation;
    atomic_set(&count_of[page->class], count_of[page->class] + 1);
    *first = slice_of_record(page);
}

static void leave(struct record *page)
{
    if (page->orphan_previous)
        record_of_slice(page->orphan_previous)->orphan_next = page->orphan_next;
    else
        first_of[page->class] = page->orphan_next;
    if (page->orphan_next)
        record_of_slice(page->orphan_next)->orphan_previous = page->orphan_previous;
    page->is_listed = 0;
    atomic_set(&count_of[page->class], count_of[page->class] - 1);
}

bool orphans_add(struct record *page)
{
    uint64_t seen = atomic_get(&page->remote);

    take_lock();
    /* Release: the next owner sees lists and states as they are now. */
    bool given =
        remote_head(seen) == 0 && atomic_cas_acq_rel(&page->remote, &seen, seen & ~(uint64_t)REMOTE_OWNED_BITS);
    if (given)
        enter(page);
    lock_drop(LOCK_ORPHANS);
    return given;
}

void orphans_forget(struct record *page)
{
    take_lock();
    if (page->is_listed == generation)
        leave(page);
    lock_drop(LOCK_ORPHANS);
}

static bool take_owned_bit(struct record *page)
{
    uint64_t seen = atomic_get(&page->remote);
    do {
        if (remote_is_owned(seen))
            return false;
    } while (!atomic_cas_acq_rel(&page->remote, &seen, seen | REMOTE_OWNED_BITS));
    return true;
}

struct record *orphans_claim(unsigned class)
{
    struct record *page = NULL;

    if (atomic_get(&count_of[class]) == 0)
        return NULL;
    take_lock();
    while (!page && first_of[class] != 0) {
        page = record_of_slice(first_of[class]);
        leave(page);
        if (!take_owned_bit(page))
            page = NULL; /* claimed by a push, which finds it off the list */
    }
    lock_drop(LOCK_ORPHANS);
    return page;
}
