#!/usr/bin/env python3
"""moat status: what it says of processes on Moat, of others, and of processes that lie.

    check_status.py --build DIRECTORY --compiler FILE --definitions MOAT_SECURE_...=0|1,...
"""
import contextlib
import json
import os
import random
import re
import struct
import subprocess
import sys

from support import (NOBODY, clean_environment, done, expect, expect_equal, expect_refused, place, run, skip, started)

# include/moat_state.h, layout 1: magic, layout, bytes, version, profile, mode, forks, cage_base, cage_bytes, protections,
# degraded, the two tables (at, count, bytes of an entry), last words.
HEAD = struct.Struct("<8sII16s16sIIQQQQIIIIII240s")
PROTECTION = struct.Struct("<32s64s")
COUNTER = struct.Struct("<QI52s")
FIELDS = ("magic", "layout", "bytes", "version", "profile", "mode", "forks", "cage_base", "cage_bytes", "protections", "degraded",
          "protections_at", "protections_count", "protection_bytes", "counters_at", "counters_count", "counter_bytes",
          "last_words")
WORK, DEGRADED, TROUBLE = range(3)


def status_of(at, process):
    """The state as JSON; None when it could not be had."""
    result = run(at.moat, "status", "--json", process.pid)
    if not expect(result.returncode == 0 and result.stderr == "", "the status of %s: %r" % (process.args, result)):
        return None
    state = json.loads(result.stdout)
    expect_equal(state["pid"], process.pid, "the number of the process")
    return state


def expect_without(at, process, reason, words):
    result = run(at.moat, "status", "--json", process.pid)
    state = json.loads(result.stdout)
    expect_equal((result.returncode, state["moat"], state["reason"]), (1, False, reason), "what JSON says of %s" % process.args)
    result = run(at.moat, "status", process.pid)
    expect(result.returncode == 1 and "process %d (" % process.pid in result.stdout and words in result.stdout and
           result.stdout.count("\n") == 1, "what is said of %s has %r: %r" % (process.args, words, result))


def preloaded(library, **more):
    return clean_environment(LD_PRELOAD=library, **more)


def library_tells_what_it_is(at):
    for library, profile in ((at.plain, "plain"), (at.secure, "secure")):
        if library is None:
            continue
        wanted = {name.replace("MOAT_", "", 1): profile == "secure" and value == "1" for name, value in at.definitions.items()}
        with started(at.waits, environment=preloaded(library)) as process:
            state = status_of(at, process)
            expect_equal((state["command"], state["library"], state["library_replaced"], state["other_heaps"]),
                         ("waits", os.path.realpath(library), False, 0), "the process and its library")
            expect_equal((state["profile"], state["mode"], state["forks"], state["last_words"]), (profile, "active", 0, ""),
                         "the profile, mode, forks and last words")
            expect_equal("moat " + state["version"], run(at.moat, "--version").stdout.strip(), "the version")
            expect_equal(state["protections"], wanted, "the protections of the build")
            expect_equal((state["degraded"], state["degraded_by"]), (0, {}), "what is degraded")
            expect_cage(process, state)
            people_are_told_the_same(at, process, state)


def expect_cage(process, state):
    """The cage is where the kernel has mappings of the process that belong to no file."""
    base, bytes_of_cage = int(state["cage_base"], 16), state["cage_bytes"]
    maps = open("/proc/%d/maps" % process.pid).read()
    inside = [line for line in re.findall(r"^(\w+)-\w+ \S+ 00000000 00:00 0 *$", maps, re.M)
              if base <= int(line, 16) < base + bytes_of_cage]
    expect(base % (1 << 21) == 0 and bytes_of_cage >= 1 << 26 and inside, "the cage is in the process: %s" % state)


