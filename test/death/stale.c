/* Pointers to where no block is: never handed out, given back long ago, never opened. */
#include "cases.h"

#include <malloc.h>
#include <stdlib.h>
#include <sys/mman.h>

enum {
    SLICE = 64 * 1024,
    OS_PAGE = 4096,
    BLOCKS = 24,
    GIVEN_BACK_BYTES = 4 * 1024 * 1024,
    GIVEN_BACK_BLOCKS = GIVEN_BACK_BYTES / 64
};

static uintptr_t number(const void *address)
{
    return (uintptr_t)address;
}

static _Noreturn void free_or_realloc(const struct subject *subject, void *wrong)
{
    wrong = launder(wrong);
    if (subject->run % 4 == 3) {
        blame_call("realloc", wrong, subject->size);
        launder(realloc(wrong, subject->size * 2));
    } else {
        blame_call("free", wrong, subject->size);
        free(wrong);
    }
    case_end(CASE_SURVIVED);
}

static bool is_among(const void *const *blocks, size_t count, uintptr_t address)
{
    for (size_t i = 0; i < count; i++) {
        if (number(blocks[i]) == address)
            return true;
    }
    return false;
}

static size_t common_divisor(size_t a, size_t b)
{
    while (b != 0) {
        size_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* The distance of two blocks side by side: the shortest divisor of all distances within a page that a block fits into.
 */
static size_t find_stride(const void *const *blocks, size_t count)
{
    size_t common = 0;
    size_t usable = malloc_usable_size(launder(blocks[0]));
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < i; j++) {
            if (number(blocks[i]) / SLICE == number(blocks[j]) / SLICE) {
                uintptr_t a = number(blocks[i]), b = number(blocks[j]);
                common = common_divisor(common, a > b ? a - b : b - a);
            }
        }
    }
    if (common == 0)
        return 0;
    for (size_t parts = common / usable; parts > 1; parts--) {
        if (common % parts == 0 && common / parts % 16 == 0)
            return common / parts;
    }
    return common;
}

/* The last place for a block in the page of blocks[0] that was not handed out; a new thread's page is known to be
 * fresh. */
static char *find_unused(const void *const *blocks, size_t count, size_t size)
{
    size_t stride = find_stride(blocks, count);
    if (stride == 0)
        return NULL;
    uintptr_t page = number(blocks[0]) / SLICE * SLICE;
    uintptr_t last = number(blocks[0]);
    while (last + stride + size + OS_PAGE <= page + SLICE)
        last += stride;
    for (uintptr_t place = last; place > page; place -= stride) {
        if (!is_among(blocks, count, place))
            return (char *)place;
    }
    return NULL;
}

static void *free_unused(void *argument)
{
    const struct subject *subject = argument;
    void *blocks[BLOCKS];
    /* Few of a large class, or the page has no place left; and four, since so many fresh ones are drawn at once. */
    size_t count = subject->size <= 1024 ? BLOCKS : 4;
    for (size_t i = 0; i < count; i++)
        blocks[i] = take(subject->size);
    if (subject->misuse) {
        char *unused = find_unused((const void *const *)blocks, count, subject->size);
        if (unused == NULL)
            case_end(CASE_NOT_SET_UP);
        free_or_realloc(subject, unused);
    }
    for (size_t i = 0; i < count; i++)
        free(blocks[i]);
    return NULL;
}

static void never_allocated(const struct subject *subject)
{
    struct subject copy = *subject;
    /* From 8 KiB on a page may hold three blocks only. */
    if (copy.size > 8000)
        copy.size = 8000 - (copy.size & 1023);
    in_thread(free_unused, &copy);
}

/* The last 16 bytes of a page: a guard, a rest that no block fits in, or a block that nobody got. */
static void end_of_the_page(const struct subject *subject)
{
    char *block = take(subject->size);
    if (subject->misuse) {
        char *end = launder((char *)(number(block) / SLICE * SLICE + SLICE - 16));
        if (end == block)
            end -= 16;
        blame(end, subject->size);
        free(end);
    }
    free(block);
}

static bool is_given_back(const void *address)
{
    unsigned char resident = 1;
    char *page = launder((const void *)(number(address) / OS_PAGE * OS_PAGE));
    return mincore(page, OS_PAGE, &resident) == 0 && (resident & 1) == 0;
}

/* Many pages full of blocks, all freed and given back. The kernel is asked which, since the heap may keep some. */
static void given_back(const struct subject *subject)
{
    static void *blocks[GIVEN_BACK_BLOCKS];
    size_t bytes = subject->size < 64 ? 64 : subject->size;
    size_t count = GIVEN_BACK_BYTES / bytes;
    for (size_t i = 0; i < count; i++)
        blocks[i] = touch(malloc(subject->size), subject->size);
    for (size_t i = 0; i < count; i++)
        free(blocks[i]);
    malloc_trim(0);
    if (subject->misuse) {
        size_t start = count / 4 + subject->run * 37 % (count / 2 + 1);
        for (size_t i = 0; i < count; i++) {
            void *stale = blocks[(start + i) % count];
            if (is_given_back(stale)) {
                free_or_realloc(subject, stale);
            }
        }
        case_end(CASE_NOT_SET_UP);
    }
}

/* 64 others of its size came and went meanwhile. */
static void large_long_freed(const struct subject *subject)
{
    void *block = take(subject->size);
    free(block);
    size_t rounds = subject->size > 8 * 1024 * 1024 ? 8 : 64;
    for (size_t i = 0; i < rounds; i++)
        free(take(subject->size));
    if (subject->misuse) {
        blame(block, subject->size);
        free(block);
    }
}

/* Far behind everything that was ever used, and on a slice's start as a block would be. */
static void never_opened(const struct subject *subject)
{
    char *block = take(subject->size);
    if (subject->misuse) {
        size_t distance = (size_t)256 * 1024 * 1024 * (subject->run % 4 + 1);
        char *wrong = launder((char *)((number(block) + distance) / SLICE * SLICE + subject->run % 3 * 64));
        blame(wrong, subject->size);
        free(wrong);
    }
    free(block);
}

#define STATES "double_free"

const struct death_case cases_stale[] = {
    {"never_allocated", never_allocated, "never allocated block", "free|realloc", CASE_SMALL | CASE_EVERY_CLASS,
     STATES},
    {"end_of_the_page", end_of_the_page, "interior pointer|never allocated block", "free",
     CASE_SMALL | CASE_EVERY_CLASS, STATES},
    {"stale.given_back", given_back, "stale pointer", "free|realloc", CASE_SMALL | CASE_UNKNOWN, STATES},
    {"stale.large_long_freed", large_long_freed, "double free|stale pointer", "free", CASE_LARGE | CASE_MAYBE_UNKNOWN,
     STATES},
    /* In a small cage 1 GiB further is outside. */
    {"stale.never_opened", never_opened, "stale pointer|foreign pointer", "free",
     CASE_SMALL | CASE_MEDIUM | CASE_UNKNOWN, STATES},
    {0},
};
