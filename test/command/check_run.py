#!/usr/bin/env python3
"""moat run: what it does to the environment, what it says of programs that it cannot help, what it refuses.

    check_run.py --build DIRECTORY --compiler FILE
"""
import json
import os
import re
import signal
import stat
import struct
import subprocess

from support import (NOBODY, OPTIONS_BYTES, clean_environment, done, expect, expect_equal, expect_refused, place, run, skip,
                     started)


def environment_of(at, *options, program=None, **environment):
    """(LD_PRELOAD, MOAT_OPTIONS, stderr) of a program that moat run starts."""
    command = [*at.run, *options, program or at.waits]
    result = subprocess.run(command, input="p", env=clean_environment(**environment), stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, timeout=120)
    match = re.search(r"^LD_PRELOAD=(.*) MOAT_OPTIONS=(.*)$", result.stdout, re.M)
    if not expect(match and result.returncode == 7, "%s runs: status %d, printed %r, said %r" % (
            " ".join(command), result.returncode, result.stdout, result.stderr)):
        return None, None, result.stderr
    return match.group(1), match.group(2), result.stderr


def becomes_the_program(at):
    expect_equal(run(*at.run, "/bin/sh", "-c", "exit 41").returncode, 41, "the exit status")
    expect_equal(run(*at.run, "/bin/sh", "-c", "kill -TERM $$").returncode, -signal.SIGTERM, "the end by a signal")
    expect_equal(run(*at.run, "--", "/bin/sh", "-c", 'echo "$0 $1 $2"', "--plain", "-x", "").stdout, "--plain -x \n", "arguments")
    with started(*at.run, at.waits) as process:
        # The same process, by another name, and it takes blocks of Moat's.
        state = json.loads(run(at.moat, "status", "--json", process.pid).stdout)
        expect_equal((state["command"], state["mode"]), ("waits", "active"), "the process")
        expect(state["counters"]["pages opened"] > 0, "Moat is the heap of the program")


def finds_the_library(at):
    expect_equal(environment_of(at)[0], at.strongest, "the library")
    expect_equal(environment_of(at, "--plain")[0], at.plain, "the library with --plain")
    if at.secure is None:
        expect_refused("libmoat-secure.so.0 is not in", at.moat, "run", at.waits)
    # bin/moat beside lib/: tried with an installation by config.install. Here, what is wrong with a place.
    os.mkdir(at.path("alone"))
    lonely = at.copy("alone/moat", at.moat)
    expect_refused("libmoat.so.0 is not in %s" % at.path("alone"), lonely, "run", "--plain", at.waits)
    at.write("alone/libmoat.so.0", "no library")
    expect_refused("is no library of Moat's", lonely, "run", "--plain", at.waits)
    for name in ("a space", "a:colon", "a$dollar"):
        os.mkdir(at.path(name))
        odd = at.copy(name + "/moat", at.moat)
        at.copy(name + "/libmoat.so.0", at.plain)
        expect_refused("LD_PRELOAD cannot name", odd, "run", "--plain", at.waits)
    os.symlink(at.moat, at.path("alone/link"))
    expect_equal(run(at.path("alone/link"), "run", "--plain", "/bin/true").returncode, 0, "the status through a link to the command")


def keeps_other_preloads(at):
    other = at.compile("libother.so", "-shared", "-fPIC", "-x", "c", "/dev/null")
    expect_equal(environment_of(at, LD_PRELOAD=other)[0], "%s:%s" % (other, at.strongest), "LD_PRELOAD, appended to")
    for before in (at.strongest, "%s:%s" % (at.plain, other), "%s %s" % (other, at.plain), "%s::%s: " % (at.strongest, at.strongest)):
        wanted = "%s:%s" % (other, at.strongest) if other in before else at.strongest
        expect_equal(environment_of(at, LD_PRELOAD=before)[0], wanted, "LD_PRELOAD after %r" % before)
    # Moat within Moat, with the other library: there is one at a time.
    nested = run(*at.run, at.moat, "run", "--plain", "/bin/sh", "-c", "echo $LD_PRELOAD")
    expect_equal(nested.stdout.strip(), at.plain, "LD_PRELOAD of a run within a run")


