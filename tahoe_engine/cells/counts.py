"""The counts of a run's cells, read from the shards they were scanned from."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from tahoe_engine.errors import ShardError
from tahoe_engine.run import Layout, read_published
from tahoe_engine.source import KeptTails, fetch_rows, place_error, read_recorded
from tahoe_engine.vocabulary import mitochondrial

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import numpy as np
    import polars as pl

    from tahoe_engine.config import Settings
    from tahoe_engine.source import Recorded

    Found = tuple[int, str, list[tuple[int, bytes]] | None]  # as `fetch_rows` gives it
    Source = str | os.PathLike[str] | Sequence[str]

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
    root : Path
        A run with the stage `cells`.
    genes : polars.DataFrame
        Its vocabulary, as `load_run_genes` gives it.
    shards : mapping of str to Recorded
        Where the shards are, as `locate_shards` gives it; those that are read are enough.
    settings : Settings
        How shards are asked, and what they may ask for.

    Attributes
    ----------
    bytes_read : int
        Of the shards, so far.

    Raises
    ------
    StageError
        If the stage is not finished.
    """

    def __init__(self, root: Path, genes: pl.DataFrame, shards: Mapping[str, Recorded], settings: Settings) -> None:
        from tahoe_engine import _rust

        self._layout, self._shards, self._settings = Layout(root), shards, settings
        self._vocabulary = _rust.Vocabulary(genes["gene"].to_list(), mitochondrial(genes))
        self._reject = read_published(self._layout, "cells")["settings"]["cells"]["bad_rows"] == "reject"
        self.bytes_read = 0

    def read(self, shard: str, cells: pl.DataFrame) -> Iterator[Block]:
        """Read the counts of cells of one shard, in bounded pieces.

        Parameters
        ----------
        shard : str
            Its name.
        cells : polars.DataFrame
            Rows of the cells table, ascending: ``row``, ``expr_len`` and ``total_counts`` of it.

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


def locate_shards(root: Path, settings: Settings, source: Source | None = None) -> dict[str, Recorded]:
    """Tell where the shards are whose cells a run has.

    Parameters
    ----------
    root : Path
        A run with the stage `cells`.
    settings : Settings
        How remote shards are asked.
    source : str, path or list of them, optional
        Where they are now, if they have moved.

    Returns
    -------
    dict of str to Recorded
        By name.

    Raises
    ------
    StageError, SourceError, ConfigError
        As `tahoe_engine.source.read_recorded`.
    """
    layout = Layout(root)
    return read_recorded(layout.sources, read_published(layout, "cells"), settings.source, source)
