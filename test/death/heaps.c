/* First-class heaps: named by who may not, and their blocks freed after the heap was destroyed. The C library has none:
 * there the controls have nothing to do.
 */
#include "cases.h"

#include "../../include/moat.h"

#include <pthread.h>
#include <stdlib.h>

#pragma weak moat_heap_new
#pragma weak moat_heap_malloc
#pragma weak moat_heap_realloc
#pragma weak moat_heap_delete
#pragma weak moat_heap_destroy
#pragma weak moat_heap_visit_blocks

static bool are_there(void)
{
    return launder((const void *)(uintptr_t)&moat_heap_new) != NULL;
}

static void *take_from(moat_heap_t *heap, size_t size)
{
    return touch(moat_heap_malloc(heap, size), size);
}

/* One more, so that a small block's page stays in use when the block is freed: fresh ones may come from two pages by turns.
 * Those in between stay in use, too. */
static void *take_beside(moat_heap_t *heap, const void *block, size_t size)
{
    enum { SLICE = 64 << 10, SMALL_MOST = 16 << 10, TRIES = 100 };
    void *beside = take_from(heap, size);
    for (int i = 0; i < TRIES && size <= SMALL_MOST && (uintptr_t)block / SLICE != (uintptr_t)beside / SLICE; i++)
        beside = take_from(heap, size);
    return beside;
}

/* ---- a heap that the caller may not name ---- */

static void name_it(const struct subject *subject, moat_heap_t *heap)
{
    switch (subject->run % 4) {
    case 0:
        blame_call("moat_heap_malloc", heap, 0);
        moat_heap_malloc(heap, 100);
        break;
    case 1:
        blame_call("moat_heap_realloc", heap, 0);
        moat_heap_realloc(heap, NULL, 100);
        break;
    case 2:
        blame_call("moat_heap_delete", heap, 0);
        moat_heap_delete(heap);
        break;
    case 3:
        blame_call("moat_heap_destroy", heap, 0);
        moat_heap_destroy(heap);
        break;
    }
    case_end(CASE_SURVIVED);
}

struct wrong_thread {
    const struct subject *subject;
    moat_heap_t *heap;
};

static void *name_it_here(void *argument)
{
    struct wrong_thread *wrong = argument;
    void *own = take(100);
    if (wrong->subject->misuse)
        name_it(wrong->subject, wrong->heap);
    free(own);
    return NULL;
}

static void wrong_thread(const struct subject *subject)
{
    if (!are_there())
        return;
    struct wrong_thread wrong = {subject, moat_heap_new()};
    free(take_from(wrong.heap, 100));
    in_thread(name_it_here, &wrong);
    moat_heap_delete(wrong.heap);
}

static void ended(const struct subject *subject)
{
    if (!are_there())
        return;
    moat_heap_t *heap = moat_heap_new();
    free(take_from(heap, 100));
    if (subject->run % 2 == 0)
        moat_heap_delete(heap);
    else
        moat_heap_destroy(heap);
    moat_heap_t *successor = moat_heap_new();
    if (subject->misuse)
        name_it(subject, heap);
    moat_heap_delete(successor);
}

static moat_heap_t *left_behind;

static void *make_and_end(void *unused)
{
    left_behind = moat_heap_new();
    free(take_from(left_behind, 100));
    return unused;
}

static void of_an_ended_thread(const struct subject *subject)
{
    if (!are_there())
        return;
    in_thread(make_and_end, NULL);
    if (subject->misuse)
        name_it(subject, left_behind);
}

/* What the program overwrites with an address of its own: nothing there is read. */
static void forged(const struct subject *subject)
{
    static uint64_t words[512];
    if (!are_there())
        return;
    moat_heap_t *heap = moat_heap_new();
    for (size_t i = 0; i < 512; i++)
        words[i] = (uintptr_t)heap;
    if (subject->misuse)
        name_it(subject, launder(&words[subject->run % 512]));
    moat_heap_delete(heap);
}

static bool name_it_when_shown(void *block, size_t bytes, void *argument)
{
    struct wrong_thread *wrong = argument;
    (void)block, (void)bytes;
    if (wrong->subject->misuse)
        name_it(wrong->subject, wrong->heap);
    return true;
}

static void visited(const struct subject *subject)
{
    if (!are_there())
        return;
    struct wrong_thread wrong = {subject, moat_heap_new()};
    void *block = take_from(wrong.heap, 100);
    moat_heap_visit_blocks(wrong.heap, name_it_when_shown, &wrong);
    free(block);
    moat_heap_delete(wrong.heap);
}

/* ---- blocks ---- */

static void double_free(const struct subject *subject)
{
    if (!are_there())
        return;
    moat_heap_t *heap = moat_heap_new();
    void *block = take_from(heap, subject->size), *kept = take_beside(heap, block, subject->size);
    if (subject->run % 3 == 0) {
        start_workers();
        free_in_worker(block);
    } else {
        free(block);
    }
    if (subject->run % 2 == 0)
        moat_heap_delete(heap);
    if (subject->misuse) {
        blame(block, subject->size);
        free(block);
    }
    free(kept);
}