def hands_options_on(at):
    expect_equal(environment_of(at)[1], "none", "MOAT_OPTIONS without any")
    expect_equal(environment_of(at, MOAT_OPTIONS="stats=0")[1], "stats=0", "MOAT_OPTIONS of before")
    given = environment_of(at, "-o", "stats=1", "--option", "guards=auto", "--option=cage=1G", MOAT_OPTIONS="stats=0")
    expect_equal(given[1], "stats=0:stats=1:guards=auto:cage=1G", "MOAT_OPTIONS with more")
    expect("moat: stats: profile" in given[2], "what is given on the command line wins over MOAT_OPTIONS")


GOOD_OPTIONS = ("foreign=enforce", "foreign=leak", "foreign=pass", "cage=0", "cage=0012", "cage=64M", "cage=16T", "cage=3G",
                "cage=18446744073709551615", "cage=18014398509481983K", "cage=16777215T", "guards=auto", "guards=madvise",
                "guards=mprotect", "guards=off", "report=2", "report=1K", "report=1048576", "report=1M", "verbose=0", "verbose=1",
                "stats=0", "stats=1", "help=1")
BAD_OPTIONS = ("foreign=maybe", "foreign=", "foreign=Leak", "foreign=leak ", "foreign=enforce,leak", "cage=", "cage=G", "cage=1g", "cage=1GB",
               "cage=1 G", "cage= 1", "cage=-1", "cage=+1", "cage=0x10", "cage=1.5G", "cage=1P", "cage=18446744073709551616",
               "cage=18014398509481984K", "cage=16777216T", "guards=on", "guards=1", "report=x", "report=-1", "report=1048577",
               "report=2M", "report=", "verbose=2", "verbose=yes", "stats=01", "stats=1=1", "stats=", "help=0", "help=", "colour=red",
               "cag=1G", "cagee=1G", "STATS=1", " stats=1", "stats =1")


def refuses_what_the_library_would_ignore(at):
    """Before the program starts, and in the library's words: both must know the same options."""
    for option in GOOD_OPTIONS:
        said = run("/bin/true", environment=clean_environment(LD_PRELOAD=at.plain, MOAT_OPTIONS=option)).stderr
        expect(": ignored" not in said, "the library takes %s: %r" % (option, said))
        expect_equal(run(*at.run, "-o", option, "/bin/true").returncode, 0, "the status of a program with " + option)
    wrong_keys = 0
    for option in BAD_OPTIONS:
        said = run("/bin/true", environment=clean_environment(LD_PRELOAD=at.plain, MOAT_OPTIONS=option)).stderr
        match = re.fullmatch(r"moat: option %s: ignored, (.+)\n" % re.escape(option), said)
        if not expect(match, "the library ignores %s and says why: %r" % (option, said)):
            continue
        wrong_keys += match.group(1).startswith("there is no such key, only ")
        for form in (["-o", option], ["--option", option], ["--option=" + option], ["-o", "stats=1", "-o", option]):
            expect_refused("moat: option %s: %s\n" % (option, match.group(1)), *at.run, *form, "/bin/echo", "started")
    expect_equal(wrong_keys, 6, "how many of the bad options have a wrong key")


def options_of(length):
    """A text of that many bytes for MOAT_OPTIONS, which makes the library print counts at the exit."""
    head, tail = "stats=1:cage=", "1G"
    return head + "0" * (length - len(head) - len(tail)) + tail


def knows_the_longest_options(at):
    """The library reads OPTIONS_BYTES and refuses one more as a whole; so does the command."""
    more = "verbose=0"
    before = options_of(OPTIONS_BYTES - 1 - len(more))
    _, options, said = environment_of(at, "-o", more, MOAT_OPTIONS=before)
    expect_equal(options, before + ":" + more, "the longest MOAT_OPTIONS")
    expect("moat: stats: profile" in said, "the longest options are read: %r" % said[:200])
    expect_refused("would have %d bytes" % (OPTIONS_BYTES + 1), *at.run, "-o", more, at.waits,
                   environment=clean_environment(MOAT_OPTIONS=options_of(OPTIONS_BYTES - len(more))))
    late = run(at.waits, environment=clean_environment(LD_PRELOAD=at.plain, MOAT_OPTIONS=options_of(OPTIONS_BYTES + 1)))
    expect("longer than %d bytes" % OPTIONS_BYTES in late.stderr, "the library says that one byte more is too long: %r" % late.stderr)


