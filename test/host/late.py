#!/usr/bin/env python3
"""The library is loaded late, or where thread storage is scarce.

    late.py --library FILE --program PROGRAM --small FILE --large FILE

Loaded by dlopen or dlmopen it comes behind the C library, so it is passive: its functions and the program's work on one heap.
The loader may refuse it for want of static thread storage, like any library that takes some, and the program goes on. Preloaded,
it takes at most 64 bytes of that storage from others.
"""
import argparse
import os
import re
import shutil
import tempfile

from host import Host

PASSIVE = "passive, another malloc comes first"
COPIES = 150


def figure(outcome, name):
    found = re.search(r"^%s: (\d+)$" % name, outcome.out, re.M)
    return int(found.group(1)) if found else -1


def main():
    parser = argparse.ArgumentParser()
    for name in ("--library", "--program", "--small", "--large"):
        parser.add_argument(name, required=True)
    given = parser.parse_args()
    host = Host(given.library)

    for how in ("local", "global", "deepbind", "namespace"):
        outcome = host.run([given.program, how, given.library], preload=False)
        host.expect("%s: loaded" % how, figure(outcome, "loaded") == 1, outcome)
        host.expect_good(how, outcome, [PASSIVE], ["pages opened"])
        host.show(how, outcome, [PASSIVE])

    # A second copy beside a first one that serves: the second hands everything to the first.
    with tempfile.TemporaryDirectory() as folder:
        second = os.path.join(folder, "libsecond.so")
        shutil.copy(given.library, second)
        outcome = host.run([given.program, "namespace", second])
        host.expect("a second copy: loaded", figure(outcome, "loaded") == 1, outcome)
        host.expect_good("a second copy", outcome, ["pages opened"])
        host.show("a second copy", outcome, ["pages opened", PASSIVE])

        def copies(path):
            """A loader maps a file once, so each filler is a file of its own."""
            for number in range(COPIES):
                yield shutil.copy(path, os.path.join(folder, "%d-%s" % (number, os.path.basename(path))))

        for path, filler_bytes in ((given.small, 16), (given.large, 400)):
            fillers = list(copies(path))
            name = "room filled by %s" % os.path.basename(path)
            outcome = host.run([given.program, "local", given.library] + fillers, preload=False)
            alone = figure(outcome, "fillers")
            host.expect("%s: it does fill" % name, 0 < alone < COPIES, outcome)
            host.expect("%s: refused or passive, and the program goes on" % name, outcome.status == 0 and not outcome.said and
                        figure(outcome, "loaded") in (0, 1), outcome)
            print("%s: %d fit, then the library: %s" % (name, alone, "yes" if figure(outcome, "loaded") else "no"))
            outcome = host.run([given.program, "none", given.library] + fillers)
            host.expect("%s: a preloaded one takes 64 bytes at most" % name, outcome.status == 0 and not outcome.said and
                        (alone - figure(outcome, "fillers")) * filler_bytes <= 64, outcome)
            print("%s: beside a preloaded one %d fit" % (name, figure(outcome, "fillers")))
    host.done()


main()
