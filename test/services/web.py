"""What the web servers share: clients from the standard library that ask at once, and wrk."""
import hashlib
import http.client
import re
import ssl
import threading

import support
from support import Failure

# Headers that are the server's answer; the others are dates and numbers of its own.
COMPARED = ("content-type", "content-length", "content-encoding", "content-range", "location", "x-answer", "allow")


class Request(tuple):
    """(method, path, headers, body)"""
    def __new__(cls, path, method="GET", headers=None, body=None):
        return super().__new__(cls, (method, path, headers or {}, body))


def connect(port, is_secret=False):
    if not is_secret:
        return http.client.HTTPConnection("127.0.0.1", port, timeout=support.HANG_SECONDS)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return http.client.HTTPSConnection("127.0.0.1", port, timeout=support.HANG_SECONDS, context=context)


def ask(connection, request):
    """One answer, as text to compare: status, headers, digest of the body."""
    method, path, headers, body = request
    connection.request(method, path, body=body, headers={"Host": "moat.test", **headers})
    answer = connection.getresponse()
    data = answer.read()
    named = ", ".join(f"{name} {value}" for name in COMPARED if (value := answer.getheader(name)))
    # What separates the parts of an answer is a number of the server's own.
    boundary = re.search(r"boundary=(\w+)", named)
    if boundary:
        named, data = named.replace(boundary[1], "-"), data.replace(boundary[1].encode(), b"-")
    return f"{answer.status} {named}; {len(data)} bytes {hashlib.sha256(data).hexdigest()[:24]}"


def ask_all(port, requests, clients, is_secret=False, each_alone=False):
    """Each client asks for everything, beginning at another place; all must be told the same. Answers what that is."""
    told = [{} for _ in range(clients)]

    def client(number):
        connection = connect(port, is_secret)
        shift = number * len(requests) // clients
        for request in requests[shift:] + requests[:shift]:
            told[number][request[0] + " " + request[1]] = ask(connection, request)
            if each_alone:
                connection.close()
        connection.close()
    support.run_threads([lambda number=number: client(number) for number in range(clients)])
    for number, answers in enumerate(told):
        for what, answer in answers.items():
            if answer != told[0][what]:
                raise Failure(f"{what}: one client is told {told[0][what]}, and client {number} {answer}")
    return told[0]


class Asking:
    """Clients that ask again and again, each time on a new connection, until told to stop: a reload must not disturb them."""

    def __init__(self, port, requests, clients=2):
        self.port, self.requests, self.clients = port, requests, clients
        self.done = threading.Event()
        self.fault, self.rounds = None, 0

    def run(self):
        try:
            first = None
            while not self.done.is_set():
                answers = ask_all(self.port, self.requests, self.clients, each_alone=True)
                if first is not None and answers != first:
                    raise Failure(f"during a reload the answers change: {first} then {answers}")
                first = answers
                self.rounds += 1
        except (Failure, OSError, http.client.HTTPException) as fault:
            self.fault = fault

    def __enter__(self):
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        support.wait_until(lambda: self.rounds > 0 or self.fault, "the first answers")
        return self

    def __exit__(self, kind, *_):
        self.done.set()
        self.thread.join()
        if self.fault and kind is None:
            raise Failure(f"a client that asks during a reload fails: {self.fault!r}")


def wrk(port, path, seconds, connections=32):
    """Requests a second; every one must be answered, and well."""
    program = support.find_program("wrk", "wrk")
    text = support.run_client([program, "-t", 1, "-c", connections, "-d", f"{seconds}s", f"http://127.0.0.1:{port}{path}"]).decode()
    rate = re.search(r"^Requests/sec:\s+([\d.]+)", text, re.M)
    if not rate or float(rate.group(1)) == 0 or "Non-2xx" in text or "Socket errors" in text:
        raise Failure(f"wrk of {path}: {text[-500:]}")
    return round(float(rate.group(1)))
