/* preload.h - the library beside this command, and the two variables of the environment that carry it. */
#ifndef MOAT_COMMAND_PRELOAD_H
#define MOAT_COMMAND_PRELOAD_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

/* The library `name` ("libmoat-secure.so.0") beside the command, or in the library folder of its prefix; ends the command
 * with a line if it is in neither, is none of Moat's, or lies where LD_PRELOAD cannot name it. */
void preload_find_library(const char *name, char path[PATH_MAX]);

/* Sets LD_PRELOAD to what it was, without libraries of Moat's, and `library` at the end (NULL: not). Other libraries come
 * first: what watches malloc hands on to the next one, and some insist on being first. */
void preload_set(const char *library);

/* Says which other preloaded library defines malloc itself, a line each; true if one does. */
bool preload_has_rival(void);

/* "key=value", as MOAT_OPTIONS can hold it and the library knows it; ends the command with a line if it is not. */
void preload_check_option(const char *option);
/* Puts the options behind what MOAT_OPTIONS holds, where they win. Ends the command if the library would not read it. */
void preload_set_options(char *const options[], size_t count);

#endif
