/* option.h - what MOAT_OPTIONS may hold, known before a program starts.
 *
 * The library ignores an option that it does not know and says so in a line, which nobody may read: it never stops a
 * program. Whoever gives one to the command is there to read it, so the command refuses it. Keys, values and words are
 * those of src/options.c; test/command/check_run.py compares the two.
 */
#ifndef MOAT_COMMAND_OPTION_H
#define MOAT_COMMAND_OPTION_H

/* What is wrong with "key=value", in words that name what there is instead; NULL if it is good. */
const char *option_fault(const char *option);

#endif
