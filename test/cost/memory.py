#!/usr/bin/env python3
"""What blocks cost beside their own bytes: the heap's own memory, and what growing them moves.

    memory.py metadata --program FILE --library FILE --empty FILE
    memory.py growth   --program FILE --library FILE

metadata: anonymous memory in the mappings that hold no block, while 256 MiB of blocks are live: records, states, magazines,
the library's own data. What the same program has with an empty library and without blocks is taken off.
growth: a string and a vector that grow in small steps. The bytes copied are the old sizes at each change of address up to
1 MiB. Above, pages are to be moved, and nothing copied: a copy would touch each page anew, and page faults beyond one for
each page that is new are counted.

Both without huge pages. Ceilings: the rows `metadata` and `growth` of ceilings.txt. The exit status is 1 if one was passed.
"""
import argparse
import os
import re
import subprocess
import sys

from ceilings import Ceilings

LIVE_MIB = 256
SIZES = [64, 256, 1024]


def run(given, library, *arguments):
    environment = dict(os.environ, LD_PRELOAD=library)
    environment.pop("MOAT_OPTIONS", None)
    done = subprocess.run([given.program, *map(str, arguments)], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True)
    if done.returncode != 0 or "cannot be preloaded" in done.stderr:
        sys.exit("memory.py: %s %s with %s ended with %d\n%s" % (given.program, arguments, library, done.returncode, done.stderr))
    return {name: int(number) for name, number in re.findall(r"^(.+): (\d+)$", done.stdout, re.M)}


def check_metadata(given, ceilings):
    control = run(given, given.empty, "metadata", SIZES[0], 0)["metadata"]
    for size in SIZES:
        found = run(given, given.library, "metadata", size, LIVE_MIB)
        ceilings.judge("metadata.%d" % size, found["metadata"] - control, "KiB for %d MiB of blocks" % LIVE_MIB,
                       "%d KiB of rounding in their pages" % found["rounding"])


def check_growth(given, ceilings):
    string, vector = run(given, given.library, "string"), run(given, given.library, "vector")
    ceilings.judge("growth.string.moves", string["moves"], "moves, 1 byte to 64 KiB by 16")
    ceilings.judge("growth.string.copied", string["copied"], "bytes copied by these")
    ceilings.judge("growth.vector.moves", vector["moves"], "moves, 4 KiB to 1 MiB by 4 KiB")
    ceilings.judge("growth.vector.copied", vector["copied"], "bytes copied by these")
    ceilings.judge("growth.large.moves", vector["large moves"], "moves, 1 MiB to 256 MiB by 4 KiB")
    ceilings.judge("growth.large.faults", vector["large faults"], "page faults beyond the new pages")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["metadata", "growth"])
    parser.add_argument("--program", required=True)
    parser.add_argument("--library", required=True)
    parser.add_argument("--empty")
    given = parser.parse_args()
    ceilings = Ceilings(given.what, os.path.realpath(given.library))
    {"metadata": check_metadata, "growth": check_growth}[given.what](given, ceilings)
    sys.exit(0 if ceilings.finish() else 1)


main()
