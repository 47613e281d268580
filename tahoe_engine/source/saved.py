"""Folders saved by Hugging Face `datasets` (``save_to_disk``): Arrow streams, read through memory maps."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tahoe_engine.errors import ShardError, SourceError, escape_controls
from tahoe_engine.source.shard import Slice

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import pyarrow as pa

    from tahoe_engine.source.shard import Shard

STATE, SPLITS = "state.json", "dataset_dict.json"
MAX_STATE = 16 << 20
ENDS = 1 << 16
END = b"\xff\xff\xff\xff\0\0\0\0"  # what every writer puts after the last batch


def is_saved(folder: Path) -> bool:
    """Tell whether a folder was saved by `datasets`.

    Parameters
    ----------
    folder : Path
        Any folder.

    Returns
    -------
    bool
        True for a data set and for one of several splits.
    """
    return (folder / STATE).is_file() or (folder / SPLITS).is_file()


def list_saved(folder: Path) -> list[str]:
    """List the Arrow files of a saved data set.

    Parameters
    ----------
    folder : Path
        As `is_saved` knows it.

    Returns
    -------
    list of str
        In the order of its rows.

    Raises
    ------
    SourceError
        If it has several splits, or is not whole.
    """
    shown = escape_controls(str(folder))
    if not (folder / STATE).is_file():
        splits = _load(folder / SPLITS).get("splits")
        names = [str(name) for name in splits] if isinstance(splits, list) else []
        if len(names) == 1:
            return list_saved(folder / _plain(names[0], shown))
        raise SourceError(
            f"{shown}: it has the splits {', '.join(map(escape_controls, names))}; name the folder of one"
        )
    state = _load(folder / STATE)
    if state.get("_indices_data_files"):
        raise SourceError(f"{shown}: its rows are chosen by an index; save it again after flatten_indices()")
    files = state.get("_data_files")
    names = [str(file.get("filename")) for file in files if isinstance(file, dict)] if isinstance(files, list) else []
    if not names:
        raise SourceError(f"{shown}: {STATE} names no Arrow file; save the data set again")
    paths = [folder / _plain(name, shown) for name in names]
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        raise SourceError(f"{shown}: {len(missing)} of its {len(paths)} files are missing, first {missing[0]!r}")
    return list(map(str, paths))


def _plain(name: str, shown: str) -> str:
    if name != os.path.basename(name) or name in {"", ".", ".."}:  # noqa: PTH119 - a name, not a path
        raise SourceError(f"{shown}: {escape_controls(name)!r} is not a file in this folder")
    return name


def _load(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_STATE:
            raise SourceError(f"{escape_controls(str(path))}: larger than any that `datasets` writes")
        state = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise SourceError(f"{escape_controls(str(path))}: damaged; save the data set again") from error
    return state if isinstance(state, dict) else {}


def slice_arrow(path: str, rows_a_unit: int) -> list[Slice]:
    """Cut an Arrow file into slices of so many rows.

    Parameters
    ----------
    path : str
        A stream, as `datasets` writes it.
    rows_a_unit : int
        Rows of all slices but the last.

    Returns
    -------
    list of Slice
        In order; one of no rows for a file without any.

    Raises
    ------
    SourceError
        If it cannot be read.
    """
    import pyarrow as pa

    try:
        lengths, digest, size = _describe(path)
    except (OSError, pa.ArrowException) as error:
        reason = escape_controls(str(error).splitlines()[0] if str(error) else type(error).__name__)
        raise SourceError(f"{escape_controls(path)}: not a whole Arrow stream ({reason})") from None
    total = sum(lengths)
    firsts = range(0, total, rows_a_unit) if total else (0,)
    # Rows cannot be reached by their place: it only says how large a slice is, roughly.
    ends = [(first, min(total, first + rows_a_unit)) for first in firsts]
    place = size / max(1, total)
    return [Slice(a, b, int(a * place), int(b * place), digest, "arrow", whole=len(ends) == 1) for a, b in ends]


def _describe(path: str) -> tuple[list[int], str, int]:
    """Give rows of each batch, a digest and the size; batches are mapped, not read."""
    import pyarrow as pa

    size = os.stat(path).st_size  # noqa: PTH116 - paths are text here
    with pa.memory_map(path) as mapped, pa.ipc.open_stream(mapped) as stream:
        schema = stream.schema.serialize().to_pybytes()
        lengths = [batch.num_rows for batch in stream]
        end = mapped.tell()
        mapped.seek(max(0, end - len(END)))
        # A stream that is cut between two batches is one to its reader: only the mark tells that nothing is missing.
        if end != size or mapped.read(len(END)) != END:
            raise pa.ArrowInvalid("bytes follow its end" if end < size else "its end is missing")
    hasher = hashlib.sha256(schema + json.dumps([size, lengths]).encode())
    with open(path, "rb") as file:  # noqa: PTH123 - paths are text here
        hasher.update(file.read(ENDS))
        file.seek(max(0, size - ENDS))
        hasher.update(file.read(ENDS))
    return lengths, hasher.hexdigest(), size


@contextmanager
def _open(path: str) -> Iterator[Any]:
    import pyarrow as pa

    with pa.memory_map(path) as file, pa.ipc.open_stream(file) as stream:
        yield stream


def read_arrow(shard: Shard, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Give the rows of a slice, batch by batch.

    Parameters
    ----------
    shard : Shard
        A slice of a file.
    columns : sequence of str
        Those that are wanted, as far as they are there.

    Yields
    ------
    RecordBatch
        Checked as data of a stranger must be.

    Raises
    ------
    ShardError
        E_INPUT_CHANGED, E_DUPLICATE_COLUMN, or E_DECODE where the file is damaged.
    """
    import pyarrow as pa

    part = shard.slice
    if part is None:
        raise AssertionError("not a slice")
    try:
        if _describe(shard.path)[1] != part.digest:
            raise ShardError(shard.name, None, None, "E_INPUT_CHANGED", "the file is not the one that was planned")
        with _open(shard.path) as stream:
            names = [name for name in columns if name in stream.schema.names]
            twice = [name for name in names if stream.schema.names.count(name) > 1]
            if twice:
                raise ShardError(shard.name, None, None, "E_DUPLICATE_COLUMN", f"{twice[0]!r} is there twice")
            first = 0
            fields = [stream.schema.field(name) for name in names]
            # A file of no rows has columns too.
            yield pa.record_batch([pa.array([], field.type) for field in fields], schema=pa.schema(fields))
            for batch in stream:
                start, end = max(part.first_row - first, 0), min(part.last_row - first, batch.num_rows)
                if start < end:
                    chosen = batch.select(names).slice(start, end - start)
                    # The buffers are a stranger's: offsets that lead astray are found here, not in the writer.
                    chosen.validate(full=True)
                    yield chosen
                first += batch.num_rows
    except pa.ArrowException as error:
        reason = escape_controls(str(error).splitlines()[0] if str(error) else type(error).__name__)
        raise ShardError(shard.name, None, None, "E_DECODE", f"the Arrow stream is damaged: {reason}") from None
