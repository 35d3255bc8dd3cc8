#!/usr/bin/env python3
"""Whatever optional call the system refuses, the program runs on, and what was lost is counted.

    refusals.py --library FILE --work PROGRAM

A filter answers EPERM, EINVAL and ENOSYS to one call or one kind of it (test/host/filter.c lists them), and to all together:
once from before the program starts, once from the first line of main on, when the heap has started. The program does all that
work.c knows, with fork and a bare clone. With each refusal stands which figure must be there at the exit. With
MOAT_TEST_QUICK=1 each refusal has one of the three errors.
"""
import argparse
import os

from host import Host

ERRORS = ["EPERM", "EINVAL", "ENOSYS"]
MISSING, PLACED, MOVES = "guards missing", "guards placed", "chunk moves refused"
PURGES, WEAK, UNSEEN = "purges refused", "keys without the kernel's generator", "forks that cannot be seen"
UNSEALED = "read-only page left writable"
LOSSES = {MISSING, MOVES, PURGES, WEAK, UNSEEN, UNSEALED}

# What is refused: (lost in each build, lost in the hardened one besides) when it is refused before the start; and after.
NOTHING = (set(), set())
REFUSALS = {
    # Guards are made by mprotect then, at the start since the probe finds so, later at each refusal. No chunk moves.
    "guard_install": ((set(), {MOVES}), (set(), {MOVES})),
    "guard_remove": ((set(), {MOVES}), NOTHING),
    "dontneed": (NOTHING, NOTHING),  # of the plain build: see below
    "dontneed_locked": (NOTHING, NOTHING),
    "free": (NOTHING, NOTHING),
    "dontfork": (NOTHING, NOTHING),
    "dontdump": (NOTHING, NOTHING),
    "wipeonfork": (({UNSEEN}, set()), NOTHING),
    "hugepage": (NOTHING, NOTHING),
    "madvise": (({UNSEEN}, {MOVES, PURGES}), (set(), {MOVES, PURGES})),
    "mremap": ((set(), {MOVES}), (set(), {MOVES})),
    # Without getrandom the probe cannot show that guards by madvise work.
    "getrandom": (({WEAK}, {MOVES}), ({WEAK}, set())),
    "mprotect_none": (NOTHING, NOTHING),
    "mprotect_read": (None, ({UNSEALED}, set())),  # before the start the loader itself ends the program
    "membarrier": (NOTHING, NOTHING),
    "open": (NOTHING, NOTHING),
    "fstat": (NOTHING, NOTHING),
    "prlimit": (NOTHING, NOTHING),
    "all": (({WEAK, UNSEEN}, {MISSING, MOVES, PURGES}), ({WEAK}, {MISSING, MOVES, PURGES})),
}


def wanted(host, name, error, losses):
    """The figures that must be there; all others that are losses must not."""
    figures = losses[0] | (losses[1] if host.is_secure else set())
    # A plain purge is MADV_DONTNEED, and where that is EINVAL the advice for locked memory, unless that is refused too.
    if not host.is_secure and (name in ("madvise", "all") or name == "dontneed" and error != "EINVAL"):
        figures = figures | {PURGES}
    return figures


def try_refusal(host, work, name, error, when, losses, options="stats=1"):
    refused = "%s:%s" % (name, error)
    outcome = host.run([work, "--" + when, refused, "alone", "crew", "fork", "raw"], options=options)
    figures = wanted(host, name, error, losses)
    if host.is_secure and MISSING not in figures:
        figures = figures | {PLACED}
    label = "%s refused %s main%s" % (refused, when, "" if options == "stats=1" else ", " + options)
    host.expect_good(label, outcome, figures, LOSSES - figures)
    return label, outcome, figures


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--library", required=True)
    parser.add_argument("--work", required=True)
    given = parser.parse_args()
    host = Host(given.library)

    is_quick = os.environ.get("MOAT_TEST_QUICK", "")[:1] == "1"
    for number, (name, (before, after)) in enumerate(REFUSALS.items()):
        for when, losses in (("before", before), ("after", after)):
            if losses is None:
                continue
            for error in ERRORS if not is_quick else [ERRORS[number % len(ERRORS)]]:
                label, outcome, figures = try_refusal(host, given.work, name, error, when, losses)
            host.show(label, outcome, sorted(figures))

    # Guards by mprotect are lost where that is refused; the lock's waiting is not needed, only good.
    for error in ERRORS:
        for when in ("before", "after"):
            losses = (set(), {MISSING, MOVES})
            label, outcome, figures = try_refusal(host, given.work, "mprotect_none", error, when, losses,
                                                  "stats=1:guards=mprotect")
        host.show(label, outcome, sorted(figures))
        outcome = host.run([given.work, "--after", "futex:" + error, "spin"])
        host.expect_good("futex:%s refused after main" % error, outcome, ["large blocks opened"], LOSSES)
    host.done()


main()
