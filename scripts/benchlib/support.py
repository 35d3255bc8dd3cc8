"""What all parts need: where things are, how a failure is said, what is done with services (by the helpers of test/services)."""
import os
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
WORK = ROOT / "test" / "programs" / "work"

sys.path.insert(0, str(ROOT / "test" / "services"))
import support as services  # noqa: E402 -- the path above leads to it
sys.path.pop(0)

Failure = services.Failure


class Refusal(Exception):
    """The command line, or the machine, does not allow what is asked. Exit status 2."""


def say(text):
    print("bench: " + text, file=sys.stderr, flush=True)


def clean_environment(home):
    """The same small environment for every program. Which heap it gets, the launcher adds."""
    return {"PATH": os.environ["PATH"] + ":/usr/sbin:/usr/games", "HOME": str(home), "TMPDIR": str(home), "LC_ALL": "C.UTF-8",
            "TZ": "UTC", "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1", "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_PAGER": "cat"}
