/* See filter.h. The rules of a filter are tried in turn; the first that fits decides. */
#include "host/filter.h"

#include "support/expect.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <ucontext.h>

enum {
    ADVICE_DONTNEED_LOCKED = 24,
    ADVICE_GUARD_INSTALL = 102,
    ADVICE_GUARD_REMOVE = 103,
    PROGRAM_MAX = 512,
    /* what pthread_create gives clone */
    THREAD_FLAGS = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_SETTLS |
                   CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID,
};

/* What a rule asks of one argument. */
enum test { ANY, IS, ABOVE, BESIDE /* bits beside these are set */, NOT_BESIDE };

struct rule {
    long nr;
    uint32_t action;
    unsigned argument;
    enum test test;
    uint32_t value;
};

#define ALLOW(call)                                   \
    {                                                 \
        .nr = SYS_##call, .action = SECCOMP_RET_ALLOW \
    }
#define ALLOW_IF(call, n, how, number)                                                             \
    {                                                                                              \
        .nr = SYS_##call, .action = SECCOMP_RET_ALLOW, .argument = n, .test = how, .value = number \
    }
#define REFUSE(call, error)                                     \
    {                                                           \
        .nr = SYS_##call, .action = SECCOMP_RET_ERRNO | (error) \
    }
#define REFUSE_IF(call, n, how, number, error)                                                               \
    {                                                                                                        \
        .nr = SYS_##call, .action = SECCOMP_RET_ERRNO | (error), .argument = n, .test = how, .value = number \
    }
#define KILL_IF(call, n, how, number)                                                                     \
    {                                                                                                     \
        .nr = SYS_##call, .action = SECCOMP_RET_KILL_PROCESS, .argument = n, .test = how, .value = number \
    }

/* ---- whole sandboxes ---- */

#define THE_EIGHT                                                                                               \
    ALLOW(mmap), ALLOW(munmap), ALLOW(mprotect), ALLOW(madvise), ALLOW(mremap), ALLOW(futex), ALLOW(getrandom), \
        ALLOW(write), ALLOW(exit), ALLOW(exit_group), ALLOW(rt_sigreturn)

static const struct rule eight[] = {THE_EIGHT};
static const struct rule eight_and_threads[] = {THE_EIGHT, ALLOW(rt_sigprocmask)};
static const struct rule eight_and_fork[] = {THE_EIGHT, ALLOW(clone), ALLOW(set_robust_list), ALLOW(wait4)};
static const struct rule eight_and_line[] = {THE_EIGHT, ALLOW(gettid), ALLOW(fstat)};

/* Advice that the filter's author did not know yet kills: as browsers' content processes have it. */
static const struct rule old_advice[] = {KILL_IF(madvise, 2, ABOVE, 99)};

/* The question that comes before the line of a report becomes a signal. */
static const struct rule fstat_traps[] = {{.nr = SYS_fstat, .action = SECCOMP_RET_TRAP}};
/* And so does opening memory, which happens under a lock. */
static const struct rule mprotect_traps[] = {{.nr = SYS_mprotect, .action = SECCOMP_RET_TRAP}};

/* Waiting and waking, as Moat and pthread_join do. */
#define FUTEXES                                                                             \
    ALLOW_IF(futex, 1, IS, FUTEX_WAIT_PRIVATE), ALLOW_IF(futex, 1, IS, FUTEX_WAKE_PRIVATE), \
        ALLOW_IF(futex, 1, IS, FUTEX_WAIT_BITSET_PRIVATE | FUTEX_CLOCK_REALTIME),           \
        ALLOW_IF(futex, 1, IS, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME)

