#!/usr/bin/env python3
"""How a shared library was linked.

    check_elf.py --soname NAME --exports FILE LIBRARY

Exported are exactly the names in FILE, each without a version (a version would unbind it silently); nothing of libsodium is
visible or asked for; SONAME, RELRO, BIND_NOW, NODELETE; no executable stack, no segment that is writable and executable, no
text relocations; at most 64 bytes of thread-local storage (a library loaded late finds little more); NEEDED is libc and at
most the loader.
"""
import argparse
import re
import subprocess
import sys

TLS_LIMIT = 64
ALLOWED_NEEDED = {"libc.so.6", "ld-linux-x86-64.so.2"}
# Asked for without a glibc version: by the C start files, weakly from libstdc++ when the program has it, and the loader's list
# of objects, which a static program lacks.
ALLOWED_WEAK = re.compile(r"^(_r_debug|_ITM_(de)?registerTMCloneTable|__gmon_start__|_ZSt\w+|_Unwind_\w+|__cxa_\w+|__gxx_\w+|_ZT[IVS]\w+|_ZNSt\w+)$")
SODIUM = re.compile(r"sodium|^crypto_|^randombytes")


def readelf(*arguments):
    return subprocess.run(["readelf", "-W", *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout


def symbols(text):
    """(name, bind, visibility, defined) of each symbol in a table of readelf."""
    for line in text.splitlines():
        part = line.split()
        if len(part) >= 8 and re.match(r"^\d+:$", part[0]):
            yield part[7], part[4], part[5], part[6] != "UND"


def name_faults(library, exports):
    bad = []
    shown = set()
    for name, bind, _, defined in symbols(readelf("--dyn-syms", library)):
        plain = name.split("@")[0]
        if defined and bind != "LOCAL":
            shown.add(plain)
            if "@" in name:
                bad.append("%s has a version: a program that wants malloc@GLIBC would not bind to it" % name)
        if not defined and "@GLIBC" not in name and not (bind == "WEAK" and ALLOWED_WEAK.match(plain)):
            bad.append("%s is asked for, and it is not libc's" % name)
        if SODIUM.search(plain):
            bad.append("%s of libsodium is in the dynamic symbol table" % name)
    bad += ["%s is not exported" % name for name in sorted(exports - shown)]
    bad += ["%s is exported and is not in the list" % name for name in sorted(shown - exports)]
    bad += ["%s is visible in the symbol table and is not in the list" % name
            for name, bind, visibility, defined in symbols(readelf("--syms", library))
            if defined and bind != "LOCAL" and visibility == "DEFAULT" and name.split("@")[0] not in exports]
    return bad


def dynamic_faults(library, soname):
    dynamic = readelf("--dynamic", library)
    bad = []
    if "(SONAME)" not in dynamic or "[%s]" % soname not in dynamic:
        bad.append("SONAME is not %s" % soname)
    if "TEXTREL" in dynamic:
        bad.append("there are text relocations")
    flags = " ".join(re.findall(r"\(FLAGS(?:_1)?\)\s+(.*)", dynamic))
    for flag in ("BIND_NOW", "NODELETE"):
        if flag not in flags:
            bad.append("%s is not set" % flag)
    needed = set(re.findall(r"\(NEEDED\).*\[(.+)\]", dynamic))
    bad += ["%s is needed" % name for name in sorted(needed - ALLOWED_NEEDED)]
    if re.search(r"\((RPATH|RUNPATH)\)", dynamic):
        bad.append("there is a search path for libraries")
    return bad


def segment_faults(library):
    bad = []
    seen = set()
    for line in readelf("--segments", library).splitlines():
        part = line.split()
        if len(part) < 8 or not part[1].startswith("0x"):
            continue
        kind, memory_bytes, flags = part[0], int(part[5], 16), "".join(part[6:-1])
        seen.add(kind)
        if kind == "TLS" and memory_bytes > TLS_LIMIT:
            bad.append("thread-local storage is %d bytes, more than %d" % (memory_bytes, TLS_LIMIT))
        if "W" in flags and "E" in flags:
            bad.append("the segment %s is writable and executable" % kind)
    bad += ["there is no segment %s" % kind for kind in ("GNU_RELRO", "GNU_STACK") if kind not in seen]
    return bad


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--soname", required=True)
    parser.add_argument("--exports", required=True)
    parser.add_argument("library")
    given = parser.parse_args()
    exports = set(open(given.exports).read().split())
    bad = name_faults(given.library, exports) + dynamic_faults(given.library, given.soname) + segment_faults(given.library)
    if bad:
        sys.exit("%s:\n  %s" % (given.library, "\n  ".join(bad)))
    print("%s: %d exported names" % (given.library, len(exports)))


main()
