/* process.c - what happens around the heap: the library is loaded, a thread ends, the process forks or ends.
 *
 * The pthread key is made in the constructor, before the program can make many: keys below 32 keep their value in the
 * thread itself, so setting it allocates nothing. Nothing is held over fork (lock.h): a child, by whatever call, knows
 * itself by the wiped page.
 */
#include "os/lock.h"
#include "os/os.h"
#include "fixed.h"
#include "heap.h"
#include "slices.h"
#include "spare.h"
#include "start.h"
#include "stats.h"

#include <pthread.h>

static pthread_key_t key;
static bool has_key, is_loaded;

/* The destructors of the program come after this one, and one of them may use a heap that the thread made, or end it: where
 * there is such a heap, its end waits for the next round. */
static void end_thread(void *argument)
{
    struct heap *heap = moat_self.heap;

    (void)argument;
    if (heap_is_empty_heap(heap))
        return;
    if (heap->made_next && !heap->is_ending && pthread_setspecific(key, heap) == 0)
        heap->is_ending = 1;
    else
        heap_end(heap);
}

void thread_expect_end(void)
{
    /* Before the constructor has run there is no key; it looks after the one thread of then. */
    if (is_loaded && (!has_key || pthread_setspecific(key, moat_self.heap) != 0))
        stats_add(STAT_ENDS_UNSEEN, 1);
}

static void fork_prepare(void)
{
    if (lock_is_inside())
        return; /* a signal handler forks: the child has more memory than it needs, that is all */
    slices_before_fork();
    spare_trim();
}

static void fork_child(void)
{
    lock_enter_child();
    fork_enter_child();
}

__attribute__((constructor(101))) static void load(void)
{
    has_key = pthread_key_create(&key, end_thread) == 0;
    pthread_atfork(fork_prepare, NULL, fork_child);
    is_loaded = true;
    moat_start();
    if (!heap_is_empty_heap(moat_self.heap))
        thread_expect_end();
}

__attribute__((destructor(101))) static void unload(void)
{
    if (moat_fixed.is.options.stats)
        stats_print();
}
