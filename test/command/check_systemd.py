#!/usr/bin/env python3
"""The example for systemd: it is a drop-in that systemd takes, and what it sets puts a program on Moat.

    check_systemd.py --build DIRECTORY --compiler FILE --definitions ...
"""
import configparser
import os
import re
import shlex
import shutil

from support import HERE, clean_environment, done, expect, expect_equal, place, run, skip, started

EXAMPLE = os.path.join(os.path.dirname(os.path.dirname(HERE)), "docs/systemd/moat.conf")
# What the example may set, switched on or commented out; anything else is a typing mistake.
KNOWN = {"Environment", "SystemCallFilter", "LimitAS"}
# Of these, the example as it stands sets one.
ACTIVE = {"Environment"}


def settings(text):
    """[(key, value)] of the section Service, which is the only one."""
    parser = configparser.RawConfigParser(strict=False, interpolation=None, delimiters=("=",), comment_prefixes=("#", ";"))
    parser.optionxform = str
    parser.read_string(text)
    expect_equal(parser.sections(), ["Service"], "the sections of the drop-in")
    section = text[text.index("[Service]"):]
    return [tuple(line.split("=", 1)) for line in section.splitlines()[1:] if re.match(r"\w+=", line)]


def with_all_switched_on(text):
    return re.sub(r"^#(\w+=)", r"\1", text, flags=re.M)


def expect_settings(text):
    expect_equal({key for key, _ in settings(text)}, ACTIVE, "the keys that are set")
    full = settings(with_all_switched_on(text))
    expect_equal({key for key, _ in full}, KNOWN, "the keys that are set or commented out")
    # A filter must name what the system's own file of the heap says that it calls.
    names = " ".join(value for key, value in full if key == "SystemCallFilter").split()
    words = open(os.path.join(os.path.dirname(HERE), "../src/os/os.h")).read()
    called = re.search(r"After start only (.*?) are called", words, re.S).group(1)
    called = set(re.findall(r"\w+", called.replace(" and ", " ")))
    expect(called and called <= set(names), "the filter allows %s: %s" % (sorted(called), names))


def expect_accepted(at, name, text):
    """By systemd itself, where it is installed."""
    os.makedirs(at.path("units/%s.service.d" % name), exist_ok=True)
    unit = at.write("units/%s.service" % name, "[Service]\nExecStart=/bin/true\n")
    at.write("units/%s.service.d/moat.conf" % name, text)
    result = run("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", unit)
    said = [line for line in (result.stdout + result.stderr).splitlines() if name in line or "moat.conf" in line]
    return result.returncode == 0 and not said, said


def systemd_takes_it(at, text):
    if not shutil.which("systemd-analyze"):
        skip("the look of systemd at the drop-in", "there is no systemd-analyze here; its keys were compared")
        return
    for name, variant in (("asis", text), ("full", with_all_switched_on(text))):
        accepted, said = expect_accepted(at, name, variant)
        expect(accepted, "systemd takes the drop-in: %s" % said)
    for name, wrong in (("badkey", text.replace("Environment=", "Enviroment=")),
                        ("badcall", with_all_switched_on(text).replace("munmap", "munmapp"))):
        accepted, said = expect_accepted(at, name, wrong)
        expect(not accepted, "systemd refuses a drop-in with a mistake (%s)" % name)


def it_puts_a_program_on_moat(at, text):
    if at.secure is None:
        skip("a program with the settings of the drop-in", "it names libmoat-secure.so.0, which was not built")
        return
    for variant in (text, with_all_switched_on(text)):
        environment = {}
        for key, value in settings(variant):
            if key == "Environment":
                environment.update(item.split("=", 1) for item in shlex.split(value))
        expect("/" not in environment["LD_PRELOAD"], "the loader is to search for the library: %s" % environment)
        # Where ldconfig would find it.
        with started(at.waits, environment=clean_environment(LD_LIBRARY_PATH=at.folder, **environment)) as process:
            status = run(at.moat, "status", process.pid)
            expect(status.returncode == 0 and "mode        active" in status.stdout, "the program is on Moat: %r" % status)


with place() as at:
    with open(EXAMPLE, encoding="utf-8") as file:
        example = file.read()
    expect_settings(example)
    systemd_takes_it(at, example)
    it_puts_a_program_on_moat(at, example)
done()
