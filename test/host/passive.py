#!/usr/bin/env python3
"""Beside a program's own malloc Moat is passive: the program behaves as without it.

    passive.py --library FILE --fixtures FOLDER --work PROGRAM --command MOAT

Each program is run without the library and with it; what it prints must be the same, so a block that came from one heap and
went to another ends it. Passive is said in one line with verbose=1, in the figures at exit and by `moat status`. Programs
without a malloc of their own are not passive. One that replaces two C++ operators is not either: its other forms of them are
the C++ library's, which call those two; malloc is Moat's.
"""
import argparse
import json
import os
import subprocess

from host import Host

OPERATORS = "C++ operators of the program's own"
PASSIVE = "passive, another malloc comes first"
# A program that takes and gives back, for the shell.
GROW = "text=; i=0; while [ $i -lt 1500 ]; do text=$text$i; i=$((i + 1)); done; echo ${#text}"


def expect_passive(host, name, run, said):
    """`run` takes the options and answers an Outcome."""
    control = run(None)
    host.expect("%s: the program itself works" % name, control.status == 0 and not control.err, control)
    quiet = run("")
    host.expect("%s: the same with the library, and not a word" % name,
                (quiet.status, quiet.out, quiet.err) == (0, control.out, ""), quiet)
    counted = run("stats=1")
    host.expect("%s: it is counted, and nothing else is" % name,
                counted.stats and set(counted.stats) == {PASSIVE} and not counted.said, counted)
    host.expect("%s: no protection is called on" % name, "on" not in [line.split()[-1] for line in counted.err.splitlines()],
                counted)
    loud = run("verbose=1")
    host.expect("%s: one line says so" % name, loud.status == 0 and
                loud.said == ["moat: passive, nothing is protected: another malloc comes first, in " + said], loud)
    host.show(name, counted, [PASSIVE])


def expect_shown(host, command, heap):
    """`moat status` tells it of a process that runs."""
    environment = dict(os.environ, LD_PRELOAD=heap + ":" + host.library)
    with subprocess.Popen(["/bin/bash", "-c", "echo here; read word"], env=environment, stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        outcome = host.run([command, "status", "--json", str(process.pid)], preload=False)
        process.stdin.close()
    host.expect("moat status calls it passive", outcome.status == 0 and json.loads(outcome.out)["mode"] == "passive", outcome)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--library", required=True)
    parser.add_argument("--fixtures", required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--command", required=True)
    given = parser.parse_args()
    host = Host(given.library)

    def fixture(name):
        return os.path.join(given.fixtures, name)

    for name in ("pair", "pair.old_hash", "pair.no_pie", "partial", "family"):
        program = fixture("test.host.passive." + name)
        expect_passive(host, name, lambda options: host.run([program], options=options, preload=options is not None),
                       "the program")

    control = host.run([fixture("test.host.passive.operators")], preload=False)
    outcome = host.run([fixture("test.host.passive.operators")])
    host.expect("operators: the program itself works", control.status == 0, control)
    host.expect("operators: the same with the library", outcome.out == control.out, outcome)
    host.expect_good("operators", outcome, [OPERATORS, "pages opened"], [PASSIVE])
    host.show("operators", outcome, [OPERATORS, "pages opened"])

    # Another preloaded malloc in front of Moat, and behind it.
    heap = fixture("libtest.host.passive.heap.so")
    expect_passive(host, "another preloaded malloc in front",
                   lambda options: host.run(["/bin/bash", "-c", GROW], options=options,
                                            preload=heap if options is None else heap + ":" + given.library), heap)
    expect_shown(host, given.command, heap)
    outcome = host.run([given.work, "alone"], preload=given.library + ":" + heap)
    host.expect_good("another preloaded malloc behind", outcome, ["pages opened"], [PASSIVE])
    host.show("another preloaded malloc behind", outcome, ["pages opened", PASSIVE])

    # Static programs: the preload does not reach them; linked in, Moat finds no loader and serves.
    for name in ("own", "own.pie"):
        outcome = host.run([fixture("test.host.passive.static." + name)])
        host.expect("static, %s: as ever" % name, outcome.status == 0 and not outcome.err, outcome)
    for name in ("moat", "moat.pie"):
        outcome = host.run([fixture("test.host.passive.static." + name)], preload=False)
        host.expect_good("static, %s: served" % name, outcome, ["pages opened"], [PASSIVE])
        host.show("static, %s" % name, outcome, ["pages opened", PASSIVE])

    outcome = host.run([given.work, "alone"])
    host.expect_good("an ordinary program", outcome, ["pages opened"], [PASSIVE, OPERATORS])
    host.done()


main()
