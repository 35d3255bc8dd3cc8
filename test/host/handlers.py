#!/usr/bin/env python3
"""Signal handlers that allocate.

    handlers.py --library FILE --handlers PROGRAM

Between two calls of the heap a handler may do what it likes, on an alternate stack too. In the middle of one nothing is
promised but this, in a hardened build: the process may end, by a report or by a fault, but no block ever has two owners, and
nobody waits for a lock that the interrupted thread holds. A process that ends by itself says a line, also where the handler came
on top of a report.
"""
import argparse
import os
import signal

from host import Host

SIGNALS = 5000
OWN_LOCK = "moat: signal handler inside the heap in malloc or free(): 0x0 (unknown), thread "


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--library", required=True)
    parser.add_argument("--handlers", required=True)
    given = parser.parse_args()
    host = Host(given.library)

    outcome = host.run([given.handlers, "between"])
    host.expect_good("between two calls", outcome, ["pages opened", "large blocks opened"])
    host.show("between two calls", outcome, ["pages opened", "large blocks opened"])

    # In a call that holds a lock, found by a filter that makes a signal of its system call.
    outcome = host.run([given.handlers, "lock"], options="")
    host.expect("a handler that takes nothing", outcome.status == 0 and "refused: 1\n" in outcome.out and not outcome.said, outcome)
    outcome = host.run([given.handlers, "lock", "taking"], options="")
    host.expect("a lock of the thread's own: the end, with a line", outcome.status == -signal.SIGABRT and
                len(outcome.said) == 1 and outcome.said[0].startswith(OWN_LOCK), outcome)

    # Inside a report whose line is not out yet: another line is, and one only.
    for how, line in ((["report"], "moat: foreign pointer in free(): 0x"), (["report", "taking"], OWN_LOCK)):
        outcome = host.run([given.handlers] + how, options="foreign=enforce")
        host.expect("%s: one line, and the end" % " ".join(how), outcome.status == -signal.SIGABRT and not outcome.out and
                    len(outcome.said) == 1 and outcome.said[0].startswith(line), outcome)

    many = 5 if os.environ.get("MOAT_TEST_QUICK", "")[:1] == "1" else 30
    for how, runs in (("within", many), ("large", 5)):
        ends = {}
        for _ in range(runs if host.is_secure else 0):
            outcome = host.run([given.handlers, how, str(SIGNALS)], options="")
            lines_fit = outcome.status != -signal.SIGABRT or len(outcome.said) == 1 and outcome.said[0].startswith("moat: ")
            host.expect("%s: well, or a clean end" % how, outcome.status in (0, -signal.SIGABRT, -signal.SIGSEGV) and
                        "twice" not in outcome.out and lines_fit, outcome)
            end = outcome.said[0].split(":")[1].split("(")[0] if outcome.said else outcome.how()
            ends[end] = ends.get(end, 0) + 1
        for end, count in sorted(ends.items()):
            print("%s, %d signals: %d times %s" % (how, SIGNALS, count, end))
    host.done()


main()
