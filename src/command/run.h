/* run.h - moat run */
#ifndef MOAT_COMMAND_RUN_H
#define MOAT_COMMAND_RUN_H

/* `arguments` begin behind "run" and end with NULL. Becomes the program, or ends with a line. */
_Noreturn void run_command(char **arguments);

#endif
