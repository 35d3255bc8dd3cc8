"""Services under load: redis, nginx, PostgreSQL. Each run starts one on loopback, loads it with a fixed piece of work and ends it.

What counts is the service's own time, with all processes that it forked, from its start to its end; what loads it runs on glibc's
heap and is not counted. Its peak is that of its largest process.
"""
import glob
import os
import re
import shutil
import signal

from .jobs import SECONDS, read_figures
from .support import Failure, services

# redis is linked with jemalloc. To see it on glibc's heap the C library itself is preloaded, in front of jemalloc.
C_LIBRARY = "/lib/x86_64-linux-gnu/libc.so.6"


class Server:
    """A service in a directory of its own, below the launcher, which writes down what it costs."""
    group = "programs"
    user = None
    ends_by = signal.SIGTERM
    stands_alone = False  # on its own heap, if none is preloaded

    def __init__(self, is_quick):
        self.is_quick = is_quick

    def run(self, bench, heap):
        account = services.ordinary_user() if self.user else None
        place, (copy,) = services.make_place([services.Heap(heap.name, heap.library)], account)
        try:
            launcher = place / "bench-launch"
            shutil.copy(bench.build.program("bench-launch"), launcher)
            launcher.chmod(0o755)
            library = copy.library or (None if self.stands_alone else C_LIBRARY)
            environment = services.Heap("").environment(place, {})
            self.prepare(bench, place, environment)
            program, *words = self.command(place)
            command = [launcher, place / "figures", SECONDS, library or "-", program, *words]
            process = services.start_process(command, environment, place / "log", account)
            pid = services.service_pid(process, program)
            self.wait_ready(place, process)
            services.demand_heap([pid], copy)
            answer, operations, rate = self.load(place)
            services.end_process(process, pid, self.ends_by)
            services.demand_quiet([place / "log"])
            run = read_figures(place / "figures")
            run.operations, run.rate = operations, rate
            self.normalise(run)
            return run, answer, ""
        except Failure as failure:
            said = services.loud_lines([place / "log"])
            raise Failure("; ".join(said[:2] + [str(failure)])) from None
        finally:
            services.end_everything()
            shutil.rmtree(place, ignore_errors=True)

    def prepare(self, bench, place, environment):
        """What must be there before it starts; not counted."""

    def normalise(self, run):
        """For a load that runs for a time: the cost of a fixed number of answers."""


class Redis(Server):
    name, what = "redis", "redis-server under redis-benchmark: strings, lists, hashes, sets"

    def needs(self):
        return [("redis-server", "redis-server"), ("redis-benchmark", "redis-tools")]

    def command(self, place):
        self.port = services.free_port()
        return [services.find_program("redis-server", "redis-server"), "--port", self.port, "--bind", "127.0.0.1", "--dir", place,
                "--daemonize", "no", "--save", "", "--appendonly", "no"]

    def wait_ready(self, place, process):
        services.wait_until(lambda: services.listens(self.port), "redis listens", process)

    def load(self, place):
        requests = 20_000 if self.is_quick else 100_000
        commands = "set,get,lpush,lpop,sadd,hset,spop,zadd"
        text = services.run_client([services.find_program("redis-benchmark", "redis-tools"), "-p", self.port, "-n", requests, "-c", 20, "-P", 8,
                                    "-d", 200, "-r", 20_000, "-t", commands, "--csv"]).decode()
        rows = re.findall(r'^"([A-Z]+)[^"]*","([\d.]+)"', text, re.M)
        names = [name.lower() for name, _ in rows]
        if not set(commands.split(",")) <= set(names):
            raise Failure(f"redis-benchmark measured only {', '.join(names)}: {text[-300:]}")
        seconds = sum(requests / float(rate) for _, rate in rows)
        return ",".join(sorted(names)), requests * len(rows), requests * len(rows) / seconds


