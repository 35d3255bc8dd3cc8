"""Which system calls are Moat's own: by the address of the instruction that made each, as strace prints it.

A library of Moat's makes its calls itself and not by functions of libc, so a call is Moat's exactly when its instruction lies in the
mapping of that library. Start begins, in each program that a process executes, with Moat's first call, and ends with the next one of
another library: Moat sets itself up at a stretch. Afterwards it may make the eight calls of src/os/os.h and no other.
"""
import collections
import dataclasses
import os
import re

import support

EIGHT = {"mmap", "munmap", "mprotect", "madvise", "mremap", "futex", "getrandom", "write"}
# A program cannot choose these: the kernel makes the first two around signals, and exits are what remains of a thread.
KERNELS_OWN = {"restart_syscall", "rt_sigreturn", "exit", "exit_group"}
MORE_RUNS = 3

LINE = re.compile(r"^(\d+) +\[([0-9a-f]+)\] (.*)$")
RESUMED = re.compile(r"^<\.\.\. \w+ resumed>(.*)$")
UNFINISHED = " <unfinished ...>"
CALL = re.compile(r"^(\w+)\(")
CODE = re.compile(r"^mmap\(\S+, (\d+), [A-Z_|]*PROT_EXEC[A-Z_|]*, [^,]+, \d+<([^>]*)>, \S+\) = (0x[0-9a-f]+)")
FORKED = re.compile(r"^(?:clone|clone3|fork|vfork)\(.* = (\d+)(?: .*)?$")


@dataclasses.dataclass
class Image:
    """A program that a process executes, until its next execve; a child of fork starts with a copy."""
    moat: tuple = ()        # (first, last + 1) of the library's code
    others: tuple = ()      # the same for each other library
    is_begun: bool = False
    is_started: bool = False


@dataclasses.dataclass
class Calls:
    """What strace saw: how often Moat made which call at the start and after, and which kinds there were at all, and after start."""
    moat_start: collections.Counter
    moat_after: collections.Counter
    every: set
    after: set
    images: int
    first_foreign: str = ""

    def add(self, other):
        return Calls(self.moat_start + other.moat_start, self.moat_after + other.moat_after, self.every | other.every, self.after | other.after,
                     self.images + other.images, self.first_foreign or other.first_foreign)


def prefix(strace, output, environment):
    """The command that runs another one under strace; the environment is that one's, and strace itself is not preloaded."""
    words = [strace, "-f", "-i", "-y", "-qq", "-s", "8", "-o", str(output)]
    for name in os.environ:
        words += ["-E", name] if name not in environment else []
    for name, value in environment.items():
        words += ["-E", f"{name}={value}"]
    return words + ["--"]


def whole_calls(path):
    """(process, instruction, text, is_first) of each call; a call that others interrupted is put together where it began."""
    begun, calls = {}, []
    for line in open(path, errors="replace"):
        match = LINE.match(line.rstrip("\n"))
        if not match:
            continue
        pid, address, text = int(match[1]), int(match[2], 16), match[3]
        resumed = RESUMED.match(text)
        if resumed and pid in begun:
            calls[begun.pop(pid)][2] += resumed[1]
        elif CALL.match(text):
            if text.endswith(UNFINISHED):
                begun[pid] = len(calls)
                text = text[:-len(UNFINISHED)]
            calls.append([pid, address, text])
    return calls


def inside(address, ranges):
    return any(first <= address < end for first, end in ranges)


def read(path, library):
    """Sorts the calls of a whole trace. `library` is the path of Moat's, None for a run without it."""
    calls = whole_calls(path)
    parents = {int(match[1]): pid for pid, _, text in calls if (match := FORKED.match(text))}
    images = {}
    seen = Calls(collections.Counter(), collections.Counter(), set(), set(), 0)
    for pid, address, text in calls:
        kind = CALL.match(text)[1]
        if pid not in images:
            images[pid] = dataclasses.replace(images.get(parents.get(pid), Image()))
        image = images[pid]
        note(seen, image, kind, address, text)
        if kind in ("execve", "execveat") and text.endswith(" = 0"):
            images[pid] = Image()
            seen.images += 1
        code = CODE.match(text)
        if code:
            place = (int(code[3], 16), int(code[3], 16) + int(code[1]))
            if library and code[2] == str(library):
                image.moat += (place,)
            else:
                image.others += (place,)
    return seen


def note(seen, image, kind, address, text):
    is_moat = inside(address, image.moat)
    if is_moat:
        image.is_begun = True
    elif image.is_begun and inside(address, image.others):
        image.is_started = True
    seen.every.add(kind)
    if image.is_started:
        seen.after.add(kind)
    if is_moat and image.is_started:
        seen.moat_after[kind] += 1
        if kind not in EIGHT and not seen.first_foreign:
            seen.first_foreign = text[:160]
    elif is_moat:
        seen.moat_start[kind] += 1


def describe(seen):
    calls = ", ".join(f"{kind} {times}" for kind, times in sorted(seen.moat_after.items()))
    return f"{sum(seen.moat_after.values())} calls of Moat's after start: {calls}"


def faults(seen):
    """What is wrong with the calls of Moat's own; each as a sentence."""
    if not seen.moat_start or not seen.moat_after:
        return ["strace saw no call of Moat's, so nothing was checked"]
    strange = sorted(set(seen.moat_after) - EIGHT)
    return [f"after start Moat makes {', '.join(strange)}; the first is {seen.first_foreign}"] if strange else []


def new_kinds(seen, reference):
    """Kinds of calls after start, of whomever, that are none of the eight and that the same run without Moat did not make."""
    return seen.after - reference.every - EIGHT - KERNELS_OWN


def demand(run, heap, first, reference):
    """Answers what `run` of a heap shows, or fails. Which kinds of calls a program makes hangs a little on chance, on how much it reads at
    once: a new kind is a fault when each of some more runs on Moat has it, and none without."""
    seen = run(heap)
    wrong = faults(seen)
    new = new_kinds(seen, reference)
    for _ in range(MORE_RUNS):
        if not new or wrong:
            break
        reference.every |= run(first).every
        again = run(heap)
        wrong = faults(again)
        new &= new_kinds(again, reference)
    if new:
        wrong.append(f"after start there are {', '.join(sorted(new))}, which the same run without Moat does not make")
    if wrong:
        raise support.Failure("; ".join(wrong))
    return seen
