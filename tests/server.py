"""A web server on loopback that misbehaves on request, counts what it sends, and can pass for the hub."""

from __future__ import annotations

import hashlib
import json
import re
import socket
import struct
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TREE = re.compile(r"/api/datasets/o/n/tree/[0-9a-f]{40}(?:/(?P<folder>[^?]*))?(?:\?.*)?")
RESOLVE = re.compile(r"/datasets/o/n/resolve/(?P<commit>[0-9a-f]{40})/(?P<path>.*)")


@dataclass
class Request:
    """What was asked, and what was sent."""

    path: str
    headers: dict[str, str]
    status: int = 0
    sent: int = 0

    @property
    def range(self) -> str:
        return self.headers.get("range", "")


@dataclass
class Server:
    """Serve a folder.

    ``faults`` are taken one a request for a file: ``503``, ``429`` (Retry-After 1), ``404``, ``403``, ``reset``,
    ``short``, ``long`` (Content-Length too large), ``few`` (too small) or ``""`` for none; ``always`` is one that does
    not end. ``ranges``: False for a server that sends whole files. ``suffixes``: False for one that knows no ranges
    from the end. ``etags`` replaces the ETag of a file.
    """

    folder: Path
    faults: list[str] = field(default_factory=list)
    always: str = ""
    ranges: bool = True
    suffixes: bool = True
    etags: dict[str, str] = field(default_factory=dict)
    page: int = 1000
    requests: list[Request] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._lock = threading.Lock()
        handler = type("Handler", (_Handler,), {"owner": self})
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    @property
    def sent(self) -> int:
        """Bytes of bodies so far."""
        return sum(request.sent for request in self.requests)

    def fault(self) -> str:
        with self._lock:
            return self.faults.pop(0) if self.faults else self.always

    def etag(self, path: str) -> str:
        return self.etags.get(path, '"' + hashlib.sha256((self.folder / path).read_bytes()).hexdigest()[:20] + '"')


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner: Server

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self.request_log = Request(self.path, {name.lower(): value for name, value in self.headers.items()})
        self.owner.requests.append(self.request_log)
        path = self.path.partition("?")[0]
        if path.startswith("/api/"):
            self._api()
        elif match := RESOLVE.fullmatch(path):
            sha256 = hashlib.sha256((self.owner.folder / match["path"]).read_bytes()).hexdigest()
            self._reply(
                302,
                b"",
                {
                    "Location": f"{self.owner.url.replace('127.0.0.1', 'localhost')}/cdn/{match['path']}?sig=canary",
                    "X-Repo-Commit": match["commit"],
                    "X-Linked-Etag": f'"{sha256}"',
                },
            )
        else:
            self._file(path.removeprefix("/cdn").lstrip("/"))

    def _api(self) -> None:
        if self.path.startswith("/api/datasets/o/n/revision/"):
            self._reply(200, json.dumps({"sha": COMMIT}).encode(), {})
            return
        match = TREE.fullmatch(self.path)
        folder = self.owner.folder / ((match["folder"] or "") if match else "missing")
        if not folder.is_dir():
            self._reply(404, b"{}", {})
            return
        entries = []
        for path in sorted(folder.iterdir()):
            if path.is_file():
                content = path.read_bytes()
                lfs = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content)}
                name = str(path.relative_to(self.owner.folder))
                entries.append({"type": "file", "oid": "0" * 40, "size": len(content), "path": name, "lfs": lfs})
        page = int(self.path.partition("page=")[2] or 0)
        part = entries[page * self.owner.page : (page + 1) * self.owner.page]
        more = {}
        if (page + 1) * self.owner.page < len(entries):
            base = self.path.partition("?")[0]
            more = {"Link": f'<{self.owner.url}{base}?recursive=false&page={page + 1}>; rel="next"'}
        self._reply(200, json.dumps(part).encode(), more)

    def _file(self, name: str) -> None:
        path, fault = self.owner.folder / name, self.owner.fault()
        if fault == "reset":
            # Zero seconds of linger: the other side sees a reset, not an end.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()
            return
        if fault.isdigit():
            self._reply(int(fault), b"<Error>canary</Error>", {"Retry-After": "1"} if fault == "429" else {})
            return
        if not path.is_file():
            self._reply(404, b"", {})
            return
        content, etag = path.read_bytes(), self.owner.etag(name)
        if self.headers.get("If-Match", etag) != etag:
            self._reply(412, b"", {"ETag": etag})
            return
        match = re.fullmatch(r"bytes=([0-9]*)-([0-9]*)", self.headers.get("Range", ""))
        suffix = match is not None and not match[1]
        if match is None or not self.owner.ranges:
            self._reply(200, content, {"ETag": etag}, fault)
            return
        first = max(0, len(content) - int(match[2])) if suffix else int(match[1])
        last = len(content) - 1 if suffix or not match[2] else min(int(match[2]), len(content) - 1)
        if first > last or (suffix and not self.owner.suffixes):
            self._reply(416, b"", {"Content-Range": f"bytes */{len(content)}"})
            return
        headers = {"ETag": etag, "Content-Range": f"bytes {first}-{last}/{len(content)}"}
        self._reply(206, content[first : last + 1], headers, fault)

    def _reply(self, status: int, body: bytes, headers: dict[str, str], fault: str = "") -> None:
        length = len(body) + {"long": 100, "few": -10}.get(fault, 0)
        body = body[: len(body) // 2] if fault == "short" else body
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.request_log.status = status
        try:
            # In steps, so that what a client refuses to read is not counted as sent.
            for start in range(0, len(body), 1 << 16):
                part = body[start : start + (1 << 16)]
                self.connection.sendall(part)
                self.request_log.sent += len(part)
        except OSError:
            self.close_connection = True
        if fault:
            self.close_connection = True
