"""What a stage has done so far, one line a unit: the memory of a run that was interrupted.

Each line is ``CRC32 JSON``. A line torn by a crash can only be the last one: it is dropped and its unit done again.
"""

from __future__ import annotations

import json
import os
import time
import zlib
from typing import TYPE_CHECKING, Any, Self

from tahoe_engine.errors import StageError

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

SYNC_SECONDS = 0.2  # a lost line costs one shard done twice, so lines are synced in groups


class Journal:
    """Append records, and read back those of earlier launches.

    Parameters
    ----------
    path : Path
        The journal's file; it need not exist.

    Attributes
    ----------
    records : list of dict
        What stood in the journal when it was opened.

    Raises
    ------
    StageError
        If a line before the last is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.records, whole = read_journal(path)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        if os.fstat(self._file).st_size != whole:
            os.ftruncate(self._file, whole)
        self._synced = time.monotonic()

    def append(self, record: dict[str, Any]) -> None:
        """Write one record.

        Parameters
        ----------
        record : dict
            JSON-able, small.
        """
        text = json.dumps(record, sort_keys=True, separators=(",", ":"))
        line = memoryview(f"{zlib.crc32(text.encode()):08x} {text}\n".encode())
        while line:
            line = line[os.write(self._file, line) :]
        if time.monotonic() - self._synced > SYNC_SECONDS:
            self.sync()

    def sync(self) -> None:
        """Bring all records to the disk."""
        os.fsync(self._file)
        self._synced = time.monotonic()

    def close(self) -> None:
        """Sync and close."""
        try:
            self.sync()
        finally:
            os.close(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read_journal(path: Path) -> tuple[list[dict[str, Any]], int]:
    """Read the records of a journal.

    Parameters
    ----------
    path : Path
        The journal's file.

    Returns
    -------
    records : list of dict
        In order.
    whole : int
        Bytes up to the end of the last whole line.

    Raises
    ------
    StageError
        If a line before the last is damaged: that is no crash of ours but a damaged disk or an editor.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return [], 0
    lines = content.splitlines(keepends=True)
    records: list[dict[str, Any]] = []
    whole = 0
    for number, line in enumerate(lines, start=1):
        record = _parse(line)
        if record is None:
            if number == len(lines):
                break
            raise StageError(
                f"{path}, line {number} is damaged; remove the file to check every part anew "
                "(finished parts are recognized by their content)"
            )
        records.append(record)
        whole += len(line)
    return records, whole


def _parse(line: bytes) -> dict[str, Any] | None:
    checksum, blank, text = line.rstrip(b"\n").partition(b" ")
    if not line.endswith(b"\n") or not blank or checksum != f"{zlib.crc32(text):08x}".encode():
        return None
    record = json.loads(text)
    return record if isinstance(record, dict) else None
