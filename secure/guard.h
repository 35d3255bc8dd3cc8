/* secure/guard.h - inaccessible OS pages behind every heap page and round medium and large blocks.
 *
 * On:  a guard by MADV_GUARD_INSTALL where a probe at start found that it really faults (no mapping of its own, about
 *      1 us); else by PROT_NONE within a budget taken from the kernel's limit of mappings, since each splits one. What
 *      could not be placed is counted. A purge installs guards too: the memory goes back and a dangling access faults.
 * Off: no bytes kept free, nothing placed; a purge only gives memory back.
 */
#ifndef MOAT_SECURE_GUARD_H
#define MOAT_SECURE_GUARD_H

#include "base/compiler.h"
#include "base/config.h"

#if MOAT_SECURE_GUARD_PAGES

enum { SEC_GUARD_BYTES = MOAT_OS_PAGE };

/* At start. `probe_page` is an open OS page; `may_advise` and `may_protect` say which ways the owner allows. */
void sec_guard_start(void *probe_page, bool may_advise, bool may_protect);
/* A guard for good at `place`. Counted either way. */
void sec_guard_place(void *place);
MOAT_INLINE void sec_guard_place_once(void *place, uint8_t *is_placed)
{
    if (!*is_placed) {
        *is_placed = 1;
        sec_guard_place(place);
    }
}

/* Gives the memory of an emptied range back so that it faults from now on. Answers false where that cannot be had: the
 * range is as it was. */
bool sec_guard_purge(void *start, size_t bytes);
/* Makes a purged range usable again. False when the system refuses. */
bool sec_guard_reopen(void *start, size_t bytes);

/* True if the pages of the chunk that ends at `end` may move: a guard can be had there by advice, which the kernel refuses
 * in locked memory; a move would unlock it. Places the guard at the chunk's end, where one belongs anyway. */
bool sec_guard_may_move(char *end);

/* Where a medium block begins in its run: as far right as its alignment allows, so that it ends at its guard. */
MOAT_INLINE char *sec_guard_align(char *start, size_t room, size_t bytes, size_t alignment)
{
    char *right = (char *)(((uintptr_t)start + room - bytes) & ~(uintptr_t)(alignment - 1));
    return right < start ? start : right;
}

#else

enum { SEC_GUARD_BYTES = 0 };

MOAT_INLINE void sec_guard_start(void *probe_page, bool may_advise, bool may_protect)
{
    (void)probe_page, (void)may_advise, (void)may_protect;
}

MOAT_INLINE void sec_guard_place_once(void *place, uint8_t *is_placed)
{
    (void)place, (void)is_placed;
}

MOAT_INLINE bool sec_guard_purge(void *start, size_t bytes)
{
    (void)start, (void)bytes;
    return false;
}

/* Without guards nothing tells locked memory from other: nothing moves. */
MOAT_INLINE bool sec_guard_may_move(char *end)
{
    (void)end;
    return false;
}

MOAT_INLINE bool sec_guard_reopen(void *start, size_t bytes)
{
    (void)start, (void)bytes;
    return true;
}

MOAT_INLINE char *sec_guard_align(char *start, size_t room, size_t bytes, size_t alignment)
{
    (void)room, (void)bytes, (void)alignment;
    return start;
}

#endif

#endif
