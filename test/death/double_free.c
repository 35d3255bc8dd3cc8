/* A block that is freed although it is free. */
#include "cases.h"

#include <stdlib.h>
#include <string.h>

#define BLOCKS 1000

static void local(const struct subject *subject)
{
    void *block = take(subject->size);
    free(block);
    if (subject->misuse) {
        blame(block, subject->size);
        free(block);
    }
}

/* A neighbour lives: the page is certainly still in use. */
static void beside_a_live_block(const struct subject *subject)
{
    struct pair pair = take_pair(subject->size);
    free(pair.block);
    if (subject->misuse) {
        blame(pair.block, subject->size);
        free(pair.block);
    }
    free(pair.kept);
}

static void calloc_block(const struct subject *subject)
{
    void *block = touch(calloc(1, subject->size), subject->size);
    free(block);
    if (subject->misuse) {
        blame(block, subject->size);
        free(block);
    }
}

/* The classic: a, b, a, which fools a heap that looks at the head of its list only. */
static void with_another_between(const struct subject *subject)
{
    void *block = take(subject->size);
    void *other = take(subject->size);
    free(block);
    free(other);
    if (subject->misuse) {
        blame(block, subject->size);
        free(block);
    }
}

static void with_1000_between(const struct subject *subject)
{
    static void *others[BLOCKS];
    size_t count = subject->size > 1024 * 1024 ? 20 : subject->size > 16 * 1024 ? 100 : BLOCKS;
    struct pair pair = take_pair(subject->size);
    for (size_t i = 0; i < count; i++)
        others[i] = take(subject->size);
    free(pair.block);
    for (size_t i = 0; i < count; i++)
        free(others[i]);
    if (subject->misuse) {
        blame(pair.block, subject->size);
        free(pair.block);
    }
    free(pair.kept);
}

static void by_other_then_owner(const struct subject *subject)
{
    start_workers();
    struct pair pair = take_pair(subject->size);
    free_in_worker(pair.block);
    if (subject->misuse) {
        blame(pair.block, subject->size);
        free(pair.block);
    }
    free(pair.kept);
}

static void by_owner_then_other(const struct subject *subject)
{
    start_workers();
    struct pair pair = take_pair(subject->size);
    free(pair.block);
    if (subject->misuse)
        misuse_in_worker(pair.block, subject->size);
    free(pair.kept);
}

static void by_two_others(const struct subject *subject)
{
    start_workers();
    struct pair pair = take_pair(subject->size);
    free_in_worker(pair.block);
    if (subject->misuse)
        misuse_in_worker(pair.block, subject->size);
    free(pair.kept);
}

/* 1,000 blocks are freed by another thread; then one of them again, wherever it stands in the owner's list. */
static void remote_with_1000_between(const struct subject *subject)
{
    static void *blocks[BLOCKS];
    start_workers();
    size_t count = subject->size > 16 * 1024 ? 50 : BLOCKS;
    struct pair pair = take_pair(subject->size);
    for (size_t i = 0; i < count; i++)
        blocks[i] = take(subject->size);
    free_in_worker(pair.block);
    for (size_t i = 0; i < count; i++)
        free(blocks[i]);
    if (subject->misuse)
        misuse_in_worker(pair.block, subject->size);
    free(pair.kept);
}

struct handed {
    size_t size;
    struct pair pair;
};

static void *take_for_others(void *argument)
{
    struct handed *handed = argument;
    handed->pair = take_pair(handed->size);
    return NULL;
}

static void after_its_thread_ended(const struct subject *subject)
{
    struct handed handed = {.size = subject->size};
    in_thread(take_for_others, &handed);
    free(handed.pair.block);
    if (subject->misuse) {
        blame(handed.pair.block, subject->size);
        free(handed.pair.block);
    }
    free(handed.pair.kept);
}

static void *take_and_free(void *argument)
{
    struct handed *handed = argument;
    handed->pair = take_pair(handed->size);
    free(handed->pair.block);
    return NULL;
}

/* The first free was its owner's last act. */
static void freed_before_its_thread_ended(const struct subject *subject)
{
    struct handed handed = {.size = subject->size};
    in_thread(take_and_free, &handed);
    if (subject->misuse) {
        blame(handed.pair.block, subject->size);
        free(handed.pair.block);
    }
    free(handed.pair.kept);
}

static void by_realloc(const struct subject *subject)
{
    struct pair pair = take_pair(subject->size);
    static const size_t percent[] = {100, 101, 200, 50};
    size_t size = subject->size * percent[subject->run % 4] / 100 + 1;
    free(pair.block);
    if (subject->misuse) {
        blame(pair.block, subject->size);
        void *moved = realloc(pair.block, size);
        launder(moved);
    }
    free(pair.kept);
}

static void by_realloc_to_zero(const struct subject *subject)
{
    struct pair pair = take_pair(subject->size);
    free(pair.block);
    if (subject->misuse) {
        blame(pair.block, subject->size);
        void *moved = realloc(pair.block, 0);
        launder(moved);
    }
    free(pair.kept);
}

