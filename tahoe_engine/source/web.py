"""Byte ranges over HTTP, with everything an answer says looked at.

fsspec's HTTP file system hands on neither status nor headers: a server without byte ranges would send 100 MB for a
footer, and a file that changes between two requests would go unnoticed (docs/decisions/007-ranges-by-hand.md).
"""

from __future__ import annotations

import http.client
import ssl
import threading
import time
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, NoReturn, Self
from urllib.parse import quote, urljoin, urlsplit

from tahoe_engine.source.address import WEB
from tahoe_engine.source.trouble import MissingError, PassingError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from tahoe_engine.source.shard import Shard

REDIRECTS = (301, 302, 303, 307, 308)
PASSING = (408, 425, 429, 500, 502, 503, 504, 509, 520, 521, 522, 523, 524, 529)
MAX_REDIRECTS = 5
CHUNK = 1 << 18
QUERY = "/?%:@!$&'()*+,;=~-._"  # stays as it is: a signature covers it letter by letter
SLOWEST = 1 << 14  # bytes a second; slower than this, an answer is given up
AGENT = "tahoe-engine"
OK, PARTIAL, CHANGED, NO_SUCH_RANGE = 200, 206, 412, 416


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
            url = target
        raise RefusedError(f"more than {MAX_REDIRECTS} redirects")

    def _ask(self, url: str, most: int, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        parts = urlsplit(url)
        key = (parts.scheme, parts.netloc)
        # What users write may hold blanks and umlauts; what is quoted already stays as it is.
        target = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._") + (
            f"?{quote(parts.query, safe=QUERY)}" if parts.query else ""
        )
        while True:
            connection, kept = self._take(key)
            try:
                connection.request("GET", target, headers=headers)
                response = connection.getresponse()
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                if kept and not isinstance(error, TimeoutError):
                    continue  # the server had closed a connection that lay idle: no fault
                raise PassingError(_name(error)) from None
            except UnicodeError:
                connection.close()
                raise RefusedError("the host's name is none") from None
            except BaseException:
                connection.close()
                raise
            whole = False
            try:
                found = {name.lower(): value for name, value in response.getheaders()}
                body, whole = self._read(response, most)
            except (OSError, http.client.HTTPException) as error:
                raise PassingError(_name(error)) from None
            finally:
                # A connection with bytes left in it would answer the next question with them.
                if whole and not response.will_close:
                    self._give(key, connection)
                else:
                    response.close()
                    connection.close()
            return response.status, found, body

    def _read(self, response: http.client.HTTPResponse, most: int) -> tuple[bytes, bool]:
        """Give the body and whether it was read to its end."""
        status = response.status
        if status in REDIRECTS or status in (CHANGED, NO_SUCH_RANGE):
            return b"", _finish(response)
        if status not in (OK, PARTIAL):
            _raise_status(status, response.getheader("Retry-After"))
        said = response.length
        if said is not None and said > most:
            if status == OK:
                raise RefusedError("the server does not serve byte ranges; download the file and name it as a path")
            raise PassingError(f"{said} bytes said to come, {most} were asked for")
        chunks, left = [], most
        deadline = time.monotonic() + self._timeout + most / SLOWEST
        while left > 0 and (chunk := response.read1(min(left, CHUNK))):
            chunks.append(chunk)
            left -= len(chunk)
            if time.monotonic() > deadline:
                raise PassingError("it came too slowly")
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

    def _give(self, key: tuple[str, str], connection: http.client.HTTPConnection) -> None:
        with self._lock:
            self._idle.setdefault(key, []).append(connection)

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
            return answer, f"etag:{found['etag']}"
        return answer, f"modified:{found['last-modified']}" if found.get("last-modified") else ""


def _finish(response: http.client.HTTPResponse) -> bool:
    """Tell whether nothing is left to read; only then can the connection be used again."""
    if response.length == 0:
        response.read()  # closes the answer, not the connection
    return response.isclosed()


def _raise_status(status: int, retry_after: str | None) -> NoReturn:
    if status in PASSING:
        raise PassingError(f"HTTP {status}", parse_retry_after(retry_after))
    if status in (404, 410):
        raise MissingError(f"HTTP {status}: there is no such file")
    if status in (401, 403):
        raise RefusedError(f"HTTP {status}: no access; log in, or renew the signed address")
    raise RefusedError(f"HTTP {status}")


def parse_retry_after(text: str | None) -> float | None:
    """Read how long a server asks to wait.

    Parameters
    ----------
    text : str or None
        Seconds, or a date.

    Returns
    -------
    float or None
        Seconds; None if it does not say, or not in a form that is known.

    Examples
    --------
    >>> parse_retry_after("7"), parse_retry_after("soon")
    (7.0, None)
    """
    text = (text or "").strip()
    if text.isascii() and text.isdigit() and len(text) < 10:  # noqa: PLR2004 - more is no number of seconds
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError):
        return None


def _name(error: BaseException) -> str:
    """Name an error of the network without its text, which may hold an address."""
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or 'failed'}"
    if isinstance(error, OSError) and error.strerror and not isinstance(error, TimeoutError):
        return f"{type(error).__name__} ({error.strerror})"
    return "no answer in time" if isinstance(error, TimeoutError) else type(error).__name__
