/* say.c - see say.h. */
#include "say.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* In one piece, so that lines of other processes do not come between; names with newlines stay on the line. */
__attribute__((format(printf, 1, 0))) static void say(const char *format, va_list arguments)
{
    char line[8192] = "moat: ";
    size_t used = strlen(line);

    int length = vsnprintf(line + used, sizeof line - used - 1, format, arguments);
    if (length > 0)
        used = (size_t)length < sizeof line - used - 1 ? used + (size_t)length : sizeof line - 2;
    for (size_t i = 0; i < used; i++) {
        if ((unsigned char)line[i] < ' ')
            line[i] = '?';
    }
    line[used] = '\n';
    fwrite(line, 1, used + 1, stderr);
}

void say_line(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say(format, arguments);
    va_end(arguments);
}

void say_refusal(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say(format, arguments);
    va_end(arguments);
    exit(EXIT_REFUSED);
}

void say_output_is_done(void)
{
    if (fflush(stdout) != 0 || ferror(stdout))
        say_refusal("the output could not be written: %s", strerror(errno));
}
