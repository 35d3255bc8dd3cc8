"""Rounds: in each, every job runs once on every heap. The order of the heaps rotates, so that none is always first or last, and all runs
of a job stand close together in time: what the machine's neighbours do meanwhile meets all of them."""
import sys
import time

from .heaps import AGAIN, Heap
from .support import Failure, say

WIDTH = 100
# Of what a failure says.
LONGEST = 400


class Progress:
    """One line on stderr: what runs, how many of how many, how long it may still take."""

    def __init__(self, total):
        self.total, self.done, self.began = total, 0, time.monotonic()
        self.is_terminal = sys.stderr.isatty()
        self.last = 0.0
        self.seconds = {}

    def show(self, what, rest):
        now = time.monotonic()
        self.done += 1
        # Into a file, a line now and then is enough.
        if not self.is_terminal and now - self.last < 15 and self.done != 1:
            return
        self.last = now
        left = f", about {describe_seconds(rest)} left" if rest is not None else ""
        line = f"[{self.done}/{self.total}] {what}{left}"[:WIDTH]
        print("\r" + line.ljust(WIDTH) if self.is_terminal else "bench: " + line, end="" if self.is_terminal else "\n", file=sys.stderr, flush=True)

    def clear(self):
        if self.is_terminal:
            print("\r" + " " * WIDTH + "\r", end="", file=sys.stderr, flush=True)


def describe_seconds(seconds):
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


class Results:
    """Runs by job and heap, one in each round (None where it failed), and what went wrong."""

    def __init__(self, jobs, heaps, base):
        self.jobs, self.heaps, self.base = jobs, heaps, base
        self.control = Heap(base.name + AGAIN, base.library)
        self.columns = [base] + [heap for heap in heaps if heap != base] + [self.control]
        self.runs = {job.name: {heap.name: [] for heap in self.columns} for job in jobs}
        self.answers, self.failures, self.left_out = {}, [], []
        self.rounds = 0

    def fail(self, job, heap, failure):
        words = " ".join(str(failure).split())
        words = words if len(words) <= LONGEST else words[:LONGEST] + " ..."
        self.failures.append({"workload": job.name, "heap": heap.name, "text": words})
        print(file=sys.stderr)
        say(f"{job.name} on {heap.name}: {words}")

    def leave_out(self, names):
        """The time is over before these have run on each heap."""
        self.left_out = list(dict.fromkeys([*self.left_out, *names]))

    def failed(self, job, heap):
        return any(fault["workload"] == job.name and fault["heap"] == heap.name for fault in self.failures)

    def check(self, job, answer):
        """The first run's answer, on the base, is what all others must give too."""
        wanted = self.answers.setdefault(job.name, answer)
        if answer != wanted:
            raise Failure(f"a wrong answer: {answer[:80]}, and the first run on {self.base.name} gave {wanted[:80]}")


def rotated(columns, shift):
    shift %= len(columns)
    return columns[shift:] + columns[:shift]


def plan(results, number):
    """Which heap begins moves from job to job and from round to round."""
    for index, job in enumerate(results.jobs):
        for heap in rotated(results.columns, number * 3 + index):
            yield job, heap


def warm_up(bench, results, progress, deadline):
    """Each job once on the base, not measured: its files are in memory then, and its answer is the measure for all others."""
    for job in results.jobs:
        if deadline is not None and time.monotonic() > deadline:
            return
        progress.show(f"warming up: {job.name} on {results.base.name}", None)
        try:
            results.check(job, job.run(bench, results.base)[1])
        except Failure as failure:
            results.fail(job, results.base, failure)


def run_round(bench, results, progress, rounds_left, deadline):
    """False when the time was over before the end: only in a first round, since no other is begun without time for it."""
    number = results.rounds
    steps = list(plan(results, number))
    for index, (job, heap) in enumerate(steps):
        if deadline is not None and time.monotonic() > deadline:
            results.leave_out(job.name for job, _ in steps[index:])
            break
        progress.show(f"round {number + 1}: {job.name} on {heap.name}", estimate(progress, steps[index:], len(steps), rounds_left))
        began = time.monotonic()
        run = None
        if not results.failed(job, heap):
            try:
                run, answer, _ = job.run(bench, heap)
                results.check(job, answer)
            except Failure as failure:
                results.fail(job, heap, failure)
                run = None
        results.runs[job.name][heap.name].append(run)
        progress.seconds[job.name, heap.name] = time.monotonic() - began
    results.rounds += 1
    return not results.left_out


def estimate(progress, steps, whole, rounds_left):
    """Seconds that the runs still take, by what the same runs took before, or by the mean of those that ran."""
    known = progress.seconds
    if len(known) < 8:
        return None
    mean = sum(known.values()) / len(known)
    rest = sum(known.get((job.name, heap.name), mean) for job, heap in steps)
    return rest + rounds_left * (sum(known.values()) if len(known) >= whole else mean * whole)