/* Fills pages, not only one. */
static void *destroyed_block(const struct subject *subject, size_t count)
{
    moat_heap_t *heap = moat_heap_new();
    void *block = NULL;
    for (size_t i = 0; i < count; i++) {
        void *one = take_from(heap, subject->size);
        if (i == subject->run % count)
            block = one;
    }
    moat_heap_destroy(heap);
    return block;
}

static size_t count_for(const struct subject *subject)
{
    return subject->size < 16 * 1024 ? 40 : subject->size <= 1024 * 1024 ? 5 : 2;
}

static void free_after_destroy(const struct subject *subject)
{
    if (!are_there())
        return;
    void *block = destroyed_block(subject, count_for(subject));
    if (subject->misuse) {
        blame(block, subject->size);
        free(block);
    }
}

/* The page serves another heap of the same kind by now, but not that block. */
static void free_after_destroy_and_reuse(const struct subject *subject)
{
    if (!are_there())
        return;
    void *block = destroyed_block(subject, count_for(subject));
    moat_heap_t *next = moat_heap_new();
    void *other = take_from(next, subject->size);
    if (subject->misuse) {
        if (other == block)
            free(launder(other)); /* handed out again: then freed twice, like any block */
        blame(block, subject->size);
        free(block);
    }
    free(other);
}

static void *free_it(void *argument)
{
    const struct subject *subject = argument;
    void *block = left_behind;
    blame(block, subject->size);
    free(block);
    case_end(CASE_SURVIVED);
}

static void free_after_destroy_by_another(const struct subject *subject)
{
    if (!are_there())
        return;
    struct subject copy = *subject;
    left_behind = destroyed_block(subject, count_for(subject));
    if (subject->misuse)
        in_thread(free_it, &copy);
}

static void realloc_after_destroy(const struct subject *subject)
{
    if (!are_there())
        return;
    void *block = destroyed_block(subject, count_for(subject));
    if (subject->misuse) {
        moat_heap_t *heap = moat_heap_new();
        blame_call("moat_heap_realloc", block, subject->size);
        launder(moat_heap_realloc(heap, block, subject->size * 2));
    }
}

/* What a deleted heap leaves is freed twice by threads that never knew it. */
static void free_after_delete_twice(const struct subject *subject)
{
    if (!are_there())
        return;
    moat_heap_t *heap = moat_heap_new();
    void *block = take_from(heap, subject->size), *kept = take_beside(heap, block, subject->size);
    moat_heap_delete(heap);
    start_workers();
    free_in_worker(block);
    if (subject->misuse)
        misuse_in_worker(block, subject->size);
    free_in_worker(kept);
}

#define FOREIGN "foreign heap"
#define NAMES "moat_heap_malloc|moat_heap_realloc|moat_heap_delete|moat_heap_destroy"
#define DOUBLE "double free"
/* A destroyed small block: its page waits in the pool, or is kept, or was opened again. */
#define GONE "double free|stale pointer|never allocated block"
#define STATES "double_free"
#define ALWAYS "every build"

const struct death_case cases_heaps[] = {
    {"heaps.wrong_thread", wrong_thread, FOREIGN, NAMES, CASE_NO_SIZE | CASE_UNKNOWN, ALWAYS},
    {"heaps.ended", ended, FOREIGN, NAMES, CASE_NO_SIZE | CASE_UNKNOWN, ALWAYS},
    {"heaps.of_an_ended_thread", of_an_ended_thread, FOREIGN, NAMES, CASE_NO_SIZE | CASE_UNKNOWN, ALWAYS},
    {"heaps.forged", forged, FOREIGN, NAMES, CASE_NO_SIZE | CASE_UNKNOWN, ALWAYS},
    {"heaps.visited", visited, FOREIGN, NAMES, CASE_NO_SIZE | CASE_UNKNOWN, ALWAYS},
    {"heaps.double_free", double_free, DOUBLE, "free", CASE_ANY_SIZE, STATES},
    {"heaps.free_after_delete_twice", free_after_delete_twice, DOUBLE, "free", CASE_ANY_SIZE, STATES},
    {"heaps.free_after_destroy", free_after_destroy, GONE, "free", CASE_ANY_SIZE | CASE_MAYBE_UNKNOWN, STATES},
    {"heaps.free_after_destroy_and_reuse", free_after_destroy_and_reuse, GONE, "free",
     CASE_SMALL | CASE_EVERY_CLASS | CASE_MAYBE_UNKNOWN, STATES},
    {"heaps.free_after_destroy_by_another", free_after_destroy_by_another, GONE, "free",
     CASE_ANY_SIZE | CASE_MAYBE_UNKNOWN, STATES " isolation"}, /* else the page serves another class by then */
    {"heaps.realloc_after_destroy", realloc_after_destroy, GONE, "moat_heap_realloc",
     CASE_ANY_SIZE | CASE_MAYBE_UNKNOWN, STATES},
    {0},
};
