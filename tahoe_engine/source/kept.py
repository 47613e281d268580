"""Footers of remote shards, kept with the run: fetched once, read by every worker and by a resume."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from uuid import uuid4

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tahoe_engine.source.remote import RemoteFile
    from tahoe_engine.source.shard import Shard

GUESS = 64 << 10  # holds the footer of 28 row groups of ten columns, and of most others
MAGICS = (b"PAR1", b"PARE")
HEAD = 48  # what the core looks at
FORMAT = "tahoe-footer-1"


@dataclass(frozen=True)
class Tail:
    """The end of a remote file.

    Parameters
    ----------
    shard : Shard
        With the size and the version it had.
    head : bytes
        Its first bytes: the real ones where the end is no Parquet's, else those that the core expects. They save a
        request for each of thousands of footers; whoever scans the shard fetches and checks the real ones.
    tail : bytes
        Its last bytes: at least the footer.
    """

    shard: Shard
    head: bytes
    tail: bytes

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self.shard.size or 0

    @property
    def start(self) -> int:
        """Where the tail begins."""
        return self.size - len(self.tail)

    @property
    def pieces(self) -> list[tuple[int, bytes]]:
        """Both ends, as the core wants them to read the footer."""
        if self.start == 0:
            return [(0, self.tail)]
        return [(0, self.head[: self.size]), (self.start, self.tail)]


def fetch_tail(shard: Shard, file: RemoteFile, limits: Mapping[str, int]) -> Tail:
    """Fetch the end of a file: a guess first, the rest of the footer if that was too little.

    Parameters
    ----------
    shard : Shard
        Which.
    file : RemoteFile
        Opened.
    limits : mapping
        The ``[limits]`` section: no longer footer is fetched.

    Returns
    -------
    Tail
        Whatever it is; the core judges it.

    Raises
    ------
    Trouble
        If it cannot be had.
    """
    tail = file.read_end(GUESS)
    size = file.size or 0
    known = replace(shard, size=size, version=file.version)
    if tail[-4:] not in MAGICS:
        # No Parquet: its beginning says what it is instead.
        head = tail if len(tail) == size else file.read(0, min(HEAD, size))
        return Tail(known, head, tail)
    length = int.from_bytes(tail[-8:-4], "little", signed=True) + 8 if len(tail) >= 8 else 0  # noqa: PLR2004
    if len(tail) < length <= min(size, limits["footer_bytes"] + 8):
        tail = file.read(size - length, length - len(tail)) + tail
    return Tail(known, MAGICS[0].ljust(HEAD, b"\0"), tail)


class KeptTails:
    """A folder with the ends of remote files.

    Parameters
    ----------
    folder : Path
        Made when the first is kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, shard: Shard) -> Tail | None:
        """Give what is kept of a shard.

        Parameters
        ----------
        shard : Shard
            By name; its address must be the same, and size and version where a listing gave them.

        Returns
        -------
        Tail or None
            None if there is nothing of use.
        """
        try:
            line, _, content = self._path(shard).read_bytes().partition(b"\n")
            facts = json.loads(line)
            head, tail = content[: facts["head"]], content[facts["head"] :]
            same = facts["format"] == FORMAT and facts["address"] == shard.path
            same = same and shard.size in (None, facts["size"]) and shard.version in ("", facts["version"])
            if not same or hashlib.sha256(content).hexdigest() != facts["sha256"]:
                return None
            return Tail(replace(shard, size=facts["size"], version=facts["version"]), head, tail)
        except (OSError, ValueError, KeyError, TypeError):
            return None  # torn, or of another version: it is fetched again

    def keep(self, tail: Tail) -> None:
        """Keep the end of a shard.

        Parameters
        ----------
        tail : Tail
            It replaces an older one. Not synced: lost in a power failure, it is fetched again.
        """
        content = tail.head + tail.tail
        facts = {
            "format": FORMAT,
            "address": tail.shard.path,
            "size": tail.size,
            "version": tail.shard.version,
            "head": len(tail.head),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._path(tail.shard)
        temporary = path.with_suffix(f".{uuid4().hex}")
        try:
            temporary.write_bytes(json.dumps(facts).encode() + b"\n" + content)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)

    def forget(self, shard: Shard) -> None:
        """Remove what is kept of a shard: it has changed since."""
        self._path(shard).unlink(missing_ok=True)

    def _path(self, shard: Shard) -> Path:
        return self._folder / f"{shard.name}.footer"
