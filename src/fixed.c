/* fixed.c - the read-only page and its two switches. */
#include "fixed.h"

#include "os/lock.h"
#include "os/os.h"
#include "stats.h"

MOAT_ALIGNED(MOAT_OS_PAGE) union fixed_pages moat_fixed;

bool fixed_open(void)
{
    lock_take(LOCK_FIXED);
    if (os_open(&moat_fixed, sizeof moat_fixed) == 0)
        return true;
    lock_drop(LOCK_FIXED);
    return false;
}

void fixed_seal(void)
{
    if (os_protect_read(&moat_fixed, sizeof moat_fixed) != 0)
        stats_add(STAT_SEALS_REFUSED, 1);
    lock_drop(LOCK_FIXED);
}

void fixed_settle_child(void)
{
    if (lock_take(LOCK_FIXED) && os_protect_read(&moat_fixed, sizeof moat_fixed) != 0)
        stats_add(STAT_SEALS_REFUSED, 1);
    lock_drop(LOCK_FIXED);
}