def people_are_told_the_same(at, process, state):
    text = run(at.moat, "status", process.pid).stdout
    for words in ("process     %d (waits)" % process.pid, "moat        %s, profile %s" % (state["version"], state["profile"]),
                  "library     " + state["library"], "mode        active", "degraded    nothing",
                  "count       pages opened: %d" % state["counters"]["pages opened"]):
        expect(re.search("^" + re.escape(words), text, re.M), "people are told %r: %s" % (words, text))
    for option, is_on in state["protections"].items():
        expect(re.search(r"^protection  %s .*\(%s\)$" % ("on " if is_on else "off", option), text, re.M),
               "people are told %s: %s" % (option, text))
    expect(not re.search(r": 0$", text, re.M), "people are not told of counts that are 0: %s" % text)


def counts_follow_the_process(at):
    with started(at.waits, environment=preloaded(at.strongest)) as process:
        before = status_of(at, process)["counters"]
        expect_equal(process.say("g"), "grown", "the answer of the process")
        after = status_of(at, process)["counters"]
        expect_equal(list(before), list(after), "the names of the counts")
        expect(after["pages opened"] > before["pages opened"] + 10, "pages opened: %s, then %s" % (before, after))


def child_has_its_own_counts(at):
    with started(at.waits, environment=preloaded(at.strongest)) as process:
        word, child = process.say("f").split()
        expect_equal(word, "child", "the answer of the child")
        states = [json.loads(run(at.moat, "status", "--json", pid).stdout) for pid in (process.pid, child)]
        expect_equal([state["forks"] for state in states], [0, 1], "the forks of parent and child")
        expect_equal(states[1]["cage_base"], states[0]["cage_base"], "the child's cage")
        expect(states[1]["counters"]["pages opened"] >= states[0]["counters"]["pages opened"] > 0,
               "the child begins with its parent's counts: %s" % states)


def degraded_protections_are_told(at):
    if at.secure is None:
        skip("degraded protections", "the plain library has none to lower")
        return
    with started(at.waits, environment=preloaded(at.secure, MOAT_OPTIONS="foreign=leak")) as process:
        state = status_of(at, process)
        expect_equal((state["degraded"], state["degraded_by"]), (1, {"options that lower a protection": 1}), "what foreign=leak degrades")
        text = run(at.moat, "status", process.pid).stdout
        expect("degraded    options that lower a protection: 1\n" in text and "degraded    nothing" not in text,
               "people are told of foreign=leak: %s" % text)
    if at.definitions["MOAT_SECURE_GUARD_PAGES"] == "1":
        with started(at.waits, environment=preloaded(at.secure, MOAT_OPTIONS="guards=off")) as process:
            state = status_of(at, process)
            missing = state["degraded_by"].get("guards missing", 0)
            expect(missing > 0 and state["degraded"] == missing + 1, "what guards=off degrades: %s" % state)


def library_may_be_anywhere(at):
    copy = at.copy("libother-name.so", at.strongest)
    with started(at.waits, environment=preloaded(copy)) as process:
        expect_equal(status_of(at, process)["library"], copy, "the library by another name")
        os.unlink(copy)
        state = status_of(at, process)
        expect_equal((state["library"], state["library_replaced"]), (copy, True), "the deleted library")
        expect("deleted or replaced" in run(at.moat, "status", process.pid).stdout, "people are told that it was deleted")
    # A new file in its place, as a package manager does it: the process still has the old one, whose state is read.
    at.copy("libother-name.so", at.strongest)
    with started(at.waits, environment=preloaded(copy)) as process:
        at.write("new", "a later version")
        os.rename(at.path("new"), copy)
        expect_equal(status_of(at, process)["library_replaced"], True, "whether the library was replaced")


def heap_may_be_inside_the_program(at):
    inside = os.path.join(at.build, "moat.o")
    profile = "secure" if at.secure else "plain"
    for name, words in (("dynamic", []), ("static", ["-static"]), ("static-pie", ["-static-pie"]), ("fixed", ["-no-pie"])):
        program = at.compile("inside-" + name, "waits.c", inside, *words)
        with started(program) as process:
            state = status_of(at, process)
            expect_equal((state["library"], state["profile"], state["mode"]), (program, profile, "active"), "the heap in " + name)
    subprocess.run(["strip", at.path("inside-static")], check=True)
    with started(at.path("inside-static")) as process:
        expect_without(at, process, "static", "statically linked")


