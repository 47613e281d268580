"""A web server on loopback that misbehaves on request, counts what it sends, and can pass for the hub or for S3."""

from __future__ import annotations

import hashlib
import http.client
import json
import random
import re
import socket
import struct
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import ssl
    from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TREE = re.compile(r"/api/datasets/o/n/tree/[0-9a-f]{40}(?:/(?P<folder>[^?]*))?(?:\?.*)?")
# What a storm draws from; the numbers are shares of all requests.
STORM = {
    "429": 3,
    "500": 2,
    "503": 3,
    "reset": 4,
    "short": 4,
    "long": 3,
    "few": 3,
    "trickle": 2,
    "narrow": 3,
    "shifted": 2,
    "whole": 2,
    "": 25,
}
RESOLVE = re.compile(r"/datasets/o/n/resolve/(?P<commit>[0-9a-f]{40})/(?P<path>.*)")


@dataclass
class Request:
    """What was asked, and what was sent."""

    path: str
    headers: dict[str, str]
    status: int = 0
    sent: int = 0
    fault: str = ""
    reused: bool = False  # not the first on its connection

    @property
    def range(self) -> str:
        return self.headers.get("range", "")


@dataclass
class Server:
    """Serve a folder, or pass on what another server says.

    ``faults`` are taken one a request for a file: a status (``429`` comes with Retry-After 1), ``reset``, ``short``,
    ``long`` (Content-Length too large), ``few`` (too small), ``trickle``, ``narrow`` (a shorter range than was asked
    for), ``shifted`` (another one), ``whole`` (no range), ``mute`` (no answer), ``headers`` (too many), ``drip`` (a
    byte now and then), ``garbage`` (no HTTP), or ``""`` for none; ``always`` is one that does not end. ``storm`` is the
    seed of faults of all requests: which one a request meets depends on what it asks for and how often, not on when;
    ``again``: so many attempts at one thing may fail. ``ranges``: False for a server that sends whole files.
    ``suffixes``: False for one that knows no ranges from the end. ``etags`` replaces the ETag of a file (``""``: none),
    ``oids`` the sha256 by which the hub knows it, ``moved`` where a path is sent on to, ``more`` the Link of a listing.
    ``upstream``: the address of the other server. ``locked``: the status of every answer. ``tls``: speak it.
    """

    folder: Path
    faults: list[str] = field(default_factory=list)
    always: str = ""
    ranges: bool = True
    suffixes: bool = True
    etags: dict[str, str] = field(default_factory=dict)
    oids: dict[str, str] = field(default_factory=dict)
    moved: dict[str, str] = field(default_factory=dict)
    more: str = ""
    commit: str = COMMIT
    upstream: str = ""
    locked: str = ""
    tls: ssl.SSLContext | None = None
    storm: int | None = None
    again: int = 3
    page: int = 1000
    requests: list[Request] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._lock = threading.Lock()
        self._asked: Counter[str] = Counter()
        self.ended = threading.Event()
        handler = type("Handler", (_Handler,), {"owner": self})
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._http.daemon_threads = True
        if self.tls is not None:
            self._http.socket = self.tls.wrap_socket(self._http.socket, server_side=True)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self._http.server_address[1]}"

    @property
    def sent(self) -> int:
        """Bytes of bodies so far."""
        return sum(request.sent for request in self.requests)

    def fault(self) -> str:
        with self._lock:
            return self.faults.pop(0) if self.faults else self.always

    def draw(self, asked: str) -> str:
        """Give what the storm has for a request."""
        with self._lock:
            self._asked[asked] += 1
            number = self._asked[asked]
        if self.storm is None or number > self.again:
            return ""
        dice = random.Random(f"{self.storm} {asked} {number}")
        return dice.choices(list(STORM), list(STORM.values()))[0]

    def oid(self, name: str) -> str:
        return self.oids.get(name) or hashlib.sha256((self.folder / name).read_bytes()).hexdigest()

    def etag(self, path: str) -> str:
        return self.etags.get(path, '"' + hashlib.sha256((self.folder / path).read_bytes()).hexdigest()[:20] + '"')


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner: Server

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.request_log = Request(self.path, {name.lower(): value for name, value in self.headers.items()})
        self.request_log.reused, self.seen = getattr(self, "seen", False), True
        self.owner.requests.append(self.request_log)
        path = self.path.partition("?")[0]
        is_file = not path.startswith("/api/") and not RESOLVE.fullmatch(path)
        # A storm is the same for every port.
        fault = self.owner.draw(f"{self.command} {self.path} {self.request_log.range}")
        self.fault = self.request_log.fault = self.owner.locked or fault or (self.owner.fault() if is_file else "")
        if self._spoil():
            return
        if path in self.owner.moved:
            self._reply(302, b"", {"Location": self.owner.moved[path]})
        elif self.owner.upstream:
            self._pass_on()
        elif path.startswith("/api/"):
            self._api()
        elif match := RESOLVE.fullmatch(path):
            self._reply(
                302,
                b"",
                {
                    "Location": f"{self.owner.url.replace('127.0.0.1', 'localhost')}/cdn/{match['path']}?sig=canary",
                    "X-Repo-Commit": match["commit"] if self.owner.commit == COMMIT else self.owner.commit,
                    "X-Linked-Etag": f'"{self.owner.oid(match["path"])}"',
                },
            )
        else:
            self._file(path.removeprefix("/cdn").lstrip("/"))

    def _spoil(self) -> bool:
        """Do what ends a request before its answer; change what was asked for."""
        fault = self.fault
        span = re.fullmatch(r"bytes=([0-9]*)-([0-9]*)", self.headers.get("Range", ""))
        if fault == "reset":
            # Zero seconds of linger: the other side sees a reset, not an end.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()
        elif fault == "mute":
            self.owner.ended.wait(20)
            self.close_connection = True
        elif fault == "garbage":
            self.connection.sendall(b"SSH-2.0-OpenSSH_9.9\r\n")
            self.close_connection = True
        elif fault == "headers":
            self._reply(200, b"", {f"X-Header-{number}": "x" * 1000 for number in range(200)})
        elif fault.isdigit():
            self._reply(int(fault), b"<Error>canary</Error>", {"Retry-After": "1"} if fault == "429" else {})
        else:
            if fault == "whole":
                del self.headers["Range"]
            elif span and fault in ("narrow", "shifted") and int(span[2] or 0) > 1 and span[1] != span[2]:
                last, first = int(span[2]) - 1, int(span[1]) - (fault == "shifted") if span[1] else ""
                self.headers.replace_header("Range", f"bytes={first if first != -1 else 0}-{last}")
            return False
        return True

    def _pass_on(self) -> None:
        there = http.client.HTTPConnection(self.owner.upstream.partition("://")[2])
        headers = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
        there.request(self.command, self.path, headers=headers)
        answer = there.getresponse()
        body = answer.read()
        there.close()
        left_out = ("connection", "transfer-encoding", "server", "date", "content-length")
        told = {name: value for name, value in answer.getheaders() if name.lower() not in left_out}
        if self.command == "HEAD":
            told["Content-Length"] = answer.getheader("Content-Length", "0")
        self._reply(answer.status, body, told, self.fault)

    def _api(self) -> None:
        if self.path.startswith("/api/datasets/o/n/revision/"):
            self._reply(200, json.dumps({"sha": self.owner.commit}).encode(), {}, self.fault)
            return
        match = TREE.fullmatch(self.path)
        folder = self.owner.folder / ((match["folder"] or "") if match else "missing")
        if not folder.is_dir():
            self._reply(404, b"{}", {})
            return
        entries = []
        for path in sorted(folder.iterdir()):
            if path.is_file():
                name, size = str(path.relative_to(self.owner.folder)), path.stat().st_size
                lfs = {"oid": self.owner.oid(name), "size": size}
                entries.append({"type": "file", "oid": "0" * 40, "size": size, "path": name, "lfs": lfs})
        page = int(self.path.partition("page=")[2] or 0)
        part = entries[page * self.owner.page : (page + 1) * self.owner.page]
        more = {}
        if (page + 1) * self.owner.page < len(entries):
            base = self.path.partition("?")[0]
            more = {"Link": f'<{self.owner.url}{base}?recursive=false&page={page + 1}>; rel="next"'}
        if self.owner.more:
            more = {"Link": self.owner.more}
        self._reply(200, json.dumps(part).encode(), more, self.fault)

    def _file(self, name: str) -> None:
        path, fault = self.owner.folder / name, self.fault
        if not path.is_file():
            self._reply(404, b"", {})
            return
        content, etag = path.read_bytes(), self.owner.etag(name)
        if etag and self.headers.get("If-Match", etag) != etag:
            self._reply(412, b"", {"ETag": etag})
            return
        tags = {"ETag": etag} if etag else {}
        match = re.fullmatch(r"bytes=([0-9]*)-([0-9]*)", self.headers.get("Range", ""))
        suffix = match is not None and not match[1]
        if match is None or not self.owner.ranges:
            self._reply(200, content, tags, fault)
            return
        first = max(0, len(content) - int(match[2])) if suffix else int(match[1])
        last = len(content) - 1 if suffix or not match[2] else min(int(match[2]), len(content) - 1)
        if first > last or (suffix and not self.owner.suffixes):
            self._reply(416, b"", {"Content-Range": f"bytes */{len(content)}"})
            return
        headers = {**tags, "Content-Range": f"bytes {first}-{last}/{len(content)}"}
        self._reply(206, content[first : last + 1], headers, fault)

    def _reply(self, status: int, body: bytes, headers: dict[str, str], fault: str = "") -> None:
        length = len(body) + {"long": 100, "few": -10}.get(fault, 0)
        body = body[: len(body) // 2] if fault == "short" else body
        body = b"" if self.command == "HEAD" else body
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "Content-Length" not in headers:
            self.send_header("Content-Length", str(length))
        self.end_headers()
        self.request_log.status = status
        step, pause = {"trickle": (max(1, len(body) // 20), 0.004), "drip": (1, 0.05)}.get(fault, (1 << 16, 0.0))
        try:
            # In steps, so that what a client refuses to read is not counted as sent.
            for start in range(0, len(body), step):
                part = body[start : start + step]
                self.connection.sendall(part)
                self.request_log.sent += len(part)
                time.sleep(pause)
        except OSError:
            self.close_connection = True
        if fault:
            self.close_connection = True
