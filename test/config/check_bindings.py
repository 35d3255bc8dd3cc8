#!/usr/bin/env python3
"""Proves who answers malloc in a process, by what the loader bound and not by symbol tables.

    check_bindings.py --preload LIBRARY --exports FILE PROGRAM    PROGRAM runs with LIBRARY preloaded
    check_bindings.py --linked LIBRARY  --exports FILE PROGRAM    PROGRAM was linked with LIBRARY
    check_bindings.py --inside          --exports FILE PROGRAM    PROGRAM contains Moat (libmoat.a, moat.o)

A symbol table cannot tell: a version on malloc leaves a preloaded library without callers, while dlsym still finds it.
LD_DEBUG=bindings names, for each reference, the file that refers and the file that answers. Required is that
  - every reference to a name of the family, from any file of the process, is answered by Moat, and
  - libc refers to malloc, calloc, realloc and free, and so does the program, for which the loader looks them up when it wants
    memory itself; with --preload the program must refer to every name of the family.
With --preload the program runs once without, as a control: then none of it may be so.
"""
import argparse
import os
import re
import subprocess
import sys
import tempfile

LINE = re.compile(r"binding file (\S+) \[\d+\] to (\S+) \[\d+\]: \w+ symbol `([^']+)'")
INNER = ("malloc", "calloc", "realloc", "free")


def bindings(program, preload):
    """All (file, answering file, name) of one run; the program must succeed."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("LD_", "MOAT_"))}
    with tempfile.TemporaryDirectory() as folder:
        environment.update(LD_DEBUG="bindings", LD_BIND_NOW="1", LD_DEBUG_OUTPUT=os.path.join(folder, "log"))
        if preload:
            environment["LD_PRELOAD"] = preload
        run = subprocess.run([program], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if run.returncode != 0:
            sys.exit("%s ended with %d%s:\n%s" % (program, run.returncode, " under " + preload if preload else "",
                                                 run.stderr.decode(errors="replace")))
        text = "".join(open(os.path.join(folder, name)).read() for name in sorted(os.listdir(folder)))
    return [(os.path.realpath(a), os.path.realpath(b), name) for a, b, name in LINE.findall(text)]


def faults(found, family, moat, program, wants_all):
    """What speaks against Moat being the only heap of the process."""
    bad = ["%s of %s is answered by %s" % (name, file, answer)
           for file, answer, name in found if name in family and answer != moat]
    asked = {}
    for file, answer, name in found:
        if name in family and answer == moat:
            asked.setdefault(os.path.basename(file), set()).add(name)
    wanted = {"libc.so.6": set(INNER), os.path.basename(program): family if wants_all else set(INNER)}
    for file, names in wanted.items():
        bad += ["%s of %s is not answered by Moat" % (name, file) for name in sorted(names - asked.get(file, set()))]
    return bad


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--preload")
    parser.add_argument("--linked")
    parser.add_argument("--inside", action="store_true")
    parser.add_argument("--exports", required=True)
    parser.add_argument("program")
    given = parser.parse_args()
    if sum(map(bool, (given.preload, given.linked, given.inside))) != 1:
        parser.error("exactly one of --preload, --linked and --inside")

    family = {name for name in open(given.exports).read().split() if not name.startswith("moat_")}
    program = os.path.realpath(given.program)
    moat = os.path.realpath(given.preload or given.linked or given.program)

    if given.preload and not faults(bindings(program, None), family, moat, program, True):
        sys.exit("the control without Moat passed too: this test sees nothing")
    bad = faults(bindings(program, given.preload), family, moat, program, bool(given.preload))
    if bad:
        sys.exit("\n".join(bad))
    print("all references to the family are answered by %s" % moat)


main()
