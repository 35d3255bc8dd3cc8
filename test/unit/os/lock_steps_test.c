/* A signal handler at each instruction of taking and dropping a lock. The processor's trap flag makes a signal of every
 * instruction; in child N the handler of the Nth takes and drops the same lock itself. It gets it, or the process ends with
 * the line about a handler inside the heap, and which of the two is what lock_is_inside has said before. Nobody hangs.
 * The same where a young child of fork settles its heap (start.c), with a handler that allocates.
 */
#include "unit/unit.h"

#include "os/lock.h"
#include "start.h"

#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <ucontext.h>

enum { HANGS_AFTER_S = 10, TRAP_FLAG = 0x100, DONE = 20, TOO_FEW = 21, NO_LOCK = 22 };

/* What a child tells even if it dies. */
static struct told {
    unsigned steps; /* instructions until the lock was dropped again */
    bool was_inside, has_returned;
} * told;

static struct {
    enum lock_rank rank;
    bool settles;  /* instead of taking a lock */
    unsigned step; /* the one that the handler interrupts; 0: none */
    unsigned
        hold_till; /* another thread holds the lock for so many steps, at the longest until the stepped one waits */
} now;

static atomic_bool is_held, may_drop, is_dropped;

static void take_within(void)
{
    if (now.settles) {
        moat_free(moat_malloc(100));
        told->has_returned = true;
        return;
    }
    may_drop = true; /* the other thread may hold it still */
    told->was_inside = lock_is_inside();
    lock_take(now.rank);
    lock_drop(now.rank);
    told->has_returned = true;
}

static void on_step(int number, siginfo_t *info, void *context)
{
    static unsigned steps;
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    const unsigned char *next = (const unsigned char *)(uintptr_t)registers[REG_RIP];

    (void)number, (void)info;
    if (next[0] == 0x0f && next[1] == 0x05) /* a system call: it is about to sleep */
        may_drop = true;
    told->steps = ++steps;
    if (steps == now.hold_till) {
        may_drop = true;
        while (!is_dropped)
            sched_yield();
    }
    if (steps != now.step)
        return;
    registers[REG_EFL] &= ~(greg_t)TRAP_FLAG;
    take_within();
}

/* The red zone is the compiler's. */
static inline __attribute__((always_inline)) void step_on(void)
{
    __asm__ volatile("lea -128(%%rsp), %%rsp\n\tpushfq\n\torq %0, (%%rsp)\n\tpopfq\n\tlea 128(%%rsp), %%rsp"
                     :
                     : "i"(TRAP_FLAG)
                     : "memory", "cc");
}

static inline __attribute__((always_inline)) void step_off(void)
{
    __asm__ volatile("lea -128(%%rsp), %%rsp\n\tpushfq\n\tandq %0, (%%rsp)\n\tpopfq\n\tlea 128(%%rsp), %%rsp"
                     :
                     : "i"(~TRAP_FLAG)
                     : "memory", "cc");
}

static void *hold(void *unused)
{
    lock_take(now.rank);
    is_held = true;
    while (!may_drop)
        sched_yield();
    lock_drop(now.rank);
    is_dropped = true;
    return unused;
}

static void be_stepped(void *unused)
{
    struct sigaction action = {.sa_sigaction = on_step, .sa_flags = SA_SIGINFO};
    pthread_t thread = 0;

    (void)unused;
    alarm(HANGS_AFTER_S);
    sigaction(SIGTRAP, &action, NULL);
    if (now.hold_till > 0) {
        if (pthread_create(&thread, NULL, hold, NULL) != 0)
            _exit(NO_LOCK);
        while (!is_held)
            sched_yield();
    }
    step_on();
    if (now.settles) {
        fork_settle_child();
    } else {
        lock_take(now.rank);
        lock_drop(now.rank);
    }
    step_off();
    if (now.hold_till > 0)
        pthread_join(thread, NULL);
    if (lock_is_inside())
        _exit(NO_LOCK);
    _exit(told->steps < now.step ? TOO_FEW : DONE);
}

