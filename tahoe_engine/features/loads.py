"""What fits are made of: the rows fitted on, slice by slice, and what is asked of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tahoe_engine.features.columns import (
    columns_of_block,
    columns_of_split,
    columns_of_targets,
    read_numbers,
    take_columns,
)
from tahoe_engine.features.keycounts import look_into
from tahoe_engine.features.levelsums import collect_statistics
from tahoe_engine.features.targets import collect_scale
from tahoe_engine.schema import CONTROL, SPLIT, TRAIN

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from tahoe_engine.features.blocks import Block, TargetStatistics
    from tahoe_engine.features.design import Design
    from tahoe_engine.features.keycounts import Window
    from tahoe_engine.features.levelsums import LevelSums
    from tahoe_engine.features.recipe import DeltaTarget
    from tahoe_engine.features.rows import RowReader
    from tahoe_engine.features.table import Slice
    from tahoe_engine.features.targets import Baselines


@dataclass(frozen=True)
class FittedRows:
    """Gives the rows that transformers are fitted on, with their place and their targets.

    Parameters
    ----------
    reader : RowReader
        Gives the rows.
    design : Design
        With split and baselines.
    """

    reader: RowReader
    design: Design

    def read(self, piece: Slice, wanted: tuple[str, ...], *, targets: bool = True) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Read the rows of a slice.

        Parameters
        ----------
        piece : Slice
            Which.
        wanted : tuple of str
            Columns; a target may be among them.
        targets : bool
            Whether targets are asked for.

        Returns
        -------
        rows, placed : polars.DataFrame
            As they were read, and as `Design.place` gives them.
        """
        import polars as pl

        recipe = self.reader.recipe
        own = [*columns_of_split(recipe), *(columns_of_targets(recipe) if targets else ())]
        more = [name for name in wanted if name in own or not (targets and self.design.is_target(name))]
        frame, _ = self.reader.read(piece, tuple(dict.fromkeys([*own, *more])))
        placed = self.design.place(frame, targets=targets)
        rows = frame.filter(~pl.col(CONTROL)) if recipe.rows.controls == "drop" else frame
        if recipe.fitted_on == "all":
            return rows, placed
        trains = placed[SPLIT] == TRAIN
        return rows.filter(trains), placed.filter(trains)


@dataclass(frozen=True)
class NumberLoad:
    """Loads columns of numbers of the rows fitted on; a delta target is a column like any other.

    Parameters
    ----------
    rows : FittedRows
        Which rows.
    """

    rows: FittedRows

    def __call__(self, piece: Slice, columns: tuple[str, ...]) -> NDArray[np.float64]:
        """Load a slice."""
        targets = any(self.rows.design.is_target(name) for name in columns)
        rows, placed = self.rows.read(piece, columns, targets=targets)
        return read_numbers(take_columns(rows, placed, columns), columns)


@dataclass(frozen=True)
class BlockLoad:
    """Loads what the chain of a block starts from: ones and zeros of its levels, or the expression of its genes.

    Parameters
    ----------
    rows : FittedRows
        Which rows.
    block : Block
        Of the recipe.
    """

    rows: FittedRows
    block: Block

    def __call__(self, piece: Slice, columns: tuple[str, ...]) -> NDArray[np.float64]:
        """Load a slice; all columns, whichever are asked for."""
        import numpy as np

        design = self.rows.design
        rows, placed = self.rows.read(piece, tuple(columns_of_block(design.recipe, self.block)), targets=False)
        matrix = design.read_matrix(self.block, rows, placed)
        names = design.names_before(self.block)
        places = [names.index(name) for name in columns]
        return np.asarray(matrix if columns == names else matrix[:, places], np.float64)


@dataclass(frozen=True)
class Refining:
    """Asks for the hashes of rows in some bins.

    Parameters
    ----------
    reader : RowReader
        Gives the rows.
    windows : tuple of Window
        Which bins.
    """

    reader: RowReader
    windows: tuple[Window, ...]

    def __call__(self, piece: Slice) -> dict[Window, NDArray[np.uint64]]:
        """Look into the rows of a slice."""
        recipe = self.reader.recipe
        frame, _ = self.reader.read(piece, tuple(dict.fromkeys(columns_of_split(recipe))))
        return look_into(frame, recipe.split, self.windows)


def merge_windows(parts: list[dict[Window, NDArray[np.uint64]]]) -> dict[Window, NDArray[np.uint64]]:
    """Put together what slices have in some bins.

    Parameters
    ----------
    parts : list of dict
        Sorted hashes by window.

    Returns
    -------
    dict
        Of all rows, sorted.
    """
    import numpy as np

    return {window: np.sort(np.concatenate([part[window] for part in parts])) for window in parts[0]}


@dataclass(frozen=True)
class Scaling:
    """Asks for the sums that a standardized delta is scaled by.

    Parameters
    ----------
    rows : FittedRows
        Which rows.
    target : DeltaTarget
        Which target.
    baselines : Baselines
        Of it, as far as they are known.
    """

    rows: FittedRows
    target: DeltaTarget
    baselines: Baselines

    def __call__(self, piece: Slice) -> pl.DataFrame:
        """Sum over the rows of a slice."""
        _, placed = self.rows.read(piece, ())
        return collect_scale(placed[self.target.name], self.baselines)


@dataclass(frozen=True)
class Telling:
    """Asks for the sums of a target by level and fold.

    Parameters
    ----------
    rows : FittedRows
        Which rows.
    block : TargetStatistics
        Of the recipe.
    """

    rows: FittedRows
    block: TargetStatistics

    def __call__(self, piece: Slice) -> LevelSums:
        """Sum over the rows of a slice."""
        rows, placed = self.rows.read(piece, tuple(columns_of_block(self.rows.design.recipe, self.block)))
        return collect_statistics(rows, placed, self.block)
