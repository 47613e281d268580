"""Features of a run, for whoever trains on them: tables, matrices, and the transformers themselves."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tahoe_engine.errors import ConfigError
from tahoe_engine.features.joined import Joins
from tahoe_engine.features.matrix import build_matrix, plan_spreads
from tahoe_engine.features.rows import RowReader
from tahoe_engine.features.store import LINEAGE, decode_design
from tahoe_engine.features.table import TableParts
from tahoe_engine.run import Layout, Run, read_published, require_whole
from tahoe_engine.schema import FEATURES, SPLITS

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    import polars as pl
    from scipy.sparse import csr_array

    from tahoe_engine.features.design import Design


@dataclass(frozen=True)
class Features:
    """A set of features of a run.

    Parameters
    ----------
    root : Path
        The run folder.
    name : str
        Of the features.
    manifest : dict
        Of the stage.
    """

    root: Path
    name: str
    manifest: dict[str, Any] = field(repr=False)

    @property
    def stage(self) -> str:
        """Name of the stage."""
        return f"{FEATURES}/{self.name}"

    @cached_property
    def files(self) -> dict[str, bytes]:
        """The small files: split, lineage and transformers; every byte is checked."""
        layout = Layout(self.root)
        found = {}
        for part in self.manifest["parts"]:
            if part["name"].partition("/")[0] not in SPLITS:
                path = layout.stage(self.stage) / part["name"]
                require_whole(path, part, FEATURES)
                found[part["name"]] = path.read_bytes()
        return found

    @cached_property
    def lineage(self) -> dict[str, Any]:
        """Where targets and features come from."""
        told: dict[str, Any] = json.loads(self.files[LINEAGE])
        return told

    @cached_property
    def design(self) -> Design:
        """What was decided and fitted."""
        return decode_design(self.files, str(self.root.absolute()))

    def columns(self, target: str | None = None) -> tuple[str, ...]:
        """Name the columns of the matrix: codes stand for a column of ones and zeros a level.

        Parameters
        ----------
        target : str, optional
            Without the blocks that are not for this target.

        Returns
        -------
        tuple of str
            In order.
        """
        named = self._stored(target)
        told = self.lineage["columns"]
        return tuple(name for column in named for name in told[column].get("names", (column,)))

    def table(self, split: str) -> pl.LazyFrame:
        """Give the rows of a split as they are stored.

        Parameters
        ----------
        split : {"train", "validation", "test"}
            Which.

        Returns
        -------
        polars.LazyFrame
            Ids, ``fold``, targets, features; codes as codes.
        """
        return Run(self.root).table(f"{self.stage}/{split}")

    def blocks(self, split: str, target: str | None = None) -> Iterator[tuple[pl.DataFrame, csr_array]]:
        """Give the rows of a split part by part, with their matrix.

        Parameters
        ----------
        split : {"train", "validation", "test"}
            Which.
        target : str, optional
            Without the blocks that are not for this target.

        Yields
        ------
        rows : polars.DataFrame
            As they are stored.
        matrix : scipy.sparse.csr_array of float64, rows by `columns`
            NaN where a number is missing.
        """
        import polars as pl

        layout = Layout(self.root)
        for part in self.manifest["parts"]:
            if part["name"].startswith(f"{split}/"):
                path = layout.stage(self.stage) / part["name"]
                require_whole(path, part, FEATURES)
                rows = pl.read_parquet(path, glob=False, hive_partitioning=False)
                yield rows, self.expand(rows, target)

    def expand(self, rows: pl.DataFrame, target: str | None = None) -> csr_array:
        """Give the matrix of rows.

        Parameters
        ----------
        rows : polars.DataFrame
            As they are stored.
        target : str, optional
            Without the blocks that are not for this target.

        Returns
        -------
        scipy.sparse.csr_array of float64, rows by `columns`
            Ones and zeros for codes; a level that is not known has none.
        """
        names = self.lineage["columns"]
        stored = [(name, names[name].get("names"), None) for name in self._stored(target)]
        return build_matrix(rows, plan_spreads(stored), len(self.columns(target)))

    def transform(self, rows: pl.DataFrame, *, obs: str | os.PathLike[str] = "") -> pl.DataFrame:
        """Make features of rows, as they were made for the run.

        Parameters
        ----------
        rows : polars.DataFrame
            With the columns of the table that the recipe needs; joined and derived ones are added. They need not have
            been in the table: what is not known has no ones, no split and no baseline.
        obs : str or path-like
            As in `make_features`.

        Returns
        -------
        polars.DataFrame
            As the parts have them, with ``split``; filters of the recipe are not applied, control cells are dropped
            where it says so.

        Raises
        ------
        ConfigError
            If a column is missing.
        """
        design, layout = self.design, Layout(self.root)
        metadata = str(layout.metadata.absolute()) if layout.metadata.is_dir() else ""
        table = TableParts(
            kind=design.recipe.table,
            slices=(),
            hashes={},
            columns=tuple(rows.columns),
            key=design.key,
            ids=design.ids,
            needs={},
            told={},
            metadata=metadata,
        )
        reader = RowReader(design.recipe, table, Joins.load(design.recipe, table, str(obs)))
        wanted = [name for name in design.needed if name not in reader.own]
        reader.require_columns([*wanted, *design.key])
        frame = reader.add_own(reader.complete(rows, reader.list_base(wanted)), design.needed)
        return design.make(frame.select(design.needed), known=False)

    def _stored(self, target: str | None) -> list[str]:
        told = self.lineage
        if target is not None and target not in told["targets"]:
            raise ConfigError(f"{self.name}: no target {target!r}; there is {', '.join(told['targets'])}")
        without = set(told["targets"][target]["without"]) if target is not None else set()
        names = [name for name, _ in self.manifest["columns"] if name in told["columns"]]
        return [name for name in names if told["columns"][name]["block"] not in without]


def load_features(run: str | os.PathLike[str], name: str) -> Features:
    """Load features of a run.

    Parameters
    ----------
    run : str or path-like
        The run folder.
    name : str
        Of the features: that of the recipe, with ``-bug-compat`` in that mode.

    Returns
    -------
    Features
        Nothing is read yet but the manifest.

    Raises
    ------
    StageError
        If they are not finished, stale, or damaged.

    Examples
    --------
    >>> import tahoe_engine as te
    >>> features = te.load_features("demo/run", "biospark-m3")  # doctest: +SKIP
    >>> for rows, matrix in features.blocks("train", target="delta_mean"):  # doctest: +SKIP
    ...     print(rows["delta_mean"].mean(), matrix.shape)
    """
    root = Path(run)
    return Features(root, name, read_published(Layout(root), f"{FEATURES}/{name}"))
