"""Byte ranges over HTTP, with everything an answer says looked at.

fsspec's HTTP file system hands on neither status nor headers: a server without byte ranges would send 100 MB for a
footer, and a file that changes between two requests would go unnoticed (docs/decisions/007-ranges-by-hand.md).
"""

from __future__ import annotations

import hashlib
import http.client
import socket
import ssl
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self
from urllib.parse import quote, urljoin, urlsplit

from tahoe_engine.source.address import WEB
from tahoe_engine.source.replies import CHANGED, NO_SUCH_RANGE, OK, PARTIAL, name_error, raise_status
from tahoe_engine.source.trouble import NoRangesError, PassingError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from tahoe_engine.source.shard import Shard

REDIRECTS = (301, 302, 303, 307, 308)
MAX_REDIRECTS = 5
CHUNK = 1 << 18
QUERY = "/?%:@!$&'()*+,;=~-._"  # stays as it is: a signature covers it letter by letter
SLOWEST = 1 << 14  # bytes a second; slower than this, an answer is given up
LONGEST_TAG = 200
AGENT = "tahoe-engine"


@dataclass(frozen=True)
class Answer:
    """What a server said.

    Parameters
    ----------
    status : int
        200, 206, 412 or 416; everything else was raised.
    headers : dict
        In lower case, of the last answer.
    first_headers : dict
        Of the redirects, where there were any: the hub says what a file is before it sends one elsewhere.
    body : bytes
        Of a 200 or 206.
    location : str
        Where the bytes were in the end; may be signed.
    """

    status: int
    headers: dict[str, str]
    first_headers: dict[str, str]
    body: bytes = field(repr=False)
    location: str = field(repr=False)


