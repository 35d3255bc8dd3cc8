#!/usr/bin/env python3
"""The manual pages: both formatters take them without a warning, and they tell all that the command, the library and the
reports know, and nothing else.

    check_manuals.py --build DIRECTORY --compiler FILE --definitions ...
"""
import json
import os
import re
import shutil
import subprocess
import sys

from support import HERE, clean_environment, done, expect, expect_equal, place, run, started

ROOT = os.path.dirname(os.path.dirname(HERE))
MANUALS = os.path.join(ROOT, "docs/man")
PAGES = ("moat.1", "moat-run.1", "moat-status.1", "moat.7")


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


def text_of(page):
    return read("docs/man/" + page)


def formatters_are_content():
    for program, package in (("mandoc", "mandoc"), ("groff", "groff-base")):
        if not shutil.which(program):
            sys.exit("check_manuals.py: %s is missing; install the package %s" % (program, package))
    for page in PAGES:
        path = os.path.join(MANUALS, page)
        # What mandoc calls style is NetBSD's: lines of 80 bytes, no name of a system.
        for command in (["mandoc", "-T", "lint", "-W", "warning", path], ["groff", "-mandoc", "-ww", "-b", "-z", "-Tutf8", path]):
            result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            expect(result.returncode == 0 and result.stdout == "", "%s takes %s: %s" % (command[0], page, result.stdout))
    expect_equal(sorted(os.listdir(MANUALS)), sorted(PAGES), "the manual pages")


def a_fault_is_seen(at):
    """The formatters themselves, tried: a page with a fault must not pass."""
    for number, words in enumerate((".Sh NAME\n.Nm x\n.Bl -tag\n.It a\n", ".Dd Januember 99\n.Dt X 1\n.Os\n.Xx\n")):
        path = at.write("bad%d.1" % number, words)
        result = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        expect(result.returncode != 0, "mandoc refuses a bad page")


def references_lead_somewhere():
    for page in PAGES:
        for name, section in re.findall(r"^\.(?:.* )?Xr ([\w.-]+) (\d)", text_of(page), re.M):
            if name.startswith("moat"):
                expect("%s.%s" % (name, section) in PAGES, "%s refers to %s(%s), which exists" % (page, name, section))
        expect(re.search(r"^\.Dt %s %s$" % (page[:-2].upper(), page[-1]), text_of(page), re.M), "%s is called by its name" % page)


def options_in(text, pattern):
    return set(re.findall(pattern, text))


def every_option_of_the_command_is_told(at):
    for page, command in (("moat.1", []), ("moat-run.1", ["run"]), ("moat-status.1", ["status"])):
        helped = run(at.moat, *command, "--help").stdout
        wanted = options_in(helped if command else "--version --help", r"(?<!\w)--([a-z]+)")
        entries = re.findall(r"^\.It Fl (.*)$", text_of(page), re.M)
        found = options_in("\n".join(entries), r"(?<![\w-])-([a-z]+)")
        expect_equal(found, wanted, "the options in %s" % page)


def every_option_of_the_library_is_told(at):
    said = run("/bin/true", environment=clean_environment(LD_PRELOAD=at.plain, MOAT_OPTIONS="help=1")).stderr
    wanted = dict(re.findall(r"\b([a-z]+)=([a-z0-9|]+|[A-Z]+)", said))
    expect(len(wanted) > 3, "the library lists its options: %r" % said)
    wanted["help"] = "1"
    found = {}
    for key, value in re.findall(r"^\.It Cm (\w+) Ns = Ns (?:Cm|Ar) (.+)$", text_of("moat.7"), re.M):
        found[key] = value.replace(" ", "")
    expect_equal(sorted(found), sorted(wanted), "the keys of MOAT_OPTIONS in moat.7")
    for key, value in wanted.items():
        if not value.isupper():
            expect_equal(found.get(key), value, "the values of %s in moat.7" % key)


def every_report_is_told():
    kinds = re.search(r"kind_words\[\] = \{(.*?)\};", read("src/report.c"), re.S)
    words = re.findall(r'"([^"]+)"', kinds.group(1)) if kinds else []
    expect(len(words) >= 10, "the reports in src/report.c were found: %s" % words)
    reports = text_of("moat.7").split(".Ss Reports")[1].split(".Sh FILES")[0]
    told = [word for line in re.findall(r"^\.It (.*)$", reports, re.M) for word in line.split(" , ")]
    expect_equal(sorted(told), sorted(words), "the reports in docs/man/moat.7, which are those of src/report.c")


def every_field_of_json_is_told(at):
    fields = set()
    for environment in (clean_environment(), clean_environment(LD_PRELOAD=at.strongest)):
        with started(at.waits, environment=environment) as process:
            fields |= set(json.loads(run(at.moat, "status", "--json", process.pid).stdout))
    expect_equal(set(re.findall(r"^\.Va (\w+)", text_of("moat-status.1"), re.M)), fields, "the fields of JSON in moat-status.1")


with place() as at:
    formatters_are_content()
    a_fault_is_seen(at)
    references_lead_somewhere()
    every_option_of_the_command_is_told(at)
    every_option_of_the_library_is_told(at)
    every_report_is_told()
    every_field_of_json_is_told(at)
done()
