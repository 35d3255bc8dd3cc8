"""What every service needs: heaps, processes that surely end, what /proc tells about them, free ports, and logs that are read."""
import ctypes
import dataclasses
import hashlib
import os
import pathlib
import pwd
import random
import re
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

QUICK = os.environ.get("MOAT_TEST_QUICK", "0") == "1"
# What takes longer hangs: each of these waits is for something that takes less than a second, traced some seconds.
HANG_SECONDS = 60
LOOK_SECONDS = 0.01
# From execve to the libraries it takes milliseconds.
LOAD_SECONDS = 10
# Below the ports that the kernel gives to outgoing connections, of which the load programs make thousands.
PORTS = range(20000, 32000)
# The account of Debian's PostgreSQL package: it has a shell and no rights.
ORDINARY_USER = "postgres"

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
libc = ctypes.CDLL(None, use_errno=True)

# A line with one of these is a fault wherever it stands: Moat speaks only when something is wrong.
SPOKEN = re.compile(r"\bmoat: |cannot be preloaded|ERROR: ld\.so")
# How services and the shell write that a process of theirs died. Signals 15, 2 and 3 are ours.
CRASHED = re.compile(r"(exited on|terminated by|killed by|crashed by|died of) signal(?!:? ?(2|3|15|SIGTERM|SIGINT|SIGQUIT)\b)|core dumped|"
                     r"Segmentation fault|SIGSEGV|SIGABRT|SIGSYS|Aborted|Fatal Python error|FATAL ERROR:|BUG REPORT|PANIC:|"
                     r"double free|corrupted|out of memory|Cannot allocate memory", re.I)


class Failure(Exception):
    """A service that cannot be run, or that does what it does not do on glibc's heap. The text is for the reader."""


