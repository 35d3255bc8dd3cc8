"""The record of a run, as JSON, and the page made of it."""
import os
import platform
import re
import subprocess
import time
from xml.sax.saxutils import escape

from . import figures, jobs, plots
from .plots import Axis
from .support import ROOT

FORMAT = 1
MIB = 1 << 20
# A bar longer than so many times the base is broken off: one bad heap must not flatten the others.
LONGEST_BAR = 3.0

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #1f2937; background: #fff; max-width: 1080px; margin: 2em auto; padding: 0 1em; }
h1 { margin-bottom: 0; } h2 { margin-top: 2.2em; border-bottom: 1px solid #d1d5db; }
p.faint, .faint { color: #6b7280; fill: #6b7280; }
svg { margin: 8px 18px 8px 0; vertical-align: top; } svg text { font: 12px system-ui, sans-serif; fill: #1f2937; } svg .title { font-weight: 600; }
svg .faint { fill: #6b7280; } svg .grid { stroke: #e5e7eb; fill: none; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; margin: 1em 0; }
td, th { padding: 2px 9px; text-align: right; border-bottom: 1px solid #e5e7eb; } td:first-child, th:first-child { text-align: left; }
.bad { color: #b91c1c; } .scroll { overflow-x: auto; }
"""


# ---- the record ----

def machine(options):
    cpu = re.search(r"^model name\s*: (.*)$", open("/proc/cpuinfo", encoding="utf-8").read(), re.M)
    memory = re.search(r"^MemTotal:\s+(\d+)", open("/proc/meminfo", encoding="utf-8").read(), re.M)
    return {"processor": cpu[1] if cpu else platform.machine(), "processors": os.cpu_count(), "memory_mib": int(memory[1]) // 1024,
            "kernel": platform.release(), "libc": " ".join(platform.libc_ver()), "load_before": options.load[0], "load_after": os.getloadavg()[0]}


def commit():
    done = subprocess.run(["git", "-C", str(ROOT), "describe", "--always", "--dirty"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                          check=False)
    return done.stdout.strip() or None


def workload_record(results, job):
    return {"name": job.name, "group": job.group, "what": job.what, "noise": figures.noise(results, job), "is_noisy": figures.is_noisy(results, job),
            "heaps": {heap.name: figures.summary(results, job, heap) for heap in results.columns},
            "runs": {heap.name: [run.__dict__ if run else None for run in results.runs[job.name][heap.name]] for heap in results.columns}}


def record(results, found, options):
    means = {metric: {name: {heap.name: figures.mean(results, heap, groups, metric) for heap in results.columns[1:]}
                      for name, groups in figures.MEANS.items()} for metric in ("cpu", "peak", "faults")}
    return {"format": FORMAT, "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "commit": commit(), "machine": machine(options),
            "kind": "quick" if options.quick else "full" if options.full else "usual", "rounds": results.rounds,
            "base": results.base.name, "control": results.control.name,
            "heaps": [{"name": heap.name, "library": str(heap.library) if heap.library else None} for heap in results.columns],
            "workloads": [workload_record(results, job) for job in results.jobs], "means": means, "reports": found,
            "left_out": results.left_out, "failures": results.failures}


# ---- the page ----

def means_part(record, palette):
    parts = []
    for metric, title, unit in (("cpu", "CPU time", "times the base; less is better; whiskers: 95 % interval of the rounds"),
                                ("peak", "peak memory", "times the base; less is better")):
        for name, by_heap in record["means"][metric].items():
            have = {heap: found for heap, found in by_heap.items() if found}
            if not have:
                continue
            count = next(iter(have.values()))["workloads"]
            rows = [(record["base"], 1.0, "1", palette[record["base"]], None)]
            rows += [(heap, found["ratio"], f"{found['ratio']:.3f}", palette[heap], (found["low"], found["high"]) if found["low"] and metric == "cpu" else None)
                     for heap, found in have.items()]
            parts.append(plots.bars(f"{title}: {name} ({count})", rows, unit, 1.0, 500, LONGEST_BAR))
    return parts


def workloads_part(record, palette, group):
    parts = []
    for workload in record["workloads"]:
        if workload["group"] != group:
            continue
        rows = []
        for heap, found in workload["heaps"].items():
            if found and found["ratio"]["minimum"] is not None:
                ratio = found["ratio"]["minimum"]
                rows.append((heap, ratio, f"{ratio:.2f}", palette[heap], None))
        if not rows:
            continue
        noise = "noise unknown" if workload["noise"] is None else f"noise {workload['noise']:.0%}"
        base = workload["heaps"][record["base"]]
        amount = f"times {record['base']}'s {base['cpu_ms']['minimum']:.3g} ms" if base else ""
        parts.append(plots.bars(("~ " if workload["is_noisy"] else "") + workload["name"], rows, amount, 1.0, 330, LONGEST_BAR, noise))
    return parts


def fragmentation_part(found, palette):
    series = {heap: [(row["operations"] / 1e6, row["resident"] / MIB) for row in rows] for heap, rows in found.items()}
    first = next(iter(found.values()))
    series["live"] = [(row["operations"] / 1e6, row["live"] / MIB) for row in first]
    return [plots.lines("Memory held over the run", series, Axis("blocks taken, millions"), Axis("resident, MiB"), {**palette, "live": "#111"},
                        900, 380, ("live",))]


def given_back_part(found, palette):
    moments = list(next(iter(found.values())))
    parts = []
    for moment in moments:
        rows = [(heap, values[moment] / MIB, f"{values[moment] / MIB:.0f}", palette[heap], None) for heap, values in found.items()]
        parts.append(plots.bars(moment, rows, "resident, MiB"))
    return parts


def duration(ns):
    for unit, size in (("s", 1e9), ("ms", 1e6), ("\u00b5s", 1e3)):
        if ns >= size:
            return f"{ns / size:g} {unit}"
    return f"{ns:g} ns"


def latency_part(found, palette, title):
    parts, rows = [], []
    for call in ("malloc", "free"):
        shares, tails = {}, {}
        for heap, calls in found.items():
            histogram = calls[call]["histogram"]
            total, left = sum(count for _, count in histogram), 1.0
            shares[heap] = [(ns, 100 * count / total) for ns, count in histogram]
            tails[heap] = []
            for ns, count in histogram[:-1]:
                left -= count / total
                tails[heap].append((ns, max(100 * left, 1e-9)))
        time_axis = Axis("time of a call", True, 10, duration)
        parts.append(plots.lines(f"{title}: {call}, histogram", shares, time_axis, Axis("% of calls in a step"), palette, 520, 300))
        parts.append(plots.lines(f"{title}: {call}, the tail", tails, time_axis, Axis("% of calls that take longer", True), palette, 520, 300))
        for heap, calls in found.items():
            rows.append([f"{call}, {heap}", *(f"{ns:,.0f}" for ns in calls[call]["quantiles"].values())])
    names = next(iter(found.values()))["malloc"]["quantiles"]
    return parts + [table([f"{title}, ns", *names], rows)]


def curve_part(name, found, palette):
    x = "live" if name == "curve-heap" else "threads"
    show = (lambda value: f"{value / MIB:g} MiB" if value < 1 << 30 else f"{value / (1 << 30):g} GiB") if x == "live" else (lambda value: f"{value:g}")
    axis = Axis("live heap" if x == "live" else "threads that work at once", True, 2, show)
    series = {heap: [(row[x], row["ns"]) for row in rows] for heap, rows in found.items()}
    held = {heap: [(row[x], row["resident"] / MIB) for row in rows] for heap, rows in found.items()}
    return [plots.lines("CPU time of a pair", series, axis, Axis("ns"), palette, 520, 330),
            plots.lines("Memory held" if x == "live" else "Memory held when the threads have ended", held, axis, Axis("resident, MiB", x == "live"), palette, 520, 330)]


def table(head, rows):
    cells = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    lines = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table><tr>{cells}</tr>{lines}</table></div>'


def full_table(record):
    rows = []
    for workload in record["workloads"]:
        for heap, found in workload["heaps"].items():
            if not found:
                rows.append([f"{workload['name']}, {heap}"] + ["failed"] + [""] * 8)
                continue
            ns = f"{found['ns_an_operation']:.1f}" if "ns_an_operation" in found else ""
            faults = found["minor_faults"]["median"] + found["major_faults"]["median"]
            switches = found["voluntary_switches"]["median"] + found["involuntary_switches"]["median"]
            rate = f"{found['answers_a_second']['median']:,.0f}" if "answers_a_second" in found else ""
            ratios = [found["ratio"]["minimum"], found["ratio"]["median"]]
            rows.append([f"{workload['name']}, {heap}", f"{found['cpu_ms']['minimum']:.1f}", f"{found['cpu_ms']['median']:.1f}",
                         *("" if one is None else f"{one:.3f}" for one in ratios), f"{found['wall_ms']['median']:.1f}", ns,
                         f"{found['peak_kib']['median'] / 1024:.1f}", f"{faults:,.0f}", f"{switches:,.0f}", rate])
    head = ["", "CPU ms, least", "median", "ratio, least", "median", "wall ms, median", "ns an operation", "peak MiB", "page faults", "switches", "answers/s"]
    return table(head, rows)


REPORTS = {"fragmentation": ("Fragmentation", "A constant live heap of all sizes, of which blocks come and go. What is held above the line of live bytes could "
                             "not be used again, or was not given back.", lambda found, palette: fragmentation_part(found, palette)),
           "given-back": ("Memory given back", "A large heap is filled, freed, and then left alone but for 1,000 pairs.",
                          lambda found, palette: given_back_part(found, palette)),
           "latency": ("Latency, one thread", "The time of single calls under a mixed load, with what reading the clock costs.",
                       lambda found, palette: latency_part(found, palette, "one thread")),
           "latency-threads": ("Latency beside other threads", "The same while three other threads work and exchange blocks with the one that is measured.",
                               lambda found, palette: latency_part(found, palette, "with others")),
           "curve-heap": ("Cost as the heap grows", "A random block is replaced by another, again and again.",
                          lambda found, palette: curve_part("curve-heap", found, palette)),
           "curve-threads": ("Cost as threads are added", "The same work divided among more threads, 64 MiB live in all.",
                             lambda found, palette: curve_part("curve-threads", found, palette))}


def head_part(record):
    m = record["machine"]
    lines = [f"{m['processor']}, {m['processors']} processors, {m['memory_mib'] / 1024:.0f} GiB; Linux {m['kernel']}, {m['libc']}; load {m['load_before']:.1f} "
             f"before, {m['load_after']:.1f} after", f"{record['date']}, {record['kind']} run, {record['rounds']} rounds, commit {record['commit']}",
             f"Every figure is relative to {record['base']}, the base. \"{record['control']}\" is the base once more: how far its bars are from 1 is the "
             f"noise. Where that is over {figures.NOISY:.0%} a workload is marked ~ and not to be judged singly. Bars show the least CPU time of the rounds; "
             "the means are of ratios within a round."]
    parts = ["<h1>Moat beside other heaps</h1>"] + [f'<p class="faint">{escape(line)}</p>' for line in lines]
    for fault in record["failures"]:
        parts.append(f'<p class="bad">{escape(fault["workload"])} failed on {escape(fault["heap"])}: {escape(fault["text"])}</p>')
    if record["left_out"]:
        parts.append(f'<p class="bad">The time was over before these had run on each heap: {escape(", ".join(record["left_out"]))}</p>')
    return parts


def page(record):
    """Well-formed as XML too, so that it can be checked."""
    palette = plots.colours([heap["name"] for heap in record["heaps"]])
    parts = head_part(record)
    means = means_part(record, palette)
    if means:
        parts += ["<h2>In short</h2>", *means]
    for group, title in jobs.GROUPS.items():
        found = workloads_part(record, palette, group)
        if found:
            parts += [f"<h2>CPU time: {escape(title)}</h2>", *found]
    for name, (title, what, draw) in REPORTS.items():
        found = {heap: rows for heap, rows in record["reports"].get(name, {}).items() if rows}
        if found:
            parts += [f"<h2>{escape(title)}</h2>", f"<p>{escape(what)}</p>", *draw(found, palette)]
    if record["workloads"]:
        parts += ["<h2>All figures</h2>", f"<details><summary>Open the table</summary>{full_table(record)}</details>"]
    return ('<!DOCTYPE html>\n<html xmlns="http://www.w3.org/1999/xhtml" lang="en"><head><meta charset="utf-8"/><title>Moat beside other heaps</title>'
            f"<style>{STYLE}</style></head><body>" + "\n".join(parts) + "</body></html>\n")
