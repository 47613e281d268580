"""The target summed by level and fold: what slices tell, put together in any order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tahoe_engine.errors import ConfigError
from tahoe_engine.features.sums import merge_sums, sum_exactly, sum_squares
from tahoe_engine.schema import FOLD

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

    from tahoe_engine.features.blocks import TargetStatistics

NONE: Final = -1  # fold of rows outside training: they see all of it
MOST_VALUES: Final = 20_000_000  # that a quantile gathers
OWN_COLUMNS: Final = frozenset({FOLD, "overall", "n", "sum", "mean", "std", "quantile", "value", "deviation"})


@dataclass
class LevelSums:
    """What slices tell of the target by level and fold.

    Parameters
    ----------
    sums, squares : polars.DataFrame
        Exact, by level and fold.
    values : polars.DataFrame, optional
        For quantiles: the values themselves.
    """

    sums: pl.DataFrame
    squares: pl.DataFrame | None = None
    values: pl.DataFrame | None = None


def read_folds(placed: pl.DataFrame) -> pl.Series:
    """Give each training row the fold that must not tell it anything.

    Parameters
    ----------
    placed : polars.DataFrame
        With ``fold``.

    Returns
    -------
    polars.Series of Int32
        The fold of the split; -1 outside training.
    """
    import polars as pl

    return placed[FOLD].cast(pl.Int32).fill_null(NONE)


def collect_statistics(rows: pl.DataFrame, placed: pl.DataFrame, block: TargetStatistics) -> LevelSums:
    """Sum the target by level and fold.

    Parameters
    ----------
    rows, placed : polars.DataFrame
        Rows that are fitted on: with the columns of the block and ``row_key``; with ``fold`` and the target.
    block : TargetStatistics
        What is asked for.

    Returns
    -------
    LevelSums
        Put together by `merge_statistics`.

    Raises
    ------
    ConfigError
        If the target has no numbers, or a column is called like one of the table of statistics.
    """
    import polars as pl

    if taken := sorted(OWN_COLUMNS & set(block.by)):
        raise ConfigError(
            f"block {block.name!r}: the table of statistics has a column {taken[0]!r} itself; derive another"
        )
    target = read_target(placed, block)
    keys = rows.select(pl.col(name).cast(pl.String) for name in block.by).with_columns(read_folds(placed))
    told = LevelSums(sum_exactly(keys, target))
    if "std" in block.statistics or block.method == "leave_one_out":
        told.squares = sum_squares(keys, target)
    if "quantile" in block.statistics:
        told.values = keys.with_columns(target.alias("value")).drop_nulls("value")
    return told


def merge_statistics(parts: Sequence[LevelSums]) -> LevelSums:
    """Put together what slices told.

    Parameters
    ----------
    parts : sequence of LevelSums
        In the order of the slices.

    Returns
    -------
    LevelSums
        Of all rows.

    Raises
    ------
    ConfigError
        If a quantile would gather more than 20 million values.
    """
    import polars as pl

    squares = [part.squares for part in parts if part.squares is not None]
    values = [part.values for part in parts if part.values is not None]
    merged = LevelSums(merge_sums([part.sums for part in parts]))
    merged.squares = merge_sums(squares) if squares else None
    merged.values = pl.concat(values) if values else None
    if merged.values is not None and merged.values.height > MOST_VALUES:
        raise ConfigError(f"a quantile of the target is for up to {MOST_VALUES:,} training rows; use mean or std")
    return merged


def read_target(placed: pl.DataFrame, block: TargetStatistics) -> pl.Series:
    """Give the target as numbers.

    Parameters
    ----------
    placed : polars.DataFrame
        With the target.
    block : TargetStatistics
        Which.

    Returns
    -------
    polars.Series of Float64
        Null where there is none.

    Raises
    ------
    ConfigError
        If it has texts.
    """
    import polars as pl

    target = placed[block.of]
    if not (target.dtype.is_numeric() or target.dtype == pl.Boolean):
        raise ConfigError(f"block {block.name!r}: the target {block.of!r} has texts; statistics are of numbers")
    return target.cast(pl.Float64).fill_nan(None)
