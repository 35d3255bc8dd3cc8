#!/usr/bin/env python3
"""Where the lines go, and what a report does to others than the process that dies.

    reports.py --library FILE --work PROGRAM

A child of vfork dies on its parent's memory: the parent and its other threads go on, also where the parent is a child itself.
"""
import argparse

from host import Host


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--library", required=True)
    parser.add_argument("--work", required=True)
    given = parser.parse_args()
    host = Host(given.library)

    outcome = host.run([given.work, "vfork"], options="foreign=enforce:stats=1")
    lines = [line for line in outcome.said if line.startswith("moat: foreign pointer in free(): 0x")]
    host.expect("a vfork's child dies and its parent lives", outcome.status == 0 and len(lines) == 2 and
                len(outcome.said) == 2, outcome)
    host.show("vfork's children that died", outcome, ["large blocks opened", "thread heaps"])
    host.done()


main()
