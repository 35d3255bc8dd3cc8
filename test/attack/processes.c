/* Forked children: what the parent freed, they may not free; what other threads had is nobody's there; and the order of
 * blocks must not be one that the other process sees too.
 */
#include "attack.h"

#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { OTHERS = 96, SEEN = 300, ROW = 12 };

static struct herd herd;

struct wanted {
    void *block;
    size_t bytes;
};

static void free_again_and_flood(void *argument)
{
    const struct wanted *wanted = argument;
    free_again(wanted->block);
    flood_past(wanted->bytes, wanted->block);
    flood(wanted->bytes, 200);
}

static struct wanted free_some(const struct aim *aim)
{
    herd_grab(&herd, aim->size, OTHERS + 20);
    herd_drop(&herd, 0, frees_for(aim));
    struct wanted wanted = {herd.block[frees_for(aim) - 1], aim->size};
    overwrite((char *)wanted.block + sizeof(uintptr_t), 0);
    return wanted;
}

static void child_frees_what_the_parent_freed(const struct aim *aim)
{
    struct wanted wanted = free_some(aim);
    in_child(free_again_and_flood, &wanted);
}

static void grandchild(void *argument)
{
    in_child(free_again_and_flood, argument);
}

static void grandchild_frees_what_the_parent_freed(const struct aim *aim)
{
    struct wanted wanted = free_some(aim);
    in_child(grandchild, &wanted);
}

/* A child that the C library does not know of. */
static void child_of_a_bare_fork(const struct aim *aim)
{
    struct wanted wanted = free_some(aim);
    int status = 0;
    pid_t child = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, 0);
    require(child >= 0);
    if (child == 0) {
        free_again_and_flood(&wanted);
        finish();
    }
    require(waitpid(child, &status, 0) == child);
    if (WIFSIGNALED(status)) {
        signal(WTERMSIG(status), SIG_DFL);
        raise(WTERMSIG(status));
    }
    if (WEXITSTATUS(status) != ENDED_LOST)
        _exit(WEXITSTATUS(status));
}

static void free_twice_in_the_child(void *argument)
{
    const struct wanted *wanted = argument;
    drop(wanted->block);
    herd_drop(&herd, 0, 5);
    overwrite((char *)wanted->block + sizeof(uintptr_t), 0);
    free_again_and_flood(argument);
}

static void child_frees_the_parents_twice(const struct aim *aim)
{
    herd_grab(&herd, aim->size, OTHERS);
    struct wanted wanted = {herd.block[50], aim->size};
    in_child(free_twice_in_the_child, &wanted);
}

static void grab_row(void *argument)
{
    const struct wanted *wanted = argument;
    herd_grab(&herd, wanted->bytes, OTHERS);
}

static void drop_row(void *argument)
{
    (void)argument;
    herd_drop(&herd, 40, OTHERS);
}

/* The block's thread does not exist in the child. */
static void of_a_vanished_thread(const struct aim *aim)
{
    struct wanted wanted = {NULL, aim->size};
    start_workers();
    in_worker(0, grab_row, &wanted);
    wanted.block = herd.block[70];
    in_worker(0, drop_row, NULL);
    overwrite((char *)wanted.block + sizeof(uintptr_t), 0);
    in_child(free_again_and_flood, &wanted);
}

/* It had freed it, on a list that the parent's thread has not collected. */
static void on_a_waiting_list(const struct aim *aim)
{
    struct wanted wanted = {NULL, aim->size};
    start_workers();
    herd_grab(&herd, aim->size, OTHERS);
    wanted.block = herd.block[70];
    in_worker(0, drop_row, NULL);
    overwrite((char *)wanted.block + sizeof(uintptr_t), 0);
    in_child(free_again_and_flood, &wanted);
}

/* ---- what one process tells of another ---- */

static void grab_places(size_t bytes, uintptr_t places[SEEN])
{
    for (unsigned i = 0; i < SEEN; i++)
        places[i] = (uintptr_t)grab(bytes);
}

/* What the next blocks are in a child of this process now. */
static void places_in_a_child(size_t bytes, uintptr_t places[SEEN])
{
    int ends[2], status;
    require(pipe(ends) == 0);
    pid_t child = fork();
    require(child >= 0);
    if (child == 0) {
        grab_places(bytes, places);
        _exit(write(ends[1], places, SEEN * sizeof places[0]) == (ssize_t)(SEEN * sizeof places[0]) ? 0 : 1);
    }
    close(ends[1]);
    require(read(ends[0], places, SEEN * sizeof places[0]) == (ssize_t)(SEEN * sizeof places[0]));
    close(ends[0]);
    require(waitpid(child, &status, 0) == child && status == 0);
}

/* By chance a few agree, but not so many one after another. */
static void compare(const uintptr_t one[SEEN], const uintptr_t other[SEEN])
{
    unsigned row = 0, longest = 0;
    for (unsigned i = 0; i < SEEN; i++) {
        row = one[i] == other[i] ? row + 1 : 0;
        longest = row > longest ? row : longest;
    }
    if (longest >= ROW)
        win("one process shows what another one gets", launder((const void *)one[0]));
}

/* Blocks were freed before, so that there is an order in which they come back. */
static void prepare_order(const struct aim *aim)
{
    herd_grab(&herd, aim->size, 800);
    for (unsigned i = 0; i < 800; i += 2)
        drop(herd.block[i]);
    strike(NULL);
}

static void child_tells_of_the_parent(const struct aim *aim)
{
    uintptr_t theirs[SEEN], ours[SEEN];
    prepare_order(aim);
    places_in_a_child(aim->size, theirs);
    grab_places(aim->size, ours);
    compare(theirs, ours);
}

static void child_tells_of_its_sibling(const struct aim *aim)
{
    uintptr_t one[SEEN], other[SEEN];
    prepare_order(aim);
    places_in_a_child(aim->size, one);
    places_in_a_child(aim->size, other);
    compare(one, other);
}

/* Fresh blocks, too, of a class that was not used before. */
static void child_tells_of_fresh_blocks(const struct aim *aim)
{
    uintptr_t theirs[SEEN], ours[SEEN];
    strike(NULL);
    grab(aim->size);
    places_in_a_child(aim->size, theirs);
    grab_places(aim->size, ours);
    compare(theirs, ours);
}

const struct attack_case attacks_processes[] = {
    {"processes.child_frees_what_the_parent_freed", child_frees_what_the_parent_freed, SIZES_SMALL, NEEDS_STATES, 0},
    {"processes.grandchild_frees_again", grandchild_frees_what_the_parent_freed, SIZES_SMALL, NEEDS_STATES, 0},
    {"processes.child_of_a_bare_fork", child_of_a_bare_fork, SIZES_SMALL, NEEDS_STATES, 0},
    {"processes.child_frees_the_parents_twice", child_frees_the_parents_twice, SIZES_SMALL, NEEDS_STATES, 0},
    {"processes.of_a_vanished_thread", of_a_vanished_thread, SIZES_SMALL, NEEDS_STATES, CASE_UNCOUNTED},
    {"processes.on_a_waiting_list", on_a_waiting_list, SIZES_SMALL, NEEDS_STATES, CASE_PLAIN_LOSES},
    {"processes.child_tells_of_the_parent", child_tells_of_the_parent, SIZES_SMALL, NEEDS_ORDER, 0},
    {"processes.child_tells_of_its_sibling", child_tells_of_its_sibling, SIZES_SMALL, NEEDS_ORDER, 0},
    {"processes.child_tells_of_fresh_blocks", child_tells_of_fresh_blocks, SIZES_SMALL, NEEDS_ORDER, 0},
    {0},
};
