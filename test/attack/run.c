/* See run.h. The child calls malloc and free by their ordinary names with the library under test preloaded. */
#include "run.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <ucontext.h>

extern char **environ;
extern const char __executable_start[], etext[]; /* NOLINT: the linker's names */

enum { CPU_SECONDS_MOST = 20 };

const char *const verdict_names[VERDICTS] = {"stopped", "faulted",    "harmless", "reused",
                                             "success", "not set up", "accident"};

/* ---- the child ---- */

/* Whose access was it? The attack program's own text is one range; the heap and what it calls lie elsewhere. */
static void on_fault(int number, siginfo_t *information, void *context)
{
    uintptr_t at = (uintptr_t)((const ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
    (void)number;
    if (is_filling())
        win("a block where no memory is", information->si_addr);
    bool is_own = at >= (uintptr_t)__executable_start && at < (uintptr_t)etext;
    _exit(is_own ? ENDED_OWN_FAULT : ENDED_HEAP_FAULT);
}

static void catch_faults(void)
{
    static char stack[1 << 14];
    stack_t other = {.ss_sp = stack, .ss_size = sizeof stack};
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigaltstack(&other, NULL);
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
}

/* dladdr and not dlsym: the address that this program's own calls go to. */
static bool is_bound_to(const char *library)
{
    Dl_info information;
    char bound[PATH_MAX], wanted[PATH_MAX];
    if (dladdr(launder((const void *)(uintptr_t)&malloc), &information) == 0)
        return false;
    return realpath(information.dli_fname, bound) != NULL && realpath(library, wanted) != NULL &&
           strcmp(bound, wanted) == 0;
}

int run_child(const struct attack_case *attack, char *const argv[])
{
    struct aim aim = {
        .size = strtoull(argv[3], NULL, 10),
        .run = (unsigned)strtoul(argv[4], NULL, 10),
        .style = (enum style)strtoul(argv[5], NULL, 10),
    };
    /* A heap that was turned against itself may loop. */
    struct rlimit cpu = {CPU_SECONDS_MOST, CPU_SECONDS_MOST};
    setrlimit(RLIMIT_CPU, &cpu);
    death_leave_no_core();
    if (argv[6][0] != '\0' && !is_bound_to(argv[6]))
        return ENDED_NOT_BOUND;
    catch_faults();
    attack->run(&aim);
    finish();
}

/* ---- the driver ---- */

static void child_environment(const char *library, char **environment, size_t most, char *preload, size_t preload_most)
{
    size_t count = 0;
    for (char **entry = environ; *entry != NULL && count < most - 2; entry++) {
        if (strncmp(*entry, "LD_PRELOAD=", 11) != 0)
            environment[count++] = *entry;
    }
    if (library != NULL) {
        snprintf(preload, preload_most, "LD_PRELOAD=%s", library);
        environment[count++] = preload;
    }
    environment[count] = NULL;
}

static pid_t spawn(char *const argv[], const char *library, int stderr_end, int report_end)
{
    static char *environment[4096];
    static char preload[PATH_MAX + 16];
    posix_spawn_file_actions_t actions;
    pid_t pid = -1;
    child_environment(library, environment, sizeof environment / sizeof environment[0], preload, sizeof preload);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, stderr_end, STDERR_FILENO);
    posix_spawn_file_actions_adddup2(&actions, report_end, REPORT_DESCRIPTOR);
    int error = posix_spawn(&pid, "/proc/self/exe", &actions, NULL, argv, environment);
    posix_spawn_file_actions_destroy(&actions);
    if (error != 0) {
        fprintf(stderr, "attack: cannot start a child: %s\n", strerror(error));
        exit(2);
    }
    return pid;
}

/* Both ends close at exec, and lie above the numbers that the child's ends get. */
static void open_pipe(int ends[2])
{
    int low[2];
    if (pipe2(low, O_CLOEXEC) != 0) {
        fprintf(stderr, "attack: cannot make a pipe: %s\n", strerror(errno));
        exit(2);
    }
    for (int i = 0; i < 2; i++) {
        ends[i] = fcntl(low[i], F_DUPFD_CLOEXEC, 10);
        close(low[i]);
    }
}

static const char *const kinds[] = {
    "double free", "interior pointer", "never allocated block", "stale pointer",         "foreign pointer",
    "wrong size",  "wrong alignment",  "corrupted free list",   "corrupted remote list", "corrupted page",
};

/* `moat: KIND in FUNCTION(): 0xADDR (DETAIL), thread TID`, and nothing after it. NULL, or the kind. */
static const char *kind_of_line(const struct death *death)
{
    char function[40], detail[40];
    unsigned long long address;
    const char *text = death->text;
    int end = 0, thread;
    if (strncmp(text, "moat: ", 6) != 0)
        return NULL;
    text += 6;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        size_t length = strlen(kinds[i]);
        if (strncmp(text, kinds[i], length) == 0 &&
            sscanf(text + length, " in %39[]a-z_ [](): 0x%llx (%39[a-z0-9 ]), thread %d%n", function, &address, detail,
                   &thread, &end) == 4 &&
            strcmp(text + length + end, "\n") == 0 && death->length == (size_t)(text + length + end + 1 - death->text))
            return kinds[i];
    }
    return NULL;
}

static enum verdict judge(struct outcome *outcome, bool is_control)
{
    const struct death *death = &outcome->death;
    outcome->kind = kind_of_line(death);
    /* Another heap says it in other words, or says something and goes on. */
    if (death_is_by(death, SIGABRT) && (outcome->kind != NULL || is_control))
        return STOPPED;
    if (death->hung || !WIFEXITED(death->status))
        return ACCIDENT;
    switch (WEXITSTATUS(death->status)) {
    case ENDED_LOST:
        return death->length == 0 || is_control ? HARMLESS : ACCIDENT;
    case ENDED_WON:
        return SUCCESS;
    case ENDED_REUSED:
        return REUSED;
    case ENDED_NOT_SET_UP:
        return NOT_SET_UP;
    case ENDED_OWN_FAULT:
        return FAULTED;
    default:
        return ACCIDENT;
    }
}

struct outcome run_once(const struct attack_case *attack, const struct aim *aim, const struct library *library,
                        bool is_control)
{
    struct outcome outcome;
    int errors[2], reports[2];
    char size[32], run[32], style[32];
    snprintf(size, sizeof size, "%zu", aim->size);
    snprintf(run, sizeof run, "%u", aim->run);
    snprintf(style, sizeof style, "%d", (int)aim->style);
    const char *arguments[] = {
        "attack", "--child", attack->name, size, run, style, library->file != NULL ? library->file : "", NULL,
    };
    char *argv[sizeof arguments / sizeof arguments[0]];
    memcpy(argv, arguments, sizeof argv);

    memset(&outcome, 0, sizeof outcome);
    open_pipe(errors);
    open_pipe(reports);
    pid_t pid = spawn(argv, library->file, errors[1], reports[1]);
    close(errors[1]);
    close(reports[1]);
    death_collect(pid, errors[0], &outcome.death);
    if (read(reports[0], &outcome.report, sizeof outcome.report) != sizeof outcome.report)
        memset(&outcome.report, 0, sizeof outcome.report);
    outcome.report.text[REPORT_TEXT_MAX - 1] = '\0';
    close(errors[0]);
    close(reports[0]);
    outcome.verdict = judge(&outcome, is_control);
    return outcome;
}
