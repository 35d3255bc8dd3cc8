/* say.h - what the command says on stderr: always one line, always with its name in front, always plain.
 *
 * Names of files, lines of scripts and values of the environment may hold what a terminal takes for an order. Of such a text
 * everything but printable ASCII is shown as \xNN, also letters of other alphabets: which bytes are orders depends on the
 * terminal.
 */
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
/* Writes `length` bytes of `text` to `plain` in that way, as many as there is room for, and an end. Answers their length. */
size_t say_plainly(const char *text, size_t length, char *plain, size_t room);
/* After all that goes to stdout: a full disk or a closed pipe is a refusal too. */
void say_output_is_done(void);

#endif
