#!/usr/bin/env python3
"""Shows that scripts/fuzz tells the truth: a mistake planted in a copy of the sources is a find, by each engine, kept and playable again.

    check_script.py SOURCE DIRECTORY     DIRECTORY is emptied and used for the copy
"""
import pathlib
import re
import shutil
import subprocess
import sys

FILE, OLD, NEW = "secure/states.h", "return (seen & SEC_STATE_LIVE) && atomic_cas", "return atomic_cas"

wrong = []


def expect(is_so, what):
    if not is_so:
        wrong.append(what)


def script(tree, *options):
    done = subprocess.run([str(tree / "scripts" / "fuzz"), *options], cwd=tree, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, errors="replace")
    print(done.stdout, end="", flush=True)
    return done.returncode, done.stdout


def check_usage(tree):
    for options in (["--engine", "none"], ["--time", "0"], ["--time", "5x"], ["--jobs", "0"], ["--target", "none"], ["--replay", "none"], ["none"]):
        expect(script(tree, *options)[0] == 2, f"{' '.join(options)} is no usage error")


def check_engine(tree, engine):
    finds = tree / "finds" / engine
    status, text = script(tree, "--target", "misuse", "--engine", engine, "--time", "20s", "--jobs", "1", "--finds", str(finds))
    kept = sorted(finds.iterdir()) if finds.is_dir() else []
    expect(status == 1, f"{engine}: the status is {status} for a heap with a mistake in it")
    expect(kept, f"{engine}: no find was kept")
    told = re.findall(r"scripts/fuzz --replay (\S+)", text)
    expect(sorted(path.name for path in kept) == sorted(pathlib.Path(path).name for path in told), f"{engine}: not every find was told, or kept")
    for path in told[:1]:
        expect(script(tree, "--replay", path)[0] == 1, f"{engine}: the find does not fail when it is played again as told")


def main():
    if len(sys.argv) != 3:
        sys.exit("check_script.py: usage: check_script.py SOURCE DIRECTORY")
    source, directory = map(pathlib.Path, sys.argv[1:])
    tree = directory / "tree"
    shutil.rmtree(directory, ignore_errors=True)
    shutil.copytree(source, tree, ignore=shutil.ignore_patterns(".git", "build", "build-*", "finds", "__pycache__"))
    text = (tree / FILE).read_text()
    if text.count(OLD) != 1:
        sys.exit(f"check_script.py: `{OLD}` stands {text.count(OLD)} times in {FILE}: the mistake must follow the code")
    (tree / FILE).write_text(text.replace(OLD, NEW))
    check_usage(tree)
    for engine in ("libfuzzer", "afl"):
        check_engine(tree, engine)
    expect(script(tree, "--replay", "fuzz/corpus/misuse/wrong-size-0")[0] == 0, "an input that passes does not pass when it is played again")
    for line in wrong:
        print("check_script.py: " + line)
    print(f"{len(wrong)} wrong")
    sys.exit(1 if wrong else 0)


main()
