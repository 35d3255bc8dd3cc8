/* The dearest single malloc or free, by single-stepping the calls that a pattern is meant to make dear.
 *
 *     worst PATTERN
 *
 *     churn     random replacement among 2,000 blocks of 64 bytes
 *     fresh     the first blocks of a class
 *     release   630 blocks of 1 KiB freed in a row: pages empty, are kept, and go
 *     collect   one page of the smallest blocks, all freed by another thread, comes back
 *     drain     32 pages of 1 KiB blocks, all but some freed by another thread, come back
 *     cool      a slow path's look at all classes, after a quarter of a second in which nobody used their free blocks
 *     end       a thread that has used every class ends: its heap's part, which a destructor of thread data does
 *     orphans   64 ended threads have left a full page each
 *
 * The processor traps after each instruction and a handler counts: those in the library, and those elsewhere (memset,
 * memcpy, the clock), where the repetitions of one string instruction are one. A call that makes a system call is not
 * judged; the end of a thread is. Printed are, of the call with the most steps in the library: `steps`, `elsewhere`, `call`
 * (its place in the order of stepped calls); and `judged` and `with system calls`, the numbers of calls, and `blocks of a
 * page`, of the smallest. Exit status 1, with a line, if memory ran out.
 */
#define _GNU_SOURCE
#include <link.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <ucontext.h>

enum { ALIGN = 16, MIDDLE = 64, LARGER = 1024, PAGE = 64 * 1024, THREADS = 64, MOST = 1 << 16, LOOK_MS = 300 };

static void *blocks[MOST];
static uintptr_t text_start, text_end;
static volatile struct count {
    size_t steps, elsewhere, system_calls;
    uintptr_t last;
} now;
static struct count worst;
static size_t calls, worst_call, with_system_calls;
static bool all_are_judged;

static _Noreturn void die(const char *words)
{
    fprintf(stderr, "worst: %s\n", words);
    exit(1);
}

static void on_step(int signal, siginfo_t *info, void *context)
{
    uintptr_t at = (uintptr_t)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
    const uint8_t *code = (const uint8_t *)at;

    (void)signal, (void)info;
    if (code[0] == 0x0f && code[1] == 0x05)
        now.system_calls++;
    if (at - text_start < text_end - text_start)
        now.steps++;
    else if (at != now.last)
        now.elsewhere++;
    now.last = at;
}

/* The trap flag, set and cleared, past the red zone of whoever calls this. */
#define STEP(change)                                                                                       \
    __asm__ volatile("lea -128(%%rsp), %%rsp\n\tpushfq\n\t" change "\n\tpopfq\n\tlea 128(%%rsp), %%rsp" :: \
                         : "memory", "cc")

static void begin(void)
{
    now.steps = now.elsewhere = now.system_calls = 0;
    STEP("orq $0x100, (%%rsp)");
}

static void end(void)
{
    STEP("andq $~0x100, (%%rsp)");
    calls++;
    bool is_judged = all_are_judged || now.system_calls == 0;
    with_system_calls += !is_judged;
    if (is_judged && now.steps > worst.steps) {
        worst = now;
        worst_call = calls;
    }
}

static void *take(size_t size)
{
    void *block = malloc(size);
    if (!block)
        die("no memory for a block");
    return block;
}

static void *take_stepped(size_t size)
{
    begin();
    void *block = malloc(size);
    end();
    if (!block)
        die("no memory for a block");
    return block;
}

static void free_stepped(void *block)
{
    begin();
    free(block);
    end();
}

static int find_text(struct dl_phdr_info *info, size_t bytes, void *inside)
{
    (void)bytes;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        uintptr_t start = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
        if (info->dlpi_phdr[i].p_type == PT_LOAD && (uintptr_t)inside - start < info->dlpi_phdr[i].p_memsz) {
            text_start = start;
            text_end = start + info->dlpi_phdr[i].p_memsz;
            return 1;
        }
    }
    return 0;
}

static void *run_on_thread(void *(*work)(void *), void *argument)
{
    pthread_t thread;
    void *answer;
    if (pthread_create(&thread, NULL, work, argument) != 0 || pthread_join(thread, &answer) != 0)
        die("no thread");
    return answer;
}

static void run_churn(void)
{
    uint64_t state = 1;
    for (size_t i = 0; i < 2000; i++)
        blocks[i] = take(MIDDLE);
    for (size_t i = 0; i < 20000 + 800; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        void **block = &blocks[state % 2000];
        if (i < 20000) {
            free(*block);
            *block = take(MIDDLE);
        } else {
            free_stepped(*block);
            *block = take_stepped(MIDDLE);
        }
    }
}

static void run_fresh(void)
{
    free(take(LARGER));
    for (size_t size = ALIGN; size <= 4096; size *= 2)
        for (size_t i = 0; i < 40; i++)
            take_stepped(size);
}

static void run_release(void)
{
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < 630; i++)
            blocks[i] = take(LARGER);
        for (size_t i = 0; i < 630; i++)
            round == 0 ? free(blocks[i]) : free_stepped(blocks[i]);
    }
}

