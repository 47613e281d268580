"""Rows of other formats as a Parquet file in memory: the same checks and kernels for every source."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tahoe_engine.errors import ShardError
from tahoe_engine.schema import COLUMNS_READ, PLATE, SAMPLE
from tahoe_engine.source.lines import read_lines
from tahoe_engine.source.saved import read_arrow

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tahoe_engine.source.shard import Shard

ROW_GROUP = 1000  # as Tahoe's


@dataclass(frozen=True)
class Image:
    """A slice of a file as Parquet.

    Parameters
    ----------
    content : bytes
        The whole Parquet file.
    digest : str
        Of its footer, as the core makes it.
    """

    content: bytes
    digest: str

    @property
    def pieces(self) -> list[tuple[int, bytes]]:
        """As the core takes them."""
        return [(0, self.content)]


def build_image(shard: Shard, limits: Mapping[str, int]) -> Image:
    """Convert a slice, a batch at a time.

    Parameters
    ----------
    shard : Shard
        With a slice.
    limits : mapping
        The ``[limits]`` section.

    Returns
    -------
    Image
        In memory; ``source.rows_a_unit`` bounds it.

    Raises
    ------
    ShardError
        Naming the row of the source file.
    """
    found = _probe(shard, _convert(shard), limits)
    return Image(found[0], found[1]["footer_digest"])


def probe_image(shard: Shard, limits: Mapping[str, int]) -> Mapping[str, Any]:
    """Convert a slice and read the distinct values of its text columns.

    Parameters
    ----------
    shard : Shard
        With a slice.
    limits : mapping
        The ``[limits]`` section.

    Returns
    -------
    mapping
        As `_rust.probe_shard` gives it.

    Raises
    ------
    ShardError
        Naming the row of the source file.
    """
    return _probe(shard, _convert(shard), limits, values=True)[1]


def _probe(
    shard: Shard, content: bytes, limits: Mapping[str, int], *, values: bool = False
) -> tuple[bytes, Mapping[str, Any]]:
    from tahoe_engine import _rust

    pieces = [(0, content)]
    try:
        found = _rust.probe_shard(shard.path, shard.name, dict(limits), values=values, size=len(content), pieces=pieces)
    except ShardError as error:
        raise place_error(error, shard) from None
    return content, found


def _convert(shard: Shard) -> bytes:
    import pyarrow.parquet as pq

    part = shard.slice
    if part is None:
        raise AssertionError("not a slice")
    read = read_lines if part.kind == "jsonl" else read_arrow
    buffer, writer = io.BytesIO(), None
    try:
        for batch in read(shard, COLUMNS_READ["all"]):
            if writer is None:
                # Statistics of these two let a filter skip row groups; compression would cost more than it saves.
                known = [name for name in (PLATE, SAMPLE) if name in batch.schema.names]
                writer = pq.ParquetWriter(buffer, batch.schema, compression="NONE", write_statistics=known or False)
            if batch.num_rows:
                writer.write_batch(batch, row_group_size=ROW_GROUP)
    except OSError as error:
        reason = f"cannot be read: {os.strerror(error.errno or 0)}"
        raise ShardError(shard.name, None, None, "E_IO", reason) from None
    if writer is None:
        raise ShardError(shard.name, None, None, "E_INPUT_CHANGED", "the file holds no row any more")
    writer.close()
    return buffer.getvalue()


def place_error(error: ShardError, shard: Shard) -> ShardError:
    """Say where in the source file a defect is that the core found in a slice.

    Parameters
    ----------
    error : ShardError
        Its row counts from the first of the slice; the row group is one of the image, which nobody sees.
    shard : Shard
        With or without a slice.

    Returns
    -------
    ShardError
        Its row counts from the first of the file.
    """
    part = shard.slice
    if part is None:
        return error
    if error.row is None:
        return ShardError(error.shard, None, None, error.code, error.reason)
    row = error.row + part.first_row
    reason = f"line {row + 1}: {error.reason}" if part.kind == "jsonl" else error.reason
    return ShardError(error.shard, None, row, error.code, reason)
