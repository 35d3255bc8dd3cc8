"""nginx: several workers that serve files, ranges, gzip, includes, uploads, TLS and a proxy to itself; wrk; reloads while clients ask."""
import hashlib
import os
import random
import signal

import support
import web
from support import Failure
from web import Request

PACKAGES = {"nginx": "nginx-light", "wrk": "wrk", "openssl": "openssl"}
WORKERS = 3
# Files get this date, which is in their answers.
DATE = 1_600_000_000

CONFIGURATION = """
daemon off; {user} worker_processes {workers}; pid {place}/nginx.pid; error_log {place}/error.log notice;
events {{ worker_connections 512; }}
http {{
    access_log {place}/access.log; client_body_temp_path {place}/body; proxy_temp_path {place}/proxy;
    fastcgi_temp_path {place}/fastcgi; uwsgi_temp_path {place}/uwsgi; scgi_temp_path {place}/scgi;
    types {{ text/html html; text/plain txt; application/octet-stream bin; }}
    keepalive_requests 100000; port_in_redirect off; large_client_header_buffers 8 16k; {thread_pool}
    proxy_cache_path {place}/cache keys_zone=kept:1m;
    map $arg_word $answer {{ default none; ~^a "begins with a"; hello world; }}
    limit_conn_zone $binary_remote_addr zone=hosts:1m;
    server {{
        listen 127.0.0.1:{port} backlog=1024; listen 127.0.0.1:{secret} ssl http2; server_name moat.test;
        ssl_certificate {place}/certificate.pem; ssl_certificate_key {place}/key.pem; ssl_session_cache shared:s:1m;
        root {place}/files; limit_conn hosts 400; add_header X-Answer $answer;
        location / {{ gzip on; gzip_types text/plain application/octet-stream; gzip_min_length 100; gzip_comp_level {level}; }}
        location /list/ {{ alias {place}/files/; autoindex on; autoindex_format json; }}
        location /parts/ {{ alias {place}/files/; ssi on; sub_filter "the" "THE"; sub_filter_once off; }}
        location /upload/ {{ alias {place}/upload/; dav_methods PUT DELETE MOVE COPY; client_max_body_size 8m; client_body_buffer_size 16k; }}
        location /proxy/ {{ proxy_pass http://127.0.0.1:{port}/; proxy_set_header Host moat.test; proxy_buffers 8 4k; }}
        location /cached/ {{ proxy_pass http://127.0.0.1:{port}/; proxy_cache kept; proxy_cache_valid 200 1h; slice 20k;
                            proxy_cache_key $uri$slice_range; proxy_set_header Range $slice_range; proxy_http_version 1.1; }}
        location /moved {{ return 301 /page.html?from=$uri; }}
        location /said {{ return 200 "$request_method $arg_word $http_x_long\\n"; }}
        location ~ ^/rewritten/(\\w+)-(\\d+)$ {{ rewrite ^/rewritten/(\\w+)-(\\d+)$ /said?word=$1$2 last; }}
    }}
}}
"""


