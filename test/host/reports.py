#!/usr/bin/env python3
"""Where the lines go, what a report does to others than the process that dies, and that nothing stops it.

    reports.py --library FILE --work PROGRAM --dying PROGRAM

A line goes to descriptor 2 if that is still the file that it was at the start, or a pipe: not into a database that got the
number meanwhile. A full pipe holds the dying thread up, and then all others wait for it. The process ends by SIGABRT, whatever
handlers it has, and with its line wherever somebody can read it.
"""
import argparse
import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import tempfile

from host import Host, SECONDS

CONTENT = "the only copy of somebody's data\n"
DIED = "moat: foreign pointer in free(): 0x"
LOOKS = 200000  # at a process that has to come to rest; each takes some microseconds


def is_report(text):
    return text.startswith(DIED) and text.endswith("\n") and text.count("\n") == 1


class Reports:
    def __init__(self, host, dying):
        self.host, self.dying = host, dying
        self.folder = tempfile.TemporaryDirectory()

    def data(self):
        path = os.path.join(self.folder.name, "data")
        with open(path, "w") as file:
            file.write(CONTENT)
        return path

    @contextlib.contextmanager
    def started(self, *arguments, options="foreign=enforce", **more):
        environment = dict(os.environ, LD_PRELOAD=self.host.library, MOAT_OPTIONS=options)
        process = subprocess.Popen([self.dying, *arguments], env=environment, stdout=subprocess.PIPE, text=True, **more)
        try:
            yield process
        finally:
            process.kill()
            process.wait()
            process.stdout.close()

    def expect_end(self, name, process, said, wanted=-signal.SIGABRT):
        out = process.stdout.read()
        status = process.wait(timeout=SECONDS)
        holds = status == wanted and out == "here\n" and said
        self.host.expect(name, holds)
        if not holds:
            print("  status %d, standard output %r" % (status, out))

    def other_files(self):
        """What is not the file of the start gets nothing, unless it is a pipe."""
        for how in ("closed", "replaced"):
            path = self.data()
            close = (lambda: os.close(2)) if how == "closed" else None
            with self.started(how, path, preexec_fn=close) as process:
                process.wait(timeout=SECONDS)
                self.expect_end("descriptor 2 %s: the data there stay whole" % how, process, open(path).read() == CONTENT)
        path = self.data()
        outcome = self.host.run([self.dying, "leaking", path], options="foreign=leak:stats=1")
        self.host.expect("descriptor 2 replaced, and the program lives: the data stay whole", outcome.status == 0 and
                         outcome.out == "here\nsurvived\n" and open(path).read() == CONTENT, outcome)
        outcome = self.host.run([self.dying, "piped"], options="foreign=enforce")
        self.host.expect("descriptor 2 became a pipe: the line is there", outcome.status == -signal.SIGABRT and
                         outcome.out.startswith("here\n") and is_report(outcome.out[5:]), outcome)

    def other_kinds(self):
        """A log, a socket, no file at all, another descriptor."""
        path = os.path.join(self.folder.name, "log")
        with open(path, "w") as log, self.started("now", stderr=log) as process:
            process.wait(timeout=SECONDS)
            self.expect_end("a log", process, is_report(open(path).read()))
        ours, theirs = socket.socketpair()
        with ours, theirs, self.started("now", stderr=theirs) as process:
            self.expect_end("a socket, as of a journal", process, is_report(ours.recv(4096).decode()))
        with self.started("now", preexec_fn=lambda: os.close(2)) as process:
            self.expect_end("no descriptor 2: it ends all the same", process, True)
        for number, name in ((None, "report=FD"), (99, "report=FD that is closed")):
            reading, writing = os.pipe()
            options = "foreign=enforce:report=%d" % (number or writing)
            with self.started("now", options=options, pass_fds=[writing]) as process:
                os.close(writing)
                with os.fdopen(reading) as pipe:
                    said = pipe.read()
                self.expect_end(name, process, is_report(said) if number is None else said == "")

    def nobody_reads(self):
        """A pipe without a reader, with SIGPIPE ignored and not."""
        for restore, wanted in ((False, -signal.SIGABRT), (True, -signal.SIGPIPE)):
            reading, writing = os.pipe()
            os.close(reading)
            with self.started("now", stderr=writing, restore_signals=restore) as process:
                os.close(writing)
                self.expect_end("a pipe that nobody reads, SIGPIPE %s" % ("kills" if restore else "is ignored"), process,
                                True, wanted)

    def full_pipe(self):
        reading, writing = os.pipe()
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
        os.write(writing, b"x" * 4096)
        return reading, writing

    def calls(self, process):
        """The system calls in which the threads of the process are."""
        folder = "/proc/%d/task" % process.pid
        return sorted(open("%s/%s/syscall" % (folder, thread)).read().split()[0] for thread in os.listdir(folder))

    def await_calls(self, process, wanted):
        for _ in range(LOOKS):
            if self.calls(process) == wanted:
                return True
        print("  the threads are in %s, not in %s" % (self.calls(process), wanted))
        return False

    def held_up(self):
        """SYS_write is 1, SYS_futex 202."""
        reading, writing = self.full_pipe()
        with self.started("thread", stderr=writing) as process, os.fdopen(reading) as pipe:
            os.close(writing)
            self.host.expect("a full pipe: the other thread waits", self.await_calls(process, ["1", "202"]))
            said = pipe.read()
            self.expect_end("and when the pipe is read, the line is whole", process, said[:4096] == "x" * 4096 and
                            is_report(said[4096:]))
        reading, writing = self.full_pipe()
        os.set_blocking(writing, False)
        with self.started("thread", stderr=writing) as process, os.fdopen(reading):
            os.close(writing)
            self.expect_end("a full pipe that does not block: the line is lost, the end comes", process, True)

    def no_escape(self):
        """A handler of the program jumps out of the report: while its write is held up, or at its SIGABRT."""
        for number in (signal.SIGALRM, signal.SIGTERM):
            reading, writing = self.full_pipe()
            with self.started("jumping", str(int(number)), stderr=writing) as process, os.fdopen(reading):
                os.close(writing)
                self.host.expect("%s: the report is held up" % number.name, self.await_calls(process, ["1"]))
                process.send_signal(number)
                self.expect_end("%s: whoever jumps out of a report dies at the next slow path" % number.name, process, True)
        for how, number in [("jumping", number) for number in (signal.SIGABRT, signal.SIGILL, signal.SIGTRAP,
                                                               signal.SIGSEGV)] + [("pending", signal.SIGABRT)]:
            outcome = self.host.run([self.dying, how, str(int(number))], options="foreign=enforce")
            self.host.expect("%s: a handler of %s does not run" % (how, number.name), outcome.status == -signal.SIGABRT and
                             outcome.out == "here\n" and is_report(outcome.err), outcome)
        # A process that is the first of its namespace ignores SIGABRT, and has to be ended by other means.
        first = ["unshare", "--pid", "--fork", "--kill-child"] + ([] if os.geteuid() == 0 else ["--user", "--map-root-user"])
        if self.host.run(first + ["/bin/true"], preload=False).status != 0:
            print("skipped: process 1 (no namespace may be made here; root may)")
            return
        first.append(self.dying)
        for arguments in (["now"], ["jumping", str(int(signal.SIGABRT))], ["jumping", str(int(signal.SIGILL))]):
            outcome = self.host.run(first + arguments, options="foreign=enforce")
            self.host.expect("process 1, %s: it ends" % " ".join(arguments), outcome.status not in (0, 1) and
                             outcome.out == "here\n" and is_report(outcome.err), outcome)
            self.host.show("process 1, %s" % " ".join(arguments), outcome, [])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--library", required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--dying", required=True)
    given = parser.parse_args()
    host = Host(given.library)

    outcome = host.run([given.work, "vfork"], options="foreign=enforce:stats=1")
    lines = [line for line in outcome.said if line.startswith(DIED)]
    host.expect("a vfork's child dies and its parent lives", outcome.status == 0 and len(lines) == 2 and
                len(outcome.said) == 2, outcome)
    host.show("vfork's children that died", outcome, ["large blocks opened", "heaps made"])

    reports = Reports(host, given.dying)
    reports.other_files()
    reports.other_kinds()
    reports.nobody_reads()
    reports.held_up()
    reports.no_escape()
    reports.folder.cleanup()
    host.done()


main()
