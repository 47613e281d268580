"""Rows of other formats as a Parquet file in memory: the same checks and kernels for every source."""

from __future__ import annotations

import io
import os
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from tahoe_engine.errors import ShardError
from tahoe_engine.schema import COLUMNS_READ, DRUG, PLATE, SAMPLE
from tahoe_engine.source.lines import Broken, read_lines
from tahoe_engine.source.saved import read_arrow

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tahoe_engine.source.shard import Shard

ROW_GROUP = 1000  # as Tahoe's
STAND_IN = "E_NULL_LIST"  # what the core says of the row that stands for a broken line


@dataclass(frozen=True)
class Image:
    """A slice of a file as Parquet.

    Parameters
    ----------
    content : bytes
        The whole Parquet file.
    digest : str
        Of its footer, as the core makes it.
    broken : dict of int to Broken
        Lines that are no cells, by row.
    """

    content: bytes
    digest: str
    broken: dict[int, Broken] = field(default_factory=dict)

    @property
    def pieces(self) -> list[tuple[int, bytes]]:
        """As the core takes them."""
        return [(0, self.content)]

    def recode(
        self, rejected: Mapping[str, int], wanted: Mapping[str, Sequence[str]], first_row: int, last_row: int
    ) -> dict[str, int]:
        """Say of the rows that the core rejected why they really were.

        Parameters
        ----------
        rejected : mapping
            Rows by code, as in the core's receipt; it knows broken lines as null lists.
        wanted : mapping
            Values to keep, by column.
        first_row, last_row : int
            Rows that were asked for.

        Returns
        -------
        dict
            The same number of rows.
        """
        codes = Counter(
            line.code
            for row, line in self.broken.items()
            if first_row <= row < last_row and all(_text(line, column) in kept for column, kept in wanted.items())
        )
        counts = Counter(rejected)
        for code, number in sorted(codes.items()):
            found = min(number, counts[STAND_IN])
            counts[STAND_IN] -= found
            counts[code] += found
        return {code: number for code, number in counts.items() if number}


def _text(line: Broken, column: str) -> str:
    # As the core reads it.
    text = line.texts.get(column, "")
    return text.strip() if column == DRUG else text


def build_image(shard: Shard, limits: Mapping[str, int], *, reject: bool = False) -> Image:
    """Convert a slice, a batch at a time.

    Parameters
    ----------
    shard : Shard
        With a slice.
    limits : mapping
        The ``[limits]`` section.
    reject : bool
        A line that is no cell becomes a row that the core rejects; without it the first of them is an error.

    Returns
    -------
    Image
        In memory; ``source.rows_a_unit`` bounds it.

    Raises
    ------
    ShardError
        Naming the row of the source file.
    """
    broken: dict[int, Broken] = {}
    found = _probe(shard, _convert(shard, broken if reject else None), limits)
    return Image(found[0], found[1]["footer_digest"], broken)


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


def _convert(shard: Shard, broken: dict[int, Broken] | None = None) -> bytes:
    import pyarrow.parquet as pq

    part = shard.slice
    if part is None:
        raise AssertionError("not a slice")
    read = partial(read_lines, broken=broken) if part.kind == "jsonl" else read_arrow
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
