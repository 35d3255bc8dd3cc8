/* process.c - what happens around the heap: the library is loaded, a thread ends, the process forks or ends.
 *
 * The pthread key is made in the constructor, before the program can make many: keys below 32 keep their value in the
 * thread itself, so setting it allocates nothing. Fork holds every lock over the call, so a child finds whole lists;
 * children of _Fork and raw clone are recognised by the wiped page (start.c).
 */
#include "os/lock.h"
#include "os/os.h"
#include "fixed.h"
#include "heap.h"
#include "slices.h"
#include "start.h"
#include "stats.h"

#include <pthread.h>

static pthread_key_t key;
static bool has_key;

static void end_thread(void *heap)
{
    (void)heap;
    if (!heap_is_empty_heap(moat_self.heap))
        heap_end(moat_self.heap);
}

void thread_expect_end(void)
{
    if (has_key)
        pthread_setspecific(key, moat_self.heap);
}

static void fork_prepare(void)
{
    slices_before_fork();
    lock_take_all();
}

static void fork_parent(void)
{
    lock_drop_all();
}

static void fork_child(void)
{
    lock_drop_all();
    fork_enter_child();
}

__attribute__((constructor(101))) static void load(void)
{
    has_key = pthread_key_create(&key, end_thread) == 0;
    pthread_atfork(fork_prepare, fork_parent, fork_child);
    moat_start();
    if (!heap_is_empty_heap(moat_self.heap))
        thread_expect_end();
}

__attribute__((destructor(101))) static void unload(void)
{
    if (moat_fixed.is.options.stats)
        stats_print();
}
