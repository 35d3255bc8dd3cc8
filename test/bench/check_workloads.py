#!/usr/bin/env python3
"""Every workload of scripts/bench, very short, on glibc's heap and on each library: it must end well, say nothing on stderr, and
give the same operations and the same checksum.

    check_workloads.py --workloads FILE --launch FILE --containers FILE LIBRARY...

The checksum is made of what was read back from the blocks, so a block that two owners share changes it.
"""
import argparse
import os
import re
import subprocess
import sys
import tempfile

SCALE = "0.01"
SECONDS = "60"
FIGURES = 8
# The end of a row's line, of which a time or a size in memory is no matter of right and wrong.
ANSWER = re.compile(r"^(?:operations|checksum): .*$", re.M)


def run(given, library, command):
    """(what it printed, the figures that the launcher wrote)"""
    with tempfile.NamedTemporaryFile("r") as figures:
        done = subprocess.run([given.launch, figures.name, SECONDS, library or "-", *command], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, check=False,
                              env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"})
        if done.returncode != 0 or done.stderr:
            raise ValueError("ended with %d: %s" % (done.returncode, done.stderr.strip()))
        numbers = [int(word) for word in figures.read().split()]
    if len(numbers) != FIGURES or numbers[0] + numbers[1] <= 0 or numbers[3] < 500:
        raise ValueError("the launcher wrote %s" % numbers)
    return done.stdout, numbers


def answer_of(given, library, name):
    if name == "containers":
        return run(given, library, [given.containers, "1"])[0]
    return "\n".join(ANSWER.findall(run(given, library, [given.workloads, name, SCALE])[0]))


def main():
    parser = argparse.ArgumentParser()
    for option in ("--workloads", "--launch", "--containers"):
        parser.add_argument(option, required=True)
    parser.add_argument("libraries", nargs="+")
    given = parser.parse_args()
    faults = []
    for library in given.libraries:
        answers = run(given, library, [given.workloads, "--heap"])[0].strip()
        if os.path.realpath(answers) != os.path.realpath(library):
            faults.append("%s: its malloc is not called, but that of %s" % (library, answers))
    names = [line.split()[0] for line in run(given, None, [given.workloads, "--list"])[0].splitlines()] + ["containers"]
    for name in names:
        try:
            wanted = answer_of(given, None, name)
            if name != "containers" and not re.fullmatch(r"operations: [1-9]\d*\nchecksum: [0-9a-f]{16}", wanted):
                raise ValueError("on glibc's heap it answers %r" % wanted)
            for library in given.libraries:
                got = answer_of(given, library, name)
                if got != wanted:
                    raise ValueError("on %s it answers %r, and on glibc's heap %r" % (library, got, wanted))
        except ValueError as fault:
            faults.append("%s: %s" % (name, fault))
    for fault in faults:
        print("check_workloads: " + fault)
    print("%d workloads on %d libraries, %d faults" % (len(names), len(given.libraries), len(faults)))
    sys.exit(1 if faults else 0)


main()
