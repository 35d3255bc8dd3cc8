/* What the misuses and the driver agree on.
 *
 * A case is a function that does something ordinary with the heap and, when it is told so, one wrong thing at the end.
 * Just before the wrong call it says with blame() which pointer and which thread the report must name. Without the
 * wrong call the same program is the control: it must end well on every heap.
 */
#ifndef TEST_DEATH_CASES_H
#define TEST_DEATH_CASES_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    CASE_SMALL = 1,
    CASE_MEDIUM = 2,
    CASE_LARGE = 4,
    CASE_ANY_SIZE = CASE_SMALL | CASE_MEDIUM | CASE_LARGE,
    CASE_NO_SIZE = 8,      /* the size does not matter: one group of runs */
    CASE_EVERY_CLASS = 16, /* also at both sides of every edge of a small class */
    CASE_UNKNOWN = 32,     /* the report's detail is `unknown`, not the block */
    CASE_MAYBE_UNKNOWN = 64,
    CASE_FAULT = 128 /* ends by SIGSEGV with nothing on stderr, instead of by a report */
};

struct subject {
    size_t size;
    unsigned run; /* for choosing among variants */
    bool misuse;  /* false: the control */
};

struct death_case {
    const char *name;
    void (*run)(const struct subject *subject);
    const char *kinds;     /* the accepted ones, a bar between them */
    const char *functions; /* the same */
    unsigned flags;
    const char *protection; /* the one that must be on, or several, with spaces between */
};

/* Each ends with a case without a name. */
extern const struct death_case cases_double_free[];
extern const struct death_case cases_races[];
extern const struct death_case cases_processes[];
extern const struct death_case cases_interior[];
extern const struct death_case cases_stale[];
extern const struct death_case cases_foreign[];
extern const struct death_case cases_sized[];
extern const struct death_case cases_operators[];
extern const struct death_case cases_guards[];
extern const struct death_case cases_heaps[];

/* What the child tells the driver through REPORT_DESCRIPTOR. */
enum { REPORT_DESCRIPTOR = 3 };
struct report {
    uint64_t address;
    uint64_t low, high; /* the block's bytes lie between these */
    int thread;         /* 0: any thread of the process */
    int is_aligned;     /* not 0: asked for with an alignment, so that a small request may have got a medium block */
    int any_address;    /* not 0: only the first of the case's kinds must name this address */
    char function[32];  /* the one that is called; empty: any of the case's functions */
};

/* Exit statuses with a meaning; the driver prints it. */
enum {
    CASE_SURVIVED = 99,     /* the wrong call came back */
    CASE_HANDED_TWICE = 98, /* one block had two owners */
    CASE_NOT_BOUND = 97,    /* malloc is not answered by the library under test */
    CASE_NOT_SET_UP = 96,   /* the situation that the case needs did not come about */
    CASE_NO_MEMORY = 95,
    CASE_WRONG_FAULT = 94 /* a fault, but at another place than promised */
};

/* The calling thread is about to misuse `address`, a block that was asked for with `size` bytes. */
void blame(const void *address, size_t size);
/* The same in a case that calls one of several functions. */
void blame_call(const char *function, const void *address, size_t size);
/* Any thread may die: of the address, or of a list that is found corrupted and names another one. */
void blame_anybody(const void *address, size_t size);
/* The same for a block that was asked for with an alignment (0: without): it may lie in a larger class. */
void blame_aligned(const void *address, size_t size, size_t alignment);

/* Ends the process at once. */
_Noreturn void case_end(int status);

/* A filled block; there is always memory for these tests. */
void *take(size_t size);
/* Writes the first and last byte, and forgets for the compiler where the block came from. */
void *touch(void *block, size_t size);
/* The same pointer, of which the compiler knows nothing. */
void *launder(const void *address);

/* Two blocks of one size in one heap page (64 KiB of addresses): while `kept` lives, the page of `block` stays in use.
 * For medium and large sizes each block has its own place, and `kept` is just another block. */
struct pair {
    void *block;
    void *kept;
};
struct pair take_pair(size_t size);

/* Runs function(argument) in a thread of its own, and waits for the thread's end. */
void in_thread(void *(*function)(void *), void *argument);

/* Two threads that wait for work. They start before the first free of a case: pthread_create allocates, and might be
 * handed the very block. */
void start_workers(void);
/* free(block) by the first of them. */
void free_in_worker(void *block);
/* The second takes the blame and frees. */
void misuse_in_worker(void *block, size_t size);

/* A function of the family that an older C library lacks; NULL then. */
void *find(const char *name);

#endif
