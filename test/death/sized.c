/* C23's free_sized and free_aligned_sized, told something wrong. The control frees as C23 asks, where the heap has
 * these functions. */
#include "cases.h"

#include <malloc.h>
#include <stdlib.h>

static void free_with_size(void *block, size_t size)
{
    void (*function)(void *, size_t) = (void (*)(void *, size_t))(uintptr_t)find("free_sized");
    if (function != NULL)
        function(block, size);
    else
        free(block);
}

static void free_with_both(void *block, size_t alignment, size_t size)
{
    void (*function)(void *, size_t, size_t) = (void (*)(void *, size_t, size_t))(uintptr_t)find("free_aligned_sized");
    if (function != NULL)
        function(block, alignment, size);
    else
        free(block);
}

/* More than any block that serves the request has. */
static size_t too_large(const struct subject *subject)
{
    size_t size = subject->size;
    switch (subject->run % 3) {
    case 0:
        return size * 2 + 8192;
    case 1:
        return (size_t)PTRDIFF_MAX;
    default:
        return SIZE_MAX;
    }
}

static void size_too_large(const struct subject *subject)
{
    void *block = take(subject->size);
    if (subject->misuse) {
        blame(block, subject->size);
        free_with_size(block, too_large(subject));
        case_end(CASE_SURVIVED);
    }
    free_with_size(block, subject->size);
}

static void *allocate_aligned(size_t alignment, size_t size)
{
    return touch(aligned_alloc(alignment, size), size);
}

static void aligned_size_too_large(const struct subject *subject)
{
    void *block = allocate_aligned(64, subject->size);
    if (subject->misuse) {
        blame_aligned(block, subject->size, 64);
        free_with_both(block, 64, too_large(subject));
        case_end(CASE_SURVIVED);
    }
    free_with_both(block, 64, subject->size);
}

/* Twice the alignment that the address really has. */
static void wrong_alignment(const struct subject *subject)
{
    void *block = allocate_aligned(64, subject->size);
    if (subject->misuse) {
        uintptr_t address = (uintptr_t)block;
        blame_aligned(block, subject->size, 64);
        free_with_both(block, (address & -address) * 2, subject->size);
        case_end(CASE_SURVIVED);
    }
    free_with_both(block, 64, subject->size);
}

static void twice(const struct subject *subject)
{
    struct pair pair = take_pair(subject->size);
    free_with_size(pair.block, subject->size);
    if (subject->misuse) {
        blame(pair.block, subject->size);
        free_with_size(pair.block, subject->size);
    }
    free(pair.kept);
}

static void aligned_twice(const struct subject *subject)
{
    void *block = allocate_aligned(64, subject->size);
    free_with_both(block, 64, subject->size);
    if (subject->misuse) {
        blame_aligned(block, subject->size, 64);
        free_with_both(block, 64, subject->size);
    }
}

static void interior(const struct subject *subject)
{
    char *block = take(subject->size);
    if (subject->misuse) {
        char *wrong = launder(block + 8);
        blame(wrong, subject->size);
        free_with_size(wrong, 1);
    }
    free_with_size(block, subject->size);
}

static void foreign(const struct subject *subject)
{
    static _Alignas(64) char global[64];
    if (subject->misuse) {
        blame(global, 0);
        free_with_size(launder(global), 16);
    }
    free_with_size(NULL, 16);
}

#define STATES "double_free"

const struct death_case cases_sized[] = {
    {"sized.size_too_large", size_too_large, "wrong size", "free_sized", CASE_ANY_SIZE | CASE_EVERY_CLASS, STATES},
    {"sized.aligned_size_too_large", aligned_size_too_large, "wrong size", "free_aligned_sized", CASE_ANY_SIZE, STATES},
    {"sized.wrong_alignment", wrong_alignment, "wrong alignment", "free_aligned_sized", CASE_ANY_SIZE, STATES},
    {"sized.twice", twice, "double free", "free_sized", CASE_ANY_SIZE, STATES},
    {"sized.aligned_twice", aligned_twice, "double free", "free_aligned_sized", CASE_ANY_SIZE, STATES},
    {"sized.interior", interior, "interior pointer", "free_sized", CASE_ANY_SIZE, STATES},
    {"sized.foreign", foreign, "foreign pointer", "free_sized", CASE_NO_SIZE | CASE_UNKNOWN, STATES},
    {0},
};
