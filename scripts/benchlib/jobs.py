"""What is run: each job is one workload or one real program, and answers what a run of it cost."""
import dataclasses
import hashlib
import os
import pathlib
import signal
import subprocess

from .support import ROOT, WORK, Failure, Refusal, clean_environment, services

# The slowest run takes some seconds on the slowest heap; what takes longer hangs.
SECONDS = 300
FIGURES = ("user_us", "system_us", "wall_us", "peak_kib", "minor_faults", "major_faults", "voluntary_switches", "involuntary_switches")
GROUPS = {"pairs": "pairs of malloc and free", "single": "one thread, and processes", "threads": "several threads", "programs": "real programs"}
REPORT = "report"


@dataclasses.dataclass
class Run:
    """What one run cost. CPU is user and system time, with all children that were waited for."""
    user_us: float
    system_us: float
    wall_us: float
    peak_kib: int
    minor_faults: int
    major_faults: int
    voluntary_switches: int
    involuntary_switches: int
    operations: int = 0
    rate: float = 0.0  # of a service: answers a second

    @property
    def cpu_us(self):
        return max(self.user_us + self.system_us, 1)


def read_figures(path):
    words = path.read_text().split() if path.exists() else []
    if len(words) != len(FIGURES):
        raise Failure(f"the launcher wrote no figures to {path}")
    return Run(*map(int, words))


def describe_end(status, stderr):
    text = stderr.decode(errors="replace").strip()[-400:]
    end = f"signal {signal.Signals(status - 128).name}" if status > 128 and status - 128 in set(signal.Signals) else f"exit status {status}"
    return f"it ended with {end}" + (f": {text}" if text else "")


class Command:
    """A program that runs to its end. Its answer is what it prints, or what it says about that (`read`), and files that it makes."""

    def __init__(self, name, group, command, what, stdin=None, made=(), environment=None, cwd=None, read=None, package=None):
        self.name, self.group, self.command, self.what = name, group, [str(word) for word in command], what
        self.stdin, self.made, self.environment, self.cwd, self.read = stdin, made, environment or {}, cwd, read
        self.package = package

    def run(self, bench, heap):
        """(what it cost, its answer, what it printed)"""
        figures = bench.place / "figures"
        figures.unlink(missing_ok=True)
        for path in self.made:
            (bench.place / path).unlink(missing_ok=True)
        output, errors = bench.place / "stdout", bench.place / "stderr"
        launcher = [str(bench.build.program("bench-launch")), str(figures), str(SECONDS), str(heap.library or "-")]
        with open(self.stdin or os.devnull, "rb") as stdin, open(output, "wb") as stdout, open(errors, "wb") as stderr:
            status = subprocess.run(launcher + self.command, stdin=stdin, stdout=stdout, stderr=stderr, cwd=self.cwd or bench.place, check=False,
                                    env={**clean_environment(bench.place), **self.environment}, start_new_session=True).returncode
        said = errors.read_bytes()
        if status != 0 or services.SPOKEN.search(said.decode(errors="replace")):
            raise Failure(describe_end(status, said))
        run = read_figures(figures)
        answer, text = self.answer(bench.place, output, run)
        return run, answer, text

    def answer(self, place, output, run):
        if self.read:
            text = output.read_text()
            run.operations, answer = self.read(text)
            return answer, text
        digest = hashlib.sha256()
        for path in (output, *(place / made for made in self.made)):
            if not path.exists():
                raise Failure(f"it made no {path.name}")
            digest.update(path.read_bytes())
        return digest.hexdigest(), ""


def read_workload(text):
    values = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
    if "operations" not in values or "checksum" not in values:
        raise Failure(f"the workload did not print its operations and checksum: {text[-200:]}")
    return int(values["operations"]), values["operations"] + " " + values["checksum"]


def workload(build, name, group, scale):
    return Command(name, group, [build.program("bench-workloads"), name, f"{scale:g}"], "test/bench", read=read_workload)


