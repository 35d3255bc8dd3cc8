/* Helper threads in lock-step: see helpers.h. Two semaphores a helper: one says that there is a job, the other that it is done. */
#include "helpers.h"

#include "input.h"
#include "trap.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct helper {
    pthread_t thread;
    bool runs;
    sem_t ready;
    sem_t done;
    helper_job *job; /* NULL: end */
    void *argument;
};

static struct helper helpers[THREADS];

static void die_of(const char *what, int error)
{
    fprintf(stderr, "fuzz: %s: %s\n", what, strerror(error));
    abort();
}

static void wait_for(sem_t *semaphore)
{
    while (sem_wait(semaphore) != 0)
        if (errno != EINTR)
            die_of("sem_wait", errno);
}

static void post(sem_t *semaphore)
{
    if (sem_post(semaphore) != 0)
        die_of("sem_post", errno);
}

static void *helper_main(void *argument)
{
    struct helper *helper = argument;
    for (;;) {
        wait_for(&helper->ready);
        if (helper->job == NULL)
            return NULL;
        trap_run(helper->job, helper->argument);
        post(&helper->done);
    }
}

static void start_thread(struct helper *helper)
{
    if (sem_init(&helper->ready, 0, 0) != 0 || sem_init(&helper->done, 0, 0) != 0)
        die_of("sem_init", errno);
    int error = pthread_create(&helper->thread, NULL, helper_main, helper);
    if (error != 0)
        die_of("pthread_create", error);
    helper->runs = true;
}

void helper_start(unsigned number, helper_job *job, void *argument)
{
    struct helper *helper = &helpers[number];
    if (!helper->runs)
        start_thread(helper);
    helper->job = job;
    helper->argument = argument;
    post(&helper->ready);
}

void helper_wait(unsigned number)
{
    wait_for(&helpers[number].done);
    trap_leave_if_dead();
}

void helper_run(unsigned number, helper_job *job, void *argument)
{
    if (number == 0) {
        job(argument);
        return;
    }
    helper_start(number, job, argument);
    helper_wait(number);
}

bool helper_runs(unsigned number)
{
    return number == 0 || helpers[number].runs;
}

void helper_end(unsigned number)
{
    struct helper *helper = &helpers[number];
    if (!helper->runs)
        return;
    helper->job = NULL;
    post(&helper->ready);
    int error = pthread_join(helper->thread, NULL);
    if (error != 0)
        die_of("pthread_join", error);
    sem_destroy(&helper->ready);
    sem_destroy(&helper->done);
    helper->runs = false;
    trap_leave_if_dead();
}

void helper_end_all(void)
{
    for (unsigned number = 1; number < THREADS; number++)
        helper_end(number);
}