def two_heaps_are_told(at):
    program = at.compile("linked", "waits.c", "-Wl,--no-as-needed", at.copy("libmoat-linked.so", at.plain),
                         "-Wl,-rpath," + at.folder)
    renamed = at.compile("libsecond.so", "-shared", "-fPIC", os.path.join(at.build, "moat.o"))
    with started(program, environment=preloaded(renamed)) as process:
        expect_equal(status_of(at, process)["other_heaps"], 1, "the other heaps of a process with two")
        expect("1 more file" in run(at.moat, "status", process.pid).stdout, "people are told of two heaps")


def absence_is_explained(at):
    with started(at.waits) as process:
        expect_without(at, process, "not-preloaded", "it was started without")
    more = {"MORE_%d" % i: "x" * 100000 for i in range(10)}  # than one read of the environment gives
    for before in ({}, more):
        with started(at.waits, environment=clean_environment(**before, LD_PRELOAD="/nonexistent/libmoat-secure.so.0")) as process:
            expect_without(at, process, "dropped", "the loader did not load it")
    with started(at.waits, environment=clean_environment(NAME="LD_PRELOAD=libmoat.so", LD_PRELOAD_="libmoat.so")) as process:
        expect_without(at, process, "not-preloaded", "it was started without")
    with started(at.compile("static", "waits.c", "-static"), environment=preloaded(at.strongest)) as process:
        expect_without(at, process, "static", "statically linked")
    ended = subprocess.Popen(["true"])
    os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
    expect_without(at, ended, "no-memory", "has ended")
    ended.wait()
    expect_refused("there is no process %d" % ended.pid, at.moat, "status", ended.pid)


def permission_is_needed(at):
    if os.geteuid() != 0:
        expect_refused("process 1 (", at.moat, "status", "1")
        return
    with started(at.waits, environment=preloaded(at.strongest)) as process:
        expect_refused("process %d (waits) may not be looked at" % process.pid, at.moat, "status", process.pid, user=NOBODY,
                       group=NOBODY, extra_groups=[])
    with started(at.waits, environment=preloaded(at.strongest), user=NOBODY, group=NOBODY, extra_groups=[]) as process:
        expect_equal(status_of(at, process)["mode"], "active", "the process of another user, for root")


def core_dump_tells_the_last_words(at):
    """What gdb writes as a core at the abort, and reads again without the process. The cage is small, since gdb, unlike the
    kernel, puts all of a reservation into its core."""
    if at.secure is None:
        skip("the last words in a core dump", "the plain library ends no process")
        return
    source = at.write("foreign.c", "#include <stdlib.h>\nint main(void)\n{\n    char local;\n    free(&local);\n    return 0;\n}\n")
    program = at.compile("foreign", "-w", source)
    core = at.path("core")
    first = run("gdb", "-nx", "-q", "-batch", "-ex", "set startup-with-shell off", "-ex", "set environment LD_PRELOAD " + at.secure,
                "-ex", "set environment MOAT_OPTIONS cage=64M", "-ex", "run", "-ex", "generate-core-file " + core, "-ex", "kill", program)
    said = re.search(r"^moat: foreign pointer in free\(\): 0x.*$", first.stdout + first.stderr, re.M)
    if expect(said and os.path.exists(core), "the program dies and leaves a core: %r" % first):
        second = run("gdb", "-nx", "-q", "-batch", "-ex", "print moat_state.head.last_words", program, core)
        expect('"%s"' % said.group(0) in second.stdout, "the core has the line %r: %r" % (said.group(0), second))


