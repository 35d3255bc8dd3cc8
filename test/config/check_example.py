#!/usr/bin/env python3
"""The program in README.md: built as the page says, from an installed Moat, it prints what the page says. Nothing of it is known
here but where it stands.

    check_example.py README WORK_DIR C_COMPILER PACKAGE LIBRARY_DIR      PACKAGE: moat or moat-secure, in PKG_CONFIG_PATH
"""
import os
import re
import subprocess
import sys


def examples(text):
    """[(program, command line, what it prints)]: an indented program that includes moat.h, and the paragraph behind it."""
    found = []
    for match in re.finditer(r"(?:^    .*\n|^\n)+", text, re.M):
        program = re.sub(r"^    ", "", match.group(0), flags=re.M).strip() + "\n"
        behind = text[match.end():].split("\n\n")[0]
        if program.startswith("#include <moat.h>"):
            line, prints = re.search(r"`(cc [^`]+)`", behind), re.search(r"prints\s+`([^`]+)`", behind)
            if not line or not prints:
                sys.exit("check_example.py: the paragraph behind a program must have `cc ...` and prints `...`: %s" % behind)
            found.append((program, line.group(1), prints.group(1)))
    return found


def main():
    if len(sys.argv) != 6:
        sys.exit("check_example.py: usage: check_example.py README WORK_DIR C_COMPILER PACKAGE LIBRARY_DIR")
    page, work, compiler, package, libraries = sys.argv[1:]
    with open(page, encoding="utf-8") as file:
        found = examples(file.read())
    if not found:
        sys.exit("check_example.py: %s has no program that includes moat.h" % page)
    for program, line, prints in found:
        name = re.search(r"\b(\w+)\.c\b", line).group(1)
        with open(os.path.join(work, name + ".c"), "w", encoding="utf-8") as file:
            file.write(program)
        if line.count("moat-secure") != 1:
            sys.exit("check_example.py: the command line is to name the package moat-secure once: %s" % line)
        line = line.replace("cc ", "'%s' -std=c17 -Wall -Wextra -Werror " % compiler, 1).replace("moat-secure", package)
        built = subprocess.run(line, shell=True, cwd=work, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if built.returncode != 0:
            sys.exit("check_example.py: the program of %s does not build with %s:\n%s" % (page, line, built.stdout))
        result = subprocess.run([os.path.join(work, name)], env=dict(os.environ, LD_LIBRARY_PATH=libraries), timeout=60,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if result.returncode != 0 or result.stdout != prints + "\n":
            sys.exit("check_example.py: the program of %s on %s ends with %d and prints %r instead of %r" % (
                page, package, result.returncode, result.stdout, prints))


main()
