"""Which heaps are compared: glibc's, Moat's two libraries, those that Debian packages, and any that the user names."""
import dataclasses
import glob
import os
import pathlib
import re
import shutil
import subprocess

from .support import ROOT, Refusal, clean_environment, say

PROGRAMS = ("bench-workloads", "bench-launch", "bench-containers")
# Name, Debian package, where its library is.
PEERS = (
    ("mimalloc2", "libmimalloc2.0", "/usr/lib/x86_64-linux-gnu/libmimalloc.so.2*"),
    ("jemalloc", "libjemalloc2", "/usr/lib/x86_64-linux-gnu/libjemalloc.so.2"),
    ("tcmalloc", "libtcmalloc-minimal4", "/usr/lib/x86_64-linux-gnu/libtcmalloc_minimal.so.4"),
    ("scudo", "libclang-rt-19-dev", "/usr/lib/llvm-19/lib/clang/19*/lib/linux/libclang_rt.scudo_standalone-x86_64.so"),
)
OURS = ("moat", "moat-secure")
KNOWN = ("glibc", *OURS, *(name for name, _, _ in PEERS))
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
AGAIN = " again"


@dataclasses.dataclass(frozen=True)
class Heap:
    """`library` is None for the heap that a program has by itself."""
    name: str
    library: pathlib.Path = None


@dataclasses.dataclass(frozen=True)
class Build:
    """What was built: Moat's libraries and the programs that measure."""
    directory: pathlib.Path

    def program(self, name):
        return self.directory / "test" / "bench" / name

    def library(self, name):
        return self.directory / f"lib{name}.so"


def use_build(directory):
    """A build directory of the user's; nothing is built there."""
    build = Build(pathlib.Path(directory).resolve())
    wanted = [build.library(name) for name in OURS] + [build.program(name) for name in PROGRAMS]
    for path in wanted:
        if not path.exists():
            raise Refusal(f"--build {directory}: there is no {path}; build the targets {' '.join((*OURS, *PROGRAMS))} there, "
                          "configured with -DSECURE=ON, or leave --build out")
    return build


def make_build(place):
    """Builds in a place of our own what is not up to date there."""
    directory = place / "moat"
    directory.mkdir(parents=True, exist_ok=True)
    for tool, package in (("cmake", "cmake"), ("g++", "g++")):
        if not shutil.which(tool):
            raise Refusal(f"{tool} is missing, and Moat cannot be built: apt-get install {package}")
    log = directory / "bench-build.log"
    environment = {name: value for name, value in os.environ.items() if name not in ("LD_PRELOAD", "MOAT_OPTIONS")}
    say(f"building Moat in {directory}")
    commands = (["cmake", "-S", str(ROOT), "-B", str(directory), "-DSECURE=ON"],
                ["cmake", "--build", str(directory), "--parallel", str(os.cpu_count()), "--target", *OURS, *PROGRAMS])
    with open(log, "wb") as output:
        for command in commands:
            if subprocess.run(command, stdout=output, stderr=output, env=environment, check=False).returncode != 0:
                raise Refusal(f"Moat could not be built; the whole output is in {log}")
    return Build(directory)


def find_library(pattern):
    found = sorted(path for path in glob.glob(pattern) if os.path.isfile(path))
    return pathlib.Path(found[0]).resolve() if found else None


def parse_extra(words):
    """NAME=LIBRARY of --with."""
    heaps = []
    for word in words:
        name, separator, path = word.partition("=")
        if not separator or not NAME.fullmatch(name):
            raise Refusal(f"--with {word}: wanted is NAME=LIBRARY, with a name of letters, digits, dots, dashes and underscores")
        if name in KNOWN or name in (heap.name for heap in heaps):
            raise Refusal(f"--with {word}: there is a heap {name} already; take another name")
        if not os.path.isfile(path):
            raise Refusal(f"--with {word}: there is no file {path}")
        heaps.append(Heap(name, pathlib.Path(path).resolve()))
    return heaps


def demand_names(asked):
    for name in asked or ():
        if name not in KNOWN:
            raise Refusal(f"--heaps: there is no heap {name}; known are {', '.join(KNOWN)}, and --with NAME=LIBRARY brings others")


def choose(build, asked, extra):
    """(heaps in the order of KNOWN, name and package of those that are not on this machine)"""
    heaps, missing = [], []
    if not asked or "glibc" in asked:
        heaps.append(Heap("glibc"))
    heaps += [Heap(name, build.library(name).resolve()) for name in OURS if not asked or name in asked]
    for name, package, pattern in PEERS:
        if asked and name not in asked:
            continue
        library = find_library(pattern)
        if library:
            heaps.append(Heap(name, library))
        elif asked:
            raise Refusal(f"--heaps: {name} is not on this machine: apt-get install {package}")
        else:
            missing.append((name, package))
    return heaps + list(extra), missing


def demand_answer(build, heap, place):
    """A library that the loader cannot preload is left out by it with a line, and another heap would be measured under its name."""
    preload = ["-"] if not heap.library else [str(heap.library)]
    figures = place / "figures"
    done = subprocess.run([str(build.program("bench-launch")), str(figures), "60", *preload, str(build.program("bench-workloads")), "--heap"],
                          env=clean_environment(place), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    answers = os.path.realpath(done.stdout.strip()) if done.returncode == 0 else ""
    if heap.library and answers != os.path.realpath(heap.library):
        raise Refusal(f"{heap.library} does not answer malloc in a program that it is preloaded to ({answers or 'the program died'}): "
                      f"{done.stderr.strip()[:300] or 'it has no malloc'}")
    if not heap.library and not os.path.basename(answers).startswith("libc."):
        raise Refusal(f"without a preload {answers or 'nothing'} answers malloc, and not the C library; take it out of /etc/ld.so.preload")
