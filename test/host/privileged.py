#!/usr/bin/env python3
"""MOAT_OPTIONS is the user's word, and a program with raised privileges does not listen to him.

    privileged.py --library FILE --program PROGRAM

The program is linked with the library, since the loader ignores a preload there. Its copy with the setgid bit and another group
is privileged: every option is ignored, and no file that one names is written to. Without the bit the same options hold.
"""
import argparse
import os
import shutil
import signal
import tempfile

from host import Host

OTHER_GROUP = 65534


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--library", required=True)
    parser.add_argument("--program", required=True)
    given = parser.parse_args()
    host = Host(given.library)
    # The other way round from what the build does by itself.
    options = "verbose=1:stats=1:cage=64M:guards=off:help=1:foreign=" + ("leak" if host.is_secure else "enforce")
    dies, survives = -signal.SIGABRT, 0

    outcome = host.run([given.program], options=options, preload=False)
    host.expect("an ordinary program follows the options", "privileged: 0\n" in outcome.out and "help=1" not in outcome.err and
                "moat: options: cage=SIZE" in outcome.err and outcome.status == (survives if host.is_secure else dies), outcome)

    with tempfile.TemporaryDirectory(dir=os.path.dirname(given.program)) as folder:
        copy = os.path.join(folder, "privileged")
        shutil.copy(given.program, copy)
        os.chmod(folder, 0o755)
        try:
            os.chown(copy, -1, OTHER_GROUP)
        except PermissionError:
            print("skipped: the privileged copy (only root gives a file to another group)")
            host.done()
        os.chmod(copy, 0o2755)
        outcome = host.run([copy], options=options, preload=False)
        if "privileged: 0\n" in outcome.out:
            print("skipped: the privileged copy (this file system or process honours no setgid bit)")
            host.done()
        host.expect("a privileged one follows none", "privileged: 1\n" in outcome.out and
                    outcome.status == (dies if host.is_secure else survives), outcome)
        host.expect("and says nothing but the line of its pointer", len(outcome.said) == 1 and not outcome.stats and
                    outcome.said[0].startswith("moat: foreign pointer in free(): 0x"), outcome)
        host.show("a privileged program, and all options", outcome, [])
        # The report goes where it goes by default, and not to a descriptor that the user names.
        log = os.path.join(folder, "log")
        with open(log, "w") as file:
            outcome = host.run([copy], options="report=%d" % file.fileno(), preload=False, pass_fds=[file.fileno()])
        host.expect("report= is ignored too", len(outcome.said) == 1 and os.path.getsize(log) == 0, outcome)
    host.done()


main()
