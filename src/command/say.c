/* say.c - see say.h. */
#include "say.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_BYTES = 8192, ESCAPE_BYTES = 4 }; /* the latter: \xNN */

size_t say_plainly(const char *text, size_t length, char *plain, size_t room)
{
    size_t used = 0;
    for (size_t i = 0; i < length && used + ESCAPE_BYTES < room; i++) {
        if (text[i] >= ' ' && text[i] <= '~')
            plain[used++] = text[i];
        else
            used += (size_t)snprintf(plain + used, room - used, "\\x%02x", (unsigned char)text[i]);
    }
    plain[used] = '\0';
    return used;
}

/* In one piece, so that lines of other processes do not come between. */
__attribute__((format(printf, 1, 0))) static void say(const char *format, va_list arguments)
{
    static const char name[] = "moat: ";
    char text[TEXT_BYTES], line[sizeof name + ESCAPE_BYTES * sizeof text];

    int length = vsnprintf(text, sizeof text, format, arguments);
    if (length < 0)
        length = 0;
    else if ((size_t)length >= sizeof text)
        length = sizeof text - 1;
    memcpy(line, name, sizeof name);
    size_t used = strlen(name);
    used += say_plainly(text, (size_t)length, line + used, sizeof line - used - 1);
    line[used++] = '\n';
    fwrite(line, 1, used, stderr);
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
