"""JSONL: one cell a line, with the columns of the schema; numbers may be written as whole or with a point."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from tahoe_engine.errors import ShardError, SourceError, escape_controls
from tahoe_engine.schema import EXPRESSIONS, GENES_LIST
from tahoe_engine.source.shard import Slice

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

    from tahoe_engine.source.shard import Shard

CHUNK = 1 << 20
MAX_LINE = 8 << 20  # a cell of all 62,710 genes has 1 MB
MAX_SLICE = 512 << 20  # bytes; 16,384 cells of Tahoe's have 330 MB
BATCH, BATCH_BYTES = 500, 16 << 20  # about 10 MB of text
LISTS = (GENES_LIST, EXPRESSIONS)
NUMBERS = {int, float, type(None)}
TEXT = (str, type(None))
BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Broken:
    """A line that is no cell: a null list stands for it, which the core rejects.

    Parameters
    ----------
    code : str
        What is wrong with it.
    texts : dict of str to str
        Its text columns, as far as they can be read: filters come before row checks.
    """

    code: str
    texts: dict[str, str]


def slice_lines(path: str, rows_a_unit: int) -> list[Slice]:
    """Cut a file into slices of so many lines, and hash each.

    Parameters
    ----------
    path : str
        The file. All of it is read: without it nobody knows where the lines are.
    rows_a_unit : int
        Lines of all slices but the last.

    Returns
    -------
    list of Slice
        In order. Blank lines at the end belong to none. Slices of very long lines have fewer of them.

    Raises
    ------
    SourceError
        If it cannot be read, or holds nothing.
    """
    slices: list[Slice] = []
    first = row = start = at = 0
    hasher = hashlib.sha256()

    def cut() -> None:
        nonlocal first, start, hasher
        slices.append(Slice(first, row, start, at, hasher.hexdigest(), "jsonl"))
        first, start, hasher = row, at, hashlib.sha256()

    shown = escape_controls(path)
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - paths are text here
            end = _end_of_lines(file)
            file.seek(0)
            while at < end:
                line = file.readline(min(CHUNK, end - at))
                hasher.update(line)
                at += len(line)
                if line.endswith(b"\n") or at == end or not line:
                    row += 1
                    if row - first == rows_a_unit or at - start >= MAX_SLICE or at == end:
                        cut()
                if not line:
                    raise SourceError(f"{shown}: it became shorter while it was read; try again when it is finished")
    except OSError as error:
        raise SourceError(f"{shown}: cannot be read ({error.strerror})") from error
    if not slices:
        raise SourceError(f"{shown}: the file holds no line; write one cell a line")
    return slices if len(slices) > 1 else [replace(slices[0], whole=True)]


def _end_of_lines(file: Any) -> int:  # noqa: ANN401 - an open file
    """Give the place after the last line that is not blank."""
    size = int(file.seek(0, os.SEEK_END))
    file.seek(max(0, size - CHUNK))
    tail = file.read(CHUNK)
    return size - (len(tail) - len(tail.rstrip()))


def read_lines(
    shard: Shard, columns: Sequence[str], broken: dict[int, Broken] | None = None
) -> Iterator[pa.RecordBatch]:
    """Convert the lines of a slice, a batch at a time.

    Parameters
    ----------
    shard : Shard
        A slice of a file.
    columns : sequence of str
        Those that are wanted; those that its first cell lacks are left out.
    broken : dict, optional
        Filled with the lines that are no cells, by their row in the slice; without it the first of them is an error.

    Yields
    ------
    RecordBatch
        Of at most `BATCH` rows; a broken line is one of null lists.

    Raises
    ------
    ShardError
        Naming the line: E_JSON_LINE, E_TYPE, E_MISSING_COLUMN, or E_INPUT_CHANGED for the whole. Also where no line is
        a cell: then it is another kind of file.
    """
    part = shard.slice
    if part is None:
        raise AssertionError("not a slice")
    hasher = hashlib.sha256()
    batch = _Batch(shard, columns, broken)
    row, n_bytes = part.first_row, 0
    with open(shard.path, "rb") as file:  # noqa: PTH123 - paths are text here
        file.seek(part.start)
        left = part.end - part.start
        while left > 0 and (line := file.readline(min(left, MAX_LINE + 1))):
            long = len(line) > MAX_LINE
            rest = line
            while True:
                hasher.update(rest)
                left -= len(rest)
                # What is left of a line that is too long is passed over.
                if not long or rest.endswith(b"\n") or not (rest := file.readline(min(left, CHUNK))):
                    break
            batch.add(row, b"" if long else line, too_long=long)
            row += 1
            n_bytes += len(line)
            if batch.is_known and (len(batch.cells) >= BATCH or n_bytes >= BATCH_BYTES):
                yield batch.take(row)
                n_bytes = 0
    if hasher.hexdigest() != part.digest or row != part.last_row:
        raise ShardError(shard.name, None, None, "E_INPUT_CHANGED", "the file is not the one that was planned")
    if batch.cells:
        yield batch.take(row)


class _Batch:
    """Cells that wait to be converted together."""

    def __init__(self, shard: Shard, columns: Sequence[str], broken: dict[int, Broken] | None) -> None:
        self.cells: list[dict[str, Any]] = []
        self._shard, self._columns, self._broken = shard, columns, broken
        self._names: list[str] = []
        self._first_error: ShardError | None = None

    @property
    def is_known(self) -> bool:
        """Whether a cell has said what columns there are."""
        return bool(self._names)

    def add(self, row: int, line: bytes, *, too_long: bool) -> None:
        cell: dict[str, Any] = {}
        try:
            if too_long:
                raise _at(self._shard, row, "E_LIMIT_MEMORY", f"a line of more than {MAX_LINE} bytes")
            cell = _parse(self._shard, row, line)
            names = self._names or [name for name in self._columns if name in cell]
            for name in names:
                if name not in cell:
                    raise _at(self._shard, row, "E_MISSING_COLUMN", f"{name!r} is not in it, but in the first line")
                _check(self._shard, row, name, cell[name])
            if not names:
                raise _at(self._shard, row, "E_MISSING_COLUMN", "none of the columns of a cell is in it")
            self._names = names
        except ShardError as error:
            cell = self._set_aside(row, cell, error)
        self.cells.append(cell)

    def _set_aside(self, row: int, cell: dict[str, Any], error: ShardError) -> dict[str, Any]:
        if self._broken is None or self._shard.slice is None:
            raise error from None
        self._first_error = self._first_error or error
        found = {name: cell.get(name) for name in self._columns if name not in LISTS}
        # A null would be counted as an odd text of a cell.
        texts = {name: value if isinstance(value, str) and _is_utf8(value) else "" for name, value in found.items()}
        self._broken[row - self._shard.slice.first_row] = Broken(error.code, texts)
        return dict(texts)

    def take(self, end: int) -> pa.RecordBatch:
        """Convert what waits; ``end`` is the row after the last of it."""
        import pyarrow as pa

        if not self._names and self._first_error is not None:
            raise self._first_error
        first = end - len(self.cells)
        arrays = []
        for name in self._names:
            try:
                arrays.append(_convert(self.cells, name))
            except (pa.ArrowException, ValueError, OverflowError):
                self._find_culprits(first, name)
                return self.take(end)
        self.cells = []
        return pa.record_batch(arrays, names=self._names)

    def _find_culprits(self, first: int, name: str) -> None:
        import pyarrow as pa

        for at, cell in enumerate(self.cells):
            try:
                _convert([cell], name)
            except (pa.ArrowException, ValueError, OverflowError):
                reason = f"{name!r} holds what is no {TYPES.get(name, 'text')}"
                self.cells[at] = self._set_aside(first + at, cell, _at(self._shard, first + at, "E_TYPE", reason))


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _parse(shard: Shard, row: int, line: bytes) -> dict[str, Any]:
    try:
        # One byte order mark at the beginning of a file is nothing to complain about.
        text = (line.removeprefix(BOM) if row == 0 else line).decode()
        cell = json.loads(text.rstrip(), object_pairs_hook=_make_object)
    except json.JSONDecodeError as error:
        reason = f"not JSON at column {error.colno} ({error.msg})" if line.strip() else "blank"
        raise _at(shard, row, "E_JSON_LINE", reason) from None
    except _TwiceError as error:
        raise _at(shard, row, "E_JSON_LINE", f"{error.args[0][:80]!r} is there twice") from None
    except UnicodeDecodeError as error:
        raise _at(shard, row, "E_JSON_LINE", f"not UTF-8 at byte {error.start}") from None
    except RecursionError:
        raise _at(shard, row, "E_JSON_LINE", "nested too deep") from None
    except ValueError:
        raise _at(shard, row, "E_JSON_LINE", "a number of more digits than any cell has") from None
    if not isinstance(cell, dict):
        raise _at(shard, row, "E_JSON_LINE", f"a {type(cell).__name__} where a cell {{...}} is expected")
    return cell


class _TwiceError(Exception):
    """A key stands in one object twice: which of the two values counts, nobody says."""


def _make_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _TwiceError(max(Counter(name for name, _ in pairs).items(), key=itemgetter(1))[0])
    return found


def _check(shard: Shard, row: int, name: str, value: object) -> None:
    """Check the types of one value, row by row: whole columns would not say which line is wrong."""
    if name not in LISTS:
        if not isinstance(value, TEXT):
            raise _at(shard, row, "E_TYPE", f"{name!r} is a {type(value).__name__}, expected a text")
    elif isinstance(value, list):
        # A bool is an int to Python, and a 1 to Arrow.
        wrong = set(map(type, value)) - NUMBERS
        if wrong:
            found = ", ".join(sorted(kind.__name__ for kind in wrong))
            raise _at(shard, row, "E_TYPE", f"{name!r} holds {found}, expected numbers")
    elif value is not None:
        raise _at(shard, row, "E_TYPE", f"{name!r} is a {type(value).__name__}, expected a list of numbers")


TYPES = {GENES_LIST: "list of whole numbers", EXPRESSIONS: "list of numbers"}


def _convert(cells: list[dict[str, Any]], name: str) -> pa.Array:
    import pyarrow as pa

    # A broken line has no lists.
    values = [cell.get(name) for cell in cells]
    if name == EXPRESSIONS:
        return pa.array(values, pa.list_(pa.float64()))
    if name != GENES_LIST:
        return pa.array(values, pa.string())
    if any(float in set(map(type, value or ())) for value in values):
        # Straight to int64, Arrow would cut 3.5 to 3.
        return pa.array(values, pa.list_(pa.float64())).cast(pa.list_(pa.int64()), safe=True)
    return pa.array(values, pa.list_(pa.int64()))


def _at(shard: Shard, row: int, code: str, reason: str) -> ShardError:
    return ShardError(shard.name, None, row, code, f"line {row + 1}: {reason}")
