"""Runs whose result is no time: memory over a long run, latency of single calls, memory given back, and curves. Once for each heap."""
import time

from . import jobs
from .support import Failure

# Name, what it shows, the scale with --quick, usually, and with --full. Fragmentation is measured in seconds instead.
REPORTS = (
    ("fragmentation", "memory held over time, 64 MiB live", 2, 10, 120),
    ("given-back", "memory held after a large heap was freed", 0.25, 1, 1),
    ("latency", "time of single calls, one thread", 0.3, 1, 3),
    ("latency-threads", "time of single calls beside three other threads", 0.3, 1, 3),
    ("curve-heap", "a pair as the heap grows", 1 / 64, 1 / 8, 1),
    ("curve-threads", "a pair as threads are added", 0.3, 1, 3),
)
NAMES = tuple(report[0] for report in REPORTS)
PROBE = 0.1


def read_checksum(text):
    """How far a curve goes is a matter of the machine, so operations are not compared."""
    return jobs.read_workload(text)[0], jobs.read_workload(text)[1].split()[1]


def job_of(build, name, scale):
    job = jobs.workload(build, name, jobs.REPORT, scale)
    job.read = read_checksum
    return job


def rows_of(text, kind="row"):
    return [line.split(",")[1:] for line in text.splitlines() if line.startswith(kind + ",")]


def parse(name, text):
    """The rows of a workload, by what they are."""
    rows = rows_of(text)
    if name == "fragmentation":
        return [{"operations": int(row[0]), "seconds": float(row[1]), "resident": int(row[2]), "live": int(row[3])} for row in rows]
    if name == "given-back":
        return {row[0]: int(row[1]) for row in rows}
    if name.startswith("latency"):
        calls = {}
        for call in ("malloc", "free"):
            calls[call] = {"histogram": [[float(row[1]), int(row[2])] for row in rows if row[0] == call],
                           "quantiles": {row[1]: float(row[2]) for row in rows_of(text, "quantile") if row[0] == call}}
        return calls
    x = "live" if name == "curve-heap" else "threads"
    return [{x: int(row[0]), "ns": float(row[1]), "resident": int(row[2])} for row in rows]


def scale_of(bench, name, size, base):
    """Of the size in the table; for fragmentation that with which the base takes so many seconds."""
    if name != "fragmentation":
        return size
    began = time.monotonic()
    job_of(bench.build, name, PROBE).run(bench, base)
    return round(max(PROBE * size / max(time.monotonic() - began, 0.01), 0.01), 3)


def run_all(bench, results, progress, chosen, column, seconds, deadline):
    """{report: {heap: rows}}; what fails is among the failures. `column` picks the size: 2 quick, 3 usual, 4 full; `seconds`, if
    any, are those of the fragmentation run."""
    found = {}
    for report in REPORTS:
        name = report[0]
        if name not in chosen:
            continue
        if deadline is not None and time.monotonic() > deadline:
            results.leave_out([name])
            continue
        try:
            size = seconds if seconds and name == "fragmentation" else report[column]
            scale = scale_of(bench, name, size, results.base)
        except Failure as failure:
            results.fail(job_of(bench.build, name, 1), results.base, failure)
            continue
        job = job_of(bench.build, name, scale)
        found[name] = {}
        for heap in results.columns[:-1]:
            if deadline is not None and time.monotonic() > deadline:
                results.leave_out([name])
                break
            progress.show(f"{name} on {heap.name}", None)
            try:
                _, answer, text = job.run(bench, heap)
                results.check(job, answer)
                found[name][heap.name] = parse(name, text)
            except Failure as failure:
                results.fail(job, heap, failure)
    return found
