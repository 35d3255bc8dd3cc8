/* See run.h. The child gets its stderr and its report through pipes; everything else of the driver closes at exec. */
#include "run.h"

#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>

extern char **environ;

/* The driver's environment with the library preloaded. */
static char **child_environment(const char *library)
{
    static char *environment[4096];
    static char preload[PATH_MAX + 16];
    size_t count = 0;
    for (char **entry = environ; *entry != NULL && count < sizeof environment / sizeof environment[0] - 2; entry++) {
        if (strncmp(*entry, "LD_PRELOAD=", 11) != 0)
            environment[count++] = *entry;
    }
    if (library != NULL) {
        snprintf(preload, sizeof preload, "LD_PRELOAD=%s", library);
        environment[count++] = preload;
    }
    environment[count] = NULL;
    return environment;
}

static pid_t spawn(char *const argv[], const char *library, int stderr_end, int report_end)
{
    static char **environment;
    posix_spawn_file_actions_t actions;
    pid_t pid = -1;
    if (environment == NULL)
        environment = child_environment(library);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, stderr_end, STDERR_FILENO);
    posix_spawn_file_actions_adddup2(&actions, report_end, REPORT_DESCRIPTOR);
    int error = posix_spawn(&pid, "/proc/self/exe", &actions, NULL, argv, environment);
    posix_spawn_file_actions_destroy(&actions);
    if (error != 0) {
        fprintf(stderr, "death: cannot start a child: %s\n", strerror(error));
        exit(2);
    }
    return pid;
}

/* Both ends close at exec, and both lie above the numbers that the child's ends get. */
static void open_pipe(int ends[2])
{
    int low[2];
    if (pipe2(low, O_CLOEXEC) != 0)
        exit(2);
    for (int i = 0; i < 2; i++) {
        ends[i] = fcntl(low[i], F_DUPFD_CLOEXEC, 10);
        close(low[i]);
    }
}

struct outcome run_once(const struct death_case *death_case, const struct subject *subject, const char *library)
{
    struct outcome outcome;
    int errors[2], reports[2];
    char size[32], run[32];
    snprintf(size, sizeof size, "%zu", subject->size);
    snprintf(run, sizeof run, "%u", subject->run);
    const char *arguments[] = {
        "death", "--child", death_case->name, size, run, subject->misuse ? "1" : "0", library != NULL ? library : "",
        NULL,
    };
    char *argv[sizeof arguments / sizeof arguments[0]];
    memcpy(argv, arguments, sizeof argv);

    memset(&outcome, 0, sizeof outcome);
    open_pipe(errors);
    open_pipe(reports);
    pid_t pid = spawn(argv, library, errors[1], reports[1]);
    close(errors[1]);
    close(reports[1]);
    death_collect(pid, errors[0], &outcome.death);
    outcome.reported = read(reports[0], &outcome.report, sizeof outcome.report) == sizeof outcome.report;
    close(errors[0]);
    close(reports[0]);
    return outcome;
}
