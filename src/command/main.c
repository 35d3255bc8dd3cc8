/* main.c - moat(1): run puts Moat under a program, status looks into a process, help tells of both.
 *
 * The command is a program of its own: of Moat it uses the header moat_state.h and links nothing.
 */
#include "run.h"
#include "say.h"
#include "status.h"

#include <stdio.h>
#include <string.h>

static const char help[] =
    "usage: moat run [OPTION]... PROGRAM [ARGUMENT]...    run a program on Moat's heap\n"
    "       moat status [--json] PID                      say what Moat does in a process\n"
    "       moat --version\n"
    "       moat --help\n"
    "       moat help [run | status]                      the same, and what --help of a command prints\n"
    "\n"
    "moat run --help and moat status --help tell more, moat(1) and moat(7) the rest.\n";

static int print(const char *text)
{
    fputs(text, stdout);
    say_output_is_done();
    return 0;
}

static int start(const char *command, char **arguments)
{
    if (strcmp(command, "run") == 0)
        run_command(arguments);
    if (strcmp(command, "status") == 0)
        return status_command(arguments);
    say_refusal("there is no command \"%s\", only run, status and help (moat --help)", command);
}

int main(int count, char **arguments)
{
    if (count < 2)
        say_refusal("a command is wanted: run, status or help (moat --help)");
    const char *command = arguments[1];
    bool is_help = strcmp(command, "help") == 0;
    if (is_help && count == 3)
        return start(arguments[2], (char *[]){(char[]){"--help"}, NULL});
    if (!is_help && strcmp(command, "--help") != 0 && strcmp(command, "-h") != 0 && strcmp(command, "--version") != 0)
        return start(command, arguments + 2);
    if (count > 2)
        say_refusal("%s takes nothing behind it, and got \"%s\"", is_help ? "help COMMAND" : command,
                    arguments[is_help ? 3 : 2]);
    return print(strcmp(command, "--version") == 0 ? "moat " MOAT_COMMAND_VERSION "\n" : help);
}
