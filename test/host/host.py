"""What the tests of surroundings share: runs a program on the built library and keeps what came of it."""
import os
import re
import signal
import subprocess
import sys

SECONDS = 120  # a program that hangs is ended, and its test fails


class Outcome:
    """status (negative: a signal), out and err as text, said: lines on stderr that are no figures, stats: the figures."""

    def __init__(self, done):
        self.status, self.out, self.err = done.returncode, done.stdout, done.stderr
        lines = self.err.splitlines()
        self.stats, self.said = {}, []
        for line in lines:
            match = re.match(r"^moat: stats: (.+): (\d+)$", line)
            if match:
                self.stats[match.group(1)] = self.stats.get(match.group(1), 0) + int(match.group(2))
            elif not line.startswith("moat: stats: "):
                self.said.append(line)

    def how(self):
        if self.status < 0:
            return "ended by " + signal.Signals(-self.status).name
        return "exit status %d" % self.status


class Host:
    """One library under test, and the count of what was found."""

    def __init__(self, library):
        self.library = library
        self.is_secure = "secure" in os.path.basename(library)
        self.passed = self.failed = 0

    def run(self, argv, options="stats=1", preload=True, env=None, ignored=False, **more):
        """`ignored`: that the loader finds no library may be what is to be seen."""
        environment = {name: value for name, value in os.environ.items() if name not in ("LD_PRELOAD", "MOAT_OPTIONS")}
        if preload:
            environment["LD_PRELOAD"] = self.library if preload is True else preload
        if options:
            environment["MOAT_OPTIONS"] = options
        environment.update(env or {})
        try:
            done = subprocess.run(argv, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                  errors="replace", timeout=SECONDS, **more)
        except subprocess.TimeoutExpired as late:
            done = subprocess.CompletedProcess(argv, -signal.SIGKILL, str(late.stdout), "it hangs; " + str(late.stderr))
        # The loader only says so, and runs the program without the library: the test would pass.
        if "cannot be preloaded" in done.stderr and not ignored:
            sys.exit("%s was not preloaded:\n%s" % (self.library, done.stderr))
        return Outcome(done)

    def expect(self, name, holds, outcome=None):
        if holds:
            self.passed += 1
            return True
        self.failed += 1
        print("not so: %s" % name)
        if outcome is not None:
            print("  %s; it said:\n%s%s" % (outcome.how(), outcome.out, outcome.err))
        return False

    def expect_good(self, name, outcome, counted=(), zero=()):
        """Ended well, said nothing, and has every figure of `counted` and none of `zero`."""
        good = self.expect("%s: it ends well" % name, outcome.status == 0, outcome) and self.expect(
            "%s: nothing is said but figures" % name, not outcome.said, outcome)
        for figure in counted:
            good &= self.expect("%s: `%s` is counted" % (name, figure), outcome.stats.get(figure, 0) > 0, outcome)
        for figure in zero:
            good &= self.expect("%s: `%s` is not counted" % (name, figure), outcome.stats.get(figure, 0) == 0, outcome)
        return good

    def show(self, name, outcome, figures):
        """What was counted, for the log of the test."""
        found = ", ".join("%s %d" % (figure, outcome.stats.get(figure, 0)) for figure in figures)
        print("%s: %s" % (name, found or outcome.how()))

    def done(self):
        print("%d passed, %d failed" % (self.passed, self.failed))
        sys.exit(1 if self.failed or not self.passed else 0)
