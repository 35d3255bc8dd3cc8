#!/usr/bin/env python3
"""After its start the heap makes eight system calls and no other.

    eight.py --library FILE --work PROGRAM

mmap, munmap, mprotect, madvise, mremap, futex, getrandom, write: a seccomp filter ends the program at anything else, from
the first line of main on. Only what the C library itself needs to end a thread, to fork or to exit is allowed beside them,
each in the runs that do so. A report may ask for the thread's number and for the file behind its descriptor; its line must be
out before anything else is called.
"""
import argparse
import signal

from host import Host

WORK = ["pages released", "pages purged", "large blocks opened"]
SECURE = ["guards placed", "chunks moved"]
# What would show that the filter was felt.
REFUSED = ["guards missing", "purges refused", "chunk moves refused", "keys without the kernel's generator",
           "read-only page left writable", "forks that cannot be seen"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--library", required=True)
    parser.add_argument("--work", required=True)
    given = parser.parse_args()
    host = Host(given.library)
    figures = WORK + (SECURE if host.is_secure else [])

    for parts in (["eight", "alone"], ["eight+threads", "crew", "alone"], ["eight+fork", "alone", "fork"],
                  ["eight+fork", "alone", "raw"]):
        for options in ("stats=1", "stats=1:guards=mprotect", "stats=1:cage=1G"):
            outcome = host.run([given.work, "--after", *parts], options=options)
            name = "%s, %s" % (" ".join(parts), options)
            # Chunks move only where guards need no mappings.
            counted = [figure for figure in figures if figure != "chunks moved" or "mprotect" not in options]
            host.expect_good(name, outcome, counted, [figure for figure in REFUSED if figure != "chunk moves refused"
                                                      or "mprotect" not in options])
            host.show(name, outcome, counted + ["heaps made"])

    outcome = host.run([given.work, "--after", "eight+line", "die"], options="foreign=enforce")
    host.expect("a report's line is out before it calls more", len(outcome.said) == 1 and
                outcome.said[0].startswith("moat: foreign pointer in free(): 0x"), outcome)
    host.expect("and the process dies all the same", outcome.status in (-signal.SIGSYS, -signal.SIGABRT), outcome)
    host.show("a report under the filter", outcome, [])

    # The control: the filter does notice.
    outcome = host.run([given.work, "--after", "eight", "die"], options="foreign=enforce")
    host.expect("without leave for them the report's own questions are noticed", "is none of the eight" in outcome.out, outcome)
    host.done()


main()