/* sshd's child before the login, as its filter is now: what it does not name kills. */
static const struct rule openssh[] = {
    REFUSE(fstat, EACCES),
    REFUSE(open, EACCES),
    REFUSE(openat, EACCES),
    REFUSE(newfstatat, EACCES),
    ALLOW(brk),
    ALLOW(clock_gettime),
    ALLOW(close),
    ALLOW(exit),
    ALLOW(exit_group),
    FUTEXES,
    ALLOW(getpid),
    ALLOW(getrandom),
    ALLOW(gettid),
    ALLOW(gettimeofday),
    ALLOW_IF(madvise, 2, IS, MADV_NORMAL),
    ALLOW_IF(madvise, 2, IS, MADV_FREE),
    ALLOW_IF(madvise, 2, IS, MADV_DONTNEED),
    ALLOW_IF(madvise, 2, IS, MADV_DONTFORK),
    ALLOW_IF(madvise, 2, IS, MADV_DONTDUMP),
    ALLOW_IF(madvise, 2, IS, MADV_WIPEONFORK),
    REFUSE(madvise, EINVAL),
    KILL_IF(mmap, 2, BESIDE, PROT_READ | PROT_WRITE),
    REFUSE_IF(mmap, 3, BESIDE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_FIXED_NOREPLACE, EINVAL),
    ALLOW(mmap),
    ALLOW_IF(mprotect, 2, NOT_BESIDE, PROT_READ | PROT_WRITE),
    ALLOW(mremap),
    ALLOW(munmap),
    ALLOW(nanosleep),
    ALLOW(poll),
    ALLOW(read),
    ALLOW(rt_sigprocmask),
    ALLOW(write),
    ALLOW(writev),
};

/* Tor's, as far as a heap meets it: what it does not name is refused. */
static const struct rule tor[] = {
    ALLOW(brk),
    ALLOW(clock_gettime),
    ALLOW(clone),
    REFUSE(clone3, ENOSYS),
    ALLOW(close),
    ALLOW(exit),
    ALLOW(exit_group),
    ALLOW(fstat),
    FUTEXES,
    ALLOW(getpid),
    ALLOW(getrandom),
    ALLOW(gettid),
    ALLOW(madvise),
    ALLOW(mmap),
    ALLOW_IF(mprotect, 2, IS, PROT_READ),
    ALLOW_IF(mprotect, 2, IS, PROT_NONE),
    REFUSE_IF(mprotect, 1, ABOVE, 20 << 20, EPERM),
    ALLOW_IF(mprotect, 2, IS, PROT_READ | PROT_WRITE),
    ALLOW_IF(mremap, 3, IS, MREMAP_MAYMOVE),
    ALLOW(munmap),
    ALLOW(read),
    ALLOW(rseq), /* or the C library makes no thread */
    ALLOW_IF(rt_sigaction, 0, IS, SIGSYS),
    ALLOW_IF(rt_sigprocmask, 0, IS, SIG_UNBLOCK),
    ALLOW_IF(rt_sigprocmask, 0, IS, SIG_SETMASK),
    ALLOW(rt_sigreturn),
    ALLOW(sched_yield),
    ALLOW(set_robust_list),
    ALLOW(wait4),
    ALLOW(write),
};

/* A browser's renderer: threads but no processes, few kinds of advice, an unknown flag of a mapping kills. */
static const struct rule renderer[] = {
    ALLOW(brk),
    ALLOW(clock_gettime),
    ALLOW_IF(clone, 0, IS, THREAD_FLAGS),
    REFUSE(clone, EPERM),
    REFUSE(clone3, ENOSYS),
    ALLOW(close),
    ALLOW(exit),
    ALLOW(exit_group),
    ALLOW(fstat),
    REFUSE(newfstatat, EPERM),
    REFUSE(open, EPERM),
    REFUSE(openat, EPERM),
    FUTEXES,
    ALLOW(getpid),
    ALLOW_IF(getrandom, 2, NOT_BESIDE, GRND_NONBLOCK | GRND_RANDOM),
    ALLOW(gettid),
    ALLOW_IF(madvise, 2, IS, MADV_DONTNEED),
    ALLOW_IF(madvise, 2, IS, MADV_RANDOM),
    ALLOW_IF(madvise, 2, IS, MADV_REMOVE),
    ALLOW_IF(madvise, 2, IS, MADV_NORMAL),
    ALLOW_IF(madvise, 2, IS, MADV_FREE),
    REFUSE(madvise, EPERM),
    KILL_IF(mmap, 3, BESIDE,
            MAP_SHARED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE | MAP_FIXED | MAP_DENYWRITE),
    ALLOW(mmap),
    ALLOW_IF(mprotect, 2, NOT_BESIDE, PROT_READ | PROT_WRITE | PROT_EXEC),
    ALLOW(mremap),
    ALLOW(munmap),
    ALLOW(read),
    ALLOW(rseq),
    ALLOW(rt_sigaction),
    ALLOW(rt_sigprocmask),
    ALLOW(rt_sigreturn),
    ALLOW(sched_yield),
    REFUSE(set_robust_list, EPERM),
    ALLOW(write),
};

