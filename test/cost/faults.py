#!/usr/bin/env python3
"""Page faults of programs, against those with the C library's heap.

    faults.py --launch PROGRAM --library FILE --empty FILE

Debian's python3 (with its own pools and with all objects from malloc), perl, sqlite3, git and gcc's cc1 do a second's work or
less on inputs that are made here. Each runs three times, the least count is taken (launch.c). What is judged is the
count in percent of that with an empty library: a program of another version has other faults, but both counts follow it.

Ceilings: the rows `faults` of ceilings.txt. The exit status is 1 if one was passed, or a program is missing.
"""
import argparse
import os
import shutil
import subprocess
import sys
import tempfile

from ceilings import Ceilings

PYTHON = """
table = {}
for i in range(60000):
    table[str(i * 7919 % 60000)] = [i, str(i), (i, i + 1)]
words = sorted(table, key=lambda key: key[::-1])
print(sum(len(word) for word in words), len(" ".join(words)))
for i in range(0, 60000, 2):
    del table[str(i)]
print(len({(a, b): a * b for a in range(150) for b in range(150)}))
"""
PERL = """
my %table;
for my $i (0 .. 39999) { $table{$i * 7919 % 40000} = [$i, "value $i", { number => $i }]; }
my @words = sort { $table{$a}[0] <=> $table{$b}[0] } keys %table;
print scalar(@words), length(join(",", @words)), "\\n";
delete $table{$_} for grep { $_ % 2 } @words;
"""
SQL = """
CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT, amount INTEGER);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000)
    INSERT INTO item SELECT i, 'item ' || (i * 7919 % 60000), i % 997 FROM n;
CREATE INDEX by_name ON item (name);
SELECT amount, count(*), max(name) FROM item GROUP BY amount ORDER BY 2, 3;
DELETE FROM item WHERE id % 3 = 0;
SELECT count(*) FROM item a JOIN item b ON a.name = b.name;
"""
COMMITS = 2000
FUNCTIONS = 60


def write(path, text):
    with open(path, "w") as file:
        file.write(text)
    return path


def make_repository(folder):
    """One file that changes in every commit, and one of forty others."""
    path = os.path.join(folder, "repository")
    subprocess.run(["git", "init", "-q", path], check=True)
    parts = []
    for i in range(COMMITS):
        message = "change %d\n" % i
        parts.append("commit refs/heads/made\ncommitter A <a@example.org> %d +0000\ndata %d\n%s" % (10 ** 9 + i, len(message), message))
        for name in ("always", "file%d" % (i % 40)):
            content = "".join("line %d\n" % (line + i // 40) for line in range(60))
            parts.append("M 644 inline %s\ndata %d\n%s" % (name, len(content), content))
    subprocess.run(["git", "-C", path, "fast-import", "--quiet"], input="\n".join(parts), text=True, check=True)
    return path


def make_source(folder):
    text = "struct node { struct node *next; int key, value; char name[16]; };\nint sum(const int *, int);\n"
    for i in range(FUNCTIONS):
        text += """int function%d(struct node *list, int *values, int count)
{
    int found = %d;
    for (struct node *node = list; node; node = node->next) {
        switch (node->key %% 7) {
        case 0: found += node->value * %d; break;
        case 1: found ^= values[node->value %% count]; break;
        case 2: for (int i = 0; i < count; i++) values[i] = values[i] * 3 + found; break;
        default: found += sum(values, count > %d ? %d : count) + node->name[found & 15]; break;
        }
    }
    return found;
}
""" % (i, i, i + 3, i + 4, i + 4)
    return write(os.path.join(folder, "source.c"), text)


def commands(folder):
    cc1 = subprocess.run(["gcc", "-print-prog-name=cc1"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    python = ["/usr/bin/python3", "-I", write(os.path.join(folder, "work.py"), PYTHON)]
    return {
        "python3": python,
        "python3-malloc": ["/usr/bin/env", "PYTHONMALLOC=malloc"] + python[:1] + python[2:],
        "perl": ["/usr/bin/perl", write(os.path.join(folder, "work.pl"), PERL)],
        "sqlite3": ["/usr/bin/sqlite3", "-batch", ":memory:", ".read " + write(os.path.join(folder, "work.sql"), SQL)],
        "git-log": ["/usr/bin/git", "-C", make_repository(folder), "log", "--stat", "-n", "1000", "made"],
        "cc1": [cc1, "-quiet", "-O2", make_source(folder), "-o", os.path.join(folder, "source.s")],
    }


def count(given, library, command):
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    environment.update(LC_ALL="C", GIT_CONFIG_NOSYSTEM="1", PYTHONHASHSEED="1", PERL_HASH_SEED="1", PERL_PERTURB_KEYS="0")
    done = subprocess.run([given.launch, library, *command], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0 or "cannot be preloaded" in done.stderr:
        sys.exit("faults.py: %s with %s failed\n%s" % (" ".join(command), library, done.stderr))
    return int(done.stdout)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--launch", required=True)
    parser.add_argument("--library", required=True)
    parser.add_argument("--empty", required=True)
    given = parser.parse_args()
    missing = [name for name in ("python3", "perl", "sqlite3", "git", "gcc") if not shutil.which("/usr/bin/" + name)]
    if missing:
        sys.exit("faults.py: missing in /usr/bin: %s; install their Debian packages" % ", ".join(missing))
    ceilings = Ceilings("faults", os.path.realpath(given.library))
    with tempfile.TemporaryDirectory() as folder:
        for name, command in commands(folder).items():
            ours, control = count(given, given.library, command), count(given, given.empty, command)
            ceilings.judge("faults." + name, 100 * ours / control, "percent", "%d faults, %d with the C library's heap" % (ours, control))
    sys.exit(0 if ceilings.finish() else 1)


main()
