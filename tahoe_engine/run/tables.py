"""Read a run: its tables, its manifests, its settings. Needs no lock and changes nothing."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tahoe_engine.errors import StageError
from tahoe_engine.run.layout import Layout
from tahoe_engine.run.manifest import list_stages, read_published
from tahoe_engine.run.plan import read_plan
from tahoe_engine.schema import TABLES, cells_table

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
            Name of a finished stage: ``"cells"``, ``"genes"``.

        Returns
        -------
        polars.LazyFrame
            In source order; an empty table has its columns and types too.

        Raises
        ------
        StageError
            If the stage is not finished, or a part is gone.
        """
        import polars as pl

        manifest = read_published(self._layout, name)
        # A part without rows says nothing, and thousands of them would be opened for it.
        parts = [part["name"] for part in manifest["parts"] if part["rows"]]
        paths = [self._layout.stage(name) / part for part in parts]
        missing = [path.name for path in paths if not path.is_file()]
        if missing:
            raise StageError(
                f"{self.path}: {len(missing)} parts of {name!r} are gone, first {missing[0]}; "
                f"run `tahoe {name}` again with the same settings to restore them"
            )
        if not paths:
            stats = manifest.get("settings", {}).get("cells", {}).get("stats", "all")
            table = cells_table(stats) if name == "cells" else TABLES[name]
            return pl.LazyFrame(schema={column.name: getattr(pl, column.dtype) for column in table.columns})
        return pl.scan_parquet(paths, glob=False)

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
