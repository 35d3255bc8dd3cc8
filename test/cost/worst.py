#!/usr/bin/env python3
"""The dearest single malloc or free without a system call, in instructions, for patterns that are made to be dear.

    worst.py --program FILE --library FILE

Each pattern (worst.c) runs alone and steps through its calls. Ceilings: the rows `worst` of ceilings.txt. Said beside each
count is how many steps it is for each block of a page of the smallest blocks: no call is to take more than some steps for
each block of one page. The exit status is 1 if a ceiling was passed, or if no call could be judged.
"""
import argparse
import os
import re
import subprocess
import sys

from ceilings import Ceilings

PATTERNS = ["churn", "fresh", "release", "collect", "drain", "cool", "end", "orphans"]
# One in some hundred calls may need the system; where most do, the pattern has missed what it is for.
LEAST_JUDGED = 0.9


def run(given, pattern):
    environment = dict(os.environ, LD_PRELOAD=given.library)
    environment.pop("MOAT_OPTIONS", None)
    done = subprocess.run([given.program, pattern], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0 or "cannot be preloaded" in done.stderr:
        sys.exit("worst.py: %s %s with %s ended with %d\n%s" % (given.program, pattern, given.library, done.returncode, done.stderr))
    return {name: int(number) for name, number in re.findall(r"^(.+): (\d+)$", done.stdout, re.M)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True)
    parser.add_argument("--library", required=True)
    given = parser.parse_args()
    given.library = os.path.realpath(given.library)
    ceilings = Ceilings("worst", given.library)
    good = True
    for pattern in PATTERNS:
        found = run(given, pattern)
        ceilings.judge("worst." + pattern, found["steps"], "steps",
                       "%.1f a block, %d elsewhere" % (found["steps"] / found["blocks of a page"], found["elsewhere"]))
        stepped = found["judged"] + found["with system calls"]
        if found["steps"] == 0 or found["judged"] < LEAST_JUDGED * stepped:
            print("  of %d calls only %d made no system call" % (stepped, found["judged"]))
            good = False
    sys.exit(0 if ceilings.finish() and good else 1)


main()