def bad_input_is_refused(at):
    expect_refused("status wants the number of a process (", at.moat, "status")
    for text in ("abc", "0", "-0", "12x", "", " 1", "+1", "0x10", "99999999999", "9" * 40):
        words = "has no option -0" if text == "-0" else 'the number of a process, and got "%s"' % text
        expect_refused(words, at.moat, "status", text)
    expect_refused("has no option --yaml", at.moat, "status", "--yaml", "1")
    expect_refused('wants one process, and got "1" and "2"', at.moat, "status", "1", "2")
    expect_refused("there is no process 2147483647", at.moat, "status", "2147483647")


# ---- a program that says what it likes ----


def made_state(protections=(("SECURE_ONE", "the first"), ("SECURE_TWO", "the second")),
               counters=((7, WORK, "things done"), (3, DEGRADED, "things missing"), (0, TROUBLE, "things slow")), more_head=b"",
               more_entry=b"", **changed):
    """The bytes of a state; a field that is named has that value."""
    protections_at = HEAD.size + len(more_head)
    table = b"".join(PROTECTION.pack(option.encode(), words.encode()) + more_entry for option, words in protections)
    counters_at = (protections_at + len(table) + 63) // 64 * 64
    rest = b"".join(COUNTER.pack(count, kind, name.encode()) + more_entry for count, kind, name in counters)
    fields = dict(zip(FIELDS, (
        b"MOATSTAT", 1, counters_at + len(rest), b"9.8.7", b"secure", 1, 0, 0x100000000000, 1 << 44, 1, 3,
        protections_at, len(protections), PROTECTION.size + len(more_entry),
        counters_at, len(counters), COUNTER.size + len(more_entry), b"")))
    fields.update(changed)
    head = HEAD.pack(*(fields[name] for name in FIELDS)) + more_head
    return (head + table).ljust(counters_at, b"\0") + rest


@contextlib.contextmanager
def imposter(at, state, *mapped):
    if not os.path.exists(at.path("imposter")):
        at.compile("imposter", "imposter.c", "-rdynamic")
    with started(at.path("imposter"), at.write("state", state), *mapped) as process:
        yield process


# Of an ELF file for 64-bit x86: the header, a segment, an entry of the dynamic section, a symbol, a section.
ELF_HEAD = struct.Struct("<16sHHIQQQIHHHHHH")
SEGMENT = struct.Struct("<IIQQQQQQ")
DYNAMIC = struct.Struct("<qQ")
SYMBOL = struct.Struct("<IBBHQQ")
SECTION = struct.Struct("<IIQQQQIIQQ")
PT_LOAD, PT_DYNAMIC, DT_STRTAB, DT_SYMTAB, DT_GNU_HASH, SHT_SYMTAB = 1, 2, 5, 6, 0x6ffffef5, 2


def endless_library():
    """A library with one chain of 65536 symbols, all with the hash of moat_state and another name."""
    symbols = 1 << 16
    value = 5381
    for byte in b"moat_state":
        value = (value * 33 + byte) & 0xffffffff
    strings_at = ELF_HEAD.size + 2 * SEGMENT.size + 4 * DYNAMIC.size
    hash_at = strings_at + 32
    symbols_at = hash_at + 20 + 4 * symbols
    total = symbols_at + SYMBOL.size * symbols
    head = ELF_HEAD.pack(b"\x7fELF\x02\x01\x01", 3, 62, 1, 0, ELF_HEAD.size, 0, 0, ELF_HEAD.size, SEGMENT.size, 2, 0, 0, 0)
    segments = SEGMENT.pack(PT_LOAD, 4, 0, 0, 0, total, total, 4096)
    segments += SEGMENT.pack(PT_DYNAMIC, 4, *[ELF_HEAD.size + 2 * SEGMENT.size] * 3, *[4 * DYNAMIC.size] * 2, 8)
    dynamic = b"".join(DYNAMIC.pack(*entry) for entry in (
        (DT_GNU_HASH, hash_at), (DT_SYMTAB, symbols_at), (DT_STRTAB, strings_at), (0, 0)))
    table = struct.pack("<5I", 1, 0, 0, 0, 0) + struct.pack("<I", value & ~1) * symbols
    return head + segments + dynamic + b"another_name".ljust(32, b"\0") + table + SYMBOL.pack(0, 0, 0, 1, 0, 0) * symbols


