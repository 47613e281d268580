"""The chosen cells of a run, part by part: two passes, and neither holds them all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tahoe_engine.cells import Progress
from tahoe_engine.errors import StageError
from tahoe_engine.export.choose import COLUMNS, Chosen, Filters, choose
from tahoe_engine.export.frames import FrameWriter, escape_nul
from tahoe_engine.export.pick import pick_cells
from tahoe_engine.export.report import read_manifest_of
from tahoe_engine.run import require_whole
from tahoe_engine.schema import BARCODE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import numpy as np
    import polars as pl

    from tahoe_engine.export.h5ad import Target
    from tahoe_engine.export.pick import Picked, Sample
    from tahoe_engine.run import Run

PLACE = ("shard", "row")


class Cells:
    """The chosen cells of a run.

    Parameters
    ----------
    run : Run
        With the stage `cells`.
    filters : Filters
        What is wanted.
    sample : Sample, optional
        A few cells of every group of these.
    on_progress : callable, optional
        Called after each part that was looked at.

    Attributes
    ----------
    chosen : Chosen
        What was found of it.
    picked : Picked or None
        The sample.
    n_rows : int
        Cells.
    n_entries : int
        Entries of their lists: at least as many as they have counts.

    Raises
    ------
    StageError
        If the stage is missing, or a part is gone.

    Notes
    -----
    The first pass finds the categories and which barcodes are not unique: 8 bytes a cell, 765 MB for all of Tahoe.
    """

    def __init__(
        self,
        run: Run,
        filters: Filters,
        sample: Sample | None = None,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> None:
        import polars as pl

        table = run.table("cells")
        self._paths = _list_parts(run)
        self._columns = dict(table.collect_schema())
        self._texts = [name for name, dtype in self._columns.items() if dtype == pl.String and name != BARCODE]
        known = {column: self._distinct(column) for key, column in COLUMNS.items() if getattr(filters, key)}
        self.chosen: Chosen = choose(run, filters, known)
        self._on_progress = on_progress
        self.picked: Picked | None = None
        if sample is not None:
            self.picked = pick_cells(self._look_at(sample.columns), sample)
        self._look()

    @property
    def n_parts(self) -> int:
        """Parts of the table that have rows."""
        return len(self._paths)

    def frames(self, columns: list[str] | None = None) -> Iterator[tuple[str, pl.DataFrame]]:
        """Give the chosen cells of each part, in source order.

        Parameters
        ----------
        columns : list of str, optional
            Which; default: all.

        Yields
        ------
        shard : str
            Name of the part.
        frame : polars.DataFrame
            Also one without rows.
        """
        import polars as pl

        names = columns or list(self._columns)
        for shard, path in self._paths.items():
            picked = None if self.picked is None else self.picked.rows(shard)
            if picked is not None and not len(picked):
                yield shard, pl.DataFrame(schema={name: self._columns[name] for name in names})
                continue
            rows = pl.scan_parquet(path, glob=False).filter(self.chosen.predicate)
            if picked is not None:
                rows = rows.filter(pl.col("row").is_in(picked.implode()))
            yield shard, rows.select(names).collect()

    def open_obs(self, file: Target, compression: str) -> FrameWriter:
        """Begin ``obs`` with the columns of the table.

        Parameters
        ----------
        file : Target
            An h5ad file.
        compression : str
            Of the columns.

        Returns
        -------
        FrameWriter
            For the frames.
        """
        return FrameWriter(
            file,
            "obs",
            self._columns,
            self._categories,
            n_rows=self.n_rows,
            compression=compression,
            named_by=None if len(self._twice) else BARCODE,
        )

    def name_rows(self, frame: pl.DataFrame) -> pl.Series:
        """Name cells by their barcodes; one that is not unique gets its shard and row appended.

        Parameters
        ----------
        frame : polars.DataFrame
            As `frames` gives it.

        Returns
        -------
        polars.Series
            No two alike.
        """
        import polars as pl

        name = escape_nul(pl.col(BARCODE))
        place = pl.concat_str(name, *(pl.col(key).cast(pl.String) for key in PLACE), separator="-")
        twice = name.hash().is_in(self._twice.implode())
        return frame.select(pl.when(twice).then(place).otherwise(name).alias("name"))["name"]

    def _look(self) -> None:
        import polars as pl

        length = "expr_len"
        found: dict[str, set[str]] = {name: set() for name in self._texts}
        hashes: list[np.ndarray] = []
        self.n_entries = 0
        for frame in self._look_at([*self._texts, BARCODE, length]):
            hashes.append(frame.select(escape_nul(pl.col(BARCODE)).hash())[BARCODE].to_numpy())
            self.n_entries += int(frame[length].sum())
            for name, values in found.items():
                values.update(frame[name].drop_nulls().unique().to_list())
        self._categories = {name: sorted(values) for name, values in found.items()}
        self.n_rows = sum(map(len, hashes))
        self._twice = pl.Series(_find_twice(hashes, self.n_rows), dtype=pl.UInt64)

    def _look_at(self, columns: list[str]) -> Iterator[pl.DataFrame]:
        for done, (_, frame) in enumerate(self.frames(columns), 1):
            yield frame
            if self._on_progress is not None:
                self._on_progress(Progress("choosing", done, self.n_parts))

    def _distinct(self, column: str) -> list[str]:
        import polars as pl

        values: set[str] = set()
        for path in self._paths.values():
            values.update(pl.read_parquet(path, columns=[column], glob=False)[column].drop_nulls().unique().to_list())
        return sorted(values)


def _find_twice(hashes: list[np.ndarray], n_rows: int) -> np.ndarray:
    """Hashes that stand there more than once; the list is emptied on the way."""
    import numpy as np

    joined, start = np.empty(n_rows, dtype=np.uint64), 0
    while hashes:
        part = hashes.pop()
        joined[start : start + len(part)] = part
        start += len(part)
    joined.sort()
    return np.unique(joined[1:][joined[1:] == joined[:-1]])


def _list_parts(run: Run) -> dict[str, Path]:
    folder = run.path / "cells"
    parts = {part["name"]: part for part in read_manifest_of(run, "cells")["parts"] if part["rows"]}
    paths = {name: folder / name for name in parts}
    gone = [name for name, path in paths.items() if not path.is_file()]
    if gone:
        raise StageError(f"{run.path}: the part {gone[0]} of the cells is gone; run `tahoe cells` again to restore it")
    for name, path in paths.items():
        require_whole(path, parts[name], "cells")
    return {name.removesuffix(".parquet"): path for name, path in sorted(paths.items())}