def expect_said(at, words, program, preload, *, name=None, environment=None):
    """moat run says one line with `words`, the program runs and finds `preload`; with --require it does not run."""
    found, _, said = environment_of(at, program=program, **(environment or {}))
    lines = said.splitlines()
    expect(len(lines) == 1 and lines[0].startswith("moat: " + (name or program)) and words in lines[0],
           "one line about %s that has %r: %r" % (program, words, said))
    expect_equal(found, preload, "LD_PRELOAD of %s" % program)
    result = run(*at.run, "--require", program, environment=clean_environment(**(environment or {})))
    expect(result.returncode == 2 and result.stdout == "" and result.stderr.splitlines()[-1].endswith(
        "was not run, since --require was given"), "--require refuses %s: %r" % (program, result))


def says_what_it_cannot_help(at):
    before = "/nonexistent/libother.so"
    static = at.compile("static", "waits.c", "-static")
    expect_said(at, "is statically linked", static, at.strongest)
    expect_said(at, "is statically linked", at.compile("static-pie", "waits.c", "-static-pie"), at.strongest)
    own = at.compile("own", "waits.c", "heap.c")
    expect_said(at, "defines malloc itself", own, at.strongest)
    expect_said(at, "defines malloc itself", at.compile("own-sysv", "waits.c", "heap.c", "-Wl,--hash-style=sysv"), at.strongest)
    for kind, words in (("address", "AddressSanitizer"), ("thread", "ThreadSanitizer")):
        expect_said(at, words, at.compile(kind, "waits.c", "-fsanitize=" + kind), "none")
        static_runtime = "-static-lib" + kind[0] + "san" if "clang" not in at.compiler else "-static-libsan"
        expect_said(at, words, at.compile(kind + "-inside", "waits.c", "-fsanitize=" + kind, static_runtime), "none")
    # What is preloaded beside Moat stays, also where Moat is taken away.
    found = environment_of(at, program=at.path("address-inside"), LD_PRELOAD="%s:%s" % (before, at.plain))[0]
    expect_equal(found, before, "LD_PRELOAD of a sanitized program")

    quiet = environment_of(at)[2]
    expect_equal(quiet, "", "what is said of an ordinary program")
    expect_equal(environment_of(at, "--require")[0], at.strongest, "LD_PRELOAD of an ordinary program with --require")


def sees_a_rival(at):
    rival = at.compile("librival.so", "-shared", "-fPIC", "heap.c")
    expect_said(at, "defines malloc and comes first", at.waits, "%s:%s" % (rival, at.strongest), name=rival,
                environment={"LD_PRELOAD": rival})


def sees_other_loaders(at):
    musl = at.compile("musl", "waits.c", "-Wl,--dynamic-linker=/nonexistent/ld-musl-x86_64.so.1")
    result = run(*at.run, musl)
    expect(result.returncode == 2 and "wants another C library (its loader is /nonexistent/ld-musl-x86_64.so.1)" in result.stderr
           and result.stderr.endswith("cannot be run: No such file or directory\n"), "a program of another C library: %r" % result)
    # The same loader in another place, as some distributions have it.
    loader = at.copy("ld-linux-x86-64.so.2", os.path.realpath("/lib64/ld-linux-x86-64.so.2"))
    moved = at.compile("moved", "waits.c", "-Wl,--dynamic-linker=" + loader)
    expect_equal(environment_of(at, program=moved)[2], "", "what is said of a moved loader")


