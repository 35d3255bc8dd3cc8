#!/usr/bin/env python3
"""What the heap costs a process, beside the same program with an empty library preloaded.

    process.py small    --program FILE --library FILE --empty FILE [--magazines]
    process.py mappings --program FILE --library FILE
    process.py limits   --program FILE --library FILE --empty FILE

small: a program that uses 20 size classes has at most 40 page faults and 64 KiB of page tables more; medians, since where
the kernel places things differs from run to run. With magazines two faults more: their arrays, and draws that a child finds
wiped.
mappings: 2 GiB of 256-byte blocks are under 1,000 mappings; with guards=mprotect they stay under half of the kernel's limit,
and the guards that are missing are counted in the report at exit. Skipped (exit status 77) with MOAT_TEST_QUICK=1, which
has no time for it, and without memory for it.
limits: with 512 MiB of addresses and 64 threads on stacks of 64 KiB that use 20 size classes each, all memory is had.
"""
import argparse
import os
import re
import resource
import statistics
import subprocess
import sys

RUNS = 15
MOST_FAULTS = 40
MOST_MAGAZINE_FAULTS = 2
MOST_PAGE_TABLES_KIB = 64
MAPPINGS_MIB = 2048
MOST_MAPPINGS = 1000
LIMIT_BYTES = 512 << 20
THREADS = 64
SKIPPED = 77


def run(program, library, arguments, options=None, limit=None):
    """({name: number} of what the program printed, its stderr)"""
    environment = dict(os.environ, LD_PRELOAD=library)
    environment.pop("MOAT_OPTIONS", None)
    if options:
        environment["MOAT_OPTIONS"] = options
    narrow = (lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit))) if limit else None
    done = subprocess.run([program, *arguments], env=environment, preexec_fn=narrow, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit("%s %s with %s ended with %d\n%s%s" % (program, " ".join(arguments), library, done.returncode, done.stdout,
                                                       done.stderr))
    # The loader says so and runs the program without it, which would then pass.
    if "cannot be preloaded" in done.stderr:
        sys.exit("process.py: %s was not preloaded:\n%s" % (library, done.stderr))
    return {name: int(number) for name, number in re.findall(r"^(.+): (-?\d+)$", done.stdout, re.M)}, done.stderr


def check_small(given):
    figures = {library: [] for library in (given.library, given.empty)}
    for _ in range(RUNS):
        for library, list_of_runs in figures.items():
            list_of_runs.append(run(given.program, library, ["small"])[0])
    good = True
    for name, most, unit in (("faults", MOST_FAULTS + (MOST_MAGAZINE_FAULTS if given.magazines else 0), ""), ("page tables", MOST_PAGE_TABLES_KIB, " KiB")):
        ours, control = (statistics.median(one[name] for one in figures[library]) for library in (given.library, given.empty))
        print("%s: %d%s, %d with an empty library: %d more, at most %d allowed" % (name, ours, unit, control, ours - control, most))
        good = good and ours - control <= most
    return good


def available_mib():
    return int(re.search(r"^MemAvailable:\s+(\d+)", open("/proc/meminfo").read(), re.M).group(1)) // 1024


def check_mappings(given):
    if os.environ.get("MOAT_TEST_QUICK", "")[:1] == "1":
        print("skipped: MOAT_TEST_QUICK")
        sys.exit(SKIPPED)
    if available_mib() < 2 * MAPPINGS_MIB:
        print("skipped: less than %d MiB of memory are available" % (2 * MAPPINGS_MIB))
        sys.exit(SKIPPED)
    found, _ = run(given.program, given.library, ["mappings", str(MAPPINGS_MIB)])
    print("mappings: %d, fewer than %d allowed" % (found["mappings"], MOST_MAPPINGS))
    good = found["mappings"] < MOST_MAPPINGS

    limit = int(open("/proc/sys/vm/max_map_count").read())
    found, said = run(given.program, given.library, ["mappings", str(MAPPINGS_MIB)], options="guards=mprotect:stats=1")
    counts = {name: int(number) for name, number in re.findall(r"^moat: stats: guards (placed|missing): (\d+)$", said, re.M)}
    print("guards=mprotect: %d mappings, fewer than %d allowed; guards %s" % (found["mappings"], limit // 2, counts))
    if found["mappings"] >= limit // 2:
        good = False
    # Every place is counted once, with its guard or without: one for each 64 KiB of blocks at least.
    if sum(counts.values()) < MAPPINGS_MIB * 16:
        print("not so: the report at exit counts every guard, placed or missing:\n%s" % said)
        good = False
    # What stands is what was placed: each splits a mapping.
    if not 0 < counts.get("placed", 0) <= found["mappings"]:
        print("not so: the placed guards are among the mappings")
        good = False
    return good


def check_limits(given):
    for library in (given.empty, given.library):
        found, _ = run(given.program, library, ["threads", str(THREADS)], limit=LIMIT_BYTES)
        print("%s: %d threads, %d failures" % (os.path.basename(library), THREADS, found["failures"]))
    return True


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["small", "mappings", "limits"])
    parser.add_argument("--program", required=True)
    parser.add_argument("--magazines", action="store_true")
    parser.add_argument("--library", required=True)
    parser.add_argument("--empty")
    given = parser.parse_args()
    check = {"small": check_small, "mappings": check_mappings, "limits": check_limits}[given.what]
    sys.exit(0 if check(given) else 1)


main()
