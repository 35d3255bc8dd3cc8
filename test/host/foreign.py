#!/usr/bin/env python3
"""Pointers of another heap: modules that RTLD_DEEPBIND or dlmopen binds to a malloc that is not Moat's.

    foreign.py --library FILE --program PROGRAM --module FILE

Such a module works as ever by itself. When the program frees, deletes, resizes or asks for the size of a block of the
module's: with foreign=enforce it ends with the line; with leak nothing is done, and that is said and counted; with pass the C
library gets what is to be freed or resized. Leaking ever more blocks says so ever less often, and counts them all.
"""
import argparse
import re
import signal

from host import Host

IGNORED, PASSED = "foreign pointers ignored", "foreign pointers passed on"
LINE = re.compile(r"^moat: foreign pointer in ([\w ]+)\(\): 0x[0-9a-f]+, ignored$")
LOWERED = "moat: option foreign: frees of foreign pointers are not fatal"
FUNCTIONS = {"free": "free", "delete": "operator delete", "realloc": "realloc", "usable": "malloc_usable_size"}
MANY, ALWAYS = 1000, 100
GOES_ON = "the program goes on\n"


def ignored(outcome):
    """The functions of the lines about ignored pointers; None if anything else is said."""
    lines = [line for line in outcome.said if line != LOWERED]
    found = [LINE.match(line) for line in lines]
    return [match.group(1) for match in found] if all(found) else None


def enforce(host, run, kind, action, function):
    outcome = run(action, "foreign=enforce")
    host.expect("%s, %s, enforce: the line and the end" % (kind, action), outcome.status == -signal.SIGABRT and
                len(outcome.said) == 1 and outcome.said[0].startswith("moat: foreign pointer in %s(): 0x" % function) and
                " (unknown), thread " in outcome.said[0], outcome)


def leak(host, run, kind, action, function):
    outcome = run(action, "foreign=leak:stats=1")
    host.expect("%s, %s, leak: one line, and it goes on" % (kind, action), outcome.status == 0 and
                ignored(outcome) == [function] and outcome.out.endswith(GOES_ON), outcome)
    host.expect("%s, %s, leak: counted once" % (kind, action), outcome.stats.get(IGNORED) == 1, outcome)
    wanted = {"realloc": "realloc: none, errno 12, contents 7\n", "usable": "malloc_usable_size: 0\n"}.get(action, "")
    host.expect("%s, %s, leak: nothing was done" % (kind, action), outcome.out == wanted + GOES_ON, outcome)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--library", required=True)
    parser.add_argument("--program", required=True)
    parser.add_argument("--module", required=True)
    given = parser.parse_args()
    host = Host(given.library)

    for kind in ("deepbind", "namespace"):
        def run(action, options, kind=kind, **more):
            return host.run([given.program, kind, given.module, action], options=options, **more)

        outcome = run("work", "stats=1:foreign=enforce")
        host.expect("%s: the module works by itself" % kind,
                    outcome.status == 0 and outcome.out == "the module's work: 0\n" + GOES_ON, outcome)
        host.expect_good("%s: the module by itself" % kind, outcome, ["pages opened"], [IGNORED, PASSED])
        for action, function in FUNCTIONS.items():
            enforce(host, run, kind, action, function)
            leak(host, run, kind, action, function)

        outcome = run("many", "foreign=leak:stats=1")
        lines = ignored(outcome)
        host.expect("%s: %d leaked, all counted, said at each of the first %d and at each doubling" % (kind, MANY, ALWAYS),
                    outcome.status == 0 and outcome.stats.get(IGNORED) == MANY and lines == ["free"] * (ALWAYS + 3), outcome)
        host.show("%s, many" % kind, outcome, [IGNORED])

    # What the C library makes on behalf of a deep-bound module comes from Moat all the same: the program may free it. The module
    # must not, since its free is the C library's; nothing can be done about that from here.
    outcome = host.run([given.program, "deepbind", given.module, "text"], options="stats=1:foreign=enforce")
    host.expect_good("deepbind: a text of strdup", outcome, ["pages opened"], [IGNORED, PASSED])

    # The default of each build.
    outcome = host.run([given.program, "deepbind", given.module, "free"], options="")
    if host.is_secure:
        host.expect("the default ends the program", outcome.status == -signal.SIGABRT, outcome)
    else:
        host.expect("the default leaks", outcome.status == 0 and ignored(outcome) == ["free"], outcome)

    # Handed to the C library, whose blocks they are where there is only one C library. A size is not asked for there.
    for action in ("free", "delete", "realloc", "many"):
        outcome = host.run([given.program, "deepbind", given.module, action], options="foreign=pass:stats=1")
        count = {"realloc": 2, "many": MANY}.get(action, 1)
        wanted = "realloc: a block, errno 0, contents 7\n" if action == "realloc" else ""
        host.expect("%s, pass: done, not a word, and counted" % action, outcome.status == 0 and
                    outcome.out == wanted + GOES_ON and ignored(outcome) == [] and
                    outcome.stats.get(PASSED) == count and IGNORED not in outcome.stats, outcome)
        host.show("%s, pass" % action, outcome, [PASSED])
    host.done()


main()
