#!/usr/bin/env python3
"""Joins what the attacks wrote, one file a technique, to one table as text and as JSON, and refuses a table that has holes.

    table.py --text FILE --json FILE RESULTS...

RESULTS are the files that `attack --out` writes: a line of JSON for each case. The table says for each technique how many
cases there are and how the runs of the counted ones ended on the library under test; then, for each case, the same and on
which control it succeeds. Exit status 1: fewer than 100 counted cases, or a case without runs.
"""
import argparse
import json
import sys

LEAST_COUNTED = 100
ENDS = ["stopped", "faulted", "harmless", "reused", "success", "not set up", "accident"]


def read(files):
    cases = []
    for name in files:
        with open(name, encoding="utf-8") as lines:
            found = [json.loads(line) for line in lines]
        if not found:
            sys.exit(f"table.py: {name} has no case; run the attacks of that technique again")
        cases += found
    return cases


def row(label, values):
    return f"{label:44}" + "".join(f"{value:>9}" for value in values)


def heading(label, first):
    return row(label, [first, "runs"] + [end.replace("not set up", "no setup") for end in ENDS])


def techniques(cases):
    """Of the counted cases on the library under test."""
    sums = {}
    for case in cases:
        if not case["counted"]:
            continue
        technique = case["case"].split(".")[0]
        total = sums.setdefault(technique, dict.fromkeys(["cases", "runs"] + ENDS, 0))
        tested = case["libraries"]["secure"]
        total["cases"] += 1
        for end in ["runs"] + ENDS:
            total[end] += tested[end]
    whole = {key: sum(total[key] for total in sums.values()) for key in ["cases", "runs"] + ENDS}
    return sums, whole


def controls(case):
    """On which controls it succeeds, and after how many runs."""
    return [f"{name} {result['runs']}" for name, result in case["libraries"].items()
            if name != "secure" and result["success"] + result["reused"] > 0]


def note(case):
    tested = case["libraries"]["secure"]
    notes = [] if case["counted"] else ["not counted"]
    if controls(case):
        notes.append("works on " + ", ".join(controls(case)))
    if tested["success"]:
        notes.append("KNOWN HOLE" if case["open"] else "SUCCESS" if case["protected"] else "its protection is off")
    if tested["kinds"]:
        notes.append("; ".join(f"{kind} {runs}" for kind, runs in tested["kinds"].items()))
    return " | ".join(notes)


def figures(cases):
    """What was measured, and how many allocations a reuse took."""
    lines = []
    for case in cases:
        for name, result in case["libraries"].items():
            values = sorted(result["figures"])
            if not values or (name != "secure" and case["counted"]):
                continue
            what = "allocations until the block was handed out again" if result["reused"] else result["goal"]
            at = [values[int(len(values) * part)] for part in (0, 0.25, 0.5, 0.75, 0.95)] + [values[-1]]
            lines.append(row(case["case"], [name, len(values)] + at) + "  " + what)
    return [row("measured", ["on", "values", "least", "25 %", "50 %", "75 %", "95 %", "most"])] + lines


def text(cases):
    sums, whole = techniques(cases)
    lines = [heading("technique", "cases")]
    lines += [row(name, [total[key] for key in ["cases", "runs"] + ENDS]) for name, total in sums.items()]
    lines += [row("all", [whole[key] for key in ["cases", "runs"] + ENDS]), "", heading("case", "")]
    for case in cases:
        tested = case["libraries"]["secure"]
        lines.append(row(case["case"], [""] + [tested[end] for end in ["runs"] + ENDS]) + "  " + note(case))
    return "\n".join(lines + [""] + figures(cases)) + "\n"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--text", required=True)
    parser.add_argument("--json", required=True)
    parser.add_argument("results", nargs="+")
    arguments = parser.parse_args()

    cases = read(arguments.results)
    sums, whole = techniques(cases)
    with open(arguments.text, "w", encoding="utf-8") as out:
        out.write(text(cases))
    with open(arguments.json, "w", encoding="utf-8") as out:
        json.dump({"techniques": sums, "all": whole, "cases": cases}, out, indent=1)
        out.write("\n")

    print(text(cases).split("\n\n", maxsplit=1)[0])
    print(f"the whole table: {arguments.text}")
    empty = [case["case"] for case in cases if case["libraries"]["secure"]["runs"] == 0]
    if empty:
        sys.exit(f"table.py: no runs of {', '.join(empty)}; run the attacks again with --lib")
    if whole["cases"] < LEAST_COUNTED:
        sys.exit(f"table.py: {whole['cases']} counted cases, and there must be {LEAST_COUNTED}; was a technique left out?")


if __name__ == "__main__":
    main()