#define RULES(list) list, sizeof list / sizeof list[0]

static const struct sandbox {
    const char *name;
    const struct rule *rules;
    size_t count;
    uint32_t otherwise;
} sandboxes[] = {
    {"eight", RULES(eight), SECCOMP_RET_TRAP},
    {"eight+threads", RULES(eight_and_threads), SECCOMP_RET_TRAP},
    {"eight+fork", RULES(eight_and_fork), SECCOMP_RET_TRAP},
    {"eight+line", RULES(eight_and_line), SECCOMP_RET_KILL_PROCESS},
    {"old_advice", RULES(old_advice), SECCOMP_RET_ALLOW},
    {"fstat_traps", RULES(fstat_traps), SECCOMP_RET_ALLOW},
    {"mprotect_traps", RULES(mprotect_traps), SECCOMP_RET_ALLOW},
    {"openssh", RULES(openssh), SECCOMP_RET_KILL_PROCESS},
    {"tor", RULES(tor), SECCOMP_RET_ERRNO | EPERM},
    {"renderer", RULES(renderer), SECCOMP_RET_KILL_PROCESS},
};

/* ---- the program that the kernel runs ---- */

struct program {
    struct sock_filter code[PROGRAM_MAX];
    unsigned short length;
};

static struct program program;

static void emit(unsigned short code, uint32_t k, unsigned char if_true, unsigned char if_false)
{
    if (program.length < PROGRAM_MAX)
        program.code[program.length++] = (struct sock_filter){.code = code, .jt = if_true, .jf = if_false, .k = k};
}

static void emit_load(size_t offset)
{
    emit(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

/* `skip` instructions further on begins the next rule. */
static void emit_rule(const struct rule *rule)
{
    size_t low = offsetof(struct seccomp_data, args) + 8 * rule->argument;

    emit_load(offsetof(struct seccomp_data, nr));
    switch (rule->test) {
    case ANY:
        emit(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)rule->nr, 0, 1);
        break;
    case IS:
        emit(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)rule->nr, 0, 3);
        emit_load(low);
        emit(BPF_JMP | BPF_JEQ | BPF_K, rule->value, 0, 1);
        break;
    case ABOVE:
        emit(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)rule->nr, 0, 5);
        emit_load(low + 4);
        emit(BPF_JMP | BPF_JGT | BPF_K, 0, 2, 0);
        emit_load(low);
        emit(BPF_JMP | BPF_JGT | BPF_K, rule->value, 0, 1);
        break;
    case BESIDE:
    case NOT_BESIDE:
        emit(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)rule->nr, 0, 4);
        emit_load(low);
        emit(BPF_ALU | BPF_AND | BPF_K, ~rule->value, 0, 0);
        emit(BPF_JMP | BPF_JEQ | BPF_K, 0, rule->test == BESIDE, rule->test != BESIDE);
        break;
    }
    emit(BPF_RET | BPF_K, rule->action, 0, 0);
}

static void start_program(void)
{
    program.length = 0;
    emit_load(offsetof(struct seccomp_data, arch));
    emit(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0);
    emit(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS, 0, 0);
}

static bool install_program(const char *name)
{
    struct sock_fprog given = {.len = program.length, .filter = program.code};
    if (program.length < PROGRAM_MAX && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &given) == 0)
        return true;
    expect_say("the filter %s cannot be installed, errno %d\n", name, errno);
    return false;
}

/* ---- single refusals ---- */

