"""Full hashes of the inputs: nothing else notices a flipped bit (Parquet readers do not, RELIABILITY.md, fact 3)."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tahoe_engine.errors import ConfigError, ShardError, escape_controls

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tahoe_engine.source.shard import Shard

CHECKSUM_FILES = ("SHA256SUMS", "sha256sums.txt", "checksums.sha256")
# sha256sum writes `HASH  NAME` or `HASH *NAME`; a size in bytes may stand between the two.
LINE = re.compile(r"\\?(?P<sha256>[0-9a-fA-F]{64})(?:[ \t]+(?P<size>[0-9]{1,19}))?[ \t]+\*?(?P<name>[^ \t].*)")
CHUNK = 4 << 20
MAX_ENDS = 10_000  # places looked at in one file; a file full of them is hostile
MAGIC = b"PAR1"


@dataclass(frozen=True)
class Checksum:
    """What a file should be: its sha256, and its size where that is known."""

    sha256: str
    size: int | None = None


@dataclass(frozen=True)
class Checksums:
    """A checksum file: look a path up by its end, the longest first.

    Examples
    --------
    >>> sums = Checksums({"data/a.parquet": Checksum("00" * 32)})
    >>> sums.find("/copy/data/a.parquet") is not None, sums.find("/copy/b.parquet")
    (True, None)
    """

    by_name: dict[str, Checksum]

    def find(self, path: str) -> Checksum | None:
        """Give the checksum of a file.

        Parameters
        ----------
        path : str
            Where the file is.

        Returns
        -------
        Checksum or None
            None if the file is not listed.
        """
        parts = Path(os.path.abspath(path)).parts  # noqa: PTH100 - paths are text here
        for start in range(len(parts)):
            found = self.by_name.get("/".join(parts[start:]).replace("//", "/"))
            if found is not None:
                return found
        # The list may have been written from further up than the copy: data/a.parquet for a.parquet alone.
        ends = {sum_ for name, sum_ in self.by_name.items() if name.rpartition("/")[2] == parts[-1]}
        return ends.pop() if len(ends) == 1 else None


def load_checksums(path: str | Path) -> Checksums:
    """Read a checksum file.

    Parameters
    ----------
    path : str or Path
        Lines as ``sha256sum`` writes them; a size in bytes may stand between hash and name.

    Returns
    -------
    Checksums
        By name, without a leading ``./``.

    Raises
    ------
    ConfigError
        If it cannot be read, or a line is of another form.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8-sig", errors="surrogateescape").splitlines()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); name a file made by sha256sum") from error
    by_name: dict[str, Checksum] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("#"):
            continue
        match = LINE.fullmatch(line.rstrip())
        if match is None:
            raise ConfigError(
                f"{path}, line {number}: expected a sha256 and a file name, found {escape_controls(line[:80])!r}"
            )
        name = os.path.normpath(match["name"]).removeprefix("./")
        found = Checksum(match["sha256"].lower(), int(match["size"]) if match["size"] else None)
        if by_name.setdefault(name, found) != found:
            raise ConfigError(f"{path}, line {number}: {escape_controls(name)} stands there twice, with different sums")
    return Checksums(by_name)


def find_checksums(shards: Sequence[Shard]) -> Path | None:
    """Find the checksum file a source brings along.

    Parameters
    ----------
    shards : sequence of Shard
        The source.

    Returns
    -------
    Path or None
        ``SHA256SUMS`` or the like beside the shards or one folder up.
    """
    folders = sorted({Path(shard.path).parent for shard in shards})[:1]
    for folder in (place for first in folders for place in (first, first.parent)):
        for name in CHECKSUM_FILES:
            if (folder / name).is_file():
                return folder / name
    return None


def verify_checksum(path: str, shard: str, expected: Checksum | None) -> str:
    """Hash a file and compare.

    Parameters
    ----------
    path : str
        The file.
    shard : str
        Its name, for the error.
    expected : Checksum or None
        None: it is not in the list.

    Returns
    -------
    str
        Its sha256.

    Raises
    ------
    ShardError
        E_SIZE_MISMATCH or E_CHECKSUM.
    """
    if expected is None:
        raise ShardError(shard, None, None, "E_CHECKSUM", "no checksum is listed for this file")
    size = os.stat(path).st_size  # noqa: PTH116 - paths are text here
    if expected.size is not None and size != expected.size:
        reason = f"{size} bytes, expected {expected.size}"
        raise ShardError(shard, None, None, "E_SIZE_MISMATCH", reason)
    found, whole_at = _hash_file(path, expected.sha256)
    if found == expected.sha256:
        return found
    if whole_at is not None:
        reason = f"the first {whole_at} bytes are the expected file, {size - whole_at} more follow"
        raise ShardError(shard, None, None, "E_SIZE_MISMATCH", reason)
    reason = f"sha256 {found[:16]}…, expected {expected.sha256[:16]}…: download it again"
    raise ShardError(shard, None, None, "E_CHECKSUM", reason)


def verify_bytes(content: bytes, shard: str, expected: Checksum | None) -> str:
    """Hash a file that was fetched whole, and compare.

    Parameters
    ----------
    content : bytes
        All of it.
    shard : str
        Its name, for the error.
    expected : Checksum or None
        None: it is not in the list.

    Returns
    -------
    str
        Its sha256.

    Raises
    ------
    ShardError
        E_SIZE_MISMATCH or E_CHECKSUM.
    """
    if expected is None:
        raise ShardError(shard, None, None, "E_CHECKSUM", "no checksum is listed for this file")
    if expected.size is not None and len(content) != expected.size:
        raise ShardError(shard, None, None, "E_SIZE_MISMATCH", f"{len(content)} bytes, expected {expected.size}")
    found = hashlib.sha256(content).hexdigest()
    if found != expected.sha256:
        reason = f"sha256 {found[:16]}…, expected {expected.sha256[:16]}…: the remote file is damaged"
        raise ShardError(shard, None, None, "E_CHECKSUM", reason)
    return found


def _hash_file(path: str, expected: str) -> tuple[str, int | None]:
    """Hash a file; say also after how many bytes the expected hash was met (something was appended to the file)."""
    hasher = hashlib.sha256()
    done, ends, whole_at = 0, 0, None
    with open(path, "rb") as file:  # noqa: PTH123 - paths are text here
        tail = b""
        while chunk := file.read(CHUNK):
            start = 0
            # Every Parquet file ends with these four bytes: an expected file could end there.
            window, shift = tail + chunk, len(tail)
            at = window.find(MAGIC)
            while at >= 0 and ends < MAX_ENDS:
                ends += 1
                end = at + len(MAGIC) - shift
                hasher.update(memoryview(chunk)[start:end])
                start = max(start, end)
                if whole_at is None and hasher.copy().hexdigest() == expected:
                    whole_at = done + end
                at = window.find(MAGIC, at + 1)
            hasher.update(memoryview(chunk)[start:])
            done += len(chunk)
            tail = window[-3:]
    return hasher.hexdigest(), whole_at
