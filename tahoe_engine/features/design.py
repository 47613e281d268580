"""Everything that was decided and fitted: makes features of rows, the same bits in any process."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tahoe_engine.features.blocks import Expression, Numeric, OneHot, OneHotSvd, TargetStatistics
from tahoe_engine.features.columns import (
    columns_of_split,
    columns_of_targets,
    list_columns,
    needed_columns,
    read_numbers,
    take_columns,
)
from tahoe_engine.features.levels import encode_levels
from tahoe_engine.features.targets import add_targets
from tahoe_engine.schema import CONTROL, FOLD, SPLIT

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from tahoe_engine.config import Settings
    from tahoe_engine.features.blocks import Block
    from tahoe_engine.features.chains import FittedChain
    from tahoe_engine.features.genes import FittedGenes
    from tahoe_engine.features.recipe import Recipe
    from tahoe_engine.features.split import Split
    from tahoe_engine.features.statistics import FittedStatistics
    from tahoe_engine.features.targets import Baselines
    from tahoe_engine.source import Recorded

OTHER = "Other"
CODE = "_code"  # ends the name of a column of codes


@dataclass(frozen=True)
class Design:
    """What a recipe became on its training rows.

    Parameters
    ----------
    recipe : Recipe
        What was asked for.
    ids : tuple of str
        Columns that go along.
    split : Split
        Who trains.
    key : tuple of str
        Columns that tell rows apart.
    baselines : dict
        Of each delta target, by its name.
    levels : dict
        Of each column of one-hot blocks, by the block's name and the column's.
    statistics : dict
        Of each block of target statistics, by its name.
    chains : dict
        Of each numeric block, and of the vectors that replace one-hot or expression columns, by the block's name.
    genes : dict
        Of each block of expression, by its name.
    root : str
        The run folder, where expression is read from.
    shards : dict
        Where the shards are, for expression of cells; empty: where they were when they were scanned.
    settings : Settings, optional
        How they are read.
    """

    recipe: Recipe
    ids: tuple[str, ...]
    split: Split = field(repr=False)
    key: tuple[str, ...] = ()
    baselines: Mapping[str, Baselines] = field(default_factory=dict, repr=False)
    levels: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict, repr=False)
    statistics: Mapping[str, FittedStatistics] = field(default_factory=dict, repr=False)
    chains: Mapping[str, FittedChain] = field(default_factory=dict, repr=False)
    genes: Mapping[str, FittedGenes] = field(default_factory=dict, repr=False)
    root: str = ""
    shards: Mapping[str, Recorded] = field(default_factory=dict, repr=False)
    settings: Settings | None = field(default=None, repr=False)

    @cached_property
    def needed(self) -> tuple[str, ...]:
        """Columns that rows must have, to be made into features."""
        recipe = self.recipe
        named = [name for name in needed_columns(recipe, self.ids) if not self.is_target(name) or name in self.ids]
        return tuple(dict.fromkeys([*columns_of_split(recipe), *columns_of_targets(recipe), *named]))

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Names of the features as they are stored, in order."""
        return tuple(name for block in self.recipe.features for name in self.name_columns(block))

    @cached_property
    def n_features(self) -> int:
        """Columns of the matrix that models see: codes count as many as they have levels."""
        expanded = [
            len(self.levels[block.name][block.column]) for block in self.recipe.features if isinstance(block, OneHot)
        ]
        return len(self.columns) - len(expanded) + sum(expanded)

    def is_target(self, name: str) -> bool:
        """Tell whether a name is that of a target."""
        return any(target.name == name for target in self.recipe.targets)

    def name_codes(self, block: OneHot) -> str:
        """Name the column of codes of a block."""
        return f"{block.prefix}{block.column}{CODE}"

    def name_columns(self, block: Block) -> tuple[str, ...]:
        """Name the columns that a block gives."""
        chain = self.chains.get(block.name)
        if chain is not None:
            return chain.columns
        if isinstance(block, TargetStatistics):
            return self.statistics[block.name].columns
        if isinstance(block, OneHot):
            return (self.name_codes(block),)
        return self.genes[block.name].columns

    def names_before(self, block: Block) -> tuple[str, ...]:
        """Name what the chain of a block starts from."""
        if isinstance(block, Numeric):
            return block.columns
        if isinstance(block, OneHotSvd):
            return block.columns
        return self.genes[block.name].columns

    def place(self, frame: pl.DataFrame, *, known: bool = True, targets: bool = True) -> pl.DataFrame:
        """Say of rows who trains, and what their targets are.

        Parameters
        ----------
        frame : polars.DataFrame
            Rows with the columns of `columns_of_split` and `columns_of_targets`.
        known : bool
            As in `Split.assign`.
        targets : bool
            Whether the targets are asked for.

        Returns
        -------
        polars.DataFrame
            Of the same rows ``split``, ``fold`` and the targets; control cells that are dropped are not there.
        """
        assigned = self.split.assign(frame, known=known)
        placed = assigned.hstack(add_targets(frame, self.recipe.targets, self.baselines)) if targets else assigned
        return placed.filter(~frame[CONTROL]) if self.recipe.rows.controls == "drop" else placed

    def make(self, frame: pl.DataFrame, *, known: bool = True) -> pl.DataFrame:
        """Make features of rows.

        Parameters
        ----------
        frame : polars.DataFrame
            Rows with the columns `needed`.
        known : bool
            As in `Split.assign`.

        Returns
        -------
        polars.DataFrame
            The ids, ``split``, ``fold``, the targets, then the features.
        """
        return self.make_placed(frame, self.place(frame, known=known))

    def make_placed(self, frame: pl.DataFrame, placed: pl.DataFrame) -> pl.DataFrame:
        """Make features of rows whose place and targets are known.

        Parameters
        ----------
        frame : polars.DataFrame
            The rows as they were read; a target may have taken the name of one of their columns.
        placed : polars.DataFrame
            As `place` gives it.

        Returns
        -------
        polars.DataFrame
            As `make` gives it.
        """
        rows = frame.filter(~frame[CONTROL]) if self.recipe.rows.controls == "drop" else frame
        named = [target.name for target in self.recipe.targets]
        columns = [rows[name] for name in self.ids]
        columns += [placed[name] for name in (SPLIT, FOLD, *named)]
        for block in self.recipe.features:
            columns += self.make_block(block, rows, placed)
        import polars as pl

        return pl.DataFrame(columns)

    def make_block(self, block: Block, rows: pl.DataFrame, placed: pl.DataFrame) -> list[pl.Series]:
        """Make the columns of a block.

        Parameters
        ----------
        block : Block
            Of the recipe.
        rows, placed : polars.DataFrame
            The same rows, as they were read and as `place` gives them.

        Returns
        -------
        list of polars.Series
            In order.
        """
        if isinstance(block, TargetStatistics):
            return self.statistics[block.name].apply(rows, placed).get_columns()
        if isinstance(block, OneHot):
            return [self.encode(block.name, block.column, rows).alias(self.name_codes(block))]
        matrix = self.read_matrix(block, rows, placed)
        chain = self.chains.get(block.name)
        return list_columns(self.name_columns(block), matrix if chain is None else chain.apply(matrix.astype(float)))

    def read_matrix(self, block: Block, rows: pl.DataFrame, placed: pl.DataFrame) -> NDArray[np.floating[Any]]:
        """Give what the chain of a block starts from.

        Parameters
        ----------
        block : Block
            Of the recipe.
        rows, placed : polars.DataFrame
            The same rows, as they were read and as `place` gives them.

        Returns
        -------
        ndarray of float64 (float32 for expression without a chain), rows by columns
            NaN where a number is missing.
        """
        if isinstance(block, OneHotSvd):
            import numpy as np

            return np.column_stack([self.encode(block.name, name, rows).to_numpy() for name in block.columns]).astype(
                float
            )
        if isinstance(block, Expression):
            from tahoe_engine.features.expression import read_expression

            genes = self.genes[block.name]
            shards = {name: self.shards[name] for name in rows["shard"].unique()} if self.shards else None
            matrix = read_expression(Path(self.root), genes, rows, shards=shards, settings=self.settings)
            return matrix.astype("float64") if block.svd else matrix
        if isinstance(block, Numeric):
            return read_numbers(take_columns(rows, placed, block.columns), block.columns)
        raise AssertionError(f"no matrix of {block.kind}")

    def encode(self, block: str, column: str, rows: pl.DataFrame) -> pl.Series:
        """Give the codes of a column.

        Parameters
        ----------
        block : str
            Whose levels.
        column : str
            Of the rows.
        rows : polars.DataFrame
            As they were read.

        Returns
        -------
        polars.Series of Int32
            -1 where the level is not known: zeros everywhere.
        """
        import polars as pl

        levels = self.levels[block][column]
        return encode_levels(rows[column].cast(pl.String), levels, OTHER if self.has_other(block) else None)

    def count(self, made: pl.DataFrame) -> dict[str, dict[str, int]]:
        """Count what a part lacks.

        Parameters
        ----------
        made : polars.DataFrame
            Rows as `make` gives them.

        Returns
        -------
        dict
            ``missing``: rows without each target; ``null``: without a number in each feature; ``unknown``: whose level
            is not known. What is zero is left out.
        """
        codes = [self.name_codes(block) for block in self.recipe.features if isinstance(block, OneHot)]
        counted = {
            "missing": {target.name: made[target.name].null_count() for target in self.recipe.targets},
            "null": {name: made[name].null_count() for name in self.columns},
            "unknown": {name: int((made[name] < 0).sum()) for name in codes},
        }
        return {what: {name: n for name, n in numbers.items() if n} for what, numbers in counted.items()}

    def has_other(self, block: str) -> bool:
        """Tell whether the last level of a block is that of all the rest."""
        return any(isinstance(one, OneHot) and one.top and one.name == block for one in self.recipe.features)
