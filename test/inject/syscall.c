/* The library's one door to the kernel, for tests: as src/os/syscall.c, but calls fail on request. See plan.h.
 *
 * The plan is armed while no other thread of the test is in the heap; counts and reads are atomic, so that threads that
 * come later may call.
 */
#include "os/syscall.h"
#include "inject/plan.h"

#include <stdlib.h>

enum { KINDS = 512 };

static struct inject_plan current;
static unsigned char armed;
static unsigned char environment_read;
static unsigned long calls[KINDS];
static unsigned long hits;

static long kernel(long nr, long a, long b, long c, long d, long e, long f)
{
    long answer;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;

    __asm__ volatile("syscall"
                     : "=a"(answer)
                     : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return answer;
}

static void set_plan(const struct inject_plan *plan)
{
    current = *plan;
    __atomic_store_n(&hits, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&armed, 1, __ATOMIC_RELEASE);
}

/* The first call of all is made before main, by the only thread there is. */
static void read_environment(void)
{
    const char *text = getenv("MOAT_TEST_INJECT");
    char *end;
    if (text == NULL)
        return;
    struct inject_plan plan = {.nr = strtol(text, &end, 10)};
    if (*end == ':')
        plan.first = strtoul(end + 1, &end, 10);
    if (*end == ':')
        plan.persistent = strtol(end + 1, &end, 10) != 0;
    if (*end == ':')
        plan.error = (int)strtol(end + 1, &end, 10);
    if (plan.first > 0 && plan.error > 0)
        set_plan(&plan);
}

static bool must_fail(long nr, unsigned long call)
{
    if (!__atomic_load_n(&armed, __ATOMIC_ACQUIRE) || nr != current.nr)
        return false;
    return current.persistent ? call >= current.first : call == current.first;
}

long os_syscall(long nr, long a, long b, long c, long d, long e, long f)
{
    if (!__atomic_exchange_n(&environment_read, 1, __ATOMIC_ACQ_REL))
        read_environment();
    if (nr >= 0 && nr < KINDS) {
        unsigned long call = __atomic_add_fetch(&calls[nr], 1, __ATOMIC_RELAXED);
        if (must_fail(nr, call)) {
            __atomic_add_fetch(&hits, 1, __ATOMIC_RELAXED);
            return -current.error;
        }
    }
    return kernel(nr, a, b, c, d, e, f);
}

void inject_arm(const struct inject_plan *plan)
{
    __atomic_store_n(&armed, 0, __ATOMIC_RELEASE);
    for (long i = 0; i < KINDS; i++)
        __atomic_store_n(&calls[i], 0, __ATOMIC_RELAXED);
    set_plan(plan);
}

void inject_disarm(void)
{
    __atomic_store_n(&armed, 0, __ATOMIC_RELEASE);
}

unsigned long inject_calls(long nr)
{
    return nr >= 0 && nr < KINDS ? __atomic_load_n(&calls[nr], __ATOMIC_RELAXED) : 0;
}

unsigned long inject_hits(void)
{
    return __atomic_load_n(&hits, __ATOMIC_RELAXED);
}
