/* What unit tests of the heap share: the record behind a block, work in another thread, whether an access faults, and how
 * a test says that the tested build lacks a protection. They call the heap by its prefixed names, and nothing else in
 * their process does, so that every page, queue and count is known.
 */
#ifndef TEST_UNIT_UNIT_H
#define TEST_UNIT_UNIT_H

#include "support/child.h"
#include "support/death.h"
#include "support/expect.h"
#include "support/family.h"
#include "support/pace.h"

#include "check.h"
#include "classes.h"
#include "heap.h"
#include "page.h"
#include "secure/hooks.h"
#include "shelf.h"
#include "stats.h"

#include <pthread.h>

enum { UNIT_FAULTED = 7, UNIT_PASSED = 8 };

static inline void unit_skip(const char *what, const char *why)
{
    expect_say("skipped: %s (%s)\n", what, why);
}

static inline struct record *unit_page_of(const void *block)
{
    return record_of_slice(slice_of_address(block));
}

static inline size_t unit_offset_of(const void *block)
{
    return (size_t)((const char *)block - page_start(unit_page_of(block)));
}

static inline void unit_in_thread(void *(*work)(void *), void *argument)
{
    pthread_t thread;
    if (EXPECT_EQ(pthread_create(&thread, NULL, work, argument), 0))
        pthread_join(thread, NULL);
}

/* One queue of the calling thread's heap. */
static inline struct class_queue *unit_queue_of(unsigned class)
{
    return &heap_of_thread()->queue[class];
}

/* What magazines change for a test. Behind them a freed block does not go to its page at once: it is kept, and waits in the
 * reserve. Fresh blocks are drawn among so many places, and so many come at once; without magazines from one. */
#if MOAT_HAS_MAGAZINES
enum { UNIT_FRESH = SEC_FRESH, UNIT_RESERVE = SEC_PLACES };

static inline bool unit_is_kept(const void *block)
{
    return sec_state_of(moat_fixed.is.states, block) == SEC_STATE_KEPT;
}
#else
enum { UNIT_FRESH = 1, UNIT_RESERVE = 0 };

static inline bool unit_is_kept(const void *block)
{
    (void)block;
    return false;
}
#endif

/* Blocks of the page that are kept, in whichever part of the magazine, or set aside for it. */
static inline unsigned unit_kept_in(const struct record *page)
{
    unsigned kept = 0;
    for (size_t i = 0; i < page->carved; i++)
        kept += unit_is_kept(page_start(page) + i * page->block_bytes) ||
                (HOOK_HAS_MAGAZINES && hook_was_never_used(page_start(page) + i * page->block_bytes));
    return kept;
}

/* What the calling thread freed of the class is in its pages afterwards, as it is without magazines from the beginning. */
static inline void unit_come_home(unsigned class)
{
    if (HOOK_HAS_MAGAZINES)
        shelf_clear(heap_of_thread(), class);
}

static volatile uintptr_t unit_expected_fault;

static inline void unit_on_fault(int signal_number, siginfo_t *info, void *context)
{
    (void)signal_number, (void)context;
    _exit((uintptr_t)info->si_addr == unit_expected_fault ? UNIT_FAULTED : UNIT_PASSED + 1);
}

/* True if reading (or writing) the byte at `address` faults there. Tried in a child by _Fork, which runs no fork
 * handlers: asking must not change the heap. */
static inline bool unit_faults(const void *address, bool is_write)
{
    pid_t child = _Fork();
    if (child == 0) {
        struct sigaction action = {.sa_sigaction = unit_on_fault, .sa_flags = SA_SIGINFO};
        sigaction(SIGSEGV, &action, NULL);
        sigaction(SIGBUS, &action, NULL);
        unit_expected_fault = (uintptr_t)address;
        volatile char *byte = (volatile char *)(uintptr_t)address;
        if (is_write)
            *byte = 1;
        else
            (void)*byte;
        _exit(UNIT_PASSED);
    }
    int status = child > 0 ? child_wait(child) : CHILD_HUNG;
    if (!WIFEXITED(status) || (WEXITSTATUS(status) != UNIT_FAULTED && WEXITSTATUS(status) != UNIT_PASSED))
        expect_fail("the child that touched %p ended with status %#x", address, (unsigned)status);
    return WIFEXITED(status) && WEXITSTATUS(status) == UNIT_FAULTED;
}

#endif
