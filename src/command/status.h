/* status.h - moat status */
#ifndef MOAT_COMMAND_STATUS_H
#define MOAT_COMMAND_STATUS_H

/* `arguments` begin behind "status" and end with NULL. Answers the exit status, or ends with a line. */
int status_command(char **arguments);

#endif
