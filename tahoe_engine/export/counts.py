"""The counts of a run's cells, read from the shards they were scanned from."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from tahoe_engine.errors import ShardError, StageError
from tahoe_engine.export.report import read_manifest_of
from tahoe_engine.run import Layout
from tahoe_engine.source import (
    KeptTails,
    fetch_rows,
    find_shards,
    move_shards,
    place_error,
    require_open,
    restore_shards,
)
from tahoe_engine.vocabulary import mitochondrial

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence

    import numpy as np
    import polars as pl

    from tahoe_engine.config import Settings
    from tahoe_engine.run import Run
    from tahoe_engine.source import Recorded

    Found = tuple[int, str, list[tuple[int, bytes]] | None]  # as `fetch_rows` gives it
    Source = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]

ENTRIES = 4_000_000  # of a block: 48 MB in all its forms


@dataclass(frozen=True)
class Block:
    """Counts of some cells of a shard.

    Parameters
    ----------
    lengths : ndarray of int64
        Stored counts of each cell.
    genes : ndarray of int32
        Place of each in the run's vocabulary; ascending within a cell.
    counts : ndarray of uint32
        The counts.
    """

    lengths: np.ndarray
    genes: np.ndarray
    counts: np.ndarray


class Counts:
    """A reader of the counts of a run's cells.

    Parameters
    ----------
    run : Run
        With the stage `cells`.
    genes : polars.DataFrame
        Its vocabulary, as `load_var` gives it.
    source : str, path or list of them, optional
        Where the shards are now, if they have moved.
    settings : Settings
        How shards are asked, and what they may ask for.

    Attributes
    ----------
    bytes_read : int
        Of the shards, so far.

    Raises
    ------
    StageError
        If nobody knows where the shards are.
    SourceError
        If one is not in the named source.
    """

    def __init__(self, run: Run, genes: pl.DataFrame, source: Source | None, settings: Settings) -> None:
        from tahoe_engine import _rust

        self._layout, self._settings = Layout(run.path), settings
        self._vocabulary = _rust.Vocabulary(genes["gene"].to_list(), mitochondrial(genes))
        self._reject = read_manifest_of(run, "cells")["settings"]["cells"]["bad_rows"] == "reject"
        self._shards = _find_recorded(self._layout, source, settings)
        self.bytes_read = 0

    def read(self, shard: str, cells: pl.DataFrame) -> Iterator[Block]:
        """Read the counts of cells of one shard, in bounded pieces.

        Parameters
        ----------
        shard : str
            Its name.
        cells : polars.DataFrame
            Rows of the cells table, ascending.

        Yields
        ------
        Block
            Of the next cells.

        Raises
        ------
        ShardError
            If the shard is not the one that was scanned.
        """
        import numpy as np
        import polars as pl

        if not cells.height:
            return
        if shard not in self._shards:
            raise StageError(f"where {shard} is was not recorded; run `tahoe cells` again")
        one = self._shards[shard]
        limits = self._settings.limits.model_dump()
        rows = cells["row"].to_numpy().astype("<i8")
        try:
            found = fetch_rows(
                one, rows.tobytes(), self._settings.source, KeptTails(self._layout.footers), limits, reject=self._reject
            )
            block = (cells["expr_len"].cast(pl.Int64).cum_sum() // ENTRIES).to_numpy()
            cuts = [0, *(np.flatnonzero(np.diff(block)) + 1).tolist(), cells.height]
            for start, end in pairwise(cuts):
                yield self._read(one, found, rows[start:end], cells[start:end])
        except ShardError as error:
            raise place_error(error, one.shard) from None

    def _read(
        self,
        one: Recorded,
        found: tuple[int, str, list[tuple[int, bytes]] | None],
        rows: np.ndarray,
        cells: pl.DataFrame,
    ) -> Block:
        import numpy as np

        from tahoe_engine import _rust

        size, footer_digest, pieces = found
        read = _rust.read_counts(
            one.shard.path,
            shard=one.shard.name,
            size=size,
            footer_digest=footer_digest,
            rows=rows.tobytes(),
            vocabulary=self._vocabulary,
            limits=self._settings.limits.model_dump(),
            pieces=pieces,
        )
        self.bytes_read += read["bytes_read"]
        indptr = np.frombuffer(read["indptr"], "<i8")
        counts = np.frombuffer(read["data"], "<u4")
        totals = np.concatenate(([0], np.cumsum(counts, dtype=np.uint64)))[indptr]
        wrong = np.flatnonzero(np.diff(totals) != cells["total_counts"].to_numpy())
        if len(wrong):
            row = int(rows[wrong[0]])
            raise ShardError(one.shard.name, None, row, "E_COUNTS_DIFFER", "its counts are not those that were scanned")
        return Block(np.diff(indptr), np.frombuffer(read["indices"], "<i4"), counts)


def _find_recorded(layout: Layout, source: Source | None, settings: Settings) -> dict[str, Recorded]:
    try:
        recorded = restore_shards(json.loads(layout.sources.read_bytes()))
    except (OSError, ValueError, AttributeError) as error:
        raise StageError(
            f"{layout.root}: where its shards are is not recorded there ({error}); run `tahoe cells` again, it "
            "does only what is missing"
        ) from error
    if source is None:
        require_open(recorded.values())
        return recorded
    return move_shards(recorded, find_shards(source, settings.source))
