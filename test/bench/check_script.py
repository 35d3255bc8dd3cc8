#!/usr/bin/env python3
"""scripts/bench on few and short workloads: its record and page hold what was measured, a wrong heap is found, a bad command line refused.

    check_script.py --script FILE --build DIR --wrong LIBRARY

No time is judged. LIBRARY is test/bench/wrong.c.
"""
import argparse
import json
import math
import os
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree

SVG = "{http://www.w3.org/2000/svg}"
WORKLOADS = {"hot-64": "pairs", "births": "threads", "gawk": "programs"}
REPORTS = ("fragmentation", "given-back", "latency", "curve-threads")
HEAPS = ("glibc", "moat", "moat-secure", "glibc again")
COSTS = ("cpu_ms", "wall_ms", "peak_kib", "minor_faults", "voluntary_switches", "involuntary_switches", "ratio")

faults = []


def expect(condition, what):
    if not condition:
        faults.append(what)


class Script:
    def __init__(self, given, place):
        self.given, self.place = given, place

    def run(self, *words, with_build=True):
        command = [sys.executable, self.given.script, *(["--build", self.given.build] if with_build else []), *words]
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False, cwd=self.place)


def check_record(path):
    with open(path, encoding="utf-8") as file:
        record = json.load(file, parse_constant=lambda word: expect(False, f"the record holds {word}"))
    expect(tuple(heap["name"] for heap in record["heaps"]) == HEAPS, f"the heaps are {record['heaps']}")
    expect({one["name"]: one["group"] for one in record["workloads"]} == WORKLOADS, "the record has other workloads")
    for workload in record["workloads"]:
        for heap in HEAPS:
            found = workload["heaps"][heap]
            expect(len(workload["runs"][heap]) == 2 and found, f"{workload['name']} on {heap} did not run twice")
            expect(found and all(name in found for name in COSTS), f"{workload['name']} on {heap} lacks figures")
            expect(found and found["cpu_ms"]["minimum"] <= found["cpu_ms"]["median"], f"{workload['name']} on {heap}: the minimum is no minimum")
        expect(workload["heaps"]["glibc"]["ratio"] == {"minimum": 1, "median": 1}, "the base is not 1")
        if workload["group"] != "programs":
            expect(len({workload["heaps"][heap]["operations"] for heap in HEAPS}) == 1, f"{workload['name']}: other operations on other heaps")
    for name in ("all", "multi-threaded", "pairs", "real programs"):
        found = record["means"]["cpu"][name]["moat"]
        expect(found["low"] <= found["ratio"] <= found["high"], f"the mean of {name} is outside its interval: {found}")
    # One workload: its mean over two rounds is the root of the product.
    runs = next(one["runs"] for one in record["workloads"] if one["name"] == "births")
    cpu = {heap: [run["user_us"] + run["system_us"] for run in runs[heap]] for heap in ("glibc", "moat")}
    wanted = math.sqrt(cpu["moat"][0] / cpu["glibc"][0] * cpu["moat"][1] / cpu["glibc"][1])
    expect(abs(record["means"]["cpu"]["multi-threaded"]["moat"]["ratio"] / wanted - 1) < 1e-9, "the mean of the threads is not that of its workload")
    expect(record["failures"] == [] and record["left_out"] == [], f"it says {record['failures']} {record['left_out']}")
    for name in REPORTS:
        expect(all(record["reports"].get(name, {}).get(heap) for heap in HEAPS[:-1]), f"the report {name} is not there for each heap")
    first = record["reports"]["latency"]["moat"]["malloc"]
    expect(sum(count for _, count in first["histogram"]) > 1000, "the histogram is empty")
    quantiles = list(first["quantiles"].values())
    expect(len(quantiles) == 4 and quantiles == sorted(quantiles), f"the quantiles are {first['quantiles']}")


