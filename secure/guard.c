/* secure/guard.c - the cold part of guard.h.
 *
 * PROT_NONE guards cost two mappings each and the kernel allows some 65,000 in a process. The budget leaves half of the
 * limit to the program and its large blocks; guards fall at random places, one for about every chunk once a quarter of
 * the budget is gone, because an attacker who knows which page has none simply takes that one.
 */
#include "secure/guard.h"

#include "base/atomic.h"
#include "os/os.h"
#include "random/random.h"
#include "stats.h"

#if MOAT_SECURE_GUARD_PAGES

static enum os_guard_way way;
static bool protects;         /* by PROT_NONE, also where the other way is refused after the start */
static size_t protect_budget; /* guards by PROT_NONE that may still be placed */
static size_t protect_sparse; /* below this many left, only one place in a chunk's number gets one */

void sec_guard_start(void *probe_page, bool may_advise, bool may_protect)
{
    os_map_limit_read();
    protects = may_protect;
    protect_budget = os_map_limit() / 4;
    protect_sparse = protect_budget - protect_budget / 4;
    if (may_advise && os_guard_probe(probe_page))
        way = OS_GUARD_ADVISE;
    else
        way = may_protect ? OS_GUARD_PROTECT : OS_GUARD_NONE;
}

static bool take_from_budget(void)
{
    size_t left = atomic_get(&protect_budget);
    if (left == 0 || (left < protect_sparse && random_below(MOAT_CHUNK_SLICES) != 0))
        return false;
    while (left != 0) /* another thread may take one meanwhile */
        if (atomic_cas_acq_rel(&protect_budget, &left, left - 1))
            return true;
    return false;
}

void sec_guard_place(void *place)
{
    bool placed = way == OS_GUARD_ADVISE && os_guard_install(place, MOAT_OS_PAGE) == 0;
    /* In locked memory the advice is refused, and a filter that came later may refuse it. */
    if (!placed && protects && take_from_budget())
        placed = os_protect_none(place, MOAT_OS_PAGE) == 0;
    stats_add(placed ? STAT_GUARDS_PLACED : STAT_GUARDS_MISSING, 1);
}

bool sec_guard_purge(void *start, size_t bytes)
{
    return way == OS_GUARD_ADVISE && os_guard_install(start, bytes) == 0;
}

bool sec_guard_may_move(char *end)
{
    return way == OS_GUARD_ADVISE && os_guard_install(end - MOAT_OS_PAGE, MOAT_OS_PAGE) == 0;
}

bool sec_guard_reopen(void *start, size_t bytes)
{
    if (way != OS_GUARD_ADVISE || os_guard_remove(start, bytes) == 0)
        return true;
    /* A filter that came later refuses the advice: the range, which holds nothing, is made anew. */
    return os_rest(start, bytes) == 0 && os_open(start, bytes) == 0;
}

#endif