static void by_reallocarray(const struct subject *subject)
{
    struct pair pair = take_pair(subject->size);
    free(pair.block);
    if (subject->misuse) {
        blame(pair.block, subject->size);
        void *moved = reallocarray(pair.block, 2, subject->size);
        launder(moved);
    }
    free(pair.kept);
}

static void after_realloc_to_zero(const struct subject *subject)
{
    struct pair pair = take_pair(subject->size);
    void *nothing = realloc(pair.block, 0);
    if (launder(nothing) != NULL)
        case_end(CASE_NOT_SET_UP);
    if (subject->misuse) {
        blame(pair.block, subject->size);
        free(launder(pair.block));
    }
    free(pair.kept);
}

/* The program kept the old pointer. Beyond a factor of 64 every heap has moved a block that was small or medium. */
static void after_realloc_moved_it(const struct subject *subject)
{
    struct pair pair = take_pair(subject->size);
    void *old = launder(pair.block);
    void *now = old;
    size_t size = subject->size;
    for (unsigned i = 0; i < 8 && now == old; i++) {
        size = size * 2 + 16;
        now = touch(realloc(now, size), size);
    }
    if (subject->misuse) {
        if (now == old)
            case_end(CASE_NOT_SET_UP);
        blame(old, subject->size);
        free(old);
    }
    free(now);
    free(pair.kept);
}

static void aligned(const struct subject *subject)
{
    static const size_t alignments[] = {32, 64, 128, 256, 1024, 4096, 65536};
    size_t alignment = alignments[subject->run % 7];
    void *block = NULL;
    if (posix_memalign(&block, alignment, subject->size) != 0)
        case_end(CASE_NO_MEMORY);
    touch(block, subject->size);
    block = launder(block);
    if ((uintptr_t)block % alignment != 0)
        case_end(CASE_NOT_SET_UP);
    free(block);
    if (subject->misuse) {
        blame_aligned(block, subject->size, alignment);
        free(block);
    }
}

static void aligned_remote(const struct subject *subject)
{
    start_workers();
    void *block = NULL;
    if (posix_memalign(&block, 256, subject->size) != 0)
        case_end(CASE_NO_MEMORY);
    touch(block, subject->size);
    free_in_worker(block);
    if (subject->misuse) {
        blame_aligned(block, subject->size, 256);
        free(launder(block));
    }
}

#define DOUBLE "double free"
#define STATES "double_free"

const struct death_case cases_double_free[] = {
    {"double_free.local", local, DOUBLE, "free", CASE_ANY_SIZE | CASE_EVERY_CLASS, STATES},
    {"double_free.beside_a_live_block", beside_a_live_block, DOUBLE, "free", CASE_SMALL, STATES},
    {"double_free.calloc_block", calloc_block, DOUBLE, "free", CASE_ANY_SIZE, STATES},
    {"double_free.with_another_between", with_another_between, DOUBLE, "free", CASE_ANY_SIZE, STATES},
    {"double_free.with_1000_between", with_1000_between, DOUBLE, "free", CASE_SMALL, STATES},
    /* Medium and large blocks may have been given back meanwhile. */
    {"double_free.with_many_big_between", with_1000_between, DOUBLE "|stale pointer", "free",
     CASE_MEDIUM | CASE_LARGE | CASE_MAYBE_UNKNOWN, STATES},
    {"double_free.by_other_then_owner", by_other_then_owner, DOUBLE, "free", CASE_ANY_SIZE | CASE_EVERY_CLASS, STATES},
    {"double_free.by_owner_then_other", by_owner_then_other, DOUBLE, "free", CASE_ANY_SIZE | CASE_EVERY_CLASS, STATES},
    {"double_free.by_two_others", by_two_others, DOUBLE, "free", CASE_ANY_SIZE | CASE_EVERY_CLASS, STATES},
    {"double_free.remote_with_1000_between", remote_with_1000_between, DOUBLE, "free", CASE_SMALL, STATES},
    {"double_free.after_its_thread_ended", after_its_thread_ended, DOUBLE, "free", CASE_ANY_SIZE, STATES},
    {"double_free.freed_before_its_thread_ended", freed_before_its_thread_ended, DOUBLE, "free", CASE_ANY_SIZE, STATES},
    {"double_free.by_realloc", by_realloc, DOUBLE, "realloc", CASE_ANY_SIZE | CASE_EVERY_CLASS, STATES},
    {"double_free.by_realloc_to_zero", by_realloc_to_zero, DOUBLE, "realloc", CASE_ANY_SIZE, STATES},
    {"double_free.by_reallocarray", by_reallocarray, DOUBLE, "reallocarray", CASE_ANY_SIZE, STATES},
    {"double_free.after_realloc_to_zero", after_realloc_to_zero, DOUBLE, "free", CASE_ANY_SIZE, STATES},
    {"double_free.after_realloc_moved_it", after_realloc_moved_it, DOUBLE, "free", CASE_SMALL | CASE_MEDIUM, STATES},
    {"double_free.aligned", aligned, DOUBLE, "free", CASE_ANY_SIZE, STATES},
    {"double_free.aligned_remote", aligned_remote, DOUBLE, "free", CASE_ANY_SIZE, STATES},
    {0},
};