class Web:
    """Connections that are kept open between requests; safe to use from several threads.

    Parameters
    ----------
    timeout_s : float
        Seconds without a byte.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout = timeout_s
        self._idle: dict[tuple[str, str], list[http.client.HTTPConnection]] = {}
        self._lock = threading.Lock()
        self._tls: ssl.SSLContext | None = None

    def get(self, url: str, most: int, headers: Mapping[str, str] | None = None, token: str = "") -> Answer:
        """Ask for an address and follow where it leads.

        Parameters
        ----------
        url : str
            With its query.
        most : int
            Bytes that are wanted; an answer that is longer is refused before it is read.
        headers : mapping, optional
            To send.
        token : str
            For the first host alone.

        Returns
        -------
        Answer
            Whatever its body's length.

        Raises
        ------
        PassingError, MissingError, RefusedError
            With a reason that holds no address.
        """
        said: dict[str, str] = {}
        first_host = urlsplit(url).netloc
        for _ in range(MAX_REDIRECTS + 1):
            sent = {"User-Agent": AGENT, "Accept-Encoding": "identity", **(headers or {})}
            if token and urlsplit(url).netloc == first_host:
                sent["Authorization"] = f"Bearer {token}"
            status, found, body = self._ask(url, most, sent)
            if status not in REDIRECTS:
                return Answer(status, found, said or found, body, url)
            said = {**found, **said}
            target = urljoin(url, found.get("location", ""))
            parts = urlsplit(target)
            if not parts.netloc or parts.scheme not in WEB or (url.startswith("https") and parts.scheme != "https"):
                raise RefusedError("a redirect that leads off https")
            if "@" in parts.netloc:
                raise RefusedError("a redirect with a user name or password in it")
            url = target
        raise RefusedError(f"more than {MAX_REDIRECTS} redirects")

    def _ask(self, url: str, most: int, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        parts = urlsplit(url)
        key = (parts.scheme, parts.netloc)
        target = _target_of(parts.path, parts.query)
        while True:
            connection, kept = self._take(key)
            # A byte now and then keeps every time-out of the socket quiet: the whole answer has an end too.
            over = _Deadline(connection, self._timeout + most / SLOWEST)
            whole, response = False, None
            try:
                if not kept:
                    _connect(connection)
                with over:
                    connection.request("GET", target, headers=headers)
                    response = connection.getresponse()
                    found = {name.lower(): value for name, value in response.getheaders()}
                    body, whole = self._read(response, most)
            except (OSError, http.client.HTTPException, PassingError) as error:
                if over.passed:
                    break
                if isinstance(error, PassingError):
                    raise
                if kept and response is None and not isinstance(error, TimeoutError):
                    continue  # the server had closed a connection that lay idle: no fault
                raise PassingError(name_error(error)) from None
            except UnicodeError:
                raise RefusedError("the host's name is none") from None
            finally:
                self._put_back(key, connection, response, whole=whole and not over.passed)
            if over.passed:
                break  # what ends with its connection ends like this, too
            return response.status, found, body
        raise PassingError("it came too slowly")

    def _read(self, response: http.client.HTTPResponse, most: int) -> tuple[bytes, bool]:
        """Give the body and whether it was read to its end."""
        status = response.status
        if status in REDIRECTS or status in (CHANGED, NO_SUCH_RANGE):
            return b"", _finish(response)
        if status not in (OK, PARTIAL):
            raise_status(status, response.getheader("Retry-After"))
        said = response.length
        if said is not None and said > most:
            if status == OK:
                raise NoRangesError("the server does not serve byte ranges; download the file and name it as a path")
            raise PassingError(f"{said} bytes said to come, {most} were asked for")
        chunks, left = [], most
        while left > 0 and (chunk := response.read1(min(left, CHUNK))):
            chunks.append(chunk)
            left -= len(chunk)
        body = b"".join(chunks)
        if said is not None and len(body) < said:
            raise PassingError(f"short body: {len(body)} of {said} bytes")
        if said is None and left == 0 and response.read1(1):
            raise RefusedError("an answer longer than what was asked for")
        return body, _finish(response)

    def _take(self, key: tuple[str, str]) -> tuple[http.client.HTTPConnection, bool]:
        with self._lock:
            idle = self._idle.get(key)
            if idle:
                return idle.pop(), True
            if self._tls is None and key[0] == "https":
                self._tls = ssl.create_default_context()
        scheme, host = key
        if scheme == "https":
            return http.client.HTTPSConnection(host, timeout=self._timeout, context=self._tls), False
        return http.client.HTTPConnection(host, timeout=self._timeout), False

    def _put_back(
        self,
        key: tuple[str, str],
        connection: http.client.HTTPConnection,
        response: http.client.HTTPResponse | None,
        *,
        whole: bool,
    ) -> None:
        # A connection with bytes left in it would answer the next question with them.
        if whole and response is not None and not response.will_close:
            with self._lock:
                self._idle.setdefault(key, []).append(connection)
            return
        if response is not None:
            response.close()
        connection.close()

    def close(self) -> None:
        """Close what lies idle."""
        with self._lock:
            for connections in self._idle.values():
                for connection in connections:
                    connection.close()
            self._idle.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class WebFile:
    """A file at an ``https://`` address.

    Parameters
    ----------
    shard : Shard
        Its address.
    web : Web
        Connections.
    """

    def __init__(self, shard: Shard, web: Web) -> None:
        self._web = web
        self._url = f"{shard.path}?{shard.secret}" if shard.secret else shard.path

    def get(self, span: str, most: int, version: str) -> tuple[Answer, str]:
        """Ask for a range; see `HubFile.get`."""
        headers = {"Range": span}
        kind, _, value = version.partition(":")
        # A weak ETag matches nothing by the rules of If-Match; it is compared with that of the answer.
        if kind == "etag" and value.startswith('"'):
            headers["If-Match"] = value
        answer = self._web.get(self._url, most, headers)
        found = answer.headers
        if found.get("etag"):
            return answer, f"etag:{_bounded(found['etag'])}"
        return answer, f"modified:{_bounded(found['last-modified'])}" if found.get("last-modified") else ""


def _finish(response: http.client.HTTPResponse) -> bool:
    """Tell whether nothing is left to read; only then can the connection be used again."""
    if response.length == 0:
        response.read()  # closes the answer, not the connection
    return response.isclosed()


def _target_of(path: str, query: str) -> str:
    # What users write may hold blanks and umlauts; what is quoted already stays as it is.
    target = quote(path or "/", safe="/%:@!$&'()*+,;=~-._")
    return f"{target}?{quote(query, safe=QUERY)}" if query else target


def _bounded(tag: str) -> str:
    """Give a tag that can stand in a header and a manifest; one that cannot is told from others by its hash."""
    if len(tag) <= LONGEST_TAG and tag.isascii() and tag.isprintable():
        return tag
    return f"sha256-{hashlib.sha256(tag.encode('utf-8', 'surrogatepass')).hexdigest()}"


def _connect(connection: http.client.HTTPConnection) -> None:
    try:
        connection.connect()
    except ssl.SSLCertVerificationError:
        reason = "its TLS certificate is not trusted; SSL_CERT_FILE names the certificates that are"
        raise RefusedError(reason) from None
    except OSError as error:
        # Behind a firewall this is how it ends, and the variables that other tools look at do nothing here.
        raise PassingError(f"no connection: {name_error(error)}; proxies are not used") from None


class _Deadline:
    """Cuts a connection when its time is over; whoever reads from it then finds it closed."""

    def __init__(self, connection: http.client.HTTPConnection, seconds: float) -> None:
        self.passed = False
        self._connection = connection
        self._socket: socket.socket | None = None
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True

    def _cut(self) -> None:
        self.passed = True
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> None:
        # Of an answer that ends with its connection, the answer alone has the socket later.
        self._socket = self._connection.sock
        self._timer.start()

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