def endless_program(at):
    """A static program whose file names 60000 tables of symbols, of 64 MiB each."""
    path = at.compile("endless", "waits.c", "-static")
    tables, table_bytes = 60000, 64 << 20
    with open(path, "r+b") as file:
        end = file.seek(0, os.SEEK_END) // 8 * 8 + 8
        file.seek(end)
        file.write(SECTION.pack(0, SHT_SYMTAB, 0, 0, 0, table_bytes, 0, 0, 8, SYMBOL.size) * tables)
        file.truncate(end + tables * SECTION.size + table_bytes)
        head = list(ELF_HEAD.unpack(os.pread(file.fileno(), ELF_HEAD.size, 0)))
        head[6], head[11], head[12], head[13] = end, SECTION.size, tables, 0
        file.seek(0)
        file.write(ELF_HEAD.pack(*head))
    return path


def looking_comes_to_an_end(at):
    """Whatever a process shows; each of these would take hours to read. What is long and not endless is read."""
    library = at.write("endless.so", endless_library())
    other = made_state(magic=b"MOATSTAR")
    for times, is_read in ((1, True), (20000, False)):
        with imposter(at, other, library, times) as process:
            if is_read:
                expect_without(at, process, "not-preloaded", "does not run on Moat")
                continue
            for json_or_not in ([], ["--json"]):
                expect_refused("process %d (imposter) was not read to its end" % process.pid, at.moat, "status", *json_or_not, process.pid)
    # Also when the state was found before.
    with imposter(at, made_state(), library, 20000) as process:
        expect_refused("was not read to its end", at.moat, "status", process.pid)
    with started(endless_program(at)) as process:
        expect_refused("process %d (endless) was not read to its end" % process.pid, at.moat, "status", process.pid)


def other_versions_are_read(at):
    with imposter(at, made_state()) as process:
        state = status_of(at, process)
        expect_equal((state["version"], state["protections"], state["degraded"], state["degraded_by"]),
                     ("9.8.7", {"SECURE_ONE": True, "SECURE_TWO": False}, 3, {"things missing": 3}), "a state with other names")
    with imposter(at, made_state(more_head=b"newfield", more_entry=b"and more")) as process:
        state = status_of(at, process)
        expect_equal(state["counters"], {"things done": 7, "things missing": 3, "things slow": 0}, "a state with more fields")
    for mode, word in ((0, "asleep"), (2, "passive"), (3, "unknown")):
        with imposter(at, made_state(mode=mode)) as process:
            expect_equal(status_of(at, process)["mode"], word, "mode %d" % mode)
    with imposter(at, made_state(mode=2)) as process:
        expect("nothing is protected" in run(at.moat, "status", process.pid).stdout, "people are told of the passive mode")
    words = "moat: double free in free(): 0x10 (class 64), thread 1"
    with imposter(at, made_state(last_words=words.encode())) as process:
        expect_equal(status_of(at, process)["last_words"], words, "the last words")
        expect("last words  " + words in run(at.moat, "status", process.pid).stdout, "people are told the last words")
    with imposter(at, made_state(layout=2, bytes=1 << 30)) as process:
        expect_refused("runs on Moat 9.8.7, whose state this command is too old or too new to read", at.moat, "status", process.pid)


