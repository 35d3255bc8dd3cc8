"""A node web server of several processes, which node starts by executing itself: each loads the preload anew."""
import pathlib

import python_service
import support
import web
from web import Request

PACKAGES = {"node": "nodejs", "wrk": "wrk"}
SERVER = pathlib.Path(__file__).resolve().parent / "work" / "server.js"


class Service(python_service.Service):
    name = "node"

    def __init__(self, heap, place):
        super().__init__(heap, place)
        self.program = support.find_program("node", PACKAGES["node"])
        self.log = place / "node.log"

    def command(self):
        return [self.program, SERVER, self.port, python_service.WORKERS]

    def demand_more(self):
        if self.heap.library:
            for symbol in ("malloc", "free", "posix_memalign"):
                support.demand_binding([self.program, "--version"], symbol, self.heap.library.name, self.environment)

    def requests(self):
        requests = [Request(f"/{path}?{count}") for path in ("json", "gzip", "buffers") for count in (1, 40, 400)]
        requests += [Request("/digest?" + "d" * size, "POST", body=self.body[:size * 30]) for size in (1, 10, 1000)]
        return requests + [Request("/key?secret"), Request("/absent")]

    def load(self):
        seconds = 1 if support.QUICK else 3
        return {"json/s": web.wrk(self.port, "/json?20", seconds, 16), "gzip/s": web.wrk(self.port, "/gzip?20", seconds, 16)}
