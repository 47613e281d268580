"""Files that lie elsewhere: listed, read in ranges, and known again."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol, Self
from urllib.parse import urljoin

from tahoe_engine.errors import FetchError, SourceError, escape_controls
from tahoe_engine.source.address import WEB, scheme_of, show_address, split_secret
from tahoe_engine.source.hub import HubFile, list_hub
from tahoe_engine.source.replies import CHANGED, NO_SUCH_RANGE, PARTIAL
from tahoe_engine.source.s3 import S3File, list_s3
from tahoe_engine.source.shard import Shard
from tahoe_engine.source.trouble import (
    ChangedError,
    DeniedError,
    ExhaustedError,
    MissingError,
    NoRangesError,
    PassingError,
    Patience,
    RefusedError,
    Trouble,
)
from tahoe_engine.source.web import Answer, Web, WebFile

if TYPE_CHECKING:
    from types import TracebackType

    from tahoe_engine.sections import SourceSettings

CONTENT_RANGE = re.compile(r"bytes (?:(?P<start>[0-9]{1,18})-[0-9]{1,18}|\*)/(?P<size>[0-9]{1,18})")
MAX_LIST_BYTES = 64 << 20


class Opened(Protocol):
    """A file one can ask for ranges."""

    def get(self, span: str, most: int, version: str) -> tuple[Answer, str]:
        """Ask for a range; give the answer and the version that was found."""


class Remote:
    """The way to other machines for as long as some work lasts.

    Parameters
    ----------
    source : SourceSettings
        Its section.
    """

    def __init__(self, source: SourceSettings) -> None:
        self.source = source
        self._web = Web(source.timeout_s)
        self._ranged: set[str] = set()

    def patience(self) -> Patience:
        """Give a new budget of waiting: one for each shard."""
        return Patience(self.source.retries, self.source.retry_budget_s)

    def expand(self, item: str) -> list[Shard]:
        """List the shards an address names.

        Parameters
        ----------
        item : str
            As the user wrote it.

        Returns
        -------
        list of Shard
            Without names.

        Raises
        ------
        SourceError
            If there is no such file, or it will not be given.
        FetchError
            If it cannot be had for now.
        """
        address, secret = split_secret(item)
        scheme = scheme_of(address)
        try:
            if scheme == "hf":
                return list_hub(address, self.source, self._web, self.patience())
            if scheme == "s3":
                return list_s3(address, self.source, self.patience())
            if address.endswith(".txt"):
                return self._read_list(address, secret)
        except Trouble as trouble:
            raise as_source_error(address, trouble) from None
        if re.search(r"[*\[]", address) or address.endswith("/"):
            raise SourceError(
                f"{show_address(address)}: a web server cannot list its files; name each, or a .txt with one a line"
            )
        if not address.endswith(".parquet"):
            raise SourceError(
                f"{show_address(address)}: only .parquet files are read from elsewhere; download this one"
            )
        return [Shard("", address, secret=secret)]

    def _read_list(self, address: str, secret: str) -> list[Shard]:
        url = f"{address}?{secret}" if secret else address
        answer = self.patience().ask(lambda: self._web.get(url, MAX_LIST_BYTES))
        if not {"content-length", "transfer-encoding"} & set(answer.headers):
            raise SourceError(
                f"{show_address(address)}: the server does not say how long the list is, so that some of it may be "
                "missing; download it"
            )
        lines = answer.body.decode("utf-8-sig", "replace").splitlines()
        names = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
        if not names:
            raise SourceError(f"{show_address(address)}: the list is empty; write one address a line")
        shards = []
        for name in names:
            path, own_secret = split_secret(urljoin(address, name))
            if scheme_of(path) not in WEB or not path.endswith(".parquet"):
                raise SourceError(f"{show_address(address)}: {show_address(name)} is no address of a .parquet file")
            shards.append(Shard("", path, secret=own_secret))
        return shards

    def open(self, shard: Shard) -> RemoteFile:
        """Open a file; nothing is asked yet."""
        scheme = scheme_of(shard.path)
        opened: Opened
        if scheme == "hf":
            opened = HubFile(shard, self.source, self._web)
        elif scheme == "s3":
            opened = S3File(shard, self.source)
        else:
            opened = WebFile(shard, self._web)
        return RemoteFile(opened, shard, self.patience(), self._ranged)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._web.close()


class RemoteFile:
    """One file, read in ranges; every answer must be of the same size and version.

    Parameters
    ----------
    opened : Opened
        How it is asked.
    shard : Shard
        With size and version, where they are known; the first answer tells otherwise.
    patience : Patience
        Of this file.
    ranged : set of str
        Hosts that have served a range; grows.
    """

    def __init__(self, opened: Opened, shard: Shard, patience: Patience, ranged: set[str]) -> None:
        self.size, self.version = shard.size, shard.version
        self._opened, self._patience = opened, patience
        self._ranged, self._host, self._wholes = ranged, "/".join(shard.path.split("/")[:3]), 0

    def read(self, start: int, length: int) -> bytes:
        """Read a range.

        Parameters
        ----------
        start, length : int
            Within the file.

        Returns
        -------
        bytes
            Exactly these.

        Raises
        ------
        Trouble
            If they cannot be had, or the file has changed.
        """
        if not length:
            return b""
        return self._patience.ask(lambda: self._ask(f"bytes={start}-{start + length - 1}", start, length))

    def read_end(self, length: int) -> bytes:
        """Read the last bytes, in one request; learn size and version from the answer.

        Parameters
        ----------
        length : int
            At most.

        Returns
        -------
        bytes
            Fewer if the file is shorter.

        Raises
        ------
        Trouble
            As for `read`.
        """
        if self.size is None:
            try:
                return self._patience.ask(lambda: self._ask(f"bytes=-{length}", None, length))
            except (NoRangesError, DeniedError):
                raise
            except RefusedError:
                # Some servers know no ranges from the end: the first byte tells the size.
                self._patience.ask(lambda: self._ask("bytes=0-0", 0, 1))
        size = self.size or 0
        return self.read(max(0, size - length), min(length, size))

    def _ask(self, span: str, start: int | None, length: int) -> bytes:
        answer, version = self._get(span, length)
        if answer.status == CHANGED:
            raise ChangedError("its version is another one now")
        if self.version and version and version.replace("W/", "") != self.version.replace("W/", ""):
            raise ChangedError("its version is another one now")
        said = CONTENT_RANGE.fullmatch(answer.headers.get("content-range", ""))
        if answer.status == NO_SUCH_RANGE:
            if said is None or (start is None and int(said["size"]) > 0):
                raise RefusedError("the server does not serve this byte range")
            self._fix(int(said["size"]), version)
            if self.size:
                raise PassingError("the server denies a range that the file has")
            return b""
        if answer.status == PARTIAL and (said is None or said["start"] is None):
            raise PassingError("an answer without a Content-Range")
        # 200 is the whole file: it is let through only where no more than that was asked for.
        at, size = (int(said["start"]), int(said["size"])) if said and said["start"] else (0, len(answer.body))
        expected = min(length, size) if start is None else length
        if at != (size - expected if start is None else start) or len(answer.body) != expected:
            raise PassingError(f"{len(answer.body)} bytes from {at} on came, {expected} were expected")
        self._fix(size, version)
        return answer.body

    def _get(self, span: str, length: int) -> tuple[Answer, str]:
        try:
            answer, version = self._opened.get(span, length, self.version)
        except NoRangesError:
            # One machine of many behind an address may not know ranges, or not today; twice, and none of them does.
            self._wholes += 1
            if self._wholes > 1 and self._host not in self._ranged:
                raise
            raise PassingError("the whole file in place of a range") from None
        if answer.status == PARTIAL:
            self._ranged.add(self._host)
        return answer, version

    def _fix(self, size: int, version: str) -> None:
        if self.size is not None and size != self.size:
            raise ChangedError(f"{size} bytes, {self.size} were expected")
        self.size, self.version = size, self.version or version


def as_source_error(address: str, trouble: Trouble) -> SourceError | FetchError:
    """Say of a source what is wrong with it.

    Parameters
    ----------
    address : str
        Without its secret.
    trouble : Trouble
        What happened.

    Returns
    -------
    SourceError or FetchError
        The latter where it is worth another try later.
    """
    text = f"{show_address(address)}: {escape_controls(trouble.reason)}"
    if isinstance(trouble, ExhaustedError):
        return FetchError(f"{text}; run the same command again to resume")
    return SourceError(text)


__all__ = ["ChangedError", "MissingError", "Remote", "RemoteFile", "as_source_error"]
