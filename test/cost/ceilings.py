"""The table of ceilings, and the verdict on what a test has counted."""
import os

TABLE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "ceilings.txt")
LIBRARIES = ["libmoat", "libmoat-secure"]
# So far below its ceiling a count is said to be better: the ceiling can follow.
MUCH_LOWER = 0.9


class Ceilings:
    """The rows of one test for one library. Each row must be judged, and nothing else can be."""

    def __init__(self, test, library):
        if os.path.basename(library).split(".")[0] not in LIBRARIES:
            raise SystemExit("%s has no column for %s" % (TABLE, library))
        column = LIBRARIES.index(os.path.basename(library).split(".")[0])
        self.most = {}
        self.good = True
        for number, line in enumerate(open(TABLE), 1):
            words = line.split("#")[0].split()
            if not words or words[0].split(".")[0] != test:
                continue
            if len(words) != 3 or words[0] in self.most:
                raise SystemExit("%s:%d: a name that is new, and two numbers are needed: %s" % (TABLE, number, line.strip()))
            self.most[words[0]] = float(words[1 + column])
        if not self.most:
            raise SystemExit("%s has no row for %s" % (TABLE, test))
        self.left = set(self.most)

    def judge(self, name, count, unit, remark=""):
        if name not in self.left:
            raise SystemExit("%s has no row %s, or it was counted twice" % (TABLE, name))
        self.left.remove(name)
        most = self.most[name]
        verdict = "" if count <= most else "  TOO MUCH"
        if count < most * MUCH_LOWER:
            verdict = "  (the ceiling could be lower)"
        print("%-22s %12.2f, at most %12.2f %s%s%s" % (name, count, most, unit, remark and ", " + remark, verdict), flush=True)
        self.good = self.good and count <= most
        return count <= most

    def finish(self, may_be_left=False):
        """True if nothing was too much. A row that nobody counted is a mistake, except in a shortened run."""
        if self.left and not may_be_left:
            print("not counted: " + ", ".join(sorted(self.left)))
            return False
        return self.good
