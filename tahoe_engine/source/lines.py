"""JSONL: one cell a line, with the columns of the schema; numbers may be written as whole or with a point."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tahoe_engine.errors import ShardError, SourceError, escape_controls
from tahoe_engine.schema import EXPRESSIONS, GENES_LIST
from tahoe_engine.source.shard import Slice

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

    from tahoe_engine.source.shard import Shard

CHUNK = 1 << 20
MAX_LINE = 64 << 20  # a cell of all 62,710 genes has 1 MB
BATCH = 500  # rows; about 10 MB of text
LISTS = (GENES_LIST, EXPRESSIONS)
NUMBERS = {int, float, type(None)}
TEXT = (str, type(None))


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
        In order. Blank lines at the end belong to none.

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
                    if row - first == rows_a_unit or at == end:
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


def read_lines(shard: Shard, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Convert the lines of a slice, a batch at a time.

    Parameters
    ----------
    shard : Shard
        A slice of a file.
    columns : sequence of str
        Those that are wanted; those that its first line lacks are left out.

    Yields
    ------
    RecordBatch
        Of at most `BATCH` rows.

    Raises
    ------
    ShardError
        Naming the line: E_JSON_LINE, E_TYPE, E_MISSING_COLUMN, or E_INPUT_CHANGED for the whole.
    """
    part = shard.slice
    if part is None:
        raise AssertionError("not a slice")
    hasher, names, rows = hashlib.sha256(), None, []
    row = part.first_row
    with open(shard.path, "rb") as file:  # noqa: PTH123 - paths are text here
        file.seek(part.start)
        left = part.end - part.start
        while left > 0 and (line := file.readline(min(left, MAX_LINE + 1))):
            hasher.update(line)
            left -= len(line)
            if len(line) > MAX_LINE:
                raise _at(shard, row, "E_LIMIT_MEMORY", f"a line of more than {MAX_LINE} bytes")
            cell = _parse(shard, row, line)
            if names is None:
                names = [name for name in columns if name in cell]
            for name in names:
                if name not in cell:
                    raise _at(shard, row, "E_MISSING_COLUMN", f"{name!r} is not in it, but in the first line")
                _check(shard, row, name, cell[name])
            rows.append(cell)
            row += 1
            if len(rows) == BATCH:
                yield _to_batch(shard, row, rows, names)
                rows = []
    if hasher.hexdigest() != part.digest or row != part.last_row:
        raise ShardError(shard.name, None, None, "E_INPUT_CHANGED", "the file is not the one that was planned")
    if rows:
        yield _to_batch(shard, row, rows, names or [])


def _parse(shard: Shard, row: int, line: bytes) -> dict[str, Any]:
    try:
        cell = json.loads(line.rstrip())
    except (ValueError, RecursionError) as error:
        found = error.msg if isinstance(error, json.JSONDecodeError) else type(error).__name__
        column = f" at column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        raise _at(shard, row, "E_JSON_LINE", f"not JSON{column} ({found})" if line.strip() else "blank") from None
    if not isinstance(cell, dict):
        raise _at(shard, row, "E_JSON_LINE", f"a {type(cell).__name__} where a cell {{...}} is expected")
    return cell


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


def _to_batch(shard: Shard, end: int, rows: list[dict[str, Any]], names: Sequence[str]) -> pa.RecordBatch:
    import pyarrow as pa

    types = {GENES_LIST: pa.list_(pa.int64()), EXPRESSIONS: pa.list_(pa.float64())}

    def convert(cells: list[dict[str, Any]], name: str) -> pa.Array:
        values = [cell[name] for cell in cells]
        if name == GENES_LIST and any(float in set(map(type, value or ())) for value in values):
            # Straight to int64, Arrow would cut 3.5 to 3.
            return pa.array(values, pa.list_(pa.float64())).cast(types[name], safe=True)
        return pa.array(values, types.get(name, pa.string()))

    arrays = []
    for name in names:
        try:
            arrays.append(convert(rows, name))
        except (pa.ArrowException, ValueError, OverflowError):
            for row, cell in enumerate(rows, start=end - len(rows)):
                try:
                    convert([cell], name)
                except (pa.ArrowException, ValueError, OverflowError):
                    reason = f"{name!r} holds what is no {types.get(name, 'text')}"
                    raise _at(shard, row, "E_TYPE", reason) from None
            raise
    return pa.record_batch(arrays, names=list(names))


def _at(shard: Shard, row: int, code: str, reason: str) -> ShardError:
    return ShardError(shard.name, None, row, code, f"line {row + 1}: {reason}")
