"""The table for the terminal: a line for each workload, a column for each heap, ratios of CPU time to the base."""
from . import figures, jobs
from .reports import NAMES

MIB = 1 << 20


def number(value):
    return "-" if value is None else f"{value:.2f}"


def amount(cpu_ms):
    return f"{cpu_ms:.0f} ms" if cpu_ms >= 10 else f"{cpu_ms:.1f} ms"


def rows_to_text(head, rows):
    widths = [max(len(row[i]) for row in [head] + rows) for i in range(len(head))]
    return ["  ".join(cell.ljust(width) if i == 0 else cell.rjust(width) for i, (cell, width) in enumerate(zip(row, widths))) for row in [head] + rows]


def workload_rows(results, group):
    rows = []
    for job in results.jobs:
        if job.group != group or not any(results.runs[job.name].values()):
            continue
        base = figures.summary(results, job, results.base)
        cells = ["-" if not base else amount(base["cpu_ms"]["minimum"])]
        cells += [number(figures.ratio(results, job, heap, min)) for heap in results.columns[1:]]
        rows.append([job.name + (" ~" if figures.is_noisy(results, job) else ""), *cells])
    return rows


def mean_rows(results):
    rows = []
    for title, metric in (("CPU", "cpu"), ("peak memory", "peak"), ("page faults", "faults")):
        for name, groups in figures.MEANS.items():
            found = [figures.mean(results, heap, groups, metric) for heap in results.columns[1:]]
            if not any(found):
                continue
            count = next(one["workloads"] for one in found if one)
            cells = ["-" if not one else f"{one['ratio']:.3f}" + (f" +-{100 * one['half_width']:.1f}%" if one["half_width"] is not None and metric == "cpu" else "")
                     for one in found]
            rows.append([f"{title}, {name} ({count})", "1.000", *cells])
            if metric == "cpu":
                rows.append(["    by minimum", "1.000", *["-" if not one else f"{one['by_minimum']:.3f}" for one in found]])
    return rows


def report_rows(results, reports):
    """(title, head, rows) of each report, in figures that fit a line."""
    heaps = [heap.name for heap in results.columns[:-1]]
    for name in NAMES:
        found = reports.get(name)
        if not found:
            continue
        have = [heap for heap in heaps if found.get(heap)]
        if name == "fragmentation":
            ends = [["resident in the end, MiB", *(f"{found[heap][-1]['resident'] / MIB:.0f}" for heap in have)],
                    ["at most, MiB", *(f"{max(row['resident'] for row in found[heap]) / MIB:.0f}" for heap in have)]]
            yield f"fragmentation, {found[have[0]][-1]['live'] / MIB:.0f} MiB live", ["", *have], ends
        elif name == "given-back":
            yield "given back: resident, MiB", ["", *have], [[when, *(f"{found[heap][when] / MIB:.0f}" for heap in have)] for when in found[have[0]]]
        elif name.startswith("latency"):
            yield name + ", ns", ["", *have], [[f"{call} {quantile}", *(f"{found[heap][call]['quantiles'][quantile]:.0f}" for heap in have)]
                                               for call in ("malloc", "free") for quantile in found[have[0]][call]["quantiles"]]
        else:
            x = "live" if name == "curve-heap" else "threads"
            label = (lambda value: f"{value // MIB} MiB live") if x == "live" else (lambda value: f"{value} threads")
            points = [row[x] for row in found[have[0]]]
            by_heap = {heap: {row[x]: row["ns"] for row in found[heap]} for heap in have}
            yield name + ", ns of CPU a pair", ["", *have], [[label(point), *(number(by_heap[heap].get(point)) for heap in have)] for point in points]


def text(results, reports):
    heads = [results.base.name] + [heap.name for heap in results.columns[1:]]
    lines = []
    for group, title in jobs.GROUPS.items():
        rows = workload_rows(results, group)
        if rows:
            lines += ["", f"{title}: CPU of {results.base.name}, and ratios to it (minimum of {results.rounds} rounds)",
                      *rows_to_text(["", *heads], rows)]
    means = mean_rows(results)
    if means:
        lines += ["", "geometric means, with the 95 % interval of the rounds", *rows_to_text(["", *heads], means)]
    for title, head, rows in report_rows(results, reports):
        lines += ["", title, *rows_to_text(head, rows)]
    if any(figures.is_noisy(results, job) for job in results.jobs):
        lines += ["", f"~ the base differs from itself by more than {figures.NOISY:.0%} here: not to be judged singly"]
    return "\n".join(lines[1:])
