#!/usr/bin/env python3
"""Programs that put a filter on themselves: sshd's child before the login, tor, a browser's renderer.

    sandboxes.py --library FILE --work PROGRAM

The program does all that the sandbox leaves possible, and only what the filter takes away is counted as lost. A report comes
through, and the process ends by it. A filter that kills for advice it does not know ends a hardened process at its first guard,
before the start or after it; guards=mprotect is the way to live with one.
"""
import argparse
import signal

from host import Host

MISSING, PLACED, MOVES = "guards missing", "guards placed", "chunk moves refused"
LOSSES = {MISSING, MOVES, "purges refused", "keys without the kernel's generator", "forks that cannot be seen",
          "read-only page left writable"}

# The parts of work.c, what the hardened build loses, and how a process ends that must not raise SIGABRT.
SANDBOXES = {
    # No guard by madvise: they are made by mprotect.
    "openssh": (["alone"], {MOVES}, {signal.SIGSYS}),
    # No mremap to a given address.
    "tor": (["crew", "alone", "late", "fork"], {MOVES}, {signal.SIGABRT, signal.SIGILL, signal.SIGTRAP}),
    "renderer": (["crew", "alone", "late"], {MOVES}, {signal.SIGABRT, signal.SIGSYS}),
}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--library", required=True)
    parser.add_argument("--work", required=True)
    given = parser.parse_args()
    host = Host(given.library)

    for name, (parts, losses, ends) in SANDBOXES.items():
        losses = losses if host.is_secure else set()
        counted = {"pages purged", "large blocks opened"} | ({PLACED} if host.is_secure else set())
        for options in ("stats=1", "stats=1:cage=1G"):
            label = "%s, %s" % (name, options)
            outcome = host.run([given.work, "--after", name, *parts], options=options)
            host.expect_good(label, outcome, losses | counted, LOSSES - losses)
            host.show(label, outcome, sorted(losses | counted))
        outcome = host.run([given.work, "--after", name, "die"], options="foreign=enforce")
        host.expect("%s: a report comes through" % name, len(outcome.said) == 1 and
                    outcome.said[0].startswith("moat: foreign pointer in free(): 0x"), outcome)
        host.expect("%s: and ends the process" % name, -outcome.status in ends, outcome)
        host.show("%s, a report" % name, outcome, [])
    for when in ("--before", "--after"):
        outcome = host.run([given.work, when, "old_advice", "alone", "fork"])
        host.expect("unknown advice kills, %s" % when, outcome.status == (-signal.SIGSYS if host.is_secure else 0), outcome)
        outcome = host.run([given.work, when, "old_advice", "alone", "fork"], options="stats=1:guards=mprotect")
        host.expect_good("unknown advice kills, %s, guards=mprotect" % when, outcome,
                         ["pages purged"] + [PLACED] * host.is_secure, LOSSES - {MOVES})
    host.done()


main()