/* The child runs no handlers of fork: its first lock is the one that sets all free. */
static struct death death_of_young(void (*work)(void *))
{
    return death_of_child(_Fork, work, NULL);
}

struct way {
    const char *name;
    bool is_young;
    unsigned hold_till;
    unsigned at_least; /* instructions */
};

static bool ends_well(const struct way *way, const struct death *death)
{
    if (death_is_by(death, SIGABRT))
        return told->was_inside && !told->has_returned &&
               strstr(death->text, "moat: signal handler inside the heap in ");
    return death_is_exit(death, DONE) && !told->was_inside && told->has_returned && death->length == 0 &&
           (way->is_young || told->steps == now.step);
}

static void handler_at_every_instruction_gets_the_lock_or_dies(const struct way *way, unsigned stride)
{
    unsigned gets = 0, dies = 0;

    now.hold_till = way->hold_till;
    for (now.step = 1;; now.step += stride) {
        *told = (struct told){0};
        struct death death = way->is_young ? death_of_young(be_stepped) : death_of(be_stepped, NULL);
        if (death_is_exit(&death, TOO_FEW))
            break;
        if (!EXPECT(ends_well(way, &death))) {
            expect_say("  %s, lock %d, at instruction %u: status %#x, %s\n  %s", way->name, (int)now.rank, now.step,
                       (unsigned)death.status, death_is_by(&death, SIGALRM) ? "it hangs" : "it does not", death.text);
            return;
        }
        gets += told->has_returned;
        dies += !told->has_returned;
    }
    expect_say("%s, lock %d: of %u instructions the handler gets the lock at %u\n", way->name, (int)now.rank,
               gets + dies, gets);
    EXPECT(gets > 0 && dies > 0);
    EXPECT((gets + dies) * stride >= way->at_least);
}

static void handler_in_a_settling_child_allocates_or_dies(unsigned stride)
{
    unsigned gets = 0, dies = 0;

    now.settles = true;
    for (now.step = 1;; now.step += now.step < 1000 ? stride : 16 * stride) { /* a sanitizer's are many */
        *told = (struct told){0};
        struct death death = death_of_young(be_stepped);
        if (death_is_exit(&death, TOO_FEW))
            break;
        bool has_died = death_is_by(&death, SIGABRT) && strstr(death.text, "moat: signal handler inside the heap in ");
        if (!EXPECT(told->has_returned ? death_is_exit(&death, DONE) && death.length == 0 : has_died)) {
            expect_say("  settling, at instruction %u: status %#x, %s\n  %s", now.step, (unsigned)death.status,
                       death_is_by(&death, SIGALRM) ? "it hangs" : "it does not", death.text);
            return;
        }
        gets += told->has_returned;
        dies += !told->has_returned;
    }
    expect_say("a child settles: at %u places the handler gets a block, at %u it ends with the line\n", gets, dies);
    EXPECT(gets > 0 && dies > 0);
    now.settles = false;
}

int main(void)
{
    static const struct way ways[] = {
        {"free", false, 0, 10},
        {"in a young child", true, 0, 40},
        {"held by another, who drops it while this one spins", false, 100, 100},
        {"held by another, until this one sleeps", false, 1000000, 300},
    };
    if (pace_has_tsan()) {
        unit_skip("a handler at each instruction", "most of them are ThreadSanitizer's, which has locks of its own");
        expect_reached();
        return expect_done();
    }
    told = mmap(NULL, sizeof *told, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (!EXPECT(told != MAP_FAILED))
        return expect_done();
    moat_free(moat_malloc(1));
    handler_in_a_settling_child_allocates_or_dies(pace(7, 61));
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        now.rank = LOCK_LARGE;
        handler_at_every_instruction_gets_the_lock_or_dies(&ways[i], ways[i].hold_till > 0 ? pace(1, 5) : 1);
    }
    for (now.rank = 0; now.rank < LOCK_RANKS; now.rank++)
        handler_at_every_instruction_gets_the_lock_or_dies(&ways[0], 1);
    return expect_done();
}
