"""What the real programs work on: made from seeds into a folder, the same on every machine, once."""
import hashlib
import random
import shutil
import subprocess

from .support import WORK, Failure, clean_environment

# Another number makes the inputs anew.
VERSION = 1


def lines(count):
    """Lines of a key and a digest: for sort, awk and xz."""
    return b"".join(b"%d\t%s\n" % (i * 7919 % 100_003, hashlib.md5(b"%d" % i).hexdigest().encode()) for i in range(count))


def c_source(functions):
    """Types, tables and functions with loops and branches that use each other: work for every pass of a compiler."""
    draw = random.Random(3)
    out = ["typedef unsigned long word;\nextern void *malloc(word);\nextern void free(void *);\n"]
    for i in range(functions):
        fields = [f"f{k}" for k in range(2 + draw.randrange(6))]
        out.append(f"struct s{i} {{ " + "".join(f"word {field}; " for field in fields) + "int a[8]; };\n")
        body = [f"    struct s{i} *s = malloc(sizeof *s);\n    word sum = x;\n"]
        for field in fields:
            body.append(f"    s->{field} = (sum ^ {draw.randrange(1 << 20)}u) * {draw.randrange(1, 99, 2)}u;\n")
        body.append("    for (int i = 0; i < 8; i++)\n        s->a[i] = (int)(sum >> i) + i * %d;\n" % draw.randrange(50))
        body.append("    switch (sum & 7) {\n" + "".join(
            f"    case {k}: sum += s->{draw.choice(fields)} / {draw.randrange(3, 40)}u + (word)s->a[{draw.randrange(8)}]; break;\n" for k in range(8)) + "    }\n")
        body.append("    while (sum > %d && sum %% 3)\n        sum = sum / 2 + (word)s->a[sum & 7];\n" % draw.randrange(1000))
        if i:
            body.append(f"    if (sum & 1)\n        sum ^= g{draw.randrange(i)}(sum >> 5);\n")
        out.append(f"word g{i}(word x)\n{{\n{''.join(body)}    free(s);\n    return sum;\n}}\n")
    return "".join(out).encode()


def history(commits):
    """A stream for git fast-import: text files in folders, of which each commit changes some."""
    draw = random.Random(5)
    words = ["".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=draw.randrange(2, 10))) for _ in range(2000)]

    def line():
        return " ".join(draw.choices(words, k=8))
    files = {f"d{i % 13}/e{i % 5}/file{i}.txt": [line() for _ in range(draw.randrange(20, 200))] for i in range(150)}
    out = []
    for number in range(commits):
        out.append(f"commit refs/heads/main\ncommitter A U Thor <author@example.org> {1_600_000_000 + number * 600} +0000\n")
        message = f"change {number}: {line()}\n"
        out.append(f"data {len(message)}\n{message}\n")
        for path in files if number == 0 else draw.sample(sorted(files), 4):
            text = files[path]
            for _ in range(6):
                text[draw.randrange(len(text))] = line()
            data = "\n".join(text) + "\n"
            out.append(f"M 100644 inline {path}\ndata {len(data)}\n{data}\n")
    return "".join(out).encode()


def make_repository(path, commits):
    environment = clean_environment(path.parent)
    # Packed once, so that each run that is measured begins with what the one before it left.
    for command, stdin in ((["git", "init", "-q", "-b", "main", str(path)], b""),
                           (["git", "-C", str(path), "fast-import", "--quiet"], history(commits)),
                           (["git", "-C", str(path), "gc", "--quiet", "--aggressive", "--prune=now"], b"")):
        done = subprocess.run(command, input=stdin, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        if done.returncode != 0:
            raise Failure(f"the repository for git cannot be made in {path}: {done.stdout.decode(errors='replace')[-300:]}")


def postscript(pages):
    """Text in several fonts, curves and shadings, page after page."""
    draw = random.Random(7)
    out = ["%!PS\n"]
    for _ in range(pages):
        for row in range(60):
            font = draw.choice(("Times-Roman", "Helvetica", "Courier", "Times-Italic"))
            text = "".join(draw.choices("abcdefghijklmnopqrstuvwxyz     ", k=70))
            out.append(f"/{font} findfont {draw.randrange(7, 14)} scalefont setfont 50 {780 - row * 12} moveto ({text}) show\n")
        for _ in range(60):
            numbers = " ".join(str(draw.randrange(40, 780)) for _ in range(8))
            out.append(f"{draw.random():.2f} {draw.random():.2f} {draw.random():.2f} setrgbcolor newpath {' '.join(numbers.split()[:2])} moveto "
                       f"{' '.join(numbers.split()[2:])} curveto {draw.choice(('stroke', 'closepath fill'))}\n")
        out.append("0 setgray showpage\n")
    return "".join(out).encode()


def make(folder, is_quick):
    """Answers the folder with all inputs of this size."""
    place = folder / f"inputs-{VERSION}-{'quick' if is_quick else 'usual'}"
    if (place / "complete").exists():
        return place
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    part = 1 if is_quick else 4
    (place / "lines").write_bytes(lines(60_000 * part))
    (place / "few-lines").write_bytes(lines(15_000 * part))
    (place / "source.i").write_bytes(c_source(30 if is_quick else 160))
    (place / "pages.ps").write_bytes(postscript(3 if is_quick else 30))
    (place / "database.sql").write_text((WORK / "database.sql").read_text().replace("ROWS", str(12_000 * part)))
    make_repository(place / "repository", 25 if is_quick else 160)
    (place / "complete").touch()
    return place