def follows_scripts(at):
    at.compile("static-shell", "waits.c", "-static")
    path = "%s:%s" % (at.folder, os.environ["PATH"])
    words = "is statically linked"
    direct = at.write("direct", "#! %s\n" % at.path("static-shell"), 0o755)
    expect_said(at, words, direct, at.strongest, name="%s (run by %s)" % (direct, at.path("static-shell")))
    twice = at.write("twice", "#!%s\n" % direct, 0o755)
    expect_said(at, words, twice, at.strongest, name="%s (run by %s)" % (twice, at.path("static-shell")))
    for number, line in enumerate(("#!/usr/bin/env static-shell", "#!/usr/bin/env -S static-shell x y",
                                   "#! /usr/bin/env -S A=b  static-shell")):
        script = at.write("env%d" % number, line + "\n", 0o755)
        expect_said(at, words, script, at.strongest, name="%s (run by %s" % (script, at.path("static-shell")),
                    environment={"PATH": path})
    for number, line in enumerate(("#!/bin/sh\n", "", "#!/usr/bin/env sh\n")):
        script = at.write("shell%d" % number, line + "exec %s\n" % at.waits, 0o755)
        expect_equal(environment_of(at, program=script)[::2], (at.strongest, ""), "LD_PRELOAD and words of %r" % line)
    # A script may be marked setuid; the kernel does not look at that.
    marked = at.write("marked", "#!/bin/sh\nexec %s\n" % at.waits, 0o4755)
    expect_equal(environment_of(at, program=marked)[2], "", "what is said of a setuid script")


def sees_privileges(at):
    owned = at.copy("owned", at.waits)
    os.chmod(owned, 0o4755)
    expect_equal(environment_of(at, program=owned)[2], "", "what is said of a setuid program of one's own")
    if os.geteuid() != 0:
        skip("programs with privileges", "only root can make them")
        return
    for name, mode, words in (("setuid", stat.S_ISUID, "is setuid"), ("setgid", stat.S_ISGID, "is setgid")):
        program = at.copy(name, at.waits)
        os.chown(program, NOBODY, NOBODY)
        os.chmod(program, mode | 0o755)
        # The loader drops it from the environment too.
        expect_said(at, words, program, "none")
    able = at.copy("able", at.waits)
    # CAP_NET_RAW, permitted and effective, in the kernel's format of revision 2.
    os.setxattr(able, "security.capability", struct.pack("<5I", 0x02000001, 1 << 13, 0, 0, 0))
    os.chmod(able, 0o755)
    expect_equal(environment_of(at, program=able)[2], "", "what root is told of file capabilities")
    result = run(*at.run, "--require", able, user=NOBODY, group=NOBODY, extra_groups=[])
    expect("is a program with file capabilities" in result.stderr and result.returncode == 2,
           "what others are told of file capabilities: %r" % result)
    secret = at.copy("secret", at.waits)
    os.chmod(secret, 0o711)
    result = run(*at.run, secret, user=NOBODY, group=NOBODY, extra_groups=[])
    expect("cannot be read (Permission denied)" in result.stderr and result.returncode == 7,
           "a program that may be run and not read: %r" % result)


def refuses_bad_input(at):
    expect_refused("a command is wanted: run, status or help", at.moat)
    expect_refused('there is no command "walk"', at.moat, "walk")
    expect_refused('--version takes nothing behind it, and got "x"', at.moat, "--version", "x")
    expect_refused("run wants a program", at.moat, "run")
    expect_refused("run wants a program", at.moat, "run", "--plain", "--")
    expect_refused("run has no option --fast", at.moat, "run", "--fast", at.waits)
    expect_refused("run has no option -", at.moat, "run", "-", at.waits)
    expect_refused("wants KEY=VALUE behind it", at.moat, "run", "--option")
    for option in ("stats", "=1", ""):
        expect_refused('--option wants KEY=VALUE, and got "%s"' % option, at.moat, "run", "-o", option, at.waits)
    expect_refused("without a colon", at.moat, "run", "-o", "stats=1:help=1", at.waits)
    expect_refused("there are more than 64 options", at.moat, "run", *["--option=stats=0"] * 65, at.waits)
    expect_refused("there is no program nosuch-program in PATH", *at.run, "nosuch-program",
                   environment=clean_environment(PATH="/nonexistent::" + at.folder))
    expect_refused("cannot be run: No such file", *at.run, "/nonexistent/program")
    expect_refused("cannot be run: No such file", *at.run, "/nonexistent/a\nb")
    expect_refused("cannot be run: Is a directory", *at.run, at.folder)
    expect_refused("cannot be run: Permission denied", *at.run, at.write("data", "text"))
    expect_refused("data cannot be run: Permission denied", *at.run, "data", environment=clean_environment(PATH=at.folder))
    expect_refused("the name of the program is empty", *at.run, "")
    expect_refused("cannot be run: Too many levels", *at.run, looped(at))