def list_workloads(build):
    done = subprocess.run([str(build.program("bench-workloads")), "--list"], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise Refusal(f"{build.program('bench-workloads')} --list ended with {done.returncode}; build it again")
    return [line.split() for line in done.stdout.splitlines()]


def cc1():
    """gcc's compiler proper; the driver only starts it."""
    try:
        path = subprocess.run(["gcc", "-print-prog-name=cc1"], stdout=subprocess.PIPE, text=True, check=False).stdout.strip()
    except FileNotFoundError:
        return "cc1"
    return path or "cc1"


def programs(build, inputs, is_quick):
    """Real programs of Debian, and one of ours in C++. Each prints, or makes, the same whatever the heap."""
    scale = 1 if is_quick else 2
    python = "/usr/bin/python3"
    git = ["git", "-C", inputs / "repository", "-c", "safe.directory=*", "-c", "gc.auto=0", "-c", "pack.threads=1", "-c", "core.commitGraph=false"]
    lua = ROOT / "test" / "bench" / "churn.lua"

    def program(name, command, what, package, **more):
        return Command(name, "programs", command, what, package=package, **more)
    return [
        program("sqlite3", ["sqlite3", "-batch", ":memory:"], "tables, indexes and joins in memory", "sqlite3", stdin=inputs / "database.sql"),
        program("python3", [python, "-I", WORK / "churn.py", scale], "objects of all kinds, from Python's own pools", "python3"),
        program("python3-malloc", [python, WORK / "churn.py", scale], "the same with every object from malloc", "python3",
                environment={"PYTHONMALLOC": "malloc"}),
        program("perl", ["perl", WORK / "churn.pl", scale], "hashes, strings, regular expressions, children", "perl"),
        program("lua", ["lua5.4", lua, 0.25 if is_quick else 1], "tables, strings and closures", "lua5.4"),
        program("node", ["node", WORK / "churn.js", 1], "buffers, workers, children; objects are in V8's own heap", "nodejs"),
        program("cc1", [cc1(), "-quiet", "-O1", inputs / "source.i", "-o", "source.s"], "gcc's compiler on a generated file", "gcc", made=("source.s",)),
        program("git-log", [*git, "log", "-p", "--stat", "--find-copies-harder", "--format=%H %s"], "every change of a repository", "git"),
        program("git-gc", [*git, "gc", "--quiet", "--aggressive", "--prune=now"], "the repository packed anew", "git"),
        program("xz", ["xz", "-3", "-T1", "-k", "-c", inputs / "few-lines"], "few large blocks", "xz-utils"),
        program("sort", ["sort", "--parallel=2", "-k2", inputs / "lines"], "one large table", "coreutils"),
        program("gawk", ["gawk", "-f", WORK / "count.awk", inputs / "lines"], "fields, arrays and strings", "gawk"),
        program("ghostscript", ["gs", "-q", "-dNOPAUSE", "-dBATCH", "-dSAFER", "-sDEVICE=ppmraw", "-r100", "-sOutputFile=page%02d.ppm",
                                inputs / "pages.ps"], "pages of text and curves drawn", "ghostscript", made=("page01.ppm", "page03.ppm")),
        program("containers", [build.program("bench-containers"), 4 if is_quick else 24], "C++ with the containers of its library", "g++"),
    ]


def demand_programs(jobs):
    """(name, Debian package) of each program that is not on this machine."""
    path = clean_environment(pathlib.Path("/"))["PATH"]
    missing = []
    for job in jobs:
        for name, package in job.needs() if hasattr(job, "needs") else [(job.command[0], job.package)]:
            found = os.path.isfile(name) if "/" in name else any(os.access(os.path.join(folder, name), os.X_OK) for folder in path.split(":"))
            if not found:
                missing.append((name, package))
    return list(dict.fromkeys(missing))
