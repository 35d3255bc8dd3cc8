/* say.h - what the command says on stderr: always one line, always with its name in front. */
#ifndef MOAT_COMMAND_SAY_H
#define MOAT_COMMAND_SAY_H

#include <stdbool.h>
#include <stddef.h>

enum exit_status {
    EXIT_MOAT = 0,    /* status: the process has Moat */
    EXIT_NO_MOAT = 1, /* status: it has none */
    EXIT_REFUSED = 2, /* nothing was done, and the line says why */
};

/* "moat: ..." and the end with EXIT_REFUSED. */
_Noreturn void say_refusal(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* "moat: ...", and on. */
void say_line(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* After all that goes to stdout: a full disk or a closed pipe is a refusal too. */
void say_output_is_done(void);

#endif
