"""sshd: logins as an ordinary user, through the filter that kills on any system call that it does not know.

For each connection sshd executes itself and forks a child that speaks to the stranger; that child may make few system calls, and a heap
that makes another one is killed there. The test finds such children while they wait for a stranger, sees the filter in force and the
library in their memory, gives them work (big packets, every way to agree on keys), and then logs in. Root runs the server as an
ordinary user, since nobody else logs in there.
"""
import hashlib
import os
import pwd
import random
import re
import signal
import socket
import struct
import subprocess

import support
from support import Failure

PACKAGES = {"sshd": "openssh-server", "ssh": "openssh-client"}
STRANGERS = 4
NOTHING_IN_COMMON = "no matching key exchange method found"
# Messages of the protocol.
IGNORE, OFFER = 2, 20

CONFIGURATION = """
ListenAddress 127.0.0.1
Port {port}
HostKey {place}/host_ed25519
HostKey {place}/host_ecdsa
AuthorizedKeysFile {place}/authorized
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
MaxStartups 200
MaxSessions 50
LogLevel VERBOSE
Compression yes
PrintMotd no
Subsystem sftp internal-sftp
Banner {banner}
"""


class Service:
    name = "sshd"
    user = support.ORDINARY_USER

    def __init__(self, heap, place):
        self.heap, self.place = heap, place
        self.program = support.find_program("sshd", PACKAGES["sshd"])
        self.find = lambda name: support.find_program(name, PACKAGES["ssh"])
        self.account = support.ordinary_user()
        self.login = self.account.pw_name if self.account else pwd.getpwuid(os.geteuid()).pw_name
        self.log = place / "sshd.log"
        self.environment = heap.environment(place, {})
        self.port = support.free_port()
        for name, kind in (("host_ed25519", "ed25519"), ("host_ecdsa", "ecdsa"), ("user_ed25519", "ed25519"), ("user_rsa", "rsa")):
            self.client("ssh-keygen", "-q", "-t", kind, "-N", "", "-f", place / name)
        keys = "".join((place / f"{name}.pub").read_text() for name in ("user_ed25519", "user_rsa"))
        self.write("authorized", keys)
        self.write("known", "".join(f"[127.0.0.1]:{self.port} " + (place / f"{name}.pub").read_text() for name in ("host_ed25519", "host_ecdsa")))
        self.configure("none")
        self.is_tried = False

    def write(self, name, text):
        path = self.place / name
        path.write_text(text)
        path.chmod(0o644)
        return path

    def configure(self, banner):
        self.write("sshd_config", CONFIGURATION.format(port=self.port, place=self.place, banner=banner))

    def start(self, tracer=()):
        command = [self.program, "-D", "-e", "-f", self.place / "sshd_config"]
        self.process = support.start_process([*tracer, *command], self.environment if not tracer else None, self.log, self.account)
        self.pid = support.service_pid(self.process, self.program)
        support.wait_until(lambda: support.listens(self.port), "sshd listens", self.process)

    def pids(self):
        return support.family(self.pid)

    def logs(self):
        return [self.log]

    def client(self, program, *words, stdin=b""):
        """Clients run on the same heap as the server: they are programs like others."""
        return support.run_client([self.find(program), *words], self.environment, stdin, self.account, self.place)

    def options(self, *words):
        settings = (f"UserKnownHostsFile={self.place}/known", "BatchMode=yes", "StrictHostKeyChecking=yes", "IdentitiesOnly=yes",
                    "LogLevel=ERROR", f"User={self.login}")
        return ["-F", "none", "-p", self.port, *(word for setting in settings for word in ("-o", setting)), *words]

    def ssh(self, *words, key="user_ed25519", command="cat", stdin=b""):
        return self.client("ssh", *self.options("-i", self.place / key, "-T", *words), "127.0.0.1", command, stdin=stdin)

    # ---- the child behind the filter ----

    def strangers(self):
        """Processes of sshd that a filter binds, among those below the server."""
        return [pid for pid in self.pids() if re.search(r"^Seccomp:\s+2$", support.read_proc(pid, "status"), re.M)]

    def demand_more(self):
        if self.heap.library:
            for symbol in ("malloc", "free"):
                support.demand_binding([self.program, "-V"], symbol, self.heap.library.name, self.environment)
        sockets = [socket.create_connection(("127.0.0.1", self.port), timeout=support.HANG_SECONDS) for _ in range(STRANGERS)]
        try:
            # The child is forked when both have said who they are.
            for stranger in sockets:
                greet(stranger)
            support.wait_until(lambda: len(self.strangers()) == STRANGERS, "each stranger has a child behind a filter", self.process)
            support.demand_heap(self.strangers(), self.heap)
            said = self.log.read_text().count(NOTHING_IN_COMMON)
            for number, stranger in enumerate(sockets):
                give_work(stranger, number)
            # Each child has come to the end of its work when it says this.
            support.wait_until(lambda: self.log.read_text().count(NOTHING_IN_COMMON) == said + STRANGERS, f"sshd says {NOTHING_IN_COMMON}",
                               self.process, seconds=support.LOAD_SECONDS)
        finally:
            for stranger in sockets:
                stranger.close()
        support.wait_until(lambda: not self.strangers(), "the strangers' children ended", self.process)

    # ---- logins ----

    def ways(self):
        """Every way to agree on keys, each with another cipher and another check."""
        kinds = [self.client("ssh", "-Q", what).decode().split() for what in ("kex", "cipher", "mac")]
        agreements = [name for name in kinds[0] if "sha1" not in name]
        ciphers = [name for name in kinds[1] if "cbc" not in name]
        checks = [name for name in kinds[2] if "sha2" in name or "umac" in name]
        if support.QUICK or self.is_tried:
            agreements = agreements[-2:]
        return [(agreement, ciphers[i % len(ciphers)], checks[i % len(checks)]) for i, agreement in enumerate(agreements)]

    def by_way(self, number, agreement, cipher, check):
        data = random.Random(number).randbytes(150_000)
        got = self.ssh("-o", f"KexAlgorithms={agreement}", "-c", cipher, "-m", check, "-o", f"Compression={'yes' if number % 2 else 'no'}",
                       "-o", "RekeyLimit=100K", key="user_rsa" if number % 3 == 0 else "user_ed25519", stdin=data)
        if got != data:
            raise Failure(f"{agreement}, {cipher}, {check}: {len(data)} bytes come back as {len(got)} others")
        return hashlib.sha256(got).hexdigest()

    def by_file(self):
        """Files to the server and back, by a part of sshd itself."""
        data = random.Random(9).randbytes(1_500_000)
        (self.place / "sent").write_bytes(data)
        (self.place / "sent").chmod(0o644)
        batch = "put sent PLACE/there\nrename PLACE/there PLACE/there2\nget PLACE/there2 back\nrm PLACE/there2\nmkdir PLACE/d\nrmdir PLACE/d\n"
        words = ["-F", "none", "-P", self.port, *self.options()[4:], "-i", self.place / "user_ed25519", "-b", "-", "127.0.0.1"]
        self.client("sftp", *words, stdin=batch.replace("PLACE", str(self.place)).encode())
        back = (self.place / "back").read_bytes()
        (self.place / "back").unlink()
        if back != data:
            raise Failure(f"sftp: {len(data)} bytes come back as {len(back)} others")
        return hashlib.sha256(back).hexdigest()

    def answers(self):
        """Once by every way; later by two, for they take most of the time."""
        told = {"sftp": self.by_file(), "status": self.ssh(command="echo out; echo $((6 * 7)); head -c 5 /dev/zero | od -An -c"),
                "no key": self.refused(), "session": self.session()}

        def way(number, words):
            told["by " + " ".join(words)] = self.by_way(number, *words)
        ways = list(enumerate(self.ways()))
        for first in range(0, len(ways), 4):
            support.run_threads([lambda number=number, words=words: way(number, words) for number, words in ways[first:first + 4]])
        self.is_tried = True
        return told

    def refused(self):
        """A stranger without a key is turned away by the child behind the filter."""
        self.client("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.place / "stranger")
        command = [self.find("ssh"), *self.options("-i", self.place / "stranger", "-T"), "127.0.0.1", "true"]
        identity = {"user": self.account.pw_uid, "group": self.account.pw_gid, "extra_groups": []} if self.account else {}
        done = subprocess.run([str(word) for word in command], env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, check=False,
                              timeout=support.HANG_SECONDS, **identity)
        for name in ("stranger", "stranger.pub"):
            (self.place / name).unlink()
        if done.returncode != 255 or b"Permission denied (publickey)" not in done.stderr:
            raise Failure(f"a stranger without a key is not turned away: {done.returncode} {done.stderr[-300:]}")
        return "Permission denied (publickey)"

    def session(self):
        """While somebody is logged in: the processes of the session are on the heap, and the command is not, for sshd gives it an
        environment of its own."""
        command = [self.find("ssh"), *self.options("-i", self.place / "user_ed25519", "-T"), "127.0.0.1", "echo $PPID; exec cat"]
        identity = {"user": self.account.pw_uid, "group": self.account.pw_gid, "extra_groups": []} if self.account else {}
        client = subprocess.Popen([str(word) for word in command], env=self.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, **identity)
        try:
            parent = int(client.stdout.readline())
            support.demand_heap([parent, *(pid for pid in self.pids() if support.executable(pid) == os.path.realpath(self.program))], self.heap)
            commands = [pid for pid in support.children(parent) if support.executable(pid) != os.path.realpath(self.program)]
            support.demand_heap(commands, support.Heap("glibc, as what a login starts"))
            client.stdin.write(b"said\n")
            client.stdin.close()
            said = client.stdout.read()
            client.wait(support.HANG_SECONDS)
        finally:
            client.kill()
            client.wait()
            client.stdout.close()
        if client.returncode != 0 or said != b"said\n":
            raise Failure(f"a session ends with {client.returncode} after {said}")
        return said

    def load(self):
        """Logins a second, four at once."""
        count = 8 if support.QUICK else 24
        begin = support.time.monotonic()
        for _ in range(count // 4):
            support.run_threads([lambda: self.ssh(command="true")] * 4)
        seconds = support.time.monotonic() - begin
        return {"logins/s": round(count / seconds, 1)}

    def renew(self):
        """On SIGHUP sshd executes itself anew, with the environment that it has."""
        said = self.log.read_text().count("Server listening")
        os.kill(self.pid, signal.SIGHUP)
        support.wait_until(lambda: self.log.read_text().count("Server listening") > said and support.listens(self.port), "sshd listens again",
                           self.process)
        support.demand_heap([self.pid], self.heap)

    def reload(self):
        self.configure(self.write("banner", "a banner\n" * 200))
        self.renew()
        return self.answers()

    def restart(self):
        self.stop()
        self.start()
        self.demand_more()
        return self.answers()

    def traced_work(self):
        self.by_way(1, *self.ways()[0])
        self.by_way(3, *self.ways()[-1])
        self.by_file()
        self.refused()
        self.renew()
        self.ssh(command="true")

    def stop(self):
        support.wait_until(lambda: len(self.pids()) == 1, "nobody is logged in", self.process)
        support.end_process(self.process, self.pid)


def greet(stranger):
    """Says who we are, and reads who the server is: nothing more than that line, for packets follow it."""
    greeting = b""
    while not greeting.endswith(b"\n"):
        byte = stranger.recv(1)
        if not byte:
            break
        greeting += byte
    if not greeting.startswith(b"SSH-2.0-"):
        raise Failure(f"sshd greets with {greeting[:80]}")
    stranger.sendall(b"SSH-2.0-Stranger\r\n")


def give_work(stranger, number):
    """Packets that a client may send before keys are agreed on: ignored ones of many sizes, which are stored and dropped, then an offer of long
    lists with nothing in common, after which the server says so and hangs up."""
    draw = random.Random(number)
    for _ in range(40):
        text = draw.randbytes(draw.choice((1, 100, 2000, 30_000)))
        stranger.sendall(packet(bytes([IGNORE]) + struct.pack(">I", len(text)) + text))
    names = ",".join(f"way-{number}-{i}@moat.test" for i in range(100)).encode()
    stranger.sendall(packet(bytes([OFFER]) + draw.randbytes(16) + (struct.pack(">I", len(names)) + names) * 10 + bytes(5)))
    try:
        while stranger.recv(65536):
            continue
    except ConnectionResetError:
        # It hangs up with something of ours unread.
        return


def packet(payload):
    padding = 8 - (len(payload) + 5) % 8
    padding += 8 if padding < 4 else 0
    return struct.pack(">IB", len(payload) + padding + 1, padding) + payload + bytes(padding)
