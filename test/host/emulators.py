#!/usr/bin/env python3
"""Under valgrind and under qemu-user.

    emulators.py --library FILE --work PROGRAM --dying PROGRAM --linked PROGRAM

valgrind puts its own malloc before all others, ours too, and finds what it always finds; told to leave ours alone
(--soname-synonyms=somalloc=nouserintercepts) it runs the heap itself. qemu-user answers 0 to any advice and does nothing, and
takes memory for addresses that are reserved: the cage is small there, guards are made by mprotect, and that children of clone
cannot be seen is counted.
"""
import argparse
import resource
import shutil
import signal
import sys

from host import Host

MIB = 1 << 20
UNSEEN = "forks that cannot be seen"
LOSSES = ["guards missing", "purges refused", "keys without the kernel's generator", "read-only page left writable"]
PACKAGES = {"valgrind": "valgrind", "qemu-x86_64": "qemu-user"}


def find(program):
    if shutil.which(program) is None:
        sys.exit("emulators.py: %s is missing; install the package %s" % (program, PACKAGES[program]))
    return program


def under_valgrind(host, given):
    valgrind = [find("valgrind"), "--quiet", "--error-exitcode=9"]
    ours = valgrind + ["--soname-synonyms=somalloc=nouserintercepts"]
    if "debuginfo reader" in host.run(valgrind + [given.dying, "now"], preload=False).err:
        print("skipped: valgrind (it cannot read the debug information that this compiler writes; gcc's it can)")
        return
    # Two processes come before the one that counts, each with a heap of its own that says nothing but its figures.
    for how, program, preload in (("preloaded", given.work, True), ("linked", given.linked, False)):
        outcome = host.run(valgrind + [program, "crew"], preload=preload)
        host.expect("%s, valgrind's own malloc before ours: no errors" % how, outcome.status == 0 and not outcome.said and
                    "pages opened" not in outcome.stats, outcome)
    outcome = host.run(valgrind + [given.dying, "now"])
    host.expect("and it finds the program's mistake", "Invalid free()" in outcome.err and DIED not in outcome.err, outcome)

    for parts in (["alone", "crew", "fork"], ["alone", "raw"]):
        outcome = host.run(ours + [given.work] + parts)
        name = "valgrind runs our heap, %s" % " ".join(parts)
        host.expect_good(name, outcome, ["pages opened", "pages purged"], LOSSES + [UNSEEN])
        host.show(name, outcome, ["pages opened", "pages purged", "guards placed"])
    outcome = host.run(ours + [given.dying, "now"], options="foreign=enforce")
    host.expect("and our report comes", outcome.status == -signal.SIGABRT and DIED in outcome.err, outcome)
    outcome = host.run(ours + [given.linked, "alone", "crew"], preload=False)
    host.expect_good("valgrind runs our heap, linked", outcome, ["pages opened"], LOSSES + [UNSEEN])


def under_qemu(host, given):
    def run(*arguments, options="stats=1"):
        # What is reserved costs memory there: a mistake of ours must not take all that the machine has.
        return host.run([find("qemu-x86_64"), "-E", "LD_PRELOAD=" + host.library, "-E", "MOAT_OPTIONS=" + options, *arguments],
                        options="", preload=False,
                        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (64 << 30, 64 << 30)))

    outcome = run("/bin/true", options="verbose=1")
    host.expect("qemu: the cage is small", "moat: started: cage bytes %d" % (4 << 30) in outcome.said, outcome)
    most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    host.expect("qemu: it costs little memory", most < 256 * 1024, outcome)
    print("qemu: %d MiB resident at most" % (most // 1024))
    for parts in (["alone", "crew", "late"], ["fork"], ["raw"]):
        outcome = run(given.work, *parts)
        name = "qemu, %s" % " ".join(parts)
        host.expect_good(name, outcome, [UNSEEN, "pages opened"] + ["guards placed"] * host.is_secure, LOSSES)
        host.show(name, outcome, [UNSEEN, "pages opened", "pages purged", "guards placed"])
    outcome = run(given.dying, "now", options="foreign=enforce")
    host.expect("qemu: a report, and the end", outcome.status == -signal.SIGABRT and DIED in outcome.err, outcome)


DIED = "moat: foreign pointer in free(): 0x"


def main():
    parser = argparse.ArgumentParser()
    for name in ("--library", "--work", "--dying", "--linked"):
        parser.add_argument(name, required=True)
    given = parser.parse_args()
    host = Host(given.library)
    under_qemu(host, given)
    under_valgrind(host, given)
    host.done()


main()
