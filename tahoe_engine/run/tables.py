"""Read a run: its tables, its manifests, its settings. Needs no lock and changes nothing."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tahoe_engine.errors import StageError
from tahoe_engine.run.layout import PARTITIONED, Layout, name_verb
from tahoe_engine.run.manifest import list_stages, read_published
from tahoe_engine.run.partitions import read_plate
from tahoe_engine.run.plan import read_plan
from tahoe_engine.schema import (
    FEATURES,
    GROUP_KEYS,
    MODELS,
    PLATE,
    RESULTS,
    RESULTS_LIMMA,
    SPLITS,
    TABLES,
    cells_table,
    groups_index,
)

if TYPE_CHECKING:
    import os

    import polars as pl


class Run:
    """A run folder, for reading.

    Parameters
    ----------
    path : str or path-like
        The run folder.

    Raises
    ------
    StageError
        If nothing is finished there.

    Examples
    --------
    >>> run = Run("runs/nervous-system")  # doctest: +SKIP
    >>> run.table("cells").group_by("cell_name").len().collect()  # doctest: +SKIP
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._layout = Layout(self.path)
        self._stages = list_stages(self._layout)

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r}, stages={sorted(self._stages)})"

    @property
    def stages(self) -> tuple[str, ...]:
        """Finished stages, sorted."""
        return tuple(sorted(self._stages))

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """The manifests of all finished stages, by name of the stage."""
        return {stage: read_published(self._layout, stage) for stage in self.stages}

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The settings each stage was run with, by name of the stage."""
        return {stage: manifest.get("settings", {}) for stage, manifest in self.manifest.items()}

    def table(self, name: str) -> pl.LazyFrame:
        """Give a table over all its parts.

        Parameters
        ----------
        name : str
            ``"cells"``, ``"genes"``, ``"groups"`` (the index), ``"groups/moments"``, ``"contrasts"`` (the index) or
            ``"contrasts/results"``; the two with a slash have a column ``plate`` besides. Also
            ``"features/RECIPE/train"`` and so on, ``"models/TASK/metrics"`` (or another table of models) and
            ``"models/TASK/predictions/test"``.

        Returns
        -------
        polars.LazyFrame
            Cells in source order; an empty table has its columns and types too.

        Raises
        ------
        StageError
            If the stage is not finished or stale, or a part is gone.
        """
        import polars as pl

        stage, inner = _split_name(name)
        manifest = read_published(self._layout, stage)
        # A part without rows says nothing, and thousands of them would be opened for it.
        parts = [
            part["name"]
            for part in manifest["parts"]
            if part["rows"] and part["name"].endswith(".parquet") and _is_of(stage, inner, part["name"])
        ]
        paths = {part: self._layout.stage(stage) / part for part in parts}
        missing = [part for part, path in paths.items() if not path.is_file()]
        if missing:
            raise StageError(
                f"{self.path}: {len(missing)} parts of {stage!r} are gone, first {missing[0]}; "
                f"run `{name_verb(stage)}` again with the same settings to restore them"
            )
        if inner and stage in PARTITIONED:
            return _scan_plates(paths, _columns(name, manifest))
        if not paths:
            return pl.LazyFrame(schema=_columns(name, manifest))
        return pl.scan_parquet(list(paths.values()), glob=False)

    def plan(self, stage: str) -> dict[str, Any]:
        """Give the recorded plan of a stage, finished or not.

        Parameters
        ----------
        stage : str
            Name of the stage.

        Returns
        -------
        dict
            As it stands in ``RUN/.tahoe``.

        Raises
        ------
        StageError
            If there is none, or it is damaged.
        """
        return read_plan(self._layout, stage)


def _split_name(name: str) -> tuple[str, str]:
    """Give the stage and the folder of a table; features have a stage a recipe and a folder a split."""
    stage, _, inner = name.partition("/")
    if stage == FEATURES:
        recipe, _, split = inner.partition("/")
        if not recipe or split not in SPLITS:
            raise StageError(f"no table {name!r}; features are called {FEATURES}/RECIPE/ and {', '.join(SPLITS)}")
        return f"{FEATURES}/{recipe}", split
    if stage == MODELS:
        task, _, table = inner.partition("/")
        if not task or not table:
            raise StageError(f"no table {name!r}; those of models are called {MODELS}/TASK/metrics, …/predictions/test")
        return f"{MODELS}/{task}", table
    if stage not in TABLES or (inner and PARTITIONED.get(stage) != inner):
        raise StageError(f"no table {name!r}; there is {', '.join(TABLES)}")
    return stage, inner


def _is_of(stage: str, inner: str, part: str) -> bool:
    """Tell whether a part is of a table: the file of that name, or one in the folder of that name."""
    if stage.startswith(f"{MODELS}/"):
        return part == f"{inner}.parquet" or part.rpartition("/")[0] == inner
    return part.startswith(f"{inner}/" if inner else "") and ("/" in part) == bool(inner)


def _columns(name: str, manifest: dict[str, Any]) -> dict[str, Any]:
    """Give the types of the columns of a table, as Polars has them."""
    import polars as pl

    if name.startswith(f"{MODELS}/"):
        # Tables of models are never empty of columns: what is not in the manifest, or has no rows, is not there.
        raise StageError(f"no table {name!r}, or it has no rows")
    if name.startswith(f"{FEATURES}/"):
        return {column: getattr(pl, dtype) for column, dtype in manifest["columns"]}
    settings = manifest.get("settings", {})
    table = TABLES[name]
    if name == "cells":
        table = cells_table(settings.get("cells", {}).get("stats", "all"))
    elif name == "groups":
        table = groups_index(tuple(settings.get("groups", {}).get("by", GROUP_KEYS)))
    elif name == RESULTS.name and settings.get("contrasts", {}).get("method") == "limma":
        table = RESULTS_LIMMA
    return {column.name: getattr(pl, column.dtype) for column in table.columns}


def _scan_plates(paths: dict[str, Path], columns: dict[str, Any]) -> pl.LazyFrame:
    """Scan a table that lies in a folder a plate; the plate is a column, read from these folders and no others."""
    import polars as pl

    plates: dict[str | None, list[Path]] = {}
    for part, path in paths.items():
        plates.setdefault(read_plate(part), []).append(path)
    if not plates:
        return pl.LazyFrame(schema={**columns, PLATE: pl.String})
    return pl.concat(
        [
            pl.scan_parquet(files, glob=False, hive_partitioning=False).with_columns(
                pl.lit(plate, dtype=pl.String).alias(PLATE)
            )
            for plate, files in plates.items()
        ]
    )
