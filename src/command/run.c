/* run.c - see run.h: prepares the environment and becomes the program, so that its exit status is the program's own. */
#include "run.h"

#include "preload.h"
#include "program.h"
#include "say.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OPTIONS_MAX = 64 };

struct wish {
    const char *library;
    bool is_required;
    char *option[OPTIONS_MAX];
    size_t options;
};

static const char help[] =
    "usage: moat run [--plain] [--require] [--option KEY=VALUE]... [--] PROGRAM [ARGUMENT]...\n"
    "\n"
    "Runs PROGRAM on Moat's heap, by LD_PRELOAD. The exit status is PROGRAM's.\n"
    "\n"
    "  --plain             libmoat.so, without protections, instead of libmoat-secure.so\n"
    "  --require           do not run a program that Moat will not be the heap of\n"
    "  -o, --option K=V    one of MOAT_OPTIONS, as often as wanted (the last of a key wins)\n"
    "  -h, --help          this text\n"
    "\n"
    "moat-run(1) tells which programs cannot be helped; each is said in a line. Exit status 2: nothing was run.\n";

static void take_option(struct wish *wish, char *option)
{
    if (!option)
        say_refusal("--option wants KEY=VALUE behind it");
    preload_check_option(option);
    if (wish->options == OPTIONS_MAX)
        say_refusal("there are more than %d options", OPTIONS_MAX);
    wish->option[wish->options++] = option;
}

/* Answers where the program begins. */
static char **read_wish(struct wish *wish, char **argument)
{
    for (; *argument && **argument == '-'; argument++) {
        if (strcmp(*argument, "--") == 0) {
            argument++;
            break;
        } else if (strcmp(*argument, "--plain") == 0) {
            wish->library = "libmoat.so." MOAT_SO_NUMBER;
        } else if (strcmp(*argument, "--require") == 0) {
            wish->is_required = true;
        } else if (strcmp(*argument, "-o") == 0 || strcmp(*argument, "--option") == 0) {
            take_option(wish, *++argument);
        } else if (strncmp(*argument, "--option=", 9) == 0) {
            take_option(wish, *argument + 9);
        } else if (strcmp(*argument, "-h") == 0 || strcmp(*argument, "--help") == 0) {
            fputs(help, stdout);
            say_output_is_done();
            exit(0);
        } else {
            say_refusal("run has no option %s (known: --plain, --require, --option, --help)", *argument);
        }
    }
    if (!*argument)
        say_refusal("run wants a program (moat run --help)");
    return argument;
}

_Noreturn void run_command(char **arguments)
{
    struct wish wish = {.library = "libmoat-secure.so." MOAT_SO_NUMBER};
    char library[PATH_MAX], path[PATH_MAX];

    arguments = read_wish(&wish, arguments);
    preload_find_library(wish.library, library);
    program_find(arguments[0], path);
    preload_set_options(wish.option, wish.options);

    enum program_reach reach = program_reach(arguments[0], path);
    bool has_rival = reach == REACH_FULL && preload_has_rival();
    if (wish.is_required && (reach != REACH_FULL || has_rival))
        say_refusal("%s was not run, since --require was given", arguments[0]);
    preload_set(reach == REACH_UNBEARABLE ? NULL : library);

    execvp(path, arguments);
    say_refusal("%s cannot be run: %s", arguments[0], strerror(errno));
}
