"""From runs to ratios: minimum and median, means of groups with their confidence interval, and the noise that the control shows.

The mean of a group is that of the ratios of all its workloads in one round, and then of all rounds (geometric means throughout). A
ratio is always between two runs of the same round, which stood close together in time. The interval is Student's, at 95 %, over the rounds:
it tells how well the machine lets us measure, not how far another set of workloads would differ.
"""
import math
import statistics

NOISY = 0.08
# The quantile 0.975 of Student's distribution for 1, 2, ... degrees of freedom.
STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093)
METRICS = {"cpu": lambda run: run.cpu_us, "wall": lambda run: max(run.wall_us, 1), "peak": lambda run: max(run.peak_kib, 1),
           "faults": lambda run: max(run.minor_faults + run.major_faults, 1)}
MEANS = {"all": ("single", "threads", "programs"), "multi-threaded": ("threads",), "real programs": ("programs",), "pairs": ("pairs",)}


def values(results, job, heap, metric="cpu"):
    return [METRICS[metric](run) for run in results.runs[job.name][heap.name] if run is not None]


def ratio(results, job, heap, statistic, metric="cpu"):
    """Of a heap to the base; None where one of them has no run."""
    ours, base = values(results, job, heap, metric), values(results, job, results.base, metric)
    return statistic(ours) / statistic(base) if ours and base else None


def noise(results, job):
    """How far the base is from itself, by minimum or by median, whichever is worse."""
    ratios = [ratio(results, job, results.control, statistic) for statistic in (min, statistics.median)]
    return max(abs(math.log(value)) for value in ratios) if None not in ratios else None


def is_noisy(results, job):
    found = noise(results, job)
    return found is None or found > NOISY


def mean(results, heap, groups, metric="cpu"):
    """{ratio, low, high, by_minimum, workloads} of a heap to the base; None without a workload that both ran."""
    jobs = [job for job in results.jobs if job.group in groups and ratio(results, job, heap, min, metric) is not None]
    if not jobs:
        return None
    take = METRICS[metric]
    by_round = []
    for number in range(results.rounds):
        logs = []
        for job in jobs:
            pair = [results.runs[job.name][one.name][number:number + 1] for one in (heap, results.base)]
            if all(runs and runs[0] is not None for runs in pair):
                logs.append(math.log(take(pair[0][0]) / take(pair[1][0])))
        if len(logs) == len(jobs):
            by_round.append(statistics.fmean(logs))
    by_minimum = math.exp(statistics.fmean(math.log(ratio(results, job, heap, min, metric)) for job in jobs))
    if not by_round:
        return None
    middle, half = statistics.fmean(by_round), None
    if len(by_round) > 1:
        student = STUDENT[min(len(by_round) - 2, len(STUDENT) - 1)]
        half = student * statistics.stdev(by_round) / math.sqrt(len(by_round))
    return {"ratio": math.exp(middle), "low": math.exp(middle - half) if half is not None else None,
            "high": math.exp(middle + half) if half is not None else None, "half_width": half, "by_minimum": by_minimum, "workloads": len(jobs)}


def widest(results):
    """The largest half width of all means that are shown; None when there is none yet."""
    halves = []
    for groups in MEANS.values():
        for heap in results.columns:
            found = mean(results, heap, groups) if heap != results.base else None
            if found:
                if found["half_width"] is None:
                    return None
                halves.append(found["half_width"])
    return max(halves) if halves else None


def summary(results, job, heap):
    """What a reader and a program want to know of one workload on one heap."""
    runs = [run for run in results.runs[job.name][heap.name] if run is not None]
    if not runs:
        return None
    cpu = [run.cpu_us for run in runs]
    best = {"cpu_ms": {"minimum": min(cpu) / 1000, "median": statistics.median(cpu) / 1000},
            "wall_ms": {"minimum": min(run.wall_us for run in runs) / 1000, "median": statistics.median(run.wall_us for run in runs) / 1000}}
    for name in ("peak_kib", "minor_faults", "major_faults", "voluntary_switches", "involuntary_switches"):
        numbers = [getattr(run, name) for run in runs]
        best[name] = {"minimum": min(numbers), "median": statistics.median(numbers)}
    best["ratio"] = {"minimum": ratio(results, job, heap, min), "median": ratio(results, job, heap, statistics.median)}
    best["peak_ratio"] = ratio(results, job, heap, statistics.median, "peak")
    if runs[0].operations:
        best["operations"] = runs[0].operations
        best["ns_an_operation"] = min(run.cpu_us * 1000 / run.operations for run in runs)
    if runs[0].rate:
        best["answers_a_second"] = {"maximum": max(run.rate for run in runs), "median": statistics.median(run.rate for run in runs)}
    return best
