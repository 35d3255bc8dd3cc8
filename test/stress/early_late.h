/* Between early_late_preload.c and its library. */
#ifndef TEST_STRESS_EARLY_LATE_H
#define TEST_STRESS_EARLY_LATE_H

#include <string.h>
#include <unistd.h>

/* One line on standard output for each stage, without stdio, which may not be ready yet or not be any more. */
static inline void early_late_say(const char *stage)
{
    char line[64] = {0};
    strncpy(line, stage, sizeof line - 2);
    size_t length = strlen(line);
    line[length] = '\n';
    if (write(STDOUT_FILENO, line, length + 1) < 0)
        _exit(3);
}

static inline void early_late_fail(const char *stage)
{
    early_late_say("FAILED");
    early_late_say(stage);
    _exit(1);
}

void early_late_check_library(void);

#endif
