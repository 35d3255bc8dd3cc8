/* Pointers to what never was the heap's. */
#include "cases.h"

#include <malloc.h>
#include <stdlib.h>
#include <sys/mman.h>

/* glibc's own heap, which answers under these names beside any other. */
void *__libc_malloc(size_t size);
void __libc_free(void *block);

/* free, realloc, malloc_usable_size and reallocarray in turn: the report must name the one that was called. */
static void misuse(const struct subject *subject, const void *address)
{
    void *wrong = launder(address);
    static const char *const functions[] = {"free", "realloc", "malloc_usable_size", "reallocarray"};
    blame_call(functions[subject->run % 4], wrong, 0);
    switch (subject->run % 4) {
    case 0:
        free(wrong);
        break;
    case 1:
        launder(realloc(wrong, 100));
        break;
    case 2:
        launder((void *)malloc_usable_size(wrong));
        break;
    default:
        launder(reallocarray(wrong, 10, 10));
    }
}

static void stack(const struct subject *subject)
{
    _Alignas(16) char local[64] = {0};
    void *block = take(100);
    if (subject->misuse)
        misuse(subject, local + subject->run % 2 * 16);
    free(block);
    launder(local);
}

static void *free_other_stack(void *argument)
{
    stack(argument);
    return NULL;
}

/* Some heaps take a thread's stack for theirs: both come from mmap. */
static void stack_of_a_thread(const struct subject *subject)
{
    struct subject copy = *subject;
    in_thread(free_other_stack, &copy);
}

static _Alignas(16) char global_bytes[256] = {1};
static _Alignas(16) char zero_bytes[256];
static const _Alignas(16) char constant_bytes[256] = {1};

static void global(const struct subject *subject)
{
    const char *places[] = {global_bytes, zero_bytes, constant_bytes, global_bytes + 64};
    void *block = take(100);
    if (subject->misuse)
        misuse(subject, places[subject->run / 4 % 4]);
    free(block);
}

static void text(const struct subject *subject)
{
    void *block = take(100);
    if (subject->misuse)
        misuse(subject, (const void *)(uintptr_t)&misuse);
    free(block);
}

static void mapping(const struct subject *subject)
{
    size_t bytes = subject->run % 2 ? 4096 : 4 * 1024 * 1024;
    char *mapped = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    void *block = take(100);
    if (mapped == MAP_FAILED)
        case_end(CASE_NO_MEMORY);
    if (subject->misuse)
        misuse(subject, mapped + subject->run / 2 % 2 * 16);
    free(block);
    munmap(mapped, bytes);
}

static void inaccessible(const struct subject *subject)
{
    char *mapped = mmap(NULL, 65536, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED)
        case_end(CASE_NO_MEMORY);
    if (subject->misuse)
        misuse(subject, mapped + 4096);
    munmap(mapped, 65536);
}

static void unmapped(const struct subject *subject)
{
    char *mapped = mmap(NULL, 65536, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED)
        case_end(CASE_NO_MEMORY);
    munmap(mapped, 65536);
    if (subject->misuse)
        misuse(subject, mapped);
}

static void small_integer(const struct subject *subject)
{
    static const uintptr_t values[] = {1, 8, 16, 0x10, 255, 4096, 65536, 0x100000};
    if (subject->misuse)
        misuse(subject, (const void *)values[subject->run / 4 % 8]);
}

/* The end of the address space, the kernel's half, and addresses that no x86-64 processor takes. */
static void impossible(const struct subject *subject)
{
    static const uintptr_t values[] = {
        UINTPTR_MAX,        UINTPTR_MAX - 15,   0xffff800000000000, 0x4141414141414141, 0x4141414141414140,
        0x0000800000000000, 0x8000000000000000, 0x7ffffffffffff000, 0xdeadbeefdeadbee0, 0x00007ffffffff000,
    };
    if (subject->misuse)
        misuse(subject, (const void *)values[subject->run / 4 % 10]);
}

/* A live block's address with bits changed at the top, as an overwritten pointer has. */
static void bits_added(const struct subject *subject)
{
    char *block = take(100);
    if (subject->misuse)
        misuse(subject, (const void *)((uintptr_t)block ^ (uintptr_t)1 << (48 + subject->run / 4 % 16)));
    free(block);
}

/* Before anything was allocated by the case itself. */
static void libc_block(const struct subject *subject)
{
    void *block = __libc_malloc(subject->run % 2 ? 100 : 300000);
    if (subject->misuse)
        misuse(subject, block);
    __libc_free(block);
}

#define FOREIGN "foreign pointer"
#define FUNCTIONS "free|realloc|malloc_usable_size|reallocarray"
#define FLAGS (CASE_NO_SIZE | CASE_UNKNOWN)
#define STATES "double_free"

const struct death_case cases_foreign[] = {
    {"foreign.stack", stack, FOREIGN, FUNCTIONS, FLAGS, STATES},
    {"foreign.stack_of_a_thread", stack_of_a_thread, FOREIGN, FUNCTIONS, FLAGS, STATES},
    {"foreign.global", global, FOREIGN, FUNCTIONS, FLAGS, STATES},
    {"foreign.text", text, FOREIGN, FUNCTIONS, FLAGS, STATES},
    {"foreign.mapping", mapping, FOREIGN, FUNCTIONS, FLAGS, STATES},
    {"foreign.inaccessible", inaccessible, FOREIGN, FUNCTIONS, FLAGS, STATES},
    {"foreign.unmapped", unmapped, FOREIGN, FUNCTIONS, FLAGS, STATES},
    {"foreign.small_integer", small_integer, FOREIGN, FUNCTIONS, FLAGS, STATES},
    {"foreign.impossible", impossible, FOREIGN, FUNCTIONS, FLAGS, STATES},
    {"foreign.bits_added", bits_added, FOREIGN, FUNCTIONS, FLAGS, STATES},
    {"foreign.libc_block", libc_block, FOREIGN, FUNCTIONS, FLAGS, STATES},
    {0},
};
