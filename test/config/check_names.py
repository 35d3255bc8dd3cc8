#!/usr/bin/env python3
"""Which names an object, an archive or the public header shows.

    check_names.py --exports FILE --only OBJECT       global are exactly the names in FILE, and nothing of libsodium is asked for
    check_names.py --exports FILE --header HEADER...  the functions declared in the headers, and the objects that they name by
                                                      #define MOAT_..._SYMBOL, are the moat_ names in FILE
    check_names.py --exports FILE --prefixed ARCHIVE  every name of the family is there as moat_NAME, and none under its own name
"""
import argparse
import re
import subprocess
import sys


def nm(path, *arguments):
    text = subprocess.run(["nm", "-P", *arguments, path], check=True, stdout=subprocess.PIPE, text=True).stdout
    return {line.split()[0] for line in text.splitlines() if len(line.split()) >= 2}


def object_faults(path, exports):
    shown = nm(path, "-g", "--defined-only")
    bad = ["%s is not global" % name for name in sorted(exports - shown)]
    bad += ["%s is global and is not in the list" % name for name in sorted(shown - exports)]
    bad += ["%s of libsodium is asked for" % name for name in sorted(nm(path, "-u"))
            if re.search(r"sodium|^crypto_|^randombytes", name)]
    return bad


def header_faults(paths, exports):
    text = re.sub(r"/\*.*?\*/", " ", "\n".join(open(path).read() for path in paths), flags=re.S)
    declared = set(re.findall(r"\b(moat_\w+)\s*\(", text))
    if not declared:
        return ["no function is declared"]
    declared |= set(re.findall(r'^#define MOAT_\w+_SYMBOL "(\w+)"$', text, flags=re.M))
    ours = {name for name in exports if name.startswith("moat_")}
    bad = ["%s is declared and not exported" % name for name in sorted(declared - ours)]
    bad += ["%s is exported and not declared" % name for name in sorted(ours - declared)]
    return bad


def prefixed_faults(path, exports):
    shown = nm(path, "-g", "--defined-only")
    family = {name for name in exports if not name.startswith("moat_")}
    bad = ["moat_%s is missing" % name for name in sorted(family) if "moat_" + name not in shown]
    bad += ["%s has its own name: write it so that prefix.h can rename it" % name for name in sorted(family & shown)]
    bad += ["%s is missing" % name for name in sorted(exports - family - shown)]
    return bad


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--exports", required=True)
    choice = parser.add_mutually_exclusive_group(required=True)
    choice.add_argument("--only")
    choice.add_argument("--header", nargs="+")
    choice.add_argument("--prefixed")
    given = parser.parse_args()
    exports = set(open(given.exports).read().split())
    if given.only:
        bad = object_faults(given.only, exports)
    elif given.header:
        bad = header_faults(given.header, exports)
    else:
        bad = prefixed_faults(given.prefixed, exports)
    if bad:
        sys.exit("%s:\n  %s" % (given.only or " ".join(given.header or []) or given.prefixed, "\n  ".join(bad)))


main()
