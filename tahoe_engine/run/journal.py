"""What a stage has done so far, one line a unit: the memory of a run that was interrupted.

Each line is ``CRC32 JSON``. Every launch writes a file of its own, so that one that was taken for dead and wakes up
spoils nothing. What a crash tears is the end of a file: it is dropped, and its units are found by their receipts or
done again.
"""

from __future__ import annotations

import json
import os
import re
import time
import zlib
from typing import TYPE_CHECKING, Any, Self

from tahoe_engine.errors import StageError
from tahoe_engine.run.disk import sync_folder
from tahoe_engine.run.epoch import require_newest
from tahoe_engine.run.layout import flatten

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from tahoe_engine.run.layout import Layout

SYNC_SECONDS = 0.2  # a lost line costs one shard looked at anew, so lines are synced in groups


class Journal:
    """Append records, and read back those of earlier launches.

    Parameters
    ----------
    layout : Layout
        The run, held by this launch.
    stage : str
        Name of the stage.

    Attributes
    ----------
    records : list of dict
        What earlier launches wrote, in order.
    n_torn : int
        Journals of earlier launches whose end a crash had torn; it was cut off.

    Raises
    ------
    StageError
        If a line before a whole one is damaged.
    """

    def __init__(self, layout: Layout, stage: str) -> None:
        self._layout = layout
        self.records: list[dict[str, Any]] = []
        self.n_torn = 0
        for path in list_journals(layout, stage):
            records, whole = read_lines(path)
            self.records += records
            if path.stat().st_size != whole:
                # Torn by a crash: cut off, so that what is damaged later is not taken for that.
                os.truncate(path, whole)
                self.n_torn += 1
        self._path = layout.journal(stage)
        self._file: int | None = None
        self._synced = time.monotonic()

    def append(self, record: dict[str, Any]) -> None:
        """Write one record.

        Parameters
        ----------
        record : dict
            JSON-able, small.

        Raises
        ------
        HeldError
            If a newer launch has taken over: what this one finds is no longer asked for.
        """
        require_newest(self._layout)
        if self._file is None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
            self._file = os.open(self._path, flags, 0o644)
            sync_folder(self._path.parent)
        line = memoryview(encode_line(record))
        while line:
            line = line[os.write(self._file, line) :]
        if time.monotonic() - self._synced > SYNC_SECONDS:
            self.sync()

    def sync(self) -> None:
        """Bring all records to the disk."""
        if self._file is not None:
            os.fsync(self._file)
        self._synced = time.monotonic()

    def close(self) -> None:
        """Sync and close."""
        try:
            self.sync()
        finally:
            if self._file is not None:
                os.close(self._file)
                self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read_journal(layout: Layout, stage: str) -> list[dict[str, Any]]:
    """Read what all launches wrote of a stage.

    Parameters
    ----------
    layout : Layout
        The run.
    stage : str
        Name of the stage.

    Returns
    -------
    list of dict
        In order.

    Raises
    ------
    StageError
        If a line before a whole one is damaged.
    """
    return [record for path in list_journals(layout, stage) for record in read_lines(path)[0]]


def list_journals(layout: Layout, stage: str) -> list[Path]:
    """List the journals of a stage, oldest first.

    Parameters
    ----------
    layout : Layout
        The run.
    stage : str
        Name of the stage.

    Returns
    -------
    list of Path
        One a launch that wrote any.
    """
    name = re.compile(rf"{re.escape(flatten(stage))}-(\d{{6,}})\.jsonl")
    found = [(int(match[1]), path) for path in layout.journals.glob("*.jsonl") if (match := name.fullmatch(path.name))]
    return [path for _, path in sorted(found)]


def encode_line(record: dict[str, Any]) -> bytes:
    """Give a record as a line with its checksum.

    Parameters
    ----------
    record : dict
        JSON-able.

    Returns
    -------
    bytes
        CRC32 in hexadecimal, a blank, JSON, a line feed.
    """
    text = json.dumps(record, sort_keys=True, separators=(",", ":"))
    return f"{zlib.crc32(text.encode()):08x} {text}\n".encode()


def parse_line(line: bytes) -> dict[str, Any] | None:
    """Read a line back.

    Parameters
    ----------
    line : bytes
        As `encode_line` gives it.

    Returns
    -------
    dict or None
        None if it is torn or damaged.
    """
    checksum, blank, text = line[:-1].partition(b" ")
    if line[-1:] != b"\n" or not blank or checksum != f"{zlib.crc32(text):08x}".encode():
        return None
    record = json.loads(text)
    return record if isinstance(record, dict) else None


def read_lines(path: Path) -> tuple[list[dict[str, Any]], int]:
    """Read the records of one file.

    Parameters
    ----------
    path : Path
        A journal.

    Returns
    -------
    records : list of dict
        In order.
    whole : int
        Bytes up to the end of the last whole line: what follows was torn by a crash.

    Raises
    ------
    StageError
        If a whole line follows a damaged one: no crash of ours does that, but a damaged disk or an editor.
    """
    if not path.is_file():
        raise StageError(f"{path}: E_JOURNAL: it is no file; move it away")
    lines = path.read_bytes().split(b"\n")
    records: list[dict[str, Any]] = []
    whole, damaged = 0, None
    for number, text in enumerate(lines[:-1], start=1):
        record = parse_line(text + b"\n")
        if record is None:
            damaged = damaged or number
            continue
        if damaged is not None:
            raise StageError(
                f"{path}, line {damaged}: E_JOURNAL: it is damaged; remove the file to have every part checked anew "
                "(finished parts are recognized by their receipts)"
            )
        records.append(record)
        whole += len(text) + 1
    return records, whole