class Service:
    name = "nginx"
    user = None

    def __init__(self, heap, place):
        self.heap, self.place = heap, place
        self.program = support.find_program("nginx", PACKAGES["nginx"])
        self.log = place / "nginx.log"
        self.environment = heap.environment(place, {})
        self.port, self.secret = support.free_port(), support.free_port()
        self.make_files()
        self.configure(level=1)

    def make_files(self):
        draw = random.Random(1)
        files = self.place / "files"
        for directory in (files, self.place / "upload"):
            directory.mkdir(mode=0o777)
            directory.chmod(0o777)
        words = [bytes(draw.choices(b"abcdefghijklmnopqrstuvwxyz", k=draw.randrange(2, 9))) for _ in range(500)] + [b"the"] * 50
        for number, size in enumerate((0, 1, 100, 1460, 5000, 40_000, 300_000, 2_000_000)):
            text = b" ".join(draw.choices(words, k=size // 6))
            (files / f"text{number}.txt").write_bytes(text)
            (files / f"bytes{number}.bin").write_bytes(draw.randbytes(size))
        includes = "".join(f'<!--# include virtual="/parts/text{number}.txt" -->' for number in (2, 3, 4, 3, 2))
        (files / "page.html").write_text(f'<html><!--# set var="v" value="<the>" --><!--# echo var="v" -->{includes}</html>')
        for path in files.iterdir():
            os.utime(path, (DATE, DATE))
        support.run_client([support.find_program("openssl", PACKAGES["openssl"]), "req", "-x509", "-newkey", "ec", "-pkeyopt",
                            "ec_paramgen_curve:prime256v1", "-nodes", "-days", 2, "-subj", "/CN=moat.test", "-keyout", self.place / "key.pem",
                            "-out", self.place / "certificate.pem"])

    def configure(self, level):
        user = "user www-data;" if os.geteuid() == 0 else ""
        (self.place / "nginx.conf").write_text(CONFIGURATION.format(
            user=user, workers=WORKERS, place=self.place, port=self.port, secret=self.secret, level=level,
            thread_pool="aio threads; aio_write on; sendfile off; directio 1m;" if level > 1 else "sendfile on;"))

    def start(self, tracer=()):
        command = [self.program, "-p", self.place, "-e", self.place / "error.log", "-c", self.place / "nginx.conf"]
        self.process = support.start_process([*tracer, *command], self.environment if not tracer else None, self.log)
        self.pid = support.service_pid(self.process, self.program)
        support.wait_until(lambda: len(self.workers()) == WORKERS and support.listens(self.port), "nginx has its workers", self.process)

    def workers(self):
        return {pid for pid in support.children(self.pid) if "worker process" in support.name_of(pid) and support.is_running(pid)}

    def pids(self):
        pids = support.family(self.pid)
        if len(pids) < 1 + WORKERS:
            raise Failure(f"nginx has {len(pids)} processes and not {1 + WORKERS}")
        return pids

    def logs(self):
        return [self.log, self.place / "error.log"]

    def demand_more(self):
        if self.heap.library:
            for symbol in ("malloc", "free", "posix_memalign"):
                support.demand_binding([self.program, "-v"], symbol, self.heap.library.name, self.environment)

    def requests(self):
        names = sorted(path.name for path in (self.place / "files").iterdir())[::2 if support.QUICK else 1]
        requests = [Request("/" + name) for name in names]
        requests += [Request("/" + name + "?gzip", headers={"Accept-Encoding": "gzip"}) for name in names]
        requests += [Request(f"/proxy/{name}") for name in names] + [Request(f"/cached/{name}") for name in names if "0" not in name]
        requests += [Request(f"/text7.txt?range={size}", headers={"Range": f"bytes=7-{size},-{size}"}) for size in (9, 999, 99_999)]
        requests += [Request(path) for path in ("/list/", "/parts/page.html", "/parts/text6.txt", "/moved", "/absent", "/said?word=hello",
                                                "/said?word=above", "/rewritten/hello-1", "/proxy/proxy/proxy/proxy/text5.txt")]
        requests += [Request("/said?word=long", headers={"X-Long": "l" * size}) for size in (15, 1500, 15_000)]
        requests += [Request("/text4.txt?head", "HEAD"), Request("/said?word=a", "POST", body=b"b" * 200_000)]
        requests += [Request("/text4.txt?put", "PUT", body=b"b")]
        return requests

    def uploads(self, sizes=(0, 10, 4000, 30_000, 1_000_000)):
        """Files that a client sends, gets back, copies, moves and removes: through buffers of many sizes and temporary files."""
        told, draw = {}, random.Random(2)
        connection = web.connect(self.port)
        for size in sizes:
            data, there = draw.randbytes(size), {"Destination": f"http://moat.test/upload/{size}.copy", "Overwrite": "T"}
            name = f"/upload/{size}"
            steps = {"put": Request(name, "PUT", body=data), "get": Request(name), "copy": Request(name, "COPY", there),
                     "delete the copy": Request(name + ".copy", "DELETE"), "delete": Request(name, "DELETE"), "get nothing": Request(name)}
            for step, request in steps.items():
                told[f"{step} {size}"] = web.ask(connection, request)
            if hashlib.sha256(data).hexdigest()[:24] not in told[f"get {size}"]:
                raise Failure(f"an upload of {size} bytes comes back as something else")
        connection.close()
        return told

    def answers(self):
        clients = 3 if support.QUICK else 6
        told = web.ask_all(self.port, self.requests(), clients)
        secret = web.ask_all(self.secret, self.requests(), clients, is_secret=True)
        return {**told, **{"secret " + what: answer for what, answer in secret.items()}, **self.uploads()}

    def load(self):
        seconds = 1 if support.QUICK else 3
        return {"small/s": web.wrk(self.port, "/text3.txt", seconds), "proxied/s": web.wrk(self.port, "/proxy/parts/page.html", seconds)}

    def renew(self):
        old = self.workers()
        os.kill(self.pid, signal.SIGHUP)
        support.wait_until(lambda: not old & set(support.family(self.pid)) and len(self.workers()) == WORKERS, "the workers are new ones",
                           self.process)

    def reload(self):
        """New workers with another configuration, several times, while clients ask; the old ones end when they are done."""
        with web.Asking(self.port, [Request("/proxy/text4.txt"), Request("/parts/page.html")]):
            for level in (9, 1, 6):
                self.configure(level)
                self.renew()
        return self.answers()

    def restart(self):
        """Ends as asked to by an administrator: workers finish what they do."""
        support.end_process(self.process, self.pid, signal.SIGQUIT)
        self.start()
        return self.answers()

    def traced_work(self):
        web.ask_all(self.port, self.requests(), 2)
        web.ask_all(self.secret, self.requests()[:8], 2, is_secret=True)
        self.uploads()
        self.renew()
        web.ask_all(self.port, self.requests()[:8], 2)

    def stop(self):
        support.end_process(self.process, self.pid)