static const struct refusal {
    const char *name;
    struct rule rule;
} refusals[] = {
    {"guard_install", REFUSE_IF(madvise, 2, IS, ADVICE_GUARD_INSTALL, 0)},
    {"guard_remove", REFUSE_IF(madvise, 2, IS, ADVICE_GUARD_REMOVE, 0)},
    {"dontneed", REFUSE_IF(madvise, 2, IS, MADV_DONTNEED, 0)},
    {"dontneed_locked", REFUSE_IF(madvise, 2, IS, ADVICE_DONTNEED_LOCKED, 0)},
    {"free", REFUSE_IF(madvise, 2, IS, MADV_FREE, 0)},
    {"dontfork", REFUSE_IF(madvise, 2, IS, MADV_DONTFORK, 0)},
    {"dontdump", REFUSE_IF(madvise, 2, IS, MADV_DONTDUMP, 0)},
    {"wipeonfork", REFUSE_IF(madvise, 2, IS, MADV_WIPEONFORK, 0)},
    {"hugepage", REFUSE_IF(madvise, 2, IS, MADV_HUGEPAGE, 0)},
    {"madvise", REFUSE(madvise, 0)},
    {"mremap", REFUSE(mremap, 0)},
    {"getrandom", REFUSE(getrandom, 0)},
    {"mprotect_none", REFUSE_IF(mprotect, 2, IS, PROT_NONE, 0)},
    {"mprotect_read", REFUSE_IF(mprotect, 2, IS, PROT_READ, 0)},
    {"futex", REFUSE(futex, 0)},
    {"membarrier", REFUSE(membarrier, 0)},
    {"open", REFUSE(open, 0)}, /* the C library and the loader use openat */
    {"fstat", REFUSE(fstat, 0)},
    {"prlimit", REFUSE(prlimit64, 0)},
};

static int error_of_name(const char *name)
{
    if (strcmp(name, "EPERM") == 0)
        return EPERM;
    if (strcmp(name, "EINVAL") == 0)
        return EINVAL;
    return strcmp(name, "ENOSYS") == 0 ? ENOSYS : 0;
}

/* All together leave out what is no option of Moat's and what the C library or the loader cannot do without. */
static bool is_in_all(const char *name)
{
    return strcmp(name, "futex") != 0 && strcmp(name, "mprotect_read") != 0;
}

static bool emit_refusals(const char *name, size_t length, int error)
{
    bool any = false;
    bool all = strncmp(name, "all", length) == 0 && length == 3;
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        struct rule rule = refusals[i].rule;
        bool fits = all ? is_in_all(refusals[i].name)
                        : strncmp(refusals[i].name, name, length) == 0 && refusals[i].name[length] == '\0';
        if (!fits)
            continue;
        rule.action = SECCOMP_RET_ERRNO | (uint32_t)error;
        emit_rule(&rule);
        any = true;
    }
    return any;
}

bool filter_install(const char *name)
{
    start_program();
    for (size_t i = 0; i < sizeof sandboxes / sizeof sandboxes[0]; i++) {
        if (strcmp(sandboxes[i].name, name) != 0)
            continue;
        for (size_t rule = 0; rule < sandboxes[i].count; rule++)
            emit_rule(&sandboxes[i].rules[rule]);
        emit(BPF_RET | BPF_K, sandboxes[i].otherwise, 0, 0);
        return install_program(name);
    }
    const char *colon = strchr(name, ':');
    int error = colon ? error_of_name(colon + 1) : 0;
    if (error == 0 || !emit_refusals(name, (size_t)(colon - name), error)) {
        expect_say("there is no filter %s\n", name);
        return false;
    }
    emit(BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0, 0);
    return install_program(name);
}

/* ---- telling which call it was ---- */

static bool process_ends;

static void on_call(int signal_number, siginfo_t *info, void *context)
{
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    (void)signal_number;
    if (__atomic_load_n(&process_ends, __ATOMIC_RELAXED) && info->si_syscall == SYS_fstat) {
        registers[REG_RAX] = -EACCES;
        return;
    }
    expect_say("system call %d(%#llx, %#llx, %#llx) at %p is none of the eight\n", info->si_syscall,
               (unsigned long long)registers[REG_RDI], (unsigned long long)registers[REG_RSI],
               (unsigned long long)registers[REG_RDX], info->si_call_addr);
    _exit(FILTER_BROKEN);
}

void filter_watch(void)
{
    struct sigaction action = {.sa_sigaction = on_call, .sa_flags = SA_SIGINFO};
    sigaction(SIGSYS, &action, NULL);
}

void filter_process_ends(void)
{
    __atomic_store_n(&process_ends, true, __ATOMIC_RELAXED);
}
