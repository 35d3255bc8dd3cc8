#!/usr/bin/env python3
"""Joins the objects of the prefixed heap into one in which everything that the heap remembers can be found and put back.

    seeded_object.py --linker LD --objcopy OBJCOPY --readelf READELF --output seeded.o OBJECT...

    writable data      goes to the section moat_state_data, what starts as zero to moat_state_zero: engine/fresh.c puts both back
    the constructor    goes to moat_state_start: engine/fresh.c calls it at each input, not the C library once a process
    the clock, the thread key and the handler of forks are asked for by names that engine/fresh.c defines
    os_syscall         is not among the objects: engine/door.c defines it

The result links only with the fuzz engine: it has no system call, no clock and no start of its own.
"""
import argparse
import os
import re
import subprocess
import sys

PLACES = {
    ".data": "moat_state_data",
    ".data.rel": "moat_state_data",
    ".data.rel.local": "moat_state_data",
    ".bss": "moat_state_zero",
    ".init_array.00101": "moat_state_start",  # gcc
    ".init_array.101": "moat_state_start",    # clang
}
# Relocated constants and thread-local data are no state (each input is played by threads of its own), the end of the process is none of an
# input's, and what instruments the code keeps its own sections.
LEFT_ALONE = re.compile(r"\.data\.rel\.ro(\.local)?|\.tdata|\.tbss|\.fini_array\.0*101|__sancov_\w+|asan_globals|\.data\.DW\.ref\.\w+|\.(init|fini)_array(\.0{0,4}\d)?|"
                        r"\.bss\.asan\w*|\.preinit_array")
NAMES = {
    "clock_gettime": "fuzz_clock",
    "pthread_key_create": "fuzz_key_create",
    "pthread_atfork": "fuzz_atfork",
}


def refuse(text):
    sys.exit("seeded_object.py: " + text)


def run(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        refuse("this failed: %s\n%s" % (" ".join(command), done.stderr))
    return done.stdout


def writable_sections(readelf, path):
    """Names of all sections with memory that may be written."""
    for line in run(readelf, "-SW", path).splitlines():
        found = re.match(r"\s*\[ *\d+\] (\S+) +\S+ +[0-9a-f]{16} [0-9a-f]+ [0-9a-f]+ [0-9a-f]+ +(\w*)", line)
        if found and "W" in found.group(2) and "A" in found.group(2):
            yield found.group(1)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    for tool in ("linker", "objcopy", "readelf", "output"):
        parser.add_argument("--" + tool, required=True)
    parser.add_argument("objects", nargs="+")
    arguments = parser.parse_args()

    joined = arguments.output + ".joined"
    run(arguments.linker, "-r", "-o", joined, *arguments.objects)
    options, found = [], set()
    for name in writable_sections(arguments.readelf, joined):
        if name in PLACES:
            options += ["--rename-section", "%s=%s" % (name, PLACES[name])]
            found.add(PLACES[name])
        elif not LEFT_ALONE.fullmatch(name):
            refuse("the heap has a writable section %s, and its contents would pass from one input to the next: name it in PLACES" % name)
    missing = set(PLACES.values()) - found
    if missing:
        refuse("the heap has nothing for %s: it has changed, and PLACES must follow it" % ", ".join(sorted(missing)))
    for old, new in NAMES.items():
        options += ["--redefine-sym", "%s=%s" % (old, new)]
    run(arguments.objcopy, *options, joined, arguments.output)
    os.remove(joined)


main()
