/* program.h - which file a name stands for, and whether a library preloaded for it will be its heap.
 *
 * For a script it is the interpreter that counts; `env NAME` is looked through, since that is how scripts name theirs. What
 * a program starts in its turn is not looked at.
 */
#ifndef MOAT_COMMAND_PROGRAM_H
#define MOAT_COMMAND_PROGRAM_H

#include <limits.h>
#include <stdbool.h>

enum program_reach {
    REACH_FULL,      /* Moat will be its heap */
    REACH_UNKNOWN,   /* cannot be said: the file cannot be read */
    REACH_NOT,       /* Moat will not be its heap; children that it starts may still have it */
    REACH_UNBEARABLE /* the preload would break it, or only make noise: it is taken away */
};

/* Where execvp finds `name`; ends the command with a line if nowhere. */
void program_find(const char *name, char path[PATH_MAX]);

/* What a preload does for the program at `path`. Unless that is REACH_FULL, says why in one line, which begins with
 * `name`. */
enum program_reach program_reach(const char *name, const char *path);

/* True if the library at `path` defines malloc itself. */
bool program_brings_malloc(const char *path);

#endif
