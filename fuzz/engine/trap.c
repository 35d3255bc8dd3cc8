/* See trap.h. Two threads may die at once: the words are appended under a lock, and the first to end is the one that is told. */
#include "trap.h"

#include <pthread.h>
#include <setjmp.h>
#include <string.h>

struct frame {
    sigjmp_buf at;
    struct frame *outer;
};

static __thread struct frame *frame;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool armed;
static bool died;
static char words[TRAP_WORDS_MAX];
static size_t length;
static unsigned thread_of_death;

bool trap_run(void (*job)(void *), void *argument)
{
    struct frame here = {.outer = frame};
    bool came_back = false;
    if (sigsetjmp(here.at, 0) == 0) {
        frame = &here;
        job(argument);
        came_back = true;
    }
    frame = frame->outer;
    return came_back;
}

void trap_arm(void)
{
    __atomic_store_n(&armed, true, __ATOMIC_RELEASE);
}

bool trap_is_armed(void)
{
    return __atomic_load_n(&armed, __ATOMIC_ACQUIRE);
}

bool trap_has_died(void)
{
    return __atomic_load_n(&died, __ATOMIC_ACQUIRE);
}

void trap_leave_if_dead(void)
{
    if (frame != NULL && trap_has_died())
        siglongjmp(frame->at, 1);
}

const char *trap_words(void)
{
    return words;
}

unsigned trap_thread(void)
{
    return thread_of_death;
}

void trap_reset(void)
{
    armed = died = false;
    words[0] = '\0';
    length = 0;
    thread_of_death = 0;
}

void trap_hear(const char *more, size_t bytes)
{
    pthread_mutex_lock(&lock);
    size_t room = sizeof(words) - 1 - length;
    if (bytes > room)
        bytes = room;
    memcpy(words + length, more, bytes);
    length += bytes;
    words[length] = '\0';
    pthread_mutex_unlock(&lock);
}

void trap_die(unsigned thread)
{
    if (!trap_is_armed() || frame == NULL)
        return;
    pthread_mutex_lock(&lock);
    if (!died)
        thread_of_death = thread;
    __atomic_store_n(&died, true, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&lock);
    siglongjmp(frame->at, 1);
}
