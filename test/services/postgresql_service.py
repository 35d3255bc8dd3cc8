"""PostgreSQL: a process forked for each connection, pgbench with many of them and with a new one for each transaction, reports, restarts.

The server refuses root, so root runs it as the user that its Debian package makes. pgbench adds numbers to accounts: in which order hangs on
chance, what is there in the end does not.
"""
import glob
import os
import pathlib
import re
import signal

import support
from support import Failure

PACKAGES = {"postgres": "postgresql"}
REPORT = pathlib.Path(__file__).resolve().parent / "work" / "report.sql"
DATA = """
select count(*), sum(abalance), md5(string_agg(aid || ':' || abalance, ',' order by aid)) from pgbench_accounts;
select md5(string_agg(tid || ':' || tbalance, ',' order by tid)) from pgbench_tellers;
select md5(string_agg(bid || ':' || bbalance, ',' order by bid)) from pgbench_branches;
select count(*), sum(delta), md5(string_agg(tid || ':' || aid || ':' || delta, ',' order by tid, aid, delta)) from pgbench_history;
"""


class Service:
    name = "postgresql"
    user = support.ORDINARY_USER

    def __init__(self, heap, place):
        self.heap, self.place = heap, place
        # Debian keeps the programs of each version apart.
        places = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda path: int(path.split("/")[4]), reverse=True)
        self.find = lambda name: support.find_program(name, PACKAGES["postgres"], *places)
        self.program = self.find("postgres")
        self.account = support.ordinary_user()
        self.log = place / "postgresql.log"
        self.environment = heap.environment(place, {})
        # Clients run on glibc's heap, and are not what is measured.
        self.client_environment = support.Heap("glibc").environment(place, {"PGHOST": str(place), "PGUSER": "moat", "PGDATABASE": "postgres"})
        self.port = support.free_port()
        self.client_environment["PGPORT"] = str(self.port)
        # Its children are the server itself, single, on the same heap.
        support.run_client([self.find("initdb"), "-D", place / "data", "-U", "moat", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"],
                           self.environment, user=self.account)

    def start(self, tracer=()):
        # The heap is what is tested: no wait for disks. Room for the connections of all clients.
        settings = {"listen_addresses": "127.0.0.1", "port": self.port, "unix_socket_directories": self.place, "fsync": "off", "max_connections": 100,
                    "shared_buffers": "48MB", "log_min_messages": "warning", "autovacuum_naptime": "1s", "max_wal_size": "256MB"}
        command = [self.program, "-D", self.place / "data"] + [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        self.process = support.start_process([*tracer, *command], self.environment if not tracer else None, self.log, self.account, signal.SIGQUIT)
        self.pid = support.service_pid(self.process, self.program)
        # Its own word that it takes connections: the file of its number says so in the last line.
        state = self.place / "data" / "postmaster.pid"
        support.wait_until(lambda: state.exists() and state.read_text().rstrip().endswith("ready"), "the server is ready", self.process)

    def pids(self):
        pids = support.family(self.pid)
        if len(pids) < 6:
            raise Failure(f"the server has only {len(pids)} processes")
        return pids

    def logs(self):
        return [self.log]

    def client(self, program, *words, stdin=b""):
        return support.run_client([self.find(program), *words], self.client_environment, stdin, self.account, self.place)

    def sql(self, text):
        return self.client("psql", "-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-f", "-", stdin=text.encode()).decode()

    def demand_more(self):
        """A session is a process of its own too, and a parallel worker."""
        if self.heap.library:
            for symbol in ("malloc", "free"):
                support.demand_binding([self.program, "--version"], symbol, self.heap.library.name, self.environment)
        seen = self.sql("select pg_backend_pid(); select pg_read_file('/proc/self/maps') like '%libmoat%';").split()
        if seen[1] != ("t" if self.heap.library else "f"):
            raise Failure(f"the session {seen[0]} says that its maps hold a library of Moat's: {seen[1]}")

    def pgbench(self, clients, transactions, *words):
        """Answers the transactions a second; each must have been done."""
        text = self.client("pgbench", "-n", "-c", clients, "-j", 2, "-t", transactions, "--random-seed=5", *words).decode()
        done = re.search(r"actually processed: (\d+)/(\d+)", text)
        rate = re.search(r"^tps = ([\d.]+)", text, re.M)
        if not done or done[1] != done[2] or int(done[1]) != clients * transactions or not rate or "failed transactions: 0" not in text:
            raise Failure(f"pgbench {' '.join(words)}: {text[-500:]}")
        return round(float(rate[1]))

    def answers(self):
        """Reports by several sessions at once, each with tables of its own."""
        rows = 3000 if support.QUICK else 10_000
        report = REPORT.read_text().replace("ROWS", str(rows))
        told = {}

        def session(number):
            told[f"session {number}"] = self.sql(f"create schema s{number}; set search_path = s{number};\n{report}\ndrop schema s{number} cascade;")
        support.run_threads([lambda number=number: session(number) for number in range(2 if support.QUICK else 3)])
        return told

    def load(self):
        scale = 1 if support.QUICK else 8
        self.client("pgbench", "-i", "-q", "-s", "2")
        return {"tpcb/s": self.pgbench(20, 10 * scale), "select/s": self.pgbench(40, 50 * scale, "-S"),
                "prepared/s": self.pgbench(40, 50 * scale, "-S", "-M", "prepared"), "connect/s": self.pgbench(10, 6 * scale, "-S", "-C")}

    def reload(self):
        """New settings without an end: sessions that are there take them over, and new ones find them."""
        self.sql("alter system set work_mem = '777kB'; alter system set jit = on")
        os.kill(self.pid, signal.SIGHUP)
        support.wait_until(lambda: self.sql("show work_mem").strip() == "777kB", "sessions see the new settings", self.process)
        self.pgbench(20, 10, "-C")
        return {"data": self.sql(DATA), **self.answers()}

    def restart(self):
        """An end that throws sessions out, while one is in the middle of something."""
        before = self.sql(DATA)
        self.stop()
        self.start()
        after = self.sql(DATA)
        if after != before:
            raise Failure(f"a restart changes the data: {before} then {after}")
        self.pgbench(20, 10)
        # Each dump has a random word of its own in the lines that begin so.
        dump = [line for line in self.client("pg_dump", "-s").splitlines() if b"restrict " not in line]
        return {"data": self.sql(DATA), "schema": support.digest(b"\n".join(dump)), **self.answers()}

    def traced_work(self):
        self.client("pgbench", "-i", "-q", "-s", "1")
        self.pgbench(5, 5)
        self.pgbench(5, 5, "-S", "-C")
        self.sql("create schema s; set search_path = s;" + REPORT.read_text().replace("ROWS", "1500"))
        os.kill(self.pid, signal.SIGHUP)
        self.sql("checkpoint")

    def stop(self):
        support.end_process(self.process, self.pid, signal.SIGINT)
