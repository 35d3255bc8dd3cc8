"""What the tests of the command share: the command itself, programs to try it on, and expectations."""
import argparse
import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
OPTIONS_BYTES = 2047  # as in src/options.c and src/command/preload.c
NOBODY = 65534

passed = failed = 0


def expect(condition, what):
    """Counts; answers whether it held."""
    global passed, failed
    if condition:
        passed += 1
    else:
        failed += 1
        print("not so: %s" % what)
    return bool(condition)


def expect_equal(found, wanted, what):
    return expect(found == wanted, "%s is %r, wanted %r" % (what, found, wanted))


def done():
    print("%d passed, %d failed" % (passed, failed))
    sys.exit(0 if passed > 0 and failed == 0 else 1)


def skip(what, why):
    print("skipped: %s (%s)" % (what, why))


def clean_environment(**more):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("LD_", "MOAT_"))}
    environment.update(more)
    return environment


def run(*command, environment=None, **options):
    """A finished process with its output as text."""
    return subprocess.run([str(word) for word in command], env=environment or clean_environment(), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120, **options)


def expect_refused(words, *command, **options):
    """One line on stderr that has the words, nothing on stdout, exit status 2."""
    result = run(*command, **options)
    said = result.stderr
    expect(result.returncode == 2 and result.stdout == "" and said.count("\n") == 1 and said.startswith("moat: ")
           and words in said, "%s is refused with %r; exit status %d, said %r, printed %r" % (
               " ".join(map(str, command)), words, result.returncode, said, result.stdout))


@contextlib.contextmanager
def started(*command, environment=None, answer="ready", **options):
    """A process that has said `answer`, with say(byte) to tell it something and wait for its line. Ended at the end."""
    process = subprocess.Popen([str(word) for word in command], env=environment or clean_environment(), stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)

    def say(byte):
        process.stdin.write(byte)
        process.stdin.flush()
        return process.stdout.readline().rstrip("\n")

    process.say = say
    try:
        line = process.stdout.readline()
        if line != answer + "\n":
            process.kill()
            sys.exit("%s said %r instead of %r, and %s" % (" ".join(map(str, command)), line, answer, process.stderr.read()))
        yield process
    finally:
        process.stdin.close()
        try:
            process.wait(timeout=60)
        finally:
            process.kill()
            process.stdout.close()
            process.stderr.close()
            process.wait()


class Place:
    """A folder that everybody may read, with the command and the libraries in it."""

    def __init__(self, given):
        self.compiler = given.compiler
        self.build = given.build
        self.folder = tempfile.mkdtemp(prefix="moat-command.")
        os.chmod(self.folder, 0o755)
        self.moat = self.copy("moat", os.path.join(given.build, "moat"))
        self.plain = self.copy("libmoat.so.0", os.path.join(given.build, "libmoat.so.0"))
        self.secure = None
        if os.path.exists(os.path.join(given.build, "libmoat-secure.so.0")):
            self.secure = self.copy("libmoat-secure.so.0", os.path.join(given.build, "libmoat-secure.so.0"))
        self.strongest = self.secure or self.plain
        # `moat run` with the strongest library there is: what users have.
        self.run = [self.moat, "run"] + ([] if self.secure else ["--plain"])
        self.waits = self.compile("waits", "waits.c")

    def path(self, name):
        return os.path.join(self.folder, name)

    def copy(self, name, source):
        shutil.copy(source, self.path(name))
        return self.path(name)

    def write(self, name, text, mode=0o644):
        with open(self.path(name), "wb" if isinstance(text, bytes) else "w") as file:
            file.write(text)
        os.chmod(self.path(name), mode)
        return self.path(name)

    def compile(self, name, *words):
        """Sources are those of this folder; what has a slash or a dash in front is left as it is."""
        words = [os.path.join(HERE, word) if re.fullmatch(r"\w+\.c", word) else word for word in words]
        command = [self.compiler, "-O1", "-fno-builtin", "-o", self.path(name), *words]
        result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if result.returncode != 0:
            sys.exit("this failed: %s\n%s" % (" ".join(command), result.stdout))
        return self.path(name)


@contextlib.contextmanager
def place():
    """Reads --build and --compiler from the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True, help="the build directory, with the command and the libraries")
    parser.add_argument("--compiler", required=True)
    parser.add_argument("--definitions", default="", help="MOAT_SECURE_...=0|1 of the chosen profile, by commas")
    given = parser.parse_args()
    made = Place(given)
    made.definitions = dict(item.split("=") for item in given.definitions.split(",") if item)
    try:
        yield made
    finally:
        shutil.rmtree(made.folder)