def check_page(path):
    with open(path, encoding="utf-8") as file:
        text = file.read()
    root = xml.etree.ElementTree.fromstring(text.replace("<!DOCTYPE html>", "", 1))
    pictures = list(root.iter(SVG + "svg"))
    expect(len(pictures) >= len(WORKLOADS) + 8, f"the page has only {len(pictures)} pictures")
    words = {"".join(node.itertext()) for node in root.iter(SVG + "text")}
    for wanted in ("resident, MiB", "time of a call", "% of calls that take longer", "blocks taken, millions", *HEAPS):
        expect(wanted in words, f"no picture says {wanted}")
    outside = [url for url in re.findall(r"https?://[^\"'\s<]+", text) if not url.startswith("http://www.w3.org/")]
    expect(not outside and " src=" not in text and "<link" not in text and "<script" not in text, f"the page needs what is outside: {outside}")
    # NaN as a coordinate is well-formed XML, and draws nothing.
    expect(not re.search(r"\b(nan|inf)\b", text), "a picture has a place that is no number")


def check_measured(script):
    record, page = os.path.join(script.place, "record.json"), os.path.join(script.place, "page.html")
    done = script.run("--quick", "--rounds", "2", "--only", ",".join((*WORKLOADS, *REPORTS)), "--heaps", "glibc,moat,moat-secure", "--fragmentation", "1",
                      "--json", record, "--html", page)
    expect(done.returncode == 0, f"a short run ends with {done.returncode}: {done.stderr[-500:]}")
    if done.returncode == 0:
        expect(all(name in done.stdout for name in WORKLOADS), f"the table lacks a workload: {done.stdout}")
        expect("[1/" in done.stderr, "no progress is shown")
        check_record(record)
        check_page(page)


def check_wrong(script):
    record = os.path.join(script.place, "wrong.json")
    done = script.run("--quick", "--rounds", "1", "--only", "realloc-strings,large,hot-16", "--heaps", "glibc", "--with", "wrong=" + script.given.wrong,
                      "--json", record)
    expect(done.returncode == 1, f"a wrong heap ends it with {done.returncode}: {done.stderr[-500:]}")
    for words in ("realloc-strings on wrong: a wrong answer", "large on wrong: it ended with signal SIGABRT"):
        expect(words in done.stderr, f"it does not say '{words}' but: {done.stderr[-500:]}")
    if done.returncode == 1:
        with open(record, encoding="utf-8") as file:
            failures = {(one["workload"], one["heap"]) for one in json.load(file)["failures"]}
        expect(failures == {("realloc-strings", "wrong"), ("large", "wrong")}, f"the record names {failures}")


def check_refusals(script):
    wrong = script.given.wrong
    cases = [(["--fast"], "--fast"), (["--rounds", "0"], "--rounds"), (["--rounds", "many"], "--rounds"), (["--quick", "--full"], "not allowed with"),
             (["--only", "hot-65"], "hot-65"), (["--heaps", "moot"], "moot"), (["--base", "jemelloc"], "jemelloc"), (["--heaps", "moat"], "--base"),
             (["--with", "mine"], "NAME=LIBRARY"), (["--with", "mine=/no/such/file"], "/no/such/file"), (["--with", "moat=" + wrong], "moat"),
             (["--with", "mine=" + script.given.script, "--only", "hot-16"], "does not answer malloc"), (["--json", "/no/such/folder/file"], "--json"),
             (["--html", script.place], "--html")]
    for words, wanted in cases:
        done = script.run(*words)
        lines = [line for line in done.stderr.splitlines() if "is left out" not in line]
        expect(done.returncode == 2 and len(lines) == 1 and lines[0].startswith("bench: ") and wanted in lines[0] and not done.stdout,
               f"{' '.join(words)}: status {done.returncode}, and it says: {done.stderr[-300:]}")
    done = script.run("--build", script.place, with_build=False)
    expect(done.returncode == 2 and "build the targets" in done.stderr, f"an empty --build: status {done.returncode}: {done.stderr[-300:]}")


def main():
    parser = argparse.ArgumentParser()
    for option in ("--script", "--build", "--wrong"):
        parser.add_argument(option, required=True)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="moat-bench-test-") as place:
        script = Script(given, place)
        check_measured(script)
        check_wrong(script)
        check_refusals(script)
    for fault in faults:
        print("check_script: " + fault)
    print(f"{len(faults)} faults")
    sys.exit(1 if faults else 0)


main()
