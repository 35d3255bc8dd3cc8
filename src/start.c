/* start.c - see start.h. The order matters: options first, since they shape the cage; then whether there is anything to do
 * at all; then randomness, which places the cage; then the page that the kernel wipes in children, on which guards are probed before anything stands on it.
 */
#include "start.h"

#include "base/atomic.h"
#include "cage.h"
#include "classes.h"
#include "heap.h"
#include "options.h"
#include "os/lock.h"
#include "os/os.h"
#include "passive.h"
#include "random/random.h"
#include "report.h"
#include "secure/hooks.h"
#include "state.h"
#include "stats.h"

static uint32_t phase;
enum { START_TO_COME, START_DONE, START_PASSIVE };

/* In a child of fork this reads MARK_WIPED again. Its third value is the thread pointer of the thread that settles the child
 * (as in os/lock.c). NULL where the kernel cannot wipe. */
static uint64_t *fork_mark;
enum { MARK_WIPED = 0, MARK_SETTLED = 1 };
enum { DESKS_AT = 2 * MOAT_CACHE_LINE / sizeof(uint64_t) }; /* behind the mark and the word of the locks */

static void fill_class_table(void)
{
    for (unsigned class = 0; class < MOAT_SMALL_CLASSES; class ++)
        moat_fixed.is.reciprocal_of[class] = class_reciprocal(class);
    for (size_t i = 0; i < sizeof moat_fixed.is.class_of; i++)
        moat_fixed.is.class_of[i] = (uint8_t)class_of_bytes(i * MOAT_ALIGN);
}

static uint32_t start(void)
{
    struct options *options = &moat_fixed.is.options;

    report_start(2);
    options_default(options);
    options_read(options);
    if (passive_start())
        return START_PASSIVE;
    uint64_t *page = os_map(MOAT_OS_PAGE);
    if (!page)
        return START_TO_COME;
    random_start();
    if (random_is_weak())
        stats_add(STAT_RANDOM_WEAK, 1);
    bool is_emulated = os_is_emulated(page);
    if (!cage_start(options->cage_bytes, is_emulated)) {
        os_unmap(page, MOAT_OS_PAGE);
        return START_TO_COME;
    }
    fill_class_table();
    hook_make_keys(moat_fixed.is.link_keys);
    hook_start(page);
    /* The page that a child finds wiped has room for the first heaps' desks. */
    hook_desk_give(page + DESKS_AT, MOAT_OS_PAGE - DESKS_AT * sizeof *page);
    *page = MARK_SETTLED;
    if (!is_emulated && os_wipe_on_fork(page, MOAT_OS_PAGE) == 0) {
        fork_mark = page;
        lock_watch_fork(page + MOAT_CACHE_LINE / sizeof *page);
    } else {
        stats_add(STAT_FORKS_UNSEEN, 1);
    }
    if (cage_open_tables(1)) /* seals moat_fixed */
        return START_DONE;
    cage_abandon();
    return START_TO_COME; /* the page stays: locks look at it by now */
}

static void say_start(void)
{
    report_number("started: cage bytes ", moat_fixed.is.cage_bytes);
    report_line("started: profile ", MOAT_PROFILE);
}

bool moat_start(void)
{
    uint32_t seen = atomic_get_acquire(&phase);
    if (MOAT_LIKELY(seen != START_TO_COME))
        return seen == START_DONE;
    lock_take(LOCK_INIT);
    if (phase == START_TO_COME) {
        uint32_t now = start();
        if (now == START_DONE)
            state_start(moat_fixed.is.base, moat_fixed.is.cage_bytes);
        atomic_set_release(&phase, now);
        if (now == START_DONE && moat_fixed.is.options.verbose)
            say_start();
    }
    seen = phase;
    lock_drop(LOCK_INIT);
    return seen == START_DONE;
}

bool fork_is_new_child(void)
{
    return fork_mark && atomic_get(fork_mark) != MARK_SETTLED;
}

static void settle_child(void)
{
    if (phase != START_DONE)
        return;
    state_forked();
    report_restart();
    fixed_settle_child();
    random_restart();
    for (struct heap *heap = moat_self.heap; heap && !heap_is_empty_heap(heap); heap = heap->made_next)
        hook_desk_wipe(&heap->shelf);
    if (random_is_weak())
        stats_add(STAT_RANDOM_WEAK, 1);
    heap_forget_others();
}

void fork_enter_child(void)
{
    if (fork_mark)
        atomic_set(fork_mark, MARK_WIPED); /* some emulators say that they wipe and do not */
    fork_settle_child();
}

void fork_settle_child(void)
{
    uint64_t seen = MARK_WIPED, self = os_thread_pointer();

    if (!fork_mark) {
        settle_child();
    } else if (atomic_cas_acq_rel(fork_mark, &seen, self)) {
        settle_child();
        atomic_set_release(fork_mark, MARK_SETTLED);
        os_wake(os_low_half(fork_mark), INT32_MAX);
    } else if (seen == self) {
        lock_reentered(); /* a signal handler interrupted it */
    } else {
        for (; seen != MARK_SETTLED;
             seen = atomic_get_acquire(fork_mark)) /* another thread of a young child is at it */
            os_wait_while(os_low_half(fork_mark), (uint32_t)seen);
    }
}
