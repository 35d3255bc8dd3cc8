/* Overflows that go on, and touches of freed large blocks: the hardware must stop them, at the place that is promised.
 *
 * The child catches its own SIGSEGV, compares the address with the promise, and lets the fault happen again without a
 * handler.
 */
#include "cases.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum {
    SLICE = 64 * 1024,
    OS_PAGE = 4096,
    FAR = 8 * 1024 * 1024 /* an overflow that got so far is not stopped any more */
};

static uintptr_t allowed_first, allowed_last;

static void on_fault(int number, siginfo_t *information, void *context)
{
    (void)number, (void)context;
    uintptr_t address = (uintptr_t)information->si_addr;
    if (address < allowed_first || address > allowed_last)
        case_end(CASE_WRONG_FAULT);
    signal(SIGSEGV, SIG_DFL);
}

static void allow_fault(uintptr_t first, uintptr_t last)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO;
    allowed_first = first;
    allowed_last = last;
    sigaction(SIGSEGV, &action, NULL);
}

/* In even runs a write, in odd ones a read. */
static void overflow(const struct subject *subject, volatile char *block)
{
    size_t end = subject->size + FAR;
    for (size_t i = subject->size; i < end; i++) {
        if (subject->run % 2)
            (void)block[i];
        else
            block[i] = 'A';
    }
}

/* Neighbours on both sides, so that what lies behind is in use. */
static void small(const struct subject *subject)
{
    enum { AROUND = 32 };
    void *around[2 * AROUND];
    for (size_t i = 0; i < AROUND; i++)
        around[i] = take(subject->size);
    char *block = take(subject->size);
    for (size_t i = AROUND; i < 2 * (size_t)AROUND; i++)
        around[i] = take(subject->size);
    if (subject->misuse) {
        uintptr_t start = (uintptr_t)block;
        blame(block, subject->size);
        allow_fault(start + subject->size, start / SLICE * SLICE + SLICE - 1);
        overflow(subject, block);
    }
    free(block);
    for (size_t i = 0; i < 2 * (size_t)AROUND; i++)
        free(around[i]);
}

/* At the block's own end: the OS page behind the one with its last byte. */
static void at_its_end(const struct subject *subject)
{
    void *before = take(subject->size);
    char *block = take(subject->size);
    void *behind = take(subject->size);
    if (subject->misuse) {
        uintptr_t end = (uintptr_t)block + subject->size;
        size_t waste = subject->size / 8 / OS_PAGE * OS_PAGE;
        blame(block, subject->size);
        allow_fault(end, (end + waste + OS_PAGE - 1) / OS_PAGE * OS_PAGE);
        overflow(subject, block);
    }
    free(block);
    free(before);
    free(behind);
}

static void use_after_free(const struct subject *subject)
{
    void *block = take(subject->size);
    free(block);
    if (subject->misuse) {
        volatile char *freed = launder(block);
        uintptr_t start = (uintptr_t)freed;
        size_t place = (subject->size - 1) / 4 * (subject->run % 5);
        blame(launder(block), subject->size);
        allow_fault(start, start + subject->size - 1);
        if (subject->run / 5 % 2)
            (void)freed[place];
        else
            freed[place] = 1;
    }
}

const struct death_case cases_guards[] = {
    {"guard.small", small, "", "", CASE_SMALL | CASE_FAULT, "guard_pages"},
    {"guard.medium", at_its_end, "", "", CASE_MEDIUM | CASE_FAULT, "guard_pages"},
    {"guard.large", at_its_end, "", "", CASE_LARGE | CASE_FAULT, "guard_pages"},
    {"guard.use_after_free_of_large", use_after_free, "", "", CASE_LARGE | CASE_FAULT, "guard_pages"},
    {0},
};