struct remote {
    size_t count, every; /* blocks, and of so many one stays live; 0 for none */
};

static void *free_remotely(void *given)
{
    const struct remote *remote = given;
    for (size_t i = 0; i < remote->count; i++)
        if (remote->every == 0 || i % remote->every != 0)
            free(blocks[i]);
    return NULL;
}

static void run_remote(size_t size, size_t pages, size_t every)
{
    void *block = take(size);
    size_t per_page = PAGE / malloc_usable_size(block);
    struct remote remote = {.count = pages * per_page, .every = every};

    blocks[0] = block;
    for (size_t i = 1; i < remote.count; i++)
        blocks[i] = take(size);
    run_on_thread(free_remotely, &remote);
    /* Whatever still lies ready is fewer than this. */
    for (size_t i = 0; i < 80; i++)
        take_stepped(size);
}

/* Time must pass for the heap's own clock; nothing waits for anybody. */
static void let_time_pass(void)
{
    struct timespec start, at;
    clock_gettime(CLOCK_MONOTONIC, &start);
    do
        clock_gettime(CLOCK_MONOTONIC, &at);
    while ((at.tv_sec - start.tv_sec) * 1000 + (at.tv_nsec - start.tv_nsec) / 1000000 < LOOK_MS);
}

/* Blocks of every class, at most so many, taken and freed again. */
static void use_all_classes(size_t most)
{
    for (size_t size = ALIGN; size < PAGE / 4; size += size < 128 ? 16 : size / 8) {
        size_t count = 3 * PAGE / 2 / size < most ? 3 * PAGE / 2 / size : most;
        for (size_t i = 0; i < count; i++)
            blocks[i] = take(size);
        for (size_t i = 0; i < count; i++)
            free(blocks[i]);
    }
}

static void run_cool(void)
{
    use_all_classes(MOST);
    for (int look = 0; look < 2; look++) {
        let_time_pass();
        /* More than lies in reserve: so many of these take the slow path that all classes are looked at, one in each. */
        for (size_t i = 0; i < 600; i++)
            take_stepped(LARGER);
    }
}

static pthread_key_t key;

/* Destructors run in the order of their keys, some rounds long; this key is younger than the library's, which asks for a
 * second round at most. */
static void stop_at_third(void *round)
{
    if ((uintptr_t)round == 3)
        end();
    else
        pthread_setspecific(key, (void *)((uintptr_t)round + 1));
}

static void *use_and_end(void *nothing)
{
    pthread_setspecific(key, (void *)1);
    use_all_classes(100);
    begin();
    return nothing;
}

static void run_end(void)
{
    free(take(MIDDLE));
    all_are_judged = true; /* it gives memory back once */
    if (pthread_key_create(&key, stop_at_third) != 0)
        die("no key");
    run_on_thread(use_and_end, NULL);
}

static void *leave_full_page(void *first)
{
    for (size_t i = 0; i < PAGE / LARGER; i++)
        ((void **)first)[i] = take(LARGER);
    return NULL;
}

static void run_orphans(void)
{
    free(take(MIDDLE));
    all_are_judged = true; /* what finds only full pages opens one */
    for (size_t i = 0; i < THREADS; i++)
        run_on_thread(leave_full_page, &blocks[i * (PAGE / LARGER)]);
    for (size_t i = 0; i < 80; i++)
        take_stepped(LARGER);
}

int main(int argc, char **argv)
{
    struct sigaction action = {.sa_sigaction = on_step, .sa_flags = SA_SIGINFO | SA_RESTART};
    void *(*function)(size_t) = malloc;
    uintptr_t inside;

    memcpy(&inside, &function, sizeof inside);
    const char *name = argc == 2 ? argv[1] : "";
    if (sigaction(SIGTRAP, &action, NULL) != 0 || dl_iterate_phdr(find_text, (void *)inside) != 1)
        die("the library's code was not found");
    if (strcmp(name, "churn") == 0)
        run_churn();
    else if (strcmp(name, "fresh") == 0)
        run_fresh();
    else if (strcmp(name, "release") == 0)
        run_release();
    else if (strcmp(name, "collect") == 0)
        run_remote(ALIGN, 1, 0);
    else if (strcmp(name, "drain") == 0)
        run_remote(LARGER, 32, 32);
    else if (strcmp(name, "cool") == 0)
        run_cool();
    else if (strcmp(name, "end") == 0)
        run_end();
    else if (strcmp(name, "orphans") == 0)
        run_orphans();
    else
        die("needed is churn, fresh, release, collect, drain, cool, end or orphans");
    size_t smallest = malloc_usable_size(take(ALIGN));
    printf("blocks of a page: %zu\nsteps: %zu\nelsewhere: %zu\ncall: %zu\njudged: %zu\nwith system calls: %zu\n",
           PAGE / smallest, worst.steps, worst.elsewhere, worst_call, calls - with_system_calls, with_system_calls);
    return 0;
}
