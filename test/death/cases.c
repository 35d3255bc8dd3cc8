/* Helpers of the cases. See cases.h. */
#include "cases.h"

#include <dlfcn.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { SLICE = 64 * 1024, SMALL_LIMIT = 16 * 1024, MINIMUM_BLOCK = 32, OS_PAGE = 4096 };

void case_end(int status)
{
    _exit(status);
}

static void send_report(const struct report *report)
{
    if (write(REPORT_DESCRIPTOR, report, sizeof *report) != sizeof *report)
        case_end(CASE_NOT_SET_UP);
}

/* A small class wastes at most an eighth and one step of 16, or is the smallest; larger blocks are rounded up to an OS
 * page as well. */
static uint64_t block_limit(size_t size)
{
    return size + size / 8 + (size < SMALL_LIMIT ? MINIMUM_BLOCK : OS_PAGE);
}

static struct report report_on(const void *address, size_t size, size_t alignment)
{
    struct report report = {
        .address = (uintptr_t)address,
        .low = size,
        .high = block_limit(size + alignment) + (alignment > 0 ? OS_PAGE : 0),
        .thread = (int)syscall(SYS_gettid),
        .is_aligned = alignment > 0,
    };
    return report;
}

void blame(const void *address, size_t size)
{
    struct report report = report_on(address, size, 0);
    send_report(&report);
}

void blame_call(const char *function, const void *address, size_t size)
{
    struct report report = report_on(address, size, 0);
    strncpy(report.function, function, sizeof report.function - 1);
    send_report(&report);
}

void blame_aligned(const void *address, size_t size, size_t alignment)
{
    struct report report = report_on(address, size, alignment);
    send_report(&report);
}

void blame_anybody(const void *address, size_t size)
{
    struct report report = report_on(address, size, 0);
    report.thread = 0;
    report.any_address = 1;
    send_report(&report);
}

void *launder(const void *address)
{
    uintptr_t hidden = (uintptr_t)address;
    __asm__ volatile("" : "+r"(hidden) : : "memory");
    return (void *)hidden;
}

void *touch(void *block, size_t size)
{
    volatile unsigned char *bytes = block;
    if (block == NULL)
        case_end(CASE_NO_MEMORY);
    if (size > 0) {
        bytes[0] = 0x5a;
        bytes[size - 1] = 0xa5;
    }
    return launder(block);
}

void *take(size_t size)
{
    return touch(malloc(size), size);
}

static bool same_page(const void *a, const void *b)
{
    return (uintptr_t)a / SLICE == (uintptr_t)b / SLICE;
}

struct pair take_pair(size_t size)
{
    enum { TRIES = 64 };
    void *blocks[TRIES];
    struct pair pair = {NULL, NULL};
    size_t count = 0;

    while (count < TRIES && pair.block == NULL) {
        blocks[count] = take(size);
        for (size_t i = 0; i < count && pair.block == NULL; i++) {
            if (size >= SMALL_LIMIT || same_page(blocks[i], blocks[count]))
                pair = (struct pair){.block = blocks[i], .kept = blocks[count]};
        }
        count++;
    }
    if (pair.block == NULL)
        case_end(CASE_NOT_SET_UP);
    for (size_t i = 0; i < count; i++) {
        if (blocks[i] != pair.block && blocks[i] != pair.kept)
            free(blocks[i]);
    }
    return pair;
}

void in_thread(void *(*function)(void *), void *argument)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, function, argument) != 0)
        case_end(CASE_NOT_SET_UP);
    pthread_join(thread, NULL);
}

struct worker {
    sem_t work;
    sem_t done;
    void *block;
    size_t size;
};

static struct worker freer, misuser;

/* Until the process ends. */
static void *free_on_request(void *unused)
{
    while (sem_wait(&freer.work) == 0) {
        free(freer.block);
        sem_post(&freer.done);
    }
    return unused;
}

static void *misuse_on_request(void *unused)
{
    if (sem_wait(&misuser.work) == 0) {
        blame(misuser.block, misuser.size);
        free(misuser.block);
        case_end(CASE_SURVIVED);
    }
    return unused;
}

static void start_worker(struct worker *worker, void *(*function)(void *))
{
    pthread_t thread;
    sem_init(&worker->work, 0, 0);
    sem_init(&worker->done, 0, 0);
    if (pthread_create(&thread, NULL, function, NULL) != 0)
        case_end(CASE_NOT_SET_UP);
}

static void request(struct worker *worker, void *block, size_t size)
{
    worker->block = block;
    worker->size = size;
    sem_post(&worker->work);
    sem_wait(&worker->done);
}

void start_workers(void)
{
    start_worker(&freer, free_on_request);
    start_worker(&misuser, misuse_on_request);
}

void free_in_worker(void *block)
{
    request(&freer, block, 0);
}

void misuse_in_worker(void *block, size_t size)
{
    request(&misuser, block, size);
}

void *find(const char *name)
{
    return dlsym(RTLD_DEFAULT, name);
}
