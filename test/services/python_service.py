"""A Python web server: a master that forks, workers with a thread for each connection, reloaded while clients ask."""
import os
import pathlib
import random
import signal
import sys

import support
import web
from support import Failure
from web import Request

PACKAGES = {"wrk": "wrk"}
WORKERS = 2
SERVER = pathlib.Path(__file__).resolve().parent / "work" / "server.py"


class Service:
    name = "python"
    user = None
    # Python's own pools for small objects, as everybody has it.
    settings = {}

    def __init__(self, heap, place):
        self.heap, self.place = heap, place
        self.program = sys.executable
        self.log = place / "python.log"
        self.environment = heap.environment(place, self.settings)
        self.port = support.free_port()
        self.body = " ".join(random.Random(3).choices(["moat", "heap", "page", "block", "guard", "free"], k=20_000)).encode()

    def command(self):
        return [self.program, SERVER, self.port, WORKERS]

    def start(self, tracer=()):
        self.process = support.start_process([*tracer, *self.command()], self.environment if not tracer else None, self.log)
        self.pid = support.service_pid(self.process, self.program)
        support.wait_until(lambda: len(self.workers()) == WORKERS and support.listens(self.port), "the server has its processes", self.process)

    def workers(self):
        return {pid for pid in support.children(self.pid) if support.is_running(pid)}

    def pids(self):
        pids = support.family(self.pid)
        if len(pids) < 1 + WORKERS:
            raise Failure(f"the server has {len(pids)} processes and not {1 + WORKERS}")
        return pids

    def logs(self):
        return [self.log]

    def demand_more(self):
        if self.heap.library:
            # The interpreter is in the program or in a library of its own.
            support.demand_binding([self.program, "--version"], "malloc", self.heap.library.name, self.environment, r"\S*/(%s|libpython\S*)")

    def requests(self):
        requests = [Request(f"/{path}?{count}") for path in ("json", "gzip", "database", "tree") for count in (1, 40, 300)]
        return requests + [Request("/count", "POST", body=self.body), Request("/count?1", "POST", body=self.body[:50]), Request("/absent")]

    def answers(self):
        return web.ask_all(self.port, self.requests(), 4 if support.QUICK else 10)

    def load(self):
        seconds = 1 if support.QUICK else 3
        return {"json/s": web.wrk(self.port, "/json?20", seconds, 16), "database/s": web.wrk(self.port, "/database?20", seconds, 16)}

    def renew(self):
        """SIGHUP, and the processes are other ones; each once more on the heap that it should have."""
        old = self.workers()
        os.kill(self.pid, signal.SIGHUP)
        support.wait_until(lambda: not old & self.workers() and len(self.workers()) == WORKERS, "the processes are new ones", self.process)
        support.demand_heap(self.pids(), self.heap)

    def reload(self):
        with web.Asking(self.port, [Request("/json?10"), Request("/tree?30")]):
            for _ in range(2):
                self.renew()
        return self.answers()

    def restart(self):
        self.stop()
        self.start()
        return self.answers()

    def traced_work(self):
        web.ask_all(self.port, self.requests(), 2)
        self.renew()
        web.ask_all(self.port, self.requests(), 2)

    def stop(self):
        support.end_process(self.process, self.pid)
