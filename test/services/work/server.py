"""A web server of several processes with a thread for each connection. SIGHUP: new processes take over, the old ones end in order.

    server.py PORT PROCESSES
"""
import collections
import ctypes
import gzip
import hashlib
import http.server
import json
import os
import re
import signal
import socket
import socketserver
import sqlite3
import sys
import threading
import xml.etree.ElementTree as xml

PR_SET_PDEATHSIG = 1
libc = ctypes.CDLL(None)


def table(count):
    return [{"number": i, "name": f"n{i * 7919 % 1009}", "words": [f"w{i % k}" for k in range(1, 9)]} for i in range(count)]


def as_json(query, _):
    return json.dumps(json.loads(json.dumps(table(int(query)))), sort_keys=True).encode()


def as_gzip(query, _):
    packed = gzip.compress(as_json(query, _), mtime=0)
    return packed + hashlib.sha256(gzip.decompress(packed)).digest()


def from_database(query, _):
    with sqlite3.connect(":memory:") as database:
        database.execute("create table t (number integer primary key, name text, words text)")
        database.executemany("insert into t values (?, ?, ?)", [(row["number"], row["name"], " ".join(row["words"])) for row in table(int(query))])
        rows = database.execute("select name, count(*), group_concat(words) from t group by substr(name, 1, 2) order by name").fetchall()
    return repr(rows).encode()


def as_tree(query, _):
    root = xml.Element("table")
    for row in table(int(query)):
        leaf = xml.SubElement(root, "row", number=str(row["number"]))
        leaf.text = row["name"] * 3
    found = xml.fromstring(xml.tostring(root)).findall("row")
    return " ".join(leaf.text for leaf in found if int(leaf.get("number")) % 7 == 0).encode()


def count_words(_, body):
    counts = collections.Counter(re.findall(rb"[a-z]+", body))
    return json.dumps(sorted((word.decode(), times) for word, times in counts.items())).encode()


def free_twice(_, __):
    """A bug on purpose, for the test of the tests."""
    libc.malloc.restype = ctypes.c_void_p
    block = libc.malloc(100)
    libc.free(ctypes.c_void_p(block))
    libc.free(ctypes.c_void_p(block))
    return b"not noticed"


PATHS = {"json": as_json, "gzip": as_gzip, "database": from_database, "tree": as_tree, "count": count_words, "double-free": free_twice}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # One segment for an answer: otherwise the kernel waits for more between its parts.
    wbufsize = -1
    disable_nagle_algorithm = True
    # How long a client may keep a connection without a word; so long it can hold up a process that is to end.
    timeout = 5

    def do_GET(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path, _, query = self.path.lstrip("/").partition("?")
        answer = PATHS[path](query, body) if path in PATHS else b"there is no " + path.encode()
        self.send_response(200 if path in PATHS else 404)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_POST = do_GET

    def log_message(self, *_):
        """Access is not logged; errors are."""


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = False

    def __init__(self, listening):
        super().__init__(None, Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listening


def serve(listening):
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    server = Server(listening)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever(poll_interval=0.1)
    # Waits for the threads, which finish what they were asked.
    server.server_close()
    sys.exit(0)


def begin(listening, count):
    started = []
    for _ in range(count):
        pid = os.fork()
        if pid == 0:
            signal.pthread_sigmask(signal.SIG_SETMASK, set())
            serve(listening)
        started.append(pid)
    return started


def end(pids):
    for pid in pids:
        os.kill(pid, signal.SIGTERM)
    for pid in pids:
        _, status = os.waitpid(pid, 0)
        if status != 0:
            print(f"process {pid} was terminated by signal: {status & 127}, exit status {status >> 8}", flush=True)


def main():
    port, count = int(sys.argv[1]), int(sys.argv[2])
    listening = socket.create_server(("127.0.0.1", port), backlog=512)
    # All wait on one socket; the first that takes a connection has it.
    listening.setblocking(False)
    wanted = {signal.SIGHUP, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, wanted)
    workers = begin(listening, count)
    while signal.sigwait(wanted) == signal.SIGHUP:
        # Those that come begin before those that go have ended: there is always one to answer.
        old, workers = workers, begin(listening, count)
        end(old)
    end(workers)


main()