@dataclasses.dataclass
class Heap:
    """Which heap the service runs on; `library` is None for the one that it has by itself."""
    name: str
    library: pathlib.Path = None

    def environment(self, place, extra):
        """The same small environment for each heap; only the preload differs."""
        environment = {"PATH": os.environ["PATH"] + ":/usr/sbin:/usr/lib/postgresql/bin", "HOME": str(place), "TMPDIR": str(place),
                       "LC_ALL": "C.UTF-8", "TZ": "UTC", "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
        environment.update(extra)
        if self.library:
            environment["LD_PRELOAD"] = str(self.library)
        return environment


def ordinary_user():
    """Who runs a service that refuses root; None for the user of the test."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(ORDINARY_USER)
    except KeyError:
        raise Failure(f"there is no user {ORDINARY_USER} to run it without rights: apt-get install -y postgresql") from None


def make_place(heaps, user=None):
    """A private directory with copies of the libraries, which an unprivileged user reaches wherever the build directory is."""
    place = pathlib.Path(tempfile.mkdtemp(prefix="moat-"))
    place.chmod(0o755)
    copies = []
    for heap in heaps:
        library = None
        if heap.library:
            library = place / os.path.basename(heap.library)
            shutil.copy(heap.library, library)
            library.chmod(0o755)
        copies.append(Heap(heap.name, library))
    if user:
        os.chown(place, user.pw_uid, user.pw_gid)
    return place, copies


def find_program(name, package, *places):
    """Where a program is, also outside the path of an ordinary user."""
    path = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/usr/local/sbin", *places])
    found = shutil.which(name, path=path)
    if not found:
        raise Failure(f"{name} is missing: apt-get install -y {package}")
    return found


def free_port():
    for _ in range(100):
        port = random.choice(PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise Failure(f"no free port between {PORTS.start} and {PORTS.stop}")


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def become_guardian():
    """Processes whose parent dies come to us, so that nothing that a service forked is lost. Signals end us in order: by an exception."""
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise Failure("prctl(PR_SET_CHILD_SUBREAPER): " + os.strerror(ctypes.get_errno()))

    def end(number, _):
        raise SystemExit(128 + number)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)


def start_process(command, environment, log, user=None, ends_by=signal.SIGTERM, stdin=subprocess.DEVNULL, cwd=None):
    """A service in a session of its own. Should we be killed, the kernel sends it `ends_by`, on which it takes its children along."""
    def die_with_us():
        libc.prctl(PR_SET_PDEATHSIG, ends_by, 0, 0, 0)
    identity = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}
    with open(log, "ab") as output:
        return subprocess.Popen([str(part) for part in command], env=environment, stdin=stdin, stdout=output, stderr=output, cwd=cwd,
                                start_new_session=True, preexec_fn=die_with_us, **identity)


def run_client(command, environment=None, stdin=b"", user=None, cwd=None):
    """A program that ends by itself and must do so well; answers what it printed. It runs on the heap that it has by itself."""
    identity = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}
    command = [str(part) for part in command]
    try:
        done = subprocess.run(command, input=stdin, env=environment, capture_output=True, timeout=HANG_SECONDS, cwd=cwd, check=False,
                              **identity)
    except subprocess.TimeoutExpired:
        raise Failure(f"{' '.join(command)[:200]} took more than {HANG_SECONDS} seconds") from None
    output = done.stdout + done.stderr
    said = SPOKEN.search(output.decode(errors="replace"))
    if done.returncode != 0 or said:
        raise Failure(f"{' '.join(command)[:200]} ended with {done.returncode}: {output.decode(errors='replace')[-600:]}")
    return done.stdout


def wait_until(predicate, what, process=None, seconds=HANG_SECONDS):
    """Looks until something holds, and fails when the process ends before, or after a time in which everything works or hangs."""
    end = time.monotonic() + seconds
    watched = os.pidfd_open(process.pid) if process and process.poll() is None else None
    try:
        while True:
            answer = predicate()
            if answer:
                return answer
            if process and process.poll() is not None:
                raise Failure(f"it ended with {describe_status(process.returncode)} before {what}")
            if time.monotonic() > end:
                raise Failure(f"after {seconds} seconds still not: {what}")
            select.select([watched] if watched is not None else [], [], [], LOOK_SECONDS)
    finally:
        if watched is not None:
            os.close(watched)


def service_pid(process, program):
    """The process that executes the program: the one we started, or under strace the one that strace did."""
    program = os.path.realpath(program)

    def found():
        return [pid for pid in family(process.pid) if executable(pid) == program]
    return wait_until(found, f"{os.path.basename(program)} runs", process)[0]


def run_threads(functions):
    """All at once; the first exception of any of them is raised here."""
    faults = []

    def guarded(function):
        try:
            function()
        except Exception as fault:  # noqa: B902 -- whatever it is, it must reach the thread that waits
            faults.append(fault)
    threads = [threading.Thread(target=guarded, args=(function,), daemon=True) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if faults:
        raise faults[0]


def describe_status(status):
    return f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"


# ---- processes, as /proc shows them -------------------------------------------------------------------------------------

def read_proc(pid, name):
    """Text of a file of a process; empty when the process is gone."""
    try:
        return pathlib.Path("/proc", str(pid), name).read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def children(pid):
    found = []
    for task in pathlib.Path("/proc", str(pid), "task").glob("*/children"):
        try:
            found += [int(word) for word in task.read_text().split()]
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def descendants(pid):
    found = []
    for child in children(pid):
        found += [child] + descendants(child)
    return found


def is_running(pid):
    """Not gone, and not merely waiting for its parent to take notice."""
    state = re.search(r"^State:\s+(\S)", read_proc(pid, "status"), re.M)
    return bool(state) and state.group(1) not in "ZX"


def family(pid):
    return [member for member in [pid] + descendants(pid) if is_running(member)]


def executable(pid):
    try:
        return os.readlink(f"/proc/{pid}/exe")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def name_of(pid):
    return read_proc(pid, "cmdline").replace("\0", " ").strip()[:60] or read_proc(pid, "comm").strip()


def code_of(pid):
    """The files of which a process has code mapped; empty when it is about to be gone."""
    lines = [line.split(None, 5) for line in read_proc(pid, "maps").splitlines()]
    return {words[5].strip() for words in lines if len(words) == 6 and "x" in words[1]}


def demand_heap(pids, heap):
    """The code of Moat's library is mapped in each process when it runs on Moat, and in none when it does not."""
    looked_at = 0
    for pid in pids:
        if heap.library:
            # A process that has just executed a program has not loaded anything yet.
            wait_until(lambda: str(heap.library) in code_of(pid) or not code_of(pid) and not is_running(pid),
                       f"{heap.library.name} is loaded in process {pid} ({name_of(pid)})", seconds=LOAD_SECONDS)
        code = code_of(pid)
        looked_at += bool(code)
        strangers = [path for path in code if "moat" in os.path.basename(path) and path != str(heap.library)]
        if strangers:
            raise Failure(f"{strangers[0]} is loaded in process {pid} ({name_of(pid)}), which is to run on {heap.name}")
    if looked_at == 0:
        raise Failure("there is no process to look at")


def demand_binding(command, symbol, library, environment, user=r"\S*/%s"):
    """The loader's own word on who answers a function of a program: a library that is loaded need not be the one that is called."""
    with tempfile.TemporaryDirectory() as directory:
        environment = {**environment, "LD_DEBUG": "bindings", "LD_DEBUG_OUTPUT": directory + "/bindings"}
        subprocess.run([str(part) for part in command], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, timeout=HANG_SECONDS, check=False)
        text = "".join(path.read_text(errors="replace") for path in pathlib.Path(directory).iterdir())
    program = os.path.basename(command[0])
    who = user.replace("%s", re.escape(program))
    if not re.search(r"binding file %s \[0\] to \S*/%s\S* \[0\]: normal symbol `%s'" % (who, re.escape(library), symbol), text):
        raise Failure(f"{program} does not take its {symbol} from {library}")


def memory(pids):
    """What a family of processes holds: its proportional share of memory, and the sum of what each held at most. In KiB."""
    held = {"pss_kib": 0, "peak_kib": 0, "processes": 0}
    for pid in pids:
        share = re.search(r"^Pss:\s+(\d+)", read_proc(pid, "smaps_rollup"), re.M)
        peak = re.search(r"^VmHWM:\s+(\d+)", read_proc(pid, "status"), re.M)
        if share and peak:
            held["pss_kib"] += int(share.group(1))
            held["peak_kib"] += int(peak.group(1))
            held["processes"] += 1
    return held


class Watch:
    """Remembers the largest share of memory that a family of processes had while a load ran. Figures only: no test hangs on it."""

    def __init__(self, pid, seconds=0.5):
        self.pid, self.seconds = pid, seconds
        self.most = {}
        self.done = threading.Event()
        self.thread = threading.Thread(target=self.look, daemon=True)

    def look(self):
        while not self.done.wait(self.seconds):
            self.note()

    def note(self):
        now = memory(family(self.pid))
        if now["pss_kib"] >= self.most.get("pss_kib", 0):
            self.most = now

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()
        self.note()


# ---- ends ---------------------------------------------------------------------------------------------------------------

def end_process(process, pid, number=signal.SIGTERM):
    """Asks a service to end, and demands that it does, well, and leaves nothing behind."""
    left = descendants(pid)
    try:
        os.kill(pid, number)
        process.wait(HANG_SECONDS)
    except subprocess.TimeoutExpired:
        raise Failure(f"it did not end in {HANG_SECONDS} seconds after {signal.Signals(number).name}") from None
    if process.returncode != 0:
        raise Failure(f"it ended with {describe_status(process.returncode)} after {signal.Signals(number).name}")
    wait_until(lambda: not any(map(is_running, left)), "all its processes ended")


def end_everything():
    """Kills what we still have below us, each by its number, until nothing is left: children of the dead come to us."""
    end = time.monotonic() + HANG_SECONDS
    while time.monotonic() < end:
        for pid in descendants(os.getpid()):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        try:
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                continue
        except ChildProcessError:
            return
        time.sleep(LOOK_SECONDS)
    raise Failure(f"these processes cannot be ended: {descendants(os.getpid())}")


def loud_lines(logs):
    """Lines of Moat's, and those about a crash, in what the service wrote."""
    lines = [line for log in logs if log.exists() for line in log.read_text(errors="replace").splitlines()]
    return [line[:300] for line in lines if SPOKEN.search(line) or CRASHED.search(line)]


def demand_quiet(logs):
    if not any(log.exists() for log in logs):
        raise Failure("there is no log to read")
    lines = loud_lines(logs)
    if lines:
        raise Failure(f"the service says: {lines[0]}")


def digest(data):
    return hashlib.sha256(data).hexdigest()
