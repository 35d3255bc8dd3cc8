#!/usr/bin/env python3
"""The fast paths of malloc and free, as the compiler made them: each fits one screen, saves no register and calls nothing.

    fast_path.py [--objdump PROGRAM] LIBRARY

The operators new and delete have the same paths inside and are looked at too. Looked at is all that the compiler left in
the function itself: cold exits are jumps out of it. A push, a call or a step of the stack pointer there means that an exit
is no tail call before the first side effect, which costs some 30 instructions on every call. Also refused: loops (a jump
back) and divisions. Counted are the instructions up to the first return, which is the way of a call that finds all it needs;
ceilings.txt has the most allowed. The exit status is 1 if something was found.
"""
import argparse
import os
import re
import subprocess
import sys

from ceilings import Ceilings

FUNCTIONS = {"malloc": "malloc", "free": "free", "_Znwm": "new", "_ZdlPv": "delete"}
MOST_INSTRUCTIONS = 55

REFUSED = [
    (re.compile(r"^push"), "saves a register"),
    (re.compile(r"^call"), "calls"),
    (re.compile(r"^v?i?div"), "divides"),
    (re.compile(r"^(sub|add|and|lea)\b.*,%rsp$"), "moves the stack pointer"),
]
PADDING = re.compile(r"^(nop|data16|cs nop|xchg +%ax,%ax|lea +0x0\(%rsi,%riz)")


def functions_of(objdump, library):
    """{name: [(address, instruction)]}"""
    text = subprocess.run([objdump, "-d", "--no-show-raw-insn", library], check=True, stdout=subprocess.PIPE, text=True).stdout
    functions, current = {}, None
    for line in text.splitlines():
        head = re.match(r"^([0-9a-f]+) <(.+)>:$", line)
        if head:
            current = functions.setdefault(head.group(2), [])
            continue
        found = re.match(r"^\s*([0-9a-f]+):\s+(\S.*?)\s*$", line)
        if found and current is not None:
            current.append((int(found.group(1), 16), re.sub(r"\s+#.*$", "", found.group(2))))
    return functions


def faults_of(name, body):
    start = body[0][0]
    for address, instruction in body:
        for pattern, words in REFUSED:
            if pattern.match(instruction):
                yield "%s %s at %#x: %s" % (name, words, address, instruction)
        jump = re.match(r"^j\w+\s+([0-9a-f]+) ", instruction)
        if jump and start <= int(jump.group(1), 16) <= address:
            yield "%s jumps back at %#x: %s" % (name, address, instruction)
    if not any(instruction.startswith("ret") for _, instruction in body):
        yield "%s has no return: it is no fast path" % name
    if len(body) > MOST_INSTRUCTIONS:
        yield "%s has %d instructions, more than %d" % (name, len(body), MOST_INSTRUCTIONS)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--objdump", default="objdump")
    parser.add_argument("library")
    given = parser.parse_args()
    functions = functions_of(given.objdump, given.library)
    ceilings = Ceilings("fast_path", os.path.realpath(given.library))
    faults = []
    for name, words in FUNCTIONS.items():
        body = [part for part in functions.get(name, []) if not PADDING.match(part[1])]
        if not body:
            faults.append("%s is not in the disassembly of %s" % (name, given.library))
            continue
        found = list(faults_of(name, body))
        texts = [instruction.split()[0] for _, instruction in body]
        if "ret" in texts:
            ceilings.judge("fast_path." + words, texts.index("ret") + 1, "instructions to the first return",
                           "%d in all" % len(body))
        if found:
            print("\n".join("    %x: %s" % part for part in body))
        faults += found
    for fault in faults:
        print("not so: " + fault)
    sys.exit(0 if ceilings.finish() and not faults else 1)


main()