def nonsense_is_no_state(at):
    size = HEAD.size
    for changed in ({"magic": b"MOATSTAR"}, {"bytes": size - 1}, {"bytes": 0xffffffff}, {"bytes": 100 << 10},
                    {"protections_count": 65}, {"protections_count": 0xffffffff}, {"protections_at": 8}, {"protections_at": size + 4},
                    {"protection_bytes": 0}, {"protection_bytes": 0xfffffff8}, {"counters_count": 1025}, {"counters_count": 5},
                    {"counters_at": 0xfffffff8}, {"counter_bytes": 8}, {"counter_bytes": 65}):
        with imposter(at, made_state(**changed)) as process:
            expect_without(at, process, "not-preloaded", "does not run on Moat")
    for count, is_read in ((64, True), (65, False)):  # as many as the word of their bits has
        with imposter(at, made_state(protections=[("SECURE_%d" % i, "words") for i in range(count)])) as process:
            expect_equal(run(at.moat, "status", process.pid).returncode == 0, is_read, "whether %d protections are read" % count)


def terminal_is_safe(at):
    evil = "\x1b]0;x\x07\"\\\n"
    state = made_state(protections=((evil, "x" * 64),), counters=((1, DEGRADED, evil), (1, WORK, "y" * 52)), version=b"\x1b[31m" * 3 + b"z",
                       profile=b"\xff" * 16, last_words=b"\x80" * 240)
    with imposter(at, state) as process:
        found = status_of(at, process)
        expect_equal(found["degraded_by"], {"?]0;x?\"\\?": 1}, "a name with control characters")
        expect_equal(found["profile"], "?" * 15, "a text without an end")
        text = run(at.moat, "status", process.pid).stdout
        expect(all(32 <= ord(c) < 127 or c == "\n" for c in text), "only plain text reaches the terminal: %r" % text)
    # The names of a process and of its library are anybody's too; they are to be told apart, so nothing is lost of them.
    program = at.copy("\x1b\t\u00e4", at.waits)
    library = at.copy("lib\x1b]\x7f\u00e4.so", at.strongest)
    with started(program, environment=preloaded(library)) as process:
        state = status_of(at, process)
        expect_equal((state["command"], state["library"]), (r"\x1b\x09\xc3\xa4", at.path(r"lib\x1b]\x7f\xc3\xa4.so")),
                     "the names of a process and its library")
        text = run(at.moat, "status", process.pid).stdout
        expect(state["command"] in text and state["library"] in text and all(32 <= ord(c) < 127 or c == "\n" for c in text),
               "people are told both names in plain text: %r" % text)


def any_bytes_are_survived(at):
    seed = int(os.environ.get("MOAT_TEST_SEED", "0")) or random.SystemRandom().randrange(1 << 32)
    chance = random.Random(seed)
    statuses = set()
    for _ in range(60):
        state = bytearray(made_state())
        for _ in range(chance.randrange(1, 4)):
            place_of_change = chance.choice([chance.randrange(8, 12), chance.randrange(88, 112), chance.randrange(len(state))])
            state[place_of_change] = chance.choice([0, 1, 8, 255, chance.randrange(256)])
        with imposter(at, bytes(state)) as process:
            result = run(at.moat, "status", "--json", process.pid)
            statuses.add(result.returncode)
            good = result.returncode in (0, 1) and json.loads(result.stdout) or result.returncode == 2 and result.stderr.count("\n") == 1
            if not expect(good, "changed bytes are survived (MOAT_TEST_SEED=%d): %r" % (seed, result)):
                return
    expect({0, 1} <= statuses, "changed bytes left some states readable and some not (MOAT_TEST_SEED=%d): %s" % (seed, statuses))


with place() as at:
    if not at.definitions:
        sys.exit("check_status.py wants --definitions")
    library_tells_what_it_is(at)
    counts_follow_the_process(at)
    child_has_its_own_counts(at)
    degraded_protections_are_told(at)
    library_may_be_anywhere(at)
    heap_may_be_inside_the_program(at)
    two_heaps_are_told(at)
    absence_is_explained(at)
    permission_is_needed(at)
    core_dump_tells_the_last_words(at)
    bad_input_is_refused(at)
    other_versions_are_read(at)
    nonsense_is_no_state(at)
    terminal_is_safe(at)
    looking_comes_to_an_end(at)
    any_bytes_are_survived(at)
done()
