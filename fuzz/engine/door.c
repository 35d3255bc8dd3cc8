/* See door.h. */
#include "door.h"

#include "os/syscall.h"
#include "trap.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef MOAT_TEST_SUPPORT_PREFIX_H
#error \
    "The seeded door is for the fuzz targets, which use the heap by prefixed names. It is never part of a library that exports malloc."
#endif

#if defined(__SANITIZE_THREAD__)
#define CHOOSES_ADDRESSES false /* ThreadSanitizer knows where memory may lie */
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define CHOOSES_ADDRESSES false
#endif
#endif
#ifndef CHOOSES_ADDRESSES
#define CHOOSES_ADDRESSES true
#endif

/* src/os/syscall.c, compiled once more under this name. */
long fuzz_kernel(long nr, long a, long b, long c, long d, long e, long f);

/* Above AddressSanitizer's shadow, far below programs and what the kernel places. */
#define FIRST_ADDRESS ((uintptr_t)0x200000000000)
#define ADDRESS_STEP ((uintptr_t)2 << 20)
enum { RANGES_MAX = 1 << 14, WAIT_NS = 1000000 };

struct range {
    uintptr_t start, end;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct range ranges[RANGES_MAX];
static size_t range_count;
static uintptr_t next_address;
static uint64_t random_state;

static _Noreturn void give_up(const char *what)
{
    fprintf(stderr, "fuzz: %s\n", what);
    abort();
}

/* ---- mappings ---- */

static void add_range(uintptr_t start, uintptr_t end)
{
    if (range_count == RANGES_MAX)
        give_up("the heap has more mappings than the door can remember");
    ranges[range_count++] = (struct range){start, end};
}

/* Takes [start, end) out of what is remembered. */
static void cut_ranges(uintptr_t start, uintptr_t end)
{
    for (size_t i = 0, count = range_count; i < count; i++) {
        struct range *range = &ranges[i], right = {end, ranges[i].end};
        if (range->end <= start || end <= range->start)
            continue;
        range->end = range->start < start ? start : range->start;
        if (right.start < right.end)
            add_range(right.start, right.end);
    }
    size_t kept = 0;
    for (size_t i = 0; i < range_count; i++)
        if (ranges[i].start < ranges[i].end)
            ranges[kept++] = ranges[i];
    range_count = kept;
}

static bool is_refusal(long answer)
{
    return answer < 0 && answer > -4096;
}

static long map_at_known_address(size_t bytes, long protection, long flags)
{
    if (!CHOOSES_ADDRESSES || bytes > FIRST_ADDRESS)
        return -ENOMEM;
    long answer =
        fuzz_kernel(SYS_mmap, (long)next_address, (long)bytes, protection, flags | MAP_FIXED_NOREPLACE, -1, 0);
    next_address += (bytes + 2 * ADDRESS_STEP - 1) & ~(ADDRESS_STEP - 1);
    return answer;
}

static long map(uintptr_t at, size_t bytes, long protection, long flags)
{
    if (flags & MAP_FIXED) /* inside what the heap has already */
        return fuzz_kernel(SYS_mmap, (long)at, (long)bytes, protection, flags, -1, 0);
    pthread_mutex_lock(&lock);
    long answer = map_at_known_address(bytes, protection, flags);
    if (is_refusal(answer))
        answer = fuzz_kernel(SYS_mmap, 0, (long)bytes, protection, flags, -1, 0);
    if (!is_refusal(answer))
        add_range((uintptr_t)answer, (uintptr_t)answer + ((bytes + 4095) & ~(size_t)4095));
    pthread_mutex_unlock(&lock);
    return answer;
}

static long unmap(uintptr_t start, size_t bytes)
{
    pthread_mutex_lock(&lock);
    long answer = fuzz_kernel(SYS_munmap, (long)start, (long)bytes, 0, 0, 0, 0);
    if (answer == 0)
        cut_ranges(start, start + ((bytes + 4095) & ~(size_t)4095));
    pthread_mutex_unlock(&lock);
    return answer;
}

bool door_has(const void *address)
{
    for (size_t i = 0; i < range_count; i++)
        if ((uintptr_t)address >= ranges[i].start && (uintptr_t)address < ranges[i].end)
            return true;
    return false;
}

bool door_mapping(size_t number, uintptr_t *start, size_t *bytes)
{
    if (number >= range_count)
        return false;
    *start = ranges[number].start;
    *bytes = ranges[number].end - ranges[number].start;
    return true;
}

void door_largest(uintptr_t *start, size_t *bytes)
{
    size_t largest = 0;
    *start = *bytes = 0;
    for (size_t i = 0; i < range_count; i++)
        if (ranges[i].end - ranges[i].start > ranges[largest].end - ranges[largest].start)
            largest = i;
    door_mapping(largest, start, bytes);
}

/* ---- randomness ---- */

static uint64_t draw(void)
{
    uint64_t mixed = __atomic_add_fetch(&random_state, 0x9e3779b97f4a7c15u, __ATOMIC_RELAXED);
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9u;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebu;
    return mixed ^ (mixed >> 31);
}

/* The kernel is asked all the same: the heap learns from its answer whether a guard faults. */
static long fill(unsigned char *buffer, size_t bytes, long flags)
{
    long answer = fuzz_kernel(SYS_getrandom, (long)buffer, (long)bytes, flags, 0, 0, 0);
    for (size_t i = 0; answer > 0 && i < (size_t)answer; i++)
        buffer[i] = (unsigned char)draw();
    return answer;
}

/* ---- waiting and the end ---- */

/* Where a death is expected, a thread may wait for a lock that the dead one holds: nobody wakes it, so it looks by itself. */
static long wait_or_leave(const long arguments[4])
{
    struct timespec moment = {.tv_nsec = WAIT_NS};
    trap_leave_if_dead();
    long answer = fuzz_kernel(SYS_futex, arguments[0], arguments[1], arguments[2], (long)&moment, 0, 0);
    trap_leave_if_dead();
    return answer;
}

static bool is_futex_wait(long operation)
{
    return (operation & ~(long)FUTEX_PRIVATE_FLAG) == FUTEX_WAIT;
}

long os_syscall(long nr, long a, long b, long c, long d, long e, long f)
{
    switch (nr) {
    case SYS_mmap:
        return map((uintptr_t)a, (size_t)b, c, d);
    case SYS_munmap:
        return unmap((uintptr_t)a, (size_t)b);
    case SYS_getrandom:
        return fill((unsigned char *)a, (size_t)b, c);
    default:
        break;
    }
    if (trap_is_armed()) {
        if (nr == SYS_write && a == STDERR_FILENO) {
            trap_hear((const char *)b, (size_t)c);
            return c;
        }
        if (nr == SYS_rt_sigaction || nr == SYS_rt_sigprocmask)
            return 0;
        if (nr == SYS_tgkill)
            trap_die((unsigned)b);
        if (nr == SYS_futex && is_futex_wait(b))
            return wait_or_leave((const long[4]){a, b, c, d});
    }
    return fuzz_kernel(nr, a, b, c, d, e, f);
}

void door_begin(uint64_t seed)
{
    for (size_t i = 0; i < range_count; i++)
        if (fuzz_kernel(SYS_munmap, (long)ranges[i].start, (long)(ranges[i].end - ranges[i].start), 0, 0, 0, 0) != 0)
            give_up("the last heap's memory cannot be taken away");
    range_count = 0;
    next_address = FIRST_ADDRESS;
    random_state = seed;
}
