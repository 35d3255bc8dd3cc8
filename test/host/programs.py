#!/usr/bin/env python3
"""Programs of which the preload takes over less than one thinks: docs/compatibility.md says so, and here it is seen.

    programs.py --library FILE --twice PROGRAM

Python's small objects and node's JavaScript objects lie in memory that these programs manage themselves; Python has a switch for
that. A library on a file system without execution is not loaded, and the program runs on. Under memcheck valgrind's own malloc
answers; under its other tools Moat's does.
"""
import argparse
import os
import re
import shutil
import signal
import sys
import tempfile

from host import Host

OBJECTS = """
import ctypes
ask = ctypes.CDLL(None).moat_is_in_heap
ask.argtypes = [ctypes.c_void_p]
small, big = bytes(range(40)), bytes(3000)
print(ask(id(small)), ask(id(big)))
"""
OBJECTS_MIB = 100
NODE_OBJECTS = """
const kept = []
for (let i = 0; i < 2e6; i++) kept.push({ i, list: [i] })
console.log(process.memoryUsage().heapUsed)
"""
NODE_BUFFERS = """
const kept = []
for (let i = 0; i < 2000; i++) kept.push(Buffer.allocUnsafeSlow(50000).fill(1))
console.log(process.memoryUsage().external)
"""
MIB = 1 << 20
SLICE = 64 << 10


def find(name, package):
    path = shutil.which(name)
    if not path:
        sys.exit("%s is missing: apt-get install -y %s" % (name, package))
    return path


def python_objects(host):
    """A small object is in Moat's heap only with PYTHONMALLOC=malloc; a big one always."""
    for setting, wanted in (("pymalloc", "0 1\n"), ("malloc", "1 1\n")):
        outcome = host.run([sys.executable, "-S", "-c", OBJECTS], env={"PYTHONMALLOC": setting})
        host.expect("PYTHONMALLOC=%s: small and big objects in Moat's heap: %s" % (setting, wanted.strip()),
                    outcome.status == 0 and outcome.out == wanted, outcome)


def node_objects(host):
    """JavaScript's objects are in V8's own heap; what lies in buffers is in Moat's."""
    node = find("node", "nodejs")
    opened = {}
    for name, source in (("objects", NODE_OBJECTS), ("buffers", NODE_BUFFERS)):
        outcome = host.run([node, "-e", source])
        used = int(outcome.out) if re.fullmatch(r"\d+\n", outcome.out) else 0
        host.expect("node's %s take %d MiB at least" % (name, 90), outcome.status == 0 and used > 90 * MIB, outcome)
        opened[name] = outcome.stats.get("guards placed", outcome.stats.get("pages opened", 0))
        host.show("node, %d MiB of %s" % (used / MIB, name), outcome, ["pages opened", "guards placed", "large blocks opened"])
    # A guard for each page and each medium block; without guards only pages of small blocks are counted.
    host.expect("of node's objects Moat has less than half", opened["objects"] * SLICE < OBJECTS_MIB * MIB / 2)
    if host.is_secure:
        host.expect("node's buffers are Moat's blocks", opened["buffers"] >= 2000)


def no_execution(host):
    """The loader cannot map the library, says so, and goes on without it: whoever reads only the exit status does not see it."""
    alone = ["unshare", "--mount"] + ([] if os.geteuid() == 0 else ["--user", "--map-root-user"])
    if host.run(alone + ["/bin/true"], preload=False).status != 0:
        print("skipped: a file system without execution (no namespace may be made here; root may)")
        return
    with tempfile.TemporaryDirectory() as folder:
        there = os.path.join(folder, os.path.basename(host.library))
        script = 'mount -t tmpfs -o %s none "$1" && cp "$2" "$3" && LD_PRELOAD=$3 MOAT_OPTIONS=verbose=1 exec /bin/echo here'
        for option, wanted in (("noexec", "cannot be preloaded (failed to map segment from shared object): ignored."),
                               ("exec", "moat: started: ")):
            outcome = host.run(alone + ["/bin/sh", "-c", script % option, "sh", folder, host.library, there], preload=False,
                               ignored=True)
            host.expect("%s: the program runs" % option, outcome.status == 0 and outcome.out == "here\n", outcome)
            host.expect("%s: %s" % (option, wanted), outcome.said and all(wanted in line for line in outcome.said), outcome)


def valgrind(host, twice):
    tool = find("valgrind", "valgrind")
    outcome = host.run([tool, "-q", "--error-exitcode=9", twice])
    host.expect("memcheck: it finds the second free, and Moat serves nothing", outcome.status == 9 and "Invalid free()" in outcome.err
                and outcome.out == "freed\nsurvived\n" and not outcome.stats.get("pages opened"), outcome)
    outcome = host.run([tool, "-q", "--tool=none", twice])
    if host.is_secure:
        host.expect("another tool: Moat finds it", outcome.status == -signal.SIGABRT and outcome.out == "freed\n" and
                    "moat: double free in free(): 0x" in outcome.err, outcome)
    else:
        host.expect("another tool: Moat serves", outcome.status == 0 and outcome.stats.get("pages opened", 0) > 0, outcome)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--library", required=True)
    parser.add_argument("--twice", required=True)
    given = parser.parse_args()
    host = Host(given.library)
    python_objects(host)
    node_objects(host)
    no_execution(host)
    valgrind(host, given.twice)
    host.done()


main()
