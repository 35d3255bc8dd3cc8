/* Double frees on both sides of fork. The child's stderr and report go to the driver; its parent ends as it did. */
#include "cases.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static void end_as(pid_t child)
{
    int status = 0;
    if (waitpid(child, &status, 0) != child)
        case_end(CASE_NOT_SET_UP);
    if (WIFSIGNALED(status)) {
        kill(getpid(), WTERMSIG(status));
        case_end(CASE_NOT_SET_UP);
    }
    if (WEXITSTATUS(status) != 0)
        case_end(WEXITSTATUS(status));
}

static pid_t fork_or_end(void)
{
    pid_t child = fork();
    if (child < 0)
        case_end(CASE_NOT_SET_UP);
    return child;
}

static _Noreturn void misuse_or_end(const struct subject *subject, void *block)
{
    if (subject->misuse) {
        blame(block, subject->size);
        free(block);
        case_end(CASE_SURVIVED);
    }
    case_end(0);
}

static void freed_by_the_parent(const struct subject *subject)
{
    struct pair pair = take_pair(subject->size);
    free(pair.block);
    pid_t child = fork_or_end();
    if (child == 0)
        misuse_or_end(subject, pair.block);
    free(pair.kept);
    end_as(child);
}

static void inherited_block(const struct subject *subject)
{
    struct pair pair = take_pair(subject->size);
    pid_t child = fork_or_end();
    if (child == 0) {
        free(pair.block);
        misuse_or_end(subject, pair.block);
    }
    free(pair.block);
    free(pair.kept);
    end_as(child);
}

static void block_of_the_child(const struct subject *subject)
{
    void *before = take(subject->size);
    pid_t child = fork_or_end();
    if (child == 0) {
        struct pair pair = take_pair(subject->size);
        free(pair.block);
        misuse_or_end(subject, pair.block);
    }
    free(before);
    end_as(child);
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

/* Inherited from a thread that ended before the fork. */
static void orphan_in_the_child(const struct subject *subject)
{
    struct handed handed = {.size = subject->size};
    in_thread(take_for_others, &handed);
    pid_t child = fork_or_end();
    if (child == 0) {
        free(handed.pair.block);
        misuse_or_end(subject, handed.pair.block);
    }
    free(handed.pair.block);
    free(handed.pair.kept);
    end_as(child);
}

/* A child's free is no free of the parent's block: the parent still owns it. */
static void parent_after_the_child_freed(const struct subject *subject)
{
    struct pair pair = take_pair(subject->size);
    pid_t child = fork_or_end();
    if (child == 0) {
        free(pair.block);
        case_end(0);
    }
    end_as(child);
    free(pair.block);
    if (subject->misuse) {
        blame(pair.block, subject->size);
        free(pair.block);
    }
    free(pair.kept);
}

const struct death_case cases_processes[] = {
    {"fork.freed_by_the_parent", freed_by_the_parent, "double free", "free", CASE_ANY_SIZE, "double_free"},
    {"fork.inherited_block", inherited_block, "double free", "free", CASE_ANY_SIZE, "double_free"},
    {"fork.block_of_the_child", block_of_the_child, "double free", "free", CASE_ANY_SIZE, "double_free"},
    {"fork.orphan_in_the_child", orphan_in_the_child, "double free", "free", CASE_ANY_SIZE, "double_free"},
    {"fork.parent_after_the_child_freed", parent_after_the_child_freed, "double free", "free", CASE_ANY_SIZE,
     "double_free"},
    {0},
};