def terminal_is_safe(at):
    """Whatever the bytes are that an argument, the environment or a file has, the line shows them as plain text."""
    evil, plain = "\x1b]0;x\x07\x7f\t\u00e4\u009b\r", r"\x1b]0;x\x07\x7f\x09\xc3\xa4\xc2\x9b\x0d"
    expect_refused('there is no command "%s", only' % plain, at.moat, evil)
    expect_refused("there is no program %s in PATH" % plain, *at.run, evil)
    expect_refused('and got "%s"' % plain, *at.run, "-o", evil, at.waits)
    expect_refused("/nonexistent/a\\x0ab cannot be run", *at.run, "/nonexistent/a\nb")
    program = at.compile("evil" + evil, "waits.c", "-static")
    expect_said(at, "evil%s is statically linked" % plain, program, at.strongest, name=at.path("evil" + plain))
    # The interpreter is what a script says that it is; blanks end it.
    at.copy("\x1b\x7f\u00e4", program)
    script = at.write("evil-script", "#!%s\n" % at.path("\x1b\x7f\u00e4"), 0o755)
    expect_said(at, r"(run by %s) is statically linked" % at.path(r"\x1b\x7f\xc3\xa4"), script, at.strongest, name=script)
    hostile = at.write("hostile-script", b"#!/nonexistent/\x1b[2J\xff\n", 0o755)
    said = run(*at.run, hostile).stderr
    expect(r"%s (run by /nonexistent/\x1b[2J\xff) cannot be read" % hostile in said, "the interpreter is shown: %r" % said)
    late = run(at.waits, environment=clean_environment(LD_PRELOAD=at.plain, MOAT_OPTIONS="col%s=%s" % (evil, evil)))
    expect(plain in late.stderr and all(" " <= c <= "~" or c == "\n" for c in late.stderr),
           "the library shows the environment as plain text: %r" % late.stderr)
    # A line of any length ends.
    expect_refused(plain, *at.run, "/nonexistent/" + evil * 2000)


def looped(at):
    path = at.path("loop")
    os.symlink(path, path)
    return path


def helps(at):
    version = run(at.moat, "--version")
    expect(re.fullmatch(r"moat \d+\.\d+\.\d+\n", version.stdout) and version.returncode == 0, "moat --version: %r" % version)
    for command in (["--help"], ["-h"], ["run", "--help"], ["run", "-h"], ["status", "--help"], ["status", "-h"]):
        result = run(at.moat, *command)
        expect(result.returncode == 0 and result.stdout.startswith("usage: moat") and result.stderr == "",
               "moat %s helps: %r" % (" ".join(command), result))
    for asked, same in ((["help"], ["--help"]), (["help", "run"], ["run", "--help"]), (["help", "status"], ["status", "--help"])):
        result = run(at.moat, *asked)
        expect_equal((result.returncode, result.stdout, result.stderr), (0, run(at.moat, *same).stdout, ""), "moat " + " ".join(asked))
    expect_refused('there is no command "walk"', at.moat, "help", "walk")
    expect_refused('there is no command "help"', at.moat, "help", "help")
    expect_refused('help COMMAND takes nothing behind it, and got "x"', at.moat, "help", "run", "x")
    for command in (["--version"], ["help"], ["help", "run"], ["run", "--help"], ["status", str(os.getpid())]):
        full = subprocess.run([at.moat, *command], stdout=open("/dev/full", "w"), stderr=subprocess.PIPE, text=True)
        expect(full.returncode == 2 and "could not be written" in full.stderr, "a full disk is told: %r" % full)


with place() as at:
    becomes_the_program(at)
    finds_the_library(at)
    keeps_other_preloads(at)
    hands_options_on(at)
    refuses_what_the_library_would_ignore(at)
    knows_the_longest_options(at)
    says_what_it_cannot_help(at)
    sees_a_rival(at)
    sees_other_loaders(at)
    follows_scripts(at)
    sees_privileges(at)
    refuses_bad_input(at)
    terminal_is_safe(at)
    helps(at)
done()
