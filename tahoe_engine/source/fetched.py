"""Remote shards: their footers, and the pieces of them that a scan needs."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from tahoe_engine.errors import FetchError, ShardError, escape_controls
from tahoe_engine.schema import COLUMNS_READ, EXPRESSIONS
from tahoe_engine.source.address import show_address
from tahoe_engine.source.kept import HEAD, KeptTails, Tail, fetch_tail
from tahoe_engine.source.remote import Remote, as_source_error
from tahoe_engine.source.trouble import ChangedError, MissingError, Trouble

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tahoe_engine.sections import SourceSettings
    from tahoe_engine.source.remote import RemoteFile
    from tahoe_engine.source.shard import Shard

LONGEST_RANGE = 8 << 20  # so that several connections share the work, and a torn answer costs little


def find_tail(shard: Shard, remote: Remote, kept: KeptTails | None, limits: Mapping[str, int]) -> Tail:
    """Give the end of a remote shard: the one that is kept, or else fetch it.

    Parameters
    ----------
    shard : Shard
        Which.
    remote : Remote
        The way there.
    kept : KeptTails or None
        Where ends are kept.
    limits : mapping
        The ``[limits]`` section.

    Returns
    -------
    Tail
        With the shard's size and version.

    Raises
    ------
    SourceError, FetchError
        If it cannot be had, now or at all.
    ShardError
        E_INPUT_CHANGED if it is not what the listing said.
    """
    found = kept.find(shard) if kept is not None else None
    if found is not None and kept is not None and not _is_still(shard, found, remote):
        kept.forget(shard)
        found = None
    if found is None:
        try:
            found = fetch_tail(shard, remote.open(shard), limits)
        except ChangedError as trouble:
            raise _changed(shard, trouble) from None
        except Trouble as trouble:
            raise as_source_error(shard.path, trouble) from None
        if kept is not None:
            # Keeping saves a request; a full disk is told by what must be written.
            with suppress(OSError):
                kept.keep(found)
    return found


def _is_still(shard: Shard, kept: Tail, remote: Remote) -> bool:
    """Ask whether a file is the one whose end is kept, where no listing has just said so."""
    if shard.version:
        return True
    if not kept.shard.version or not kept.size:
        return False  # of a server that tells neither ETag nor date only the bytes tell
    try:
        remote.open(kept.shard).read(0, 1)
    except ChangedError:
        return False
    except Trouble as trouble:
        raise as_source_error(shard.path, trouble) from None
    return True


def probe_tail(tail: Tail, remote: Remote, limits: Mapping[str, int], *, values: bool) -> Mapping[str, Any]:
    """Let the core read a fetched footer.

    Parameters
    ----------
    tail : Tail
        As `find_tail` gives it.
    remote : Remote
        The way to the text columns.
    limits : mapping
        The ``[limits]`` section.
    values : bool
        Read the distinct values of the text columns too; they are fetched for it.

    Returns
    -------
    mapping
        As `_rust.probe_shard` gives it.

    Raises
    ------
    ShardError
        With the code of what is wrong.
    SourceError, FetchError
        If the text columns cannot be had.
    """
    from tahoe_engine import _rust

    shard = tail.shard
    found = _rust.probe_shard(shard.path, shard.name, dict(limits), size=tail.size, pieces=tail.pieces)
    if not values:
        return found
    try:
        more = _read_all(remote.open(shard), _text_ranges(tail), tail, remote.source)
    except ChangedError as trouble:
        raise _changed(shard, trouble) from None
    except Trouble as trouble:
        raise as_source_error(shard.path, trouble) from None
    pieces = [*tail.pieces, *more]
    return _rust.probe_shard(shard.path, shard.name, dict(limits), values=True, size=tail.size, pieces=pieces)


def fetch_pieces(
    shard: Shard,
    source: SourceSettings,
    kept: KeptTails,
    limits: Mapping[str, int],
    *,
    whole: bool = False,
    **request: Any,  # noqa: ANN401 - the options of the core
) -> list[tuple[int, bytes]]:
    """Fetch what a scan will read of a shard, and nothing else.

    Parameters
    ----------
    shard : Shard
        As it was planned.
    source : SourceSettings
        Its section.
    kept : KeptTails
        Where its footer is.
    limits : mapping
        The ``[limits]`` section.
    whole : bool
        Fetch all of it, to hash it.
    **request : object
        As for `_rust.needed_ranges`: stats, plates, samples, first_row, last_row.

    Returns
    -------
    list of (int, bytes)
        Offset and bytes.

    Raises
    ------
    ShardError
        E_INPUT_CHANGED if it is another file now, or gone; or what is wrong with its footer.
    FetchError
        If it cannot be had for now.
    """
    from tahoe_engine import _rust

    try:
        with Remote(source) as remote:
            file = remote.open(shard)
            if whole:
                return [(0, file.read(0, shard.size or 0))]
            tail = kept.find(shard) or fetch_tail(shard, file, limits)
            needed = _rust.needed_ranges(shard.name, size=tail.size, pieces=tail.pieces, limits=dict(limits), **request)
            # The first bytes too: the plan took them to be right.
            pieces = _read_all(file, [(0, min(HEAD, tail.size)), *needed], tail, source)
            return [*pieces, (tail.start, tail.tail)]
    except (ChangedError, MissingError) as trouble:
        kept.forget(shard)
        raise _changed(shard, trouble) from None
    except Trouble as trouble:
        # No access any more, or no answer: nothing is known against the data.
        raise FetchError(f"{show_address(shard.path)}: {escape_controls(trouble.reason)}") from None


def _read_all(
    file: RemoteFile, ranges: Sequence[tuple[int, int]], tail: Tail, source: SourceSettings
) -> list[tuple[int, bytes]]:
    missing = [(start, length) for start, length in ranges if start < tail.start or start + length > tail.size]
    joined = coalesce(missing, source.gap_bytes)
    if not joined:
        return []
    pool = ThreadPoolExecutor(max_workers=min(source.connections, len(joined)), thread_name_prefix="fetch")
    try:
        parts = list(pool.map(lambda one: file.read(*one), joined))
    finally:
        # The first failure is the answer; what has not begun need not begin.
        pool.shutdown(wait=True, cancel_futures=True)
    return [(start, part) for (start, _), part in zip(joined, parts, strict=True)]


def _text_ranges(tail: Tail) -> list[tuple[int, int]]:
    """Give the column chunks of the text columns; the core has checked the footer before."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        groups = pq.read_metadata(pa.BufferReader(tail.tail))
    except (pa.ArrowException, OSError):
        return []
    ranges = []
    for group in (groups.row_group(index) for index in range(groups.num_row_groups)):
        for column in (group.column(index) for index in range(group.num_columns)):
            if column.path_in_schema not in COLUMNS_READ["summary"] or column.path_in_schema == EXPRESSIONS:
                continue
            start = column.dictionary_page_offset if column.has_dictionary_page else None
            ranges.append((start or column.data_page_offset, column.total_compressed_size))
    return [(start, length) for start, length in ranges if 0 <= start <= start + length <= tail.size]


def _changed(shard: Shard, trouble: Trouble) -> ShardError:
    return ShardError(shard.name, None, None, "E_INPUT_CHANGED", f"not the file that was planned: {trouble.reason}")


def coalesce(ranges: Sequence[tuple[int, int]], gap: int, most: int = LONGEST_RANGE) -> list[tuple[int, int]]:
    """Join ranges that lie close together, as long as they do not get too long.

    Parameters
    ----------
    ranges : sequence of (int, int)
        Offset and length.
    gap : int
        Bytes that may be fetched for nothing to save a request.
    most : int
        No joined range is longer; a range is never cut.

    Returns
    -------
    list of (int, int)
        Ascending.

    Examples
    --------
    >>> coalesce([(100, 50), (0, 90), (200, 10)], gap=10)
    [(0, 150), (200, 10)]
    """
    joined: list[tuple[int, int]] = []
    for start, length in sorted(ranges):
        if joined:
            first, before = joined[-1]
            end = max(first + before, start + length)
            inside = start + length <= first + before
            if inside or (start - (first + before) <= gap and end - first <= most):
                joined[-1] = (first, end - first)
                continue
        joined.append((start, length))
    return joined
