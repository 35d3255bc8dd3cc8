#!/usr/bin/env python3
"""Limits of the process, before the start and after it; locked memory; what the kernel has promised.

    limits.py --library FILE --limits PROGRAM --work PROGRAM

Under RLIMIT_AS and RLIMIT_DATA the program gets nearly all that the limit leaves, then NULL with ENOMEM, and the memory again
when it has given it back. A limit of addresses that comes after the start finds the whole cage counted: the heap goes on, but
new mappings of the program's are refused, a thread's stack among them, unless `cage` made it small. A cage that is too small
for the program is counted.

Locked memory: nothing but the moving of chunks is lost. Without the privilege the whole reservation counts against
RLIMIT_MEMLOCK, so mlockall is refused there unless `cage` is small enough.

The commit charge (what vm.overcommit_memory=2 counts) is that of the memory in use, not of the reservation, and most of it is
given back with the memory.
"""
import argparse
import ctypes
import os
import re
import resource

from host import Host

MIB = 1 << 20
ENOMEM, EAGAIN = 12, 11
CAP_IPC_LOCK, PR_CAPBSET_DROP = 14, 24
LOSSES = ["guards missing", "purges refused", "keys without the kernel's generator", "forks that cannot be seen",
          "read-only page left writable"]


def figures_of(outcome):
    return {name: int(number) for name, number in re.findall(r"^([\w ]+): (\d+)$", outcome.out, re.M)}


def limited(which, mib):
    return lambda: resource.setrlimit(which, (mib * MIB, mib * MIB))


def expect_filled(host, name, outcome, least, most, thread=0):
    """`least` to `most` MiB were had, and then there was no memory."""
    found = figures_of(outcome)
    host.expect("%s: it ends well, and says nothing" % name, outcome.status == 0 and not outcome.said, outcome)
    host.expect("%s: %d to %d MiB are had, then ENOMEM" % (name, least, most), least <= found.get("had MiB", 0) <= most and
                found.get("errno") == ENOMEM, outcome)
    host.expect("%s: a thread: %d" % (name, thread), found.get("thread") == thread, outcome)
    print("%s: %s" % (name, found))
    host.show(name, outcome, ["large addresses reused early", "blocks borrowed for want of addresses", "purges refused"])


def addresses_and_data(host, program):
    fill = [program, "fill", "3000", "thread"]
    for mib, least in ((1024, 600), (512, 300), (200, 130)):
        expect_filled(host, "RLIMIT_AS of %d MiB before the start" % mib,
                      host.run(fill, preexec_fn=limited(resource.RLIMIT_AS, mib)), least, mib)
    expect_filled(host, "RLIMIT_DATA of 256 MiB before the start",
                  host.run(fill, preexec_fn=limited(resource.RLIMIT_DATA, 256)), 200, 256)
    expect_filled(host, "RLIMIT_DATA of 256 MiB after the start", host.run([program, "data", "256"] + fill[1:]), 200, 256)
    expect_filled(host, "RLIMIT_AS of 1024 MiB after the start, cage=256M",
                  host.run([program, "as", "1024"] + fill[1:], options="stats=1:cage=256M"), 800, 1024)

    name = "RLIMIT_AS of 1024 MiB after the start, the whole cage"
    outcome = host.run([program, "as", "1024", "fill", "300", "thread"])
    found = figures_of(outcome)
    host.expect("%s: the heap goes on" % name, outcome.status == 0 and not outcome.said and found.get("had MiB") == 300, outcome)
    host.expect("%s: a thread finds no addresses" % name, found.get("thread") == EAGAIN, outcome)
    host.expect("%s: memory is given back without a mapping, which is counted" % name, outcome.stats.get("purges refused", 0) > 0,
                outcome)
    host.show(name, outcome, ["purges refused"])


def small_cage(host, program):
    """A cage that is full serves from other classes and cuts rests short: both are counted, and neither in a large one."""
    shortages = ["large addresses reused early", "blocks borrowed for want of addresses"]
    outcome = host.run([program, "fill", "300"], options="stats=1:cage=64M")
    host.expect_good("300 MiB in a cage of 64 MiB", outcome, shortages)
    host.show("300 MiB in a cage of 64 MiB", outcome, shortages)
    host.expect_good("300 MiB in the whole cage", host.run([program, "fill", "300"]), ["pages opened"], shortages)


def charge(host, program):
    outcome = host.run([program, "charge"])
    found = figures_of(outcome)
    start, use, back = (found.get("charged KiB " + stage, 0) for stage in ("at the start", "in use", "given back"))
    host.expect("the charge at the start is small", 0 < start < 8 * 1024, outcome)
    host.expect("in use it is what is used", 96 * 1024 < use - start < 128 * 1024, outcome)
    host.expect("most of it is given back", back - start < (use - start) / 2, outcome)
    print("commit charge in KiB: %d at the start, %d with 96 MiB in use, %d given back" % (start, use, back))


def drop_ipc_lock():
    """For the program to be executed: root without the privilege to lock memory, or an ordinary user, who has none."""
    ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_IPC_LOCK, 0, 0, 0)


def may_lock(mib):
    def prepare():
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (mib * MIB, mib * MIB))
        drop_ipc_lock()
    return prepare


def limit_can_be(mib):
    child = os.fork()
    if child == 0:
        try:
            may_lock(mib)()
        except (OSError, ValueError):
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0


def locked(host, work):
    parts = [work, "--after", "mlockall", "crew", "alone", "fork"]
    if host.run(parts, preload=False).status == 0:
        outcome = host.run(parts)
        counted = ["guards placed", "chunk moves refused"] if host.is_secure else ["pages purged"]
        host.expect_good("all memory locked", outcome, counted, LOSSES)
        host.show("all memory locked", outcome, counted)
    else:
        print("skipped: all memory locked (this needs the privilege, which root has, or a high RLIMIT_MEMLOCK)")

    outcome = host.run(parts, preexec_fn=drop_ipc_lock)
    host.expect("without the privilege the whole cage is refused", outcome.status == 2 and "errno 12" in outcome.out, outcome)
    if limit_can_be(1024):
        outcome = host.run(parts, preexec_fn=may_lock(1024), options="stats=1:cage=128M")
        host.expect_good("without the privilege, RLIMIT_MEMLOCK of 1 GiB, cage=128M", outcome, ["pages opened"], LOSSES)
        host.show("without the privilege, cage=128M", outcome, ["pages opened", "blocks borrowed for want of addresses"])
    else:
        print("skipped: locking without the privilege and with cage= (RLIMIT_MEMLOCK cannot be raised to 1 GiB here)")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--library", required=True)
    parser.add_argument("--limits", required=True)
    parser.add_argument("--work", required=True)
    given = parser.parse_args()
    host = Host(given.library)
    addresses_and_data(host, given.limits)
    small_cage(host, given.limits)
    charge(host, given.limits)
    locked(host, given.work)
    host.done()


main()
