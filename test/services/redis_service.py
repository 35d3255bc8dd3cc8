"""redis-server: clients at once, snapshots by fork, rewrites of its log, a restart from disk, and redis-benchmark.

Debian's redis has jemalloc, as a shared library and under the common names: malloc and free of redis bind to what is loaded first, so a
preload takes them over, and jemalloc stays in the process without work. That is checked here by three witnesses: the loader's
bindings, the symbols of the program, and jemalloc's own count of what it gave out.
"""
import csv
import hashlib
import io
import pathlib
import random
import re
import socket
import subprocess
import threading

import support
from support import Failure

PACKAGES = {"redis-server": "redis-server", "redis-benchmark": "redis-tools"}
# Functions that only jemalloc has. One of those that give out or take memory would mix two heaps.
ONLY_JEMALLOC = {"mallocx", "rallocx", "xallocx", "dallocx", "sdallocx"}


class Connection:
    """One client that speaks redis's protocol. Replies are kept as the bytes that came."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=support.HANG_SECONDS)
        self.file = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.socket.close()

    @staticmethod
    def encode(words):
        parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
        return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)

    def receive(self):
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise Failure("redis closed the connection in the middle of an answer")
        kind, rest = line[:1], line[1:-2]
        if kind == b"$" and rest != b"-1":
            return self.file.read(int(rest) + 2)[:-2]
        if kind == b"*" and rest != b"-1":
            return [self.receive() for _ in range(int(rest))]
        return line[:-2] if kind in b"-$*" else rest

    def ask(self, *words):
        self.socket.sendall(self.encode(words))
        return self.receive()

    def demand(self, *words):
        return self.demand_all([words])[0]

    def demand_all(self, batch):
        """Many commands at once, then all answers; none may be an error."""
        self.socket.sendall(b"".join(map(self.encode, batch)))
        answers = [self.receive() for _ in batch]
        for words, answer in zip(batch, answers):
            if isinstance(answer, bytes) and answer.startswith(b"-"):
                raise Failure(f"redis answers {words[0]} with {answer.decode(errors='replace')}")
        return answers


def commands(number, rounds):
    """The same commands for each heap, a list for each round. None whose answer hangs on redis's own random order."""
    draw = random.Random(number)
    for i in range(rounds):
        key = f"c{number}:{draw.randrange(200)}"
        text = draw.choice("abcdefgh") * draw.choice((3, 40, 300, 5000, 70_000 if i % 50 == 0 else 20))
        batch = [
            ("SET", "s" + key, text), ("APPEND", "s" + key, text[:100]), ("SETRANGE", "s" + key, draw.randrange(3000), "x" * 9),
            ("GETRANGE", "s" + key, 0, 60), ("STRLEN", "s" + key), ("SETBIT", "b" + key, draw.randrange(20_000), 1), ("BITCOUNT", "b" + key),
            ("RPUSH", "l" + key, text[:50], i, "z"), ("LTRIM", "l" + key, -40, -1), ("LRANGE", "l" + key, 0, 5),
            ("HSET", "h" + key, f"f{i % 90}", text[:200], f"g{i % 7}", i), ("HGET", "h" + key, f"f{draw.randrange(90)}"), ("HLEN", "h" + key),
            ("SADD", "u" + key, i % 77, text[:12]), ("SORT", "u" + key, "ALPHA", "LIMIT", 0, 5), ("SREM", "u" + key, draw.randrange(77)),
            ("ZADD", "z" + key, draw.randrange(1000), f"m{i % 150}"), ("ZRANGE", "z" + key, 0, 4, "WITHSCORES"),
            ("PFADD", "p" + key, i, text[:8]), ("PFCOUNT", "p" + key), ("XADD", "x" + key, "MAXLEN", 50, f"{i + 1}-1", "field", text[:80]),
            ("XLEN", "x" + key), ("EVAL", "local t = {} for i = 1, ARGV[1] do t[i] = KEYS[1] .. i end return table.concat(t, ',')",
                                  1, key, i % 60), ("OBJECT", "ENCODING", "z" + key)]
        if i % 9 == 0:
            batch.append(("UNLINK", "s" + key, "h" + key))
        if i % 11 == 0:
            batch.append(("COPY", "z" + key, "z2" + key, "REPLACE"))
        yield batch


