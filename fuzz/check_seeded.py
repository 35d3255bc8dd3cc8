#!/usr/bin/env python3
"""Two promises about the seeded heap of the fuzz targets.

    check_seeded.py release --engine OBJECT... --control PROGRAM --door COMMAND --libraries FILE...
        Nothing of it is in what is shipped: no name that the engine defines, no section of its own, and the libraries' one door to the kernel
        really makes a system call. The control is a fuzz target, in which all that must be found. The door's source, compiled by COMMAND (a
        compiler and its flags), must be refused without the prefixed names.
    check_seeded.py same PROGRAM DIRECTORY
        An input alone decides what happens: every file, played in two processes, ends with the same words about the same addresses.
"""
import argparse
import re
import shlex
import subprocess
import sys

DOOR = "os_syscall"
SECTION = "moat_state_"
OWN_NAME = re.compile(r"(fuzz|door|trap|fresh|counts)_")
REFUSAL = "It is never part of a library that exports malloc"


def run(*command, may_fail=False):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0 and not may_fail:
        sys.exit("check_seeded.py: this failed: %s\n%s%s" % (shlex.join(command), done.stdout, done.stderr))
    return done


def defined_names(path, *options):
    """Also local ones: a library's hidden names are local."""
    return {line.split()[-1] for line in run("nm", "--defined-only", *options, path).stdout.splitlines() if len(line.split()) == 3}


def traces(path, names):
    """What of the engine is found in a file."""
    found = sorted(defined_names(path) & names)
    found += [word for word in run("readelf", "-SW", path).stdout.split() if word.startswith(SECTION)]
    return found


def check_library(path, names):
    wrong = ["%s has %s" % (path, name) for name in traces(path, names)]
    if DOOR not in defined_names(path):
        return wrong + ["%s does not show %s: strip it after this test, or nothing can be seen" % (path, DOOR)]
    code = run("objdump", "-d", "--disassemble=" + DOOR, path).stdout
    if not re.search(r"\bsyscall\b\s*$", code, re.M):
        wrong.append("%s: its %s makes no system call" % (path, DOOR))
    return wrong


def check_release(arguments):
    names = set()
    for path in arguments.engine:
        names |= defined_names(path, "--extern-only")
    # The other parts of the engine may have names that the heap has too.
    names = {name for name in names if OWN_NAME.match(name)}
    wrong = []
    if len(names) < 20 or len(traces(arguments.control, names)) < len(names):
        wrong.append("the control %s lacks names of the engine: this test sees nothing" % arguments.control)
    for path in arguments.libraries:
        wrong += check_library(path, names)
    command = shlex.split(arguments.door)
    refused = run(*command, may_fail=True)
    if refused.returncode == 0 or REFUSAL not in refused.stderr:
        wrong.append("the door was not refused without the prefixed names: %s" % shlex.join(command))
    return wrong, "%d libraries, %d names" % (len(arguments.libraries), len(names))


def comparable(text):
    """Without what the system chooses: numbers of threads, and where it put the program, its stacks and its other heap."""
    return re.sub(r"(foreign pointer in .*): 0x\w+", r"\1", re.sub(r"thread \d+", "thread", text))


def check_same(arguments):
    texts = [comparable(run(arguments.program, "--show", arguments.directory).stdout) for _ in range(2)]
    reports = texts[0].count("moat: ")
    wrong = []
    if reports == 0:
        wrong.append("no input of %s ends with a report: nothing was compared" % arguments.directory)
    for first, second in zip(texts[0].splitlines(), texts[1].splitlines()):
        if first != second:
            wrong.append("the same input, twice:\n  %s\n  %s" % (first, second))
    if len(texts[0].splitlines()) != len(texts[1].splitlines()):
        wrong.append("one run said more than the other")
    return wrong, "%d reports" % reports


def main():
    parser = argparse.ArgumentParser(description="Two promises about the seeded heap of the fuzz targets.")
    commands = parser.add_subparsers(required=True)
    release = commands.add_parser("release")
    release.add_argument("--engine", nargs="+", required=True)
    release.add_argument("--control", required=True)
    release.add_argument("--door", required=True)
    release.add_argument("--libraries", nargs="+", required=True)
    release.set_defaults(check=check_release)
    same = commands.add_parser("same")
    same.add_argument("program")
    same.add_argument("directory")
    same.set_defaults(check=check_same)
    arguments = parser.parse_args()
    wrong, seen = arguments.check(arguments)
    for line in wrong:
        print(line)
    print("%s, %d wrong" % (seen, len(wrong)))
    sys.exit(1 if wrong else 0)


main()
