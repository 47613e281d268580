"""Which columns a recipe needs of its rows, and how they become matrices and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tahoe_engine.errors import ConfigError
from tahoe_engine.features.blocks import Numeric, OneHot, OneHotSvd, TargetStatistics
from tahoe_engine.schema import CONTROL, ROW_KEY, ROW_NUMBER

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from tahoe_engine.features.blocks import Block
    from tahoe_engine.features.recipe import Recipe


def columns_of_split(recipe: Recipe) -> Iterator[str]:
    """Give the columns that say who trains.

    Parameters
    ----------
    recipe : Recipe
        With its rule.

    Yields
    ------
    str
        Columns, also some of our own.
    """
    rule = recipe.split
    yield from (*rule.by, *rule.stratify, CONTROL)
    if not rule.by:
        yield ROW_NUMBER if rule.method == "sklearn" else ROW_KEY


def columns_of_targets(recipe: Recipe) -> Iterator[str]:
    """Give the columns that targets are made of.

    Parameters
    ----------
    recipe : Recipe
        With its targets.

    Yields
    ------
    str
        Columns.
    """
    yield CONTROL
    for target in recipe.targets:
        if target.kind == "delta":
            yield from (target.value, *target.by)
        else:
            yield target.column


def needed_columns(recipe: Recipe, ids: Iterable[str]) -> Iterator[str]:
    """Give the columns that ids and features are made of.

    Parameters
    ----------
    recipe : Recipe
        With its blocks.
    ids : iterable of str
        Columns that go along.

    Yields
    ------
    str
        Columns, also some of our own, and targets where they are features.
    """
    yield from ids
    for block in recipe.features:
        yield from columns_of_block(recipe, block)


def columns_of_block(recipe: Recipe, block: Block) -> Iterator[str]:
    """Give the columns that a block is made of.

    Parameters
    ----------
    recipe : Recipe
        Whose.
    block : Block
        One of it.

    Yields
    ------
    str
        Columns.
    """
    if isinstance(block, Numeric):
        yield from block.columns
    elif isinstance(block, OneHot):
        yield block.column
    elif isinstance(block, OneHotSvd):
        yield from block.columns
    elif isinstance(block, TargetStatistics):
        yield from (*block.by, ROW_KEY)
    else:
        yield from columns_of_expression(recipe)


def take_columns(rows: pl.DataFrame, placed: pl.DataFrame, columns: tuple[str, ...]) -> pl.DataFrame:
    """Take columns of rows, and targets where they are asked for by name.

    Parameters
    ----------
    rows, placed : polars.DataFrame
        The same rows, as they were read and as `Design.place` gives them.
    columns : tuple of str
        Which.

    Returns
    -------
    polars.DataFrame
        These columns.
    """
    import polars as pl

    return pl.DataFrame([(rows if name in rows.columns else placed)[name] for name in dict.fromkeys(columns)])


def columns_of_expression(recipe: Recipe) -> tuple[str, ...]:
    """Give the columns that tell where the expression of a row is.

    Parameters
    ----------
    recipe : Recipe
        Of cells or groups.

    Returns
    -------
    tuple of str
        Shard and row, or the group.
    """
    return ("group_id",) if recipe.table == "groups" else ("shard", "row")


def read_numbers(rows: pl.DataFrame, columns: tuple[str, ...]) -> NDArray[np.float64]:
    """Give columns as a matrix.

    Parameters
    ----------
    rows : polars.DataFrame
        With these columns, of numbers or truth values.
    columns : tuple of str
        Which.

    Returns
    -------
    ndarray of float64, rows by columns
        NaN for null.

    Raises
    ------
    ConfigError
        If a column has something else.

    Examples
    --------
    >>> import polars as pl
    >>> read_numbers(pl.DataFrame({"a": [1, None], "b": [True, False]}), ("a", "b")).tolist()
    [[1.0, 1.0], [nan, 0.0]]
    """
    import numpy as np
    import polars as pl

    for name in columns:
        if not (rows.schema[name].is_numeric() or rows.schema[name] in {pl.Boolean, pl.Null}):
            raise ConfigError(
                f"the column {name!r} has no numbers, it is {rows.schema[name]}; text is for blocks of kind one_hot"
            )
    matrix = np.empty((rows.height, len(columns)))
    for at, name in enumerate(columns):
        matrix[:, at] = rows[name].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    return matrix


def list_columns(names: tuple[str, ...], matrix: NDArray[np.floating[Any]]) -> list[pl.Series]:
    """Give the columns of a matrix their names.

    Parameters
    ----------
    names : tuple of str
        One a column.
    matrix : ndarray, rows by columns
        NaN becomes null.

    Returns
    -------
    list of polars.Series
        In order.
    """
    import numpy as np
    import polars as pl

    return [pl.Series(name, np.ascontiguousarray(matrix[:, at])).fill_nan(None) for at, name in enumerate(names)]