class Service:
    name = "redis"
    user = None
    own_heap = "jemalloc"

    def __init__(self, heap, place):
        self.heap, self.place = heap, place
        self.program = support.find_program("redis-server", PACKAGES["redis-server"])
        self.log = place / "redis.log"
        self.environment = heap.environment(place, {})
        self.port = support.free_port()
        self.process = None
        # Threads for input spin while they wait, and measure the number of processors: so they come with the restart.
        self.threads = 1

    def command(self):
        return [self.program, "--port", self.port, "--bind", "127.0.0.1", "--dir", self.place, "--daemonize", "no", "--save", "",
                "--appendonly", "yes", "--appendfsync", "no", "--io-threads", self.threads, "--io-threads-do-reads", "yes",
                "--enable-debug-command", "local", "--lazyfree-lazy-user-del", "yes"]

    def start(self, tracer=()):
        self.process = support.start_process([*tracer, *self.command()], self.environment if not tracer else None, self.log)
        support.wait_until(lambda: support.listens(self.port), "redis listens", self.process)
        self.pid = support.service_pid(self.process, self.program)
        # It listens before it has read its files, and answers "loading" meanwhile.
        support.wait_until(lambda: self.ask("PING") == b"PONG", "redis has read its files", self.process)

    def ask(self, *words):
        with Connection(self.port) as connection:
            return connection.ask(*words)

    def pids(self):
        return support.family(self.pid)

    def logs(self):
        return [self.log]

    def demand_unit(self):
        """What docs/compatibility.md says of Debian's unit: where a library may lie that is to be preloaded."""
        for folder in ("/usr/lib/systemd/system", "/lib/systemd/system"):
            unit = pathlib.Path(folder, "redis-server.service")
            if unit.exists():
                break
        else:
            raise Failure("redis-server.service is missing: apt-get install -y redis-server")
        keys = {}
        for line in unit.read_text().splitlines():
            key, _, value = line.partition("=")
            keys.setdefault(key, []).extend(value.split())
        if "/" not in keys.get("NoExecPaths", []) or not {"/usr/lib", "/lib"} <= set(keys.get("ExecPaths", [])):
            raise Failure(f"{unit} is another one: NoExecPaths={keys.get('NoExecPaths')}, ExecPaths={keys.get('ExecPaths')}")

    def demand_more(self):
        """Witnesses for who answers malloc in redis."""
        self.demand_unit()
        library = self.heap.library.name if self.heap.library else "libjemalloc"
        command = [self.program, "--version"]
        for symbol in ("malloc", "free", "realloc", "malloc_usable_size"):
            support.demand_binding(command, symbol, library, self.environment)
        support.demand_binding(command, "mallctl", "libjemalloc", self.environment)
        symbols = subprocess.run(["nm", "-D", "--undefined-only", self.program], stdout=subprocess.PIPE, check=True, text=True).stdout
        mixed = ONLY_JEMALLOC & set(symbols.split())
        if mixed:
            raise Failure(f"redis takes {', '.join(sorted(mixed))} from jemalloc: with a preload it would mix two heaps")

    def demand_allocator(self):
        """By redis's own count and by jemalloc's, with a data set in memory: what jemalloc gave out is all or nearly nothing."""
        def shares():
            with Connection(self.port) as connection:
                information = connection.demand("INFO", "memory")
                # What redis was built with, whoever answers malloc: docs/compatibility.md warns of it.
                if b"mem_allocator:jemalloc" not in information:
                    raise Failure("redis does not call its allocator jemalloc any more")
                used = int(re.search(rb"used_memory:(\d+)", information).group(1))
                given = int(re.search(rb"^Allocated: (\d+)", connection.demand("MEMORY", "MALLOC-STATS"), re.M).group(1))
            if used < 2_000_000:
                raise Failure(f"redis holds {used} bytes: too little to compare")
            return given < used * 0.05 if self.heap.library else given > used * 0.9
        # A thread of redis's may still be freeing what was deleted, between one count and the other.
        support.wait_until(shares, f"jemalloc's count is that of redis on {self.heap.name}", self.process, support.LOAD_SECONDS)

    def answers(self, rounds=None):
        """What several clients are told at once, each with keys of its own, and the digest of all data afterwards."""
        rounds = rounds or (60 if support.QUICK else 400)
        told = {}

        def client(number):
            digest = hashlib.sha256()
            with Connection(self.port) as connection:
                for batch in commands(number, rounds):
                    digest.update(repr(connection.demand_all(batch)).encode())
            told[f"client {number}"] = digest.hexdigest()
        support.run_threads([lambda number=number: client(number) for number in range(6)])
        return {**told, **self.data()}

    def data(self):
        with Connection(self.port) as connection:
            return {"keys": connection.demand("DBSIZE"), "data": connection.demand("DEBUG", "DIGEST")}

    def finish(self, connection, what, running, status):
        """Waits for a child of redis's that writes a file, and demands that it ended well."""
        def info():
            return dict(line.split(b":", 1) for line in connection.demand("INFO", "persistence").split(b"\r\n") if b":" in line)
        support.wait_until(lambda: info()[running] == b"0", f"{what} ended", self.process)
        if info()[status] != b"ok":
            raise Failure(f"{what} failed; see redis.log")

    def reload(self):
        """Two children by fork write all data while the parent works on; then redis throws its data away and reads them again."""
        with Connection(self.port) as connection:
            self.demand_allocator()
            connection.demand("BGSAVE")
            worker = threading.Thread(target=lambda: self.ask("DEBUG", "POPULATE", 5000, "populated", 100))
            worker.start()
            self.finish(connection, "BGSAVE", b"rdb_bgsave_in_progress", b"rdb_last_bgsave_status")
            worker.join()
            connection.demand("EVAL", "for i = 0, 4999 do redis.call('del', 'populated:' .. i) end", 0)
            connection.demand("BGREWRITEAOF")
            self.finish(connection, "BGREWRITEAOF", b"aof_rewrite_in_progress", b"aof_last_bgrewrite_status")
            connection.demand("DEBUG", "RELOAD")
            connection.demand("MEMORY", "PURGE")
        return self.data()

    def restart(self):
        self.stop()
        self.threads = 2
        self.start()
        from_disk = {name + " from disk": value for name, value in self.data().items()}
        self.ask("FLUSHALL")
        return {**from_disk, **self.answers()}

    def load(self):
        """Requests a second by redis-benchmark, in a database of its own that is thrown away at once."""
        count = 20_000 if support.QUICK else 150_000
        program = support.find_program("redis-benchmark", PACKAGES["redis-benchmark"])
        tests = "set,get,lpush,hset,zadd,lrange_100"
        text = support.run_client([program, "-p", self.port, "--dbnum", 1, "-n", count, "-c", 40, "-P", 16, "-r", 50_000, "-d", 120, "-t", tests,
                                   "--csv"]).decode()
        rows = list(csv.DictReader(io.StringIO(text)))
        if len(rows) < 6:
            raise Failure(f"redis-benchmark measured only {len(rows)} of its tests: {text[-300:]}")
        with Connection(self.port) as connection:
            connection.demand("SELECT", 1)
            connection.demand("FLUSHDB", "ASYNC")
        wanted = {"SET": "set/s", "GET": "get/s", "HSET": "hset/s", "ZADD": "zadd/s"}
        return {wanted[row["test"]]: round(float(row["rps"])) for row in rows if row["test"] in wanted}

    def traced_work(self):
        self.answers(rounds=10)
        self.ask("DEBUG", "RELOAD")
        with Connection(self.port) as connection:
            connection.demand("BGSAVE")
            self.finish(connection, "BGSAVE", b"rdb_bgsave_in_progress", b"rdb_last_bgsave_status")

    def stop(self):
        support.end_process(self.process, self.pid)
