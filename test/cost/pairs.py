#!/usr/bin/env python3
"""What a pair of malloc and free costs, counted: instructions, and locked instructions.

    pairs.py --library FILE --pairs PROGRAM --empty PROGRAM [--valgrind PROGRAM] [--objdump PROGRAM]

Instructions: callgrind counts the program with N and with 10 N pairs through the preloaded library; the difference over 9 N
is a pair, slow paths included, and the loop around it, which the same program linked with two empty functions gives. Locked
instructions: callgrind also says how often each instruction of the library ran; those with a lock prefix, and exchanges with
memory, which lock without one, are known from the disassembly. Neither depends on the machine or its load, except that the
heap looks at the clock now and then on its slow paths.

Ceilings: the rows `pairs` and `locked` of ceilings.txt. MOAT_TEST_QUICK=1 counts 64 bytes only. The exit
status is 1 if a ceiling was passed.
"""
import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile

from ceilings import Ceilings

MODES = ["hot", "batch", "churn", "burst"]
SIZES = [16, 64, 256, 1024]
MIDDLE_SIZE = 64
PAIRS = 20000
# The two empty functions are one instruction each, and those are not the loop's.
EMPTY_FUNCTIONS = 2

# An address, then a lock prefix or an exchange of which one operand is memory.
LOCKED = re.compile(r"^\s*([0-9a-f]+):\s+(?:lock |xchg\s[^#]*\()")
INSTRUCTION = re.compile(r"^\s*([0-9a-f]+):\s")


def disassemble(objdump, library):
    """The addresses of all instructions, and of those that lock the bus."""
    text = subprocess.run([objdump, "-d", "--no-show-raw-insn", library], check=True, stdout=subprocess.PIPE, text=True).stdout
    every, locked = set(), set()
    for line in text.splitlines():
        found = INSTRUCTION.match(line)
        if found:
            every.add(int(found.group(1), 16))
            if LOCKED.match(line):
                locked.add(int(found.group(1), 16))
    if not locked:
        sys.exit("pairs.py: no locked instruction in %s: its locks cannot be counted" % library)
    return every, locked


def read_counts(path, library):
    """(all instructions of the process, {address: times} of the library, {address: function})."""
    total, counts, functions = None, {}, {}
    is_library, function, skip = False, "", False
    for line in open(path):
        if line.startswith("ob="):
            is_library = os.path.basename(line[3:].strip()) == os.path.basename(library)
        elif line.startswith("fn="):
            function = line[3:].strip()
        elif line.startswith("calls="):
            skip = True     # the next line is what the called function cost, and it is counted there
        elif line.startswith("0x"):
            if not skip and is_library:
                address, _, times = line.split()[:3]
                counts[int(address, 16)] = counts.get(int(address, 16), 0) + int(times)
                functions[int(address, 16)] = function
            skip = False
        elif line.startswith("totals:"):
            total = int(line.split()[1])
    if total is None:
        sys.exit("pairs.py: callgrind wrote no totals to %s" % path)
    return total, counts, functions


class Counter:
    def __init__(self, given, folder):
        self.given = given
        self.folder = folder
        self.every, self.locked = disassemble(given.objdump, given.library)

    def run(self, program, library, mode, size, count):
        output = os.path.join(self.folder, "callgrind.out")
        command = [self.given.valgrind, "-q", "--tool=callgrind", "--dump-instr=yes", "--compress-strings=no",
                   "--compress-pos=no", "--callgrind-out-file=" + output, program, mode, str(size), str(count)]
        environment = dict(os.environ)
        environment.pop("MOAT_OPTIONS", None)
        if library:
            environment["LD_PRELOAD"] = library
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            sys.exit("pairs.py: %s ended with %d\n%s" % (" ".join(command), done.returncode, done.stdout))
        return read_counts(output, library or "no library")

    def pair(self, mode, size):
        """(instructions, locked instructions, {function: locked instructions}) a pair."""
        library = self.given.library
        few, few_counts, _ = self.run(self.given.pairs, library, mode, size, PAIRS)
        many, many_counts, functions = self.run(self.given.pairs, library, mode, size, 10 * PAIRS)
        strange = set(many_counts) - self.every
        if strange or not many_counts:
            sys.exit("pairs.py: callgrind's addresses are not those of the disassembly: %s" % sorted(strange)[:5])
        per_pair = lambda difference: difference / (9 * PAIRS)
        places = {}
        for address in self.locked:
            times = per_pair(many_counts.get(address, 0) - few_counts.get(address, 0))
            if times:
                name = functions.get(address, "?")
                places[name] = places.get(name, 0) + times
        return per_pair(many - few), sum(places.values()), places

    def loop(self, mode, size):
        few, _, _ = self.run(self.given.empty, None, mode, size, PAIRS)
        many, _, _ = self.run(self.given.empty, None, mode, size, 10 * PAIRS)
        return (many - few) / (9 * PAIRS) - EMPTY_FUNCTIONS


def show_places(places):
    for name, times in sorted(places.items(), key=lambda item: -item[1])[:8]:
        print("    %.4f in %s" % (times, name))


def check_local(counter, ceilings, sizes):
    instructions, locked = ceilings
    for mode in MODES:
        loop = counter.loop(mode, MIDDLE_SIZE)
        for size in sizes:
            count, count_locked, places = counter.pair(mode, size)
            instructions.judge("pairs.%s.%d" % (mode, size), count - loop, "instructions a pair")
            # The clock's ticks differ between two runs, by a few either way.
            if not locked.judge("locked.%s.%d" % (mode, size), max(count_locked, 0), "locked ones"):
                show_places(places)


def check_remote(counter, ceilings):
    """True if any were counted: a remote free needs one."""
    _, count, places = counter.pair("remote", MIDDLE_SIZE)
    ceilings[1].judge("locked.remote.%d" % MIDDLE_SIZE, count, "locked ones")
    show_places(places)
    return count >= 1


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--library", required=True)
    parser.add_argument("--pairs", required=True)
    parser.add_argument("--empty", required=True)
    parser.add_argument("--valgrind", default="valgrind")
    parser.add_argument("--objdump", default="objdump")
    given = parser.parse_args()
    given.library = os.path.realpath(given.library)
    for program in (given.valgrind, given.objdump):
        if not shutil.which(program):
            sys.exit("pairs.py: %s is missing; install the packages valgrind and binutils" % program)
    sizes = [MIDDLE_SIZE] if os.environ.get("MOAT_TEST_QUICK", "")[:1] == "1" else SIZES
    with tempfile.TemporaryDirectory() as folder:
        counter = Counter(given, folder)
        ceilings = Ceilings("pairs", given.library), Ceilings("locked", given.library)
        check_local(counter, ceilings, sizes)
        good = check_remote(counter, ceilings)
    for one in ceilings:
        good = one.finish(may_be_left=sizes != SIZES) and good
    sys.exit(0 if good else 1)


main()
