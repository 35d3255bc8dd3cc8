/* Pointers into a live block, but not to its start. */
#include "cases.h"

#include <malloc.h>
#include <stdlib.h>

/* Every block has at least 16 bytes, so 1 and 8 are inside of any. */
static size_t inside(size_t offset, size_t size)
{
    return offset < size || offset < 16 ? offset : 1;
}

static void free_at(const struct subject *subject, size_t offset)
{
    char *block = take(subject->size);
    if (subject->misuse) {
        char *wrong = launder(block + inside(offset, subject->size));
        blame(wrong, subject->size);
        free(wrong);
    }
    free(block);
}

static void plus_1(const struct subject *subject)
{
    free_at(subject, 1);
}

static void plus_8(const struct subject *subject)
{
    free_at(subject, 8);
}

static void plus_16(const struct subject *subject)
{
    free_at(subject, 16);
}

static void half(const struct subject *subject)
{
    free_at(subject, subject->size > 1 ? subject->size / 2 : 1);
}

static void half_on_16(const struct subject *subject)
{
    free_at(subject, subject->size >= 64 ? subject->size / 2 / 16 * 16 : 8);
}

static void last_byte(const struct subject *subject)
{
    free_at(subject, subject->size > 1 ? subject->size - 1 : 1);
}

static size_t some_offset(const struct subject *subject)
{
    size_t offsets[] = {1, 8, 16, subject->size / 2, subject->size - 1};
    size_t offset = inside(offsets[subject->run % 5], subject->size);
    return offset > 0 ? offset : 1;
}

static void by_realloc(const struct subject *subject)
{
    char *block = take(subject->size);
    if (subject->misuse) {
        char *wrong = launder(block + some_offset(subject));
        blame(wrong, subject->size);
        launder(realloc(wrong, subject->size * (subject->run % 3) + 1));
    }
    free(block);
}

static void by_reallocarray(const struct subject *subject)
{
    char *block = take(subject->size);
    if (subject->misuse) {
        char *wrong = launder(block + some_offset(subject));
        blame(wrong, subject->size);
        launder(reallocarray(wrong, subject->size, 2));
    }
    free(block);
}

static void by_usable_size(const struct subject *subject)
{
    char *block = take(subject->size);
    if (subject->misuse) {
        char *wrong = launder(block + some_offset(subject));
        blame(wrong, subject->size);
        launder((void *)malloc_usable_size(wrong));
    }
    free(block);
}

static void by_another_thread(const struct subject *subject)
{
    start_workers();
    char *block = take(subject->size);
    if (subject->misuse)
        misuse_in_worker(launder(block + some_offset(subject)), subject->size);
    free(block);
}

static void of_an_aligned_block(const struct subject *subject)
{
    size_t alignment = (size_t)64 << subject->run % 7;
    void *block = NULL;
    if (posix_memalign(&block, alignment, subject->size) != 0)
        case_end(CASE_NO_MEMORY);
    block = touch(block, subject->size);
    if (subject->misuse) {
        char *wrong = launder((char *)block + some_offset(subject));
        blame_aligned(wrong, subject->size, alignment);
        free(wrong);
    }
    free(block);
}

#define INTERIOR "interior pointer"
#define STATES "double_free"

const struct death_case cases_interior[] = {
    {"interior.plus_1", plus_1, INTERIOR, "free", CASE_ANY_SIZE | CASE_EVERY_CLASS, STATES},
    {"interior.plus_8", plus_8, INTERIOR, "free", CASE_ANY_SIZE | CASE_EVERY_CLASS, STATES},
    {"interior.plus_16", plus_16, INTERIOR, "free", CASE_ANY_SIZE | CASE_EVERY_CLASS, STATES},
    {"interior.half", half, INTERIOR, "free", CASE_ANY_SIZE | CASE_EVERY_CLASS, STATES},
    {"interior.half_on_16", half_on_16, INTERIOR, "free", CASE_ANY_SIZE | CASE_EVERY_CLASS, STATES},
    {"interior.last_byte", last_byte, INTERIOR, "free", CASE_ANY_SIZE | CASE_EVERY_CLASS, STATES},
    {"interior.by_realloc", by_realloc, INTERIOR, "realloc", CASE_ANY_SIZE | CASE_EVERY_CLASS, STATES},
    {"interior.by_reallocarray", by_reallocarray, INTERIOR, "reallocarray", CASE_ANY_SIZE, STATES},
    {"interior.by_usable_size", by_usable_size, INTERIOR, "malloc_usable_size", CASE_ANY_SIZE | CASE_EVERY_CLASS,
     STATES},
    {"interior.by_another_thread", by_another_thread, INTERIOR, "free", CASE_ANY_SIZE, STATES},
    {"interior.of_an_aligned_block", of_an_aligned_block, INTERIOR, "free", CASE_ANY_SIZE, STATES},
    {0},
};
