"""What `features` would do: which rows of which table, and whether it fits."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tahoe_engine.config import Settings
from tahoe_engine.daskml import require_daskml
from tahoe_engine.errors import ConfigError
from tahoe_engine.features.blocks import Expression
from tahoe_engine.features.columns import columns_of_split, columns_of_targets, needed_columns
from tahoe_engine.features.joined import Joins
from tahoe_engine.features.names import require_names
from tahoe_engine.features.recipes import load_recipe
from tahoe_engine.features.rows import RowReader
from tahoe_engine.features.table import find_table
from tahoe_engine.features.width import count_columns
from tahoe_engine.run import Layout, require_room
from tahoe_engine.schema import FEATURES
from tahoe_engine.workers import allowed_memory, count_workers

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    Source = str | os.PathLike[str] | Sequence[str]

    from tahoe_engine.features.recipe import Recipe
    from tahoe_engine.features.table import TableParts


# Measured on made-up tables of 131,072 rows a slice; see docs/benchmarks.md.
BASE_MEMORY: Final = 480 << 20  # a worker with Polars, dask.array and SciPy
ROW_BYTES: Final = 400  # ids and texts of a row, in memory
VALUE_BYTES: Final = 48  # a number of a feature: the matrix, a step's copy, the column, its encoded bytes
OUTPUT_BYTES: Final = 8  # a number in a part: measured ones do not compress


@dataclass(frozen=True)
class FeaturesPlan:
    """The plan of the stage.

    Parameters
    ----------
    settings : Settings
        Resolved.
    name : str
        Of the features.
    recipe : Recipe
        What is made.
    reader : RowReader
        Gives the rows.
    root : Path
        The run folder.
    source : str, path or sequence of them, optional
        Where the shards are, if they have moved.
    """

    settings: Settings
    name: str
    recipe: Recipe
    reader: RowReader = field(repr=False)
    root: Path
    source: Source | None = None

    @property
    def stage(self) -> str:
        """Name of the stage in the run."""
        return f"{FEATURES}/{self.name}"

    @property
    def table(self) -> TableParts:
        """Whose rows."""
        return self.reader.table

    @property
    def reads_shards(self) -> bool:
        """Whether counts of cells are read again, for their expression."""
        cells = self.recipe.table == "cells" and bool(self.table.needs)
        return cells and any(isinstance(block, Expression) for block in self.recipe.features)

    def count_columns(self) -> tuple[int, int]:
        """Count what comes out; see `tahoe_engine.features.width.count_columns`."""
        return count_columns(self.recipe)

    def memory(self) -> int:
        """Estimate the peak memory of a worker, in bytes."""
        stored, dense = self.count_columns()
        rows = max(piece.n_rows for piece in self.table.slices)
        return BASE_MEMORY + rows * (ROW_BYTES + (stored + dense) * VALUE_BYTES)

    def output_bytes(self) -> int:
        """Estimate the size of the parts, in bytes."""
        return self.table.n_rows * (self.count_columns()[0] + len(self.recipe.targets) + 2) * OUTPUT_BYTES

    def describe(self) -> dict[str, Any]:
        """Give the plan as plain values.

        Returns
        -------
        dict
            JSON-able.
        """
        return {
            "name": self.name,
            "description": self.recipe.description,
            "table": self.recipe.table,
            "rows": self.table.n_rows,
            "units": len(self.table.slices),
            "split": self.recipe.split.model_dump(mode="json"),
            "targets": [target.name for target in self.recipe.targets],
            "blocks": [block.name for block in self.recipe.features],
            "workers": count_workers(self.settings.workers),
            "memory_a_worker": self.memory(),
            "output_bytes": self.output_bytes(),
            **self.table.told,
        }

    def require_fit(self, *, done: float = 0.0) -> None:
        """Refuse a plan that cannot fit.

        Parameters
        ----------
        done : float
            Share of the work that is finished already.

        Raises
        ------
        ConfigError
            If a worker has too little memory, or the disk too little room.
        """
        workers = self.settings.workers
        need, allowed = self.memory(), allowed_memory(workers)
        if not workers.scheduler and need > allowed:
            raise ConfigError(
                f"{self.name}: a slice of rows needs about {need >> 20} MiB and may have {allowed >> 20}; raise "
                "workers.memory_mib, or ask for fewer features"
            )
        require_room(self.root, int(self.output_bytes() * (1 - done)))


def plan_features(
    into: str | os.PathLike[str],
    *,
    settings: Settings | None = None,
    recipe: Recipe | None = None,
    source: Source | None = None,
) -> FeaturesPlan:
    """Plan the stage. Writes nothing.

    Parameters
    ----------
    into : str or path-like
        The run folder.
    settings : Settings, optional
        With the name of a recipe, unless one is given.
    recipe : Recipe, optional
        In place of one that has a file; its features are called ``custom``.

    source : str, path or sequence of them, optional
        Where the shards are, if they have moved and expression is asked for.

    Returns
    -------
    FeaturesPlan
        What would be done.

    Raises
    ------
    ConfigError
        If the recipe is wrong, or does not go with the table.
    StageError, SourceError, BadDataError
        If the table is not there or cannot be read.
    """
    require_daskml()
    settings = settings or Settings()
    chosen = settings.features
    if recipe is not None:
        name = "custom"
    elif chosen.recipe:
        name, recipe = load_recipe(chosen.recipe, chosen.mode)
    else:
        raise ConfigError("no recipe is named; say --recipe NAME (`tahoe features --list` shows them)")
    root = Path(into)
    table = find_table(Layout(root), recipe, chosen.table)
    reader = RowReader(recipe, table, Joins.load(recipe, table, chosen.obs))
    named = {target.name for target in recipe.targets}
    needed = [*columns_of_split(recipe), *columns_of_targets(recipe), *needed_columns(recipe, table.ids), *table.key]
    require_names(recipe, needed, {*table.columns, *reader.joins.columns, *recipe.derive})
    reader.require_columns(name for name in needed if name not in reader.own and name not in named)
    return FeaturesPlan(settings, name, recipe, reader, root, source)
