#!/usr/bin/env python3
"""Signal handlers that allocate.

    handlers.py --library FILE --handlers PROGRAM

Between two calls of the heap a handler may do what it likes, on an alternate stack too. In the middle of one nothing is
promised but this, in a hardened build: the process may end, by a report or by a fault, but no block ever has two owners, and
nobody waits for a lock that the interrupted thread holds.
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

    # A handler that takes large blocks finds its own thread holding their lock sooner or later.
    outcome = host.run([given.handlers, "large", str(SIGNALS)])
    host.expect("a lock of the thread's own: the end, with a line", outcome.status == -signal.SIGABRT and
                len(outcome.said) == 1 and outcome.said[0].startswith(OWN_LOCK), outcome)

    ends = {}
    for _ in range(0 if not host.is_secure else 5 if os.environ.get("MOAT_TEST_QUICK", "")[:1] == "1" else 30):
        outcome = host.run([given.handlers, "within", str(SIGNALS)], options="")
        lines_fit = outcome.status != -signal.SIGABRT or len(outcome.said) == 1 and outcome.said[0].startswith("moat: ")
        host.expect("within a call: well, or a clean end", outcome.status in (0, -signal.SIGABRT, -signal.SIGSEGV) and
                    "twice" not in outcome.out and lines_fit, outcome)
        end = outcome.said[0].split(":")[1].split("(")[0] if outcome.said else outcome.how()
        ends[end] = ends.get(end, 0) + 1
    for end, count in sorted(ends.items()):
        print("within a call, %d signals: %d times %s" % (SIGNALS, count, end))
    host.done()


main()
