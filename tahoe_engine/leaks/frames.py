"""Frames and splits as users give them, brought to one form."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

from tahoe_engine.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import pandas as pd
    import polars as pl
    from numpy.typing import NDArray

    Codes = NDArray[np.int64]

SIDES: Final = {"train": 0, "training": 0, "validation": 1, "valid": 1, "val": 1, "dev": 1, "test": 2, "testing": 2}


def read_frame(frame: pl.DataFrame | pd.DataFrame) -> pl.DataFrame:
    """Give a frame as one of Polars.

    Parameters
    ----------
    frame : polars.DataFrame or pandas.DataFrame
        The index of the latter is no column.

    Returns
    -------
    polars.DataFrame

    Raises
    ------
    ConfigError
        If it is neither, or a column's name is there twice.

    Examples
    --------
    >>> import polars as pl
    >>> read_frame(pl.DataFrame({"a": [1]})).columns
    ['a']
    """
    import polars as pl

    if isinstance(frame, pl.DataFrame):
        return frame
    if isinstance(frame, pl.LazyFrame):
        return frame.collect()
    if not hasattr(frame, "iloc") or not hasattr(frame, "columns"):
        raise ConfigError(f"leaks are found in a frame of Polars or pandas, and this is a {type(frame).__name__}")
    names = [str(name) for name in frame.columns]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ConfigError(f"the column {twice[0]!r} is there twice; rename one of them")
    return pl.DataFrame([_as_series(name, frame.iloc[:, place]) for place, name in enumerate(names)])


def _as_series(name: str, column: Any) -> pl.Series:  # noqa: ANN401 -- of pandas, which need not be installed
    import numpy as np
    import polars as pl

    if getattr(column.dtype, "kind", "") in "biuf":
        values = column.to_numpy()
        if isinstance(values, np.ndarray) and values.dtype != np.float16 and values.dtype.kind in "biuf":
            return pl.Series(name, values)
    gaps = column.isna().tolist()
    values = [None if gap else value for gap, value in zip(gaps, column.tolist(), strict=True)]
    try:
        return pl.Series(name, values)
    except (TypeError, pl.exceptions.PolarsError):
        return pl.Series(name, [None if value is None else str(value) for value in values], dtype=pl.String)


def read_side(split: str | Sequence[Any] | NDArray[Any] | None, frame: pl.DataFrame) -> Codes | None:
    """Give the side of the split that each row is on.

    Parameters
    ----------
    split : str, sequence or None
        Name of a column, or a value a row: "train", "validation" or "test"; 0, 1 or 2; False (train) or True (test).
    frame : polars.DataFrame
        The table.

    Returns
    -------
    numpy.ndarray or None
        0 = train, 1 = validation, 2 = test, -1 where the split says nothing.

    Raises
    ------
    ConfigError
        If there is no such column, not a value a row, or a value that is none of these.

    Examples
    --------
    >>> import polars as pl
    >>> read_side("s", pl.DataFrame({"s": ["train", "test", None]})).tolist()
    [0, 2, -1]
    """
    import numpy as np
    import polars as pl

    if split is None:
        return None
    if isinstance(split, str):
        check_column(split, frame, "split")
        series = frame[split]
    else:
        series = pl.Series("split", list(split), strict=False)
    if series.len() != frame.height:
        raise ConfigError(f"the split has {series.len():,} values and the table {frame.height:,} rows; give one a row")
    if series.dtype == pl.Boolean:
        return np.asarray((series.cast(pl.Int64) * 2).fill_null(-1).to_numpy(), dtype=np.int64)
    if series.dtype.is_numeric():
        meanings: dict[Any, int] = {0: 0, 1: 1, 2: 2}
        if set(series.drop_nulls().unique().to_list()) == {0, 1}:
            meanings[1] = 2  # two sides: train and test
    else:
        series, meanings = series.cast(pl.String).str.strip_chars().str.to_lowercase(), SIDES
    strange = [value for value in series.drop_nulls().unique().sort().to_list() if value not in meanings]
    if strange:
        raise ConfigError(f"the split says {strange[0]!r}; write train, validation or test (or 0, 1, 2)")
    return np.array([-1 if value is None else meanings[value] for value in series.to_list()], dtype=np.int64)


def check_column(name: str, frame: pl.DataFrame, role: str) -> None:
    """Refuse a name that is no column.

    Raises
    ------
    ConfigError
        That names it, and the nearest real one.

    Examples
    --------
    >>> import polars as pl
    >>> check_column("a", pl.DataFrame({"a": [1]}), "target")
    """
    if name not in frame.columns:
        near = get_close_matches(name, frame.columns, 1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; it has {', '.join(frame.columns[:5])} ..."
        raise ConfigError(f"the table has no column {name!r} for the {role}{hint}")