class Nginx(Server):
    name, what = "nginx", "nginx, two workers that compress and serve files, under wrk"
    ANSWERS = 10_000
    CONFIGURATION = """
daemon off; {user} worker_processes 2; pid {place}/nginx.pid; error_log {place}/error.log warn;
events {{ worker_connections 256; }}
http {{
    access_log off; client_body_temp_path {place}/body; proxy_temp_path {place}/proxy; fastcgi_temp_path {place}/fastcgi;
    uwsgi_temp_path {place}/uwsgi; scgi_temp_path {place}/scgi; keepalive_requests 50;
    server {{ listen 127.0.0.1:{port}; root {place}/files; gzip on; gzip_types text/plain; gzip_min_length 100; gzip_comp_level 1; gzip_proxied any;
             default_type text/plain; location /said {{ return 200 "$request_method $uri $http_user_agent\\n"; }} }}
}}
"""

    def needs(self):
        return [("nginx", "nginx-light"), ("wrk", "wrk")]

    def command(self, place):
        self.port = services.free_port()
        (place / "files").mkdir()
        (place / "files" / "text").write_bytes(b"a line of text that repeats itself, as text does\n" * 100)
        user = "user www-data;" if os.geteuid() == 0 else ""
        (place / "nginx.conf").write_text(self.CONFIGURATION.format(place=place, port=self.port, user=user))
        return [services.find_program("nginx", "nginx-light"), "-p", place, "-e", place / "error.log", "-c", place / "nginx.conf"]

    def wait_ready(self, place, process):
        services.wait_until(lambda: services.listens(self.port), "nginx listens", process)

    def load(self, place):
        program = services.find_program("wrk", "wrk")
        answers = rate = 0
        for path in ("/text",) if self.is_quick else ("/text", "/said"):
            text = services.run_client([program, "-t", 1, "-c", 20, "-d", "1s" if self.is_quick else "2s", "-H", "Accept-Encoding: gzip",
                                        f"http://127.0.0.1:{self.port}{path}"]).decode()
            done = re.search(r"^\s*(\d+) requests in", text, re.M)
            speed = re.search(r"^Requests/sec:\s+([\d.]+)", text, re.M)
            if not done or not speed or int(done[1]) == 0 or "Non-2xx" in text or "Socket errors" in text:
                raise Failure(f"wrk of {path}: {text[-300:]}")
            answers, rate = answers + int(done[1]), rate + float(speed[1])
        return "every request was answered", answers, rate if self.is_quick else rate / 2

    def normalise(self, run):
        part = self.ANSWERS / run.operations
        for name in ("user_us", "system_us", "minor_faults", "voluntary_switches", "involuntary_switches"):
            setattr(run, name, getattr(run, name) * part)


class PostgreSQL(Server):
    name, what = "postgresql", "PostgreSQL under pgbench: transactions, selects, a connection for each"
    user = services.ORDINARY_USER
    ends_by = signal.SIGINT

    def find(self, name):
        places = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda path: int(path.split("/")[4]), reverse=True)
        return services.find_program(name, "postgresql", *places)

    def needs(self):
        folders = glob.glob("/usr/lib/postgresql/*/bin/")
        return [(sorted(folders)[-1] + name if folders else name, "postgresql") for name in ("postgres", "initdb", "pgbench")]

    def prepare(self, bench, place, environment):
        """The cluster is made on glibc's heap."""
        self.account = services.ordinary_user()
        self.port = services.free_port()
        self.environment = {**environment, "PGHOST": str(place), "PGUSER": "moat", "PGDATABASE": "postgres", "PGPORT": str(self.port)}
        services.run_client([self.find("initdb"), "-D", place / "data", "-U", "moat", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"],
                            environment, user=self.account)

    def command(self, place):
        settings = {"listen_addresses": "127.0.0.1", "port": self.port, "unix_socket_directories": place, "fsync": "off", "max_connections": 60,
                    "shared_buffers": "48MB", "log_min_messages": "warning", "autovacuum": "off", "max_wal_size": "256MB"}
        return [self.find("postgres"), "-D", place / "data"] + [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]

    def wait_ready(self, place, process):
        state = place / "data" / "postmaster.pid"
        services.wait_until(lambda: state.exists() and state.read_text().rstrip().endswith("ready"), "the server is ready", process)

    def pgbench(self, place, clients, transactions, *words):
        text = services.run_client([self.find("pgbench"), "-n", "-c", clients, "-j", 1, "-t", transactions, "--random-seed=5", *words],
                                   self.environment, user=self.account, cwd=place).decode()
        done = re.search(r"actually processed: (\d+)/(\d+)", text)
        rate = re.search(r"^tps = ([\d.]+)", text, re.M)
        if not done or done[1] != done[2] or not rate or "failed transactions: 0" not in text:
            raise Failure(f"pgbench {' '.join(words)}: {text[-300:]}")
        return int(done[1]), int(done[1]) / float(rate[1])

    def load(self, place):
        services.run_client([self.find("pgbench"), "-i", "-q", "-s", 1], self.environment, user=self.account, cwd=place)
        part = 1 if self.is_quick else 8
        loads = [self.pgbench(place, 8, 15 * part), self.pgbench(place, 8, 100 * part, "-S"), self.pgbench(place, 4, 10 * part, "-S", "-C")]
        done, seconds = sum(load[0] for load in loads), sum(load[1] for load in loads)
        return f"{done} transactions", done, done / seconds


def servers(is_quick):
    return [Redis(is_quick), Nginx(is_quick), PostgreSQL(is_quick)]
