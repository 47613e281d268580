"""Read the footers of many shards at once: rows, row groups, schema, sizes and identity."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tahoe_engine.errors import ShardError
from tahoe_engine.schema import COLUMNS_READ
from tahoe_engine.sections import SourceSettings
from tahoe_engine.source.address import scheme_of
from tahoe_engine.source.fetched import find_tail, probe_tail
from tahoe_engine.source.images import probe_image
from tahoe_engine.source.kept import KeptTails
from tahoe_engine.source.lines import LISTS
from tahoe_engine.source.remote import Remote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from tahoe_engine.source.shard import Shard


@dataclass(frozen=True)
class Footer:
    """What a shard's footer says.

    Parameters
    ----------
    shard : Shard
        Whose it is.
    size : int
        Bytes of the file.
    digest : str
        Hash of the footer; with the size it is the shard's identity.
    row_groups : tuple of int
        Rows of each row group.
    columns : tuple of dict
        Of each column: name, type, codecs, encodings, compressed_bytes, uncompressed_bytes, n_values.
    extra_columns : tuple of str
        Columns that are not part of Tahoe's schema.
    ranges : dict
        Of `plate` and `sample`, for each row group: (least, greatest) or None.
    values : dict
        Distinct values of the key columns, where they were asked for.
    """

    shard: Shard
    size: int
    digest: str
    row_groups: tuple[int, ...]
    columns: tuple[dict[str, Any], ...] = ()
    extra_columns: tuple[str, ...] = ()
    ranges: dict[str, list[tuple[str, str] | None]] = field(default_factory=dict)
    values: dict[str, list[str]] = field(default_factory=dict)
    created_by: str | None = None
    huggingface: bool = False

    @property
    def n_rows(self) -> int:
        """Rows of the shard."""
        return sum(self.row_groups)


def read_footers(  # noqa: PLR0913 - each is one question that a plan answers
    shards: Sequence[Shard],
    limits: Mapping[str, int],
    *,
    threads: int = 8,
    values: bool = False,
    on_footer: Callable[[int], None] | None = None,
    source: SourceSettings | None = None,
    kept: Path | None = None,
) -> list[Footer | ShardError]:
    """Read the footer of every shard, some at a time.

    Parameters
    ----------
    shards : sequence of Shard
        As `find_shards` gives them.
    limits : mapping
        The ``[limits]`` section.
    threads : int
        Footers read at once; the core releases the GIL.
    values : bool
        Read the distinct plates, lines, drugs and samples too.
    on_footer : callable, optional
        Called with the number of footers read so far.
    source : SourceSettings, optional
        How remote shards are asked.
    kept : Path, optional
        Folder where the footers of remote shards are kept, and found again.

    Returns
    -------
    list of Footer or ShardError
        In the order of `shards`; an error stands in the place of a shard that cannot be used.

    Raises
    ------
    SourceError
        If a remote shard is not there, or is not given.
    FetchError
        If one cannot be had for now; those that were fetched are kept.
    """
    tails = None if kept is None else KeptTails(kept)

    def read(shard: Shard) -> Footer | ShardError:
        if scheme_of(shard.path):
            return read_remote_footer(shard, limits, remote, tails, values=values)
        return read_footer(shard, limits, values=values)

    footers: list[Footer | ShardError] = []
    with (
        Remote(source or SourceSettings()) as remote,
        ThreadPoolExecutor(max_workers=threads, thread_name_prefix="footers") as pool,
    ):
        for number, footer in enumerate(_ordered(pool, read, shards), start=1):
            footers.append(footer)
            if on_footer is not None:
                on_footer(number)
    return footers


def _ordered(
    pool: ThreadPoolExecutor, read: Callable[[Shard], Footer | ShardError], shards: Sequence[Shard]
) -> Iterator[Footer | ShardError]:
    try:
        yield from pool.map(read, shards)
    except BaseException:
        # Ctrl-C must not wait for thousands of footers.
        pool.shutdown(wait=False, cancel_futures=True)
        raise


def read_footer(shard: Shard, limits: Mapping[str, int], *, values: bool = False) -> Footer | ShardError:
    """Read one footer.

    Parameters
    ----------
    shard : Shard
        Which.
    limits : mapping
        The ``[limits]`` section.
    values : bool
        As in `read_footers`.

    Returns
    -------
    Footer or ShardError
        The error is returned, not raised: one bad shard is no reason to stop looking at the others.
    """
    from tahoe_engine import _rust

    if shard.slice is not None:
        return _read_slice(shard, limits, values=values)
    try:
        # Opening a pipe would wait for a writer that never comes.
        if not stat.S_ISREG(os.stat(shard.path).st_mode):  # noqa: PTH116 - paths are text here
            return ShardError(shard.name, None, None, "E_IO", "not a regular file")
        found = _rust.probe_shard(shard.path, shard.name, dict(limits), values=values)
    except ShardError as error:
        return hide_path(error, shard.path)
    except OSError as error:
        return ShardError(shard.name, None, None, "E_IO", f"cannot be read: {error.strerror}")
    except UnicodeEncodeError:
        return ShardError(shard.name, None, None, "E_IO", "the file name is not valid UTF-8; rename it or link to it")
    return _make_footer(shard, found)


def read_remote_footer(
    shard: Shard, limits: Mapping[str, int], remote: Remote, kept: KeptTails | None, *, values: bool = False
) -> Footer | ShardError:
    """Read the footer of a shard that lies elsewhere.

    Parameters
    ----------
    shard : Shard
        Which.
    limits : mapping
        The ``[limits]`` section.
    remote : Remote
        The way there.
    kept : KeptTails or None
        Where footers are kept.
    values : bool
        As in `read_footers`; the text columns are fetched for it.

    Returns
    -------
    Footer or ShardError
        Its shard has the size and the version that were found.

    Raises
    ------
    SourceError, FetchError
        If it is not there, not given, or cannot be had for now: nothing that is wrong with its data.
    """
    try:
        tail = find_tail(shard, remote, kept, limits)
        return _make_footer(tail.shard, probe_tail(tail, remote, limits, values=values))
    except ShardError as error:
        return hide_path(error, shard.path)


def _read_slice(shard: Shard, limits: Mapping[str, int], *, values: bool) -> Footer | ShardError:
    part = shard.slice
    if part is None:
        raise AssertionError("not a slice")
    size = part.end - part.start
    # The text of a cell is nearly all genes and expressions; what it is when converted, only converting tells.
    facts = {"type": part.kind, "codecs": [], "encodings": [], "n_values": 0}
    share = {name: size // 2 if name in LISTS else 0 for name in COLUMNS_READ["all"]}
    columns: list[dict[str, Any]] = [
        {"name": name, **facts, "compressed_bytes": part_size, "uncompressed_bytes": part_size}
        for name, part_size in share.items()
    ]
    found: Mapping[str, Any] = {"columns": columns, "values": {}}
    if values:
        try:
            found = probe_image(shard, limits)
        except ShardError as error:
            return hide_path(error, shard.path)
    return Footer(
        shard=shard,
        size=size,
        digest=part.digest,
        row_groups=(part.n_rows,),
        columns=tuple(dict(column) for column in found["columns"]),
        values=found["values"],
        created_by=part.kind,
    )


def _make_footer(shard: Shard, found: Mapping[str, Any]) -> Footer:
    return Footer(
        shard=shard,
        size=found["size"],
        digest=found["footer_digest"],
        row_groups=tuple(found["row_groups"]),
        columns=tuple(dict(column) for column in found["columns"]),
        extra_columns=tuple(found["extra_columns"]),
        ranges=found["ranges"],
        values=found["values"],
        created_by=found["created_by"],
        huggingface=found["huggingface"],
    )


def hide_path(error: ShardError, path: str) -> ShardError:
    """Take the folder out of an error's reason: manifests of equal runs are equal on every machine.

    Parameters
    ----------
    error : ShardError
        As the core raised it.
    path : str
        Path of the shard.

    Returns
    -------
    ShardError
        The same, with the file's name in place of its path.
    """
    reason = error.reason.replace(path, os.path.basename(path))  # noqa: PTH119 - paths are text here
    return ShardError(error.shard, error.row_group, error.row, error.code, reason)
