"""A table as the guard looks at it: numbers, levels, the target, the split."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tahoe_engine.leaks.rounding import find_step

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Codes = NDArray[np.int64]

MANY_CLASSES: Final = 20  # whole numbers with no more values than this are classes, too
HUGE: Final = 1e100  # no measurement: counts as missing, so that squares stay finite
TEXTS: Final = ("String", "Categorical", "Enum")
SEED: Final = 20_240_817  # of the sample of rows: any, but always the same


@dataclass
class Column:
    """A feature of numbers: NaN where there is none, and the step to which its values are rounded."""

    name: str
    data: Floats
    step: float
    n_distinct: int

    @property
    def known(self) -> NDArray[np.bool_]:
        """Rows that have a value."""
        import numpy as np

        return ~np.isnan(self.data)


@dataclass
class Sheet:
    """A table without the rows that have no target.

    Parameters
    ----------
    target : str
        Its name.
    columns : list of Column
        Features of numbers that are not constant.
    levels : dict
        Features of text by name: a code a row, -1 where there is none.
    numbers : Column or None
        The target as a number, where it is one.
    classes : numpy.ndarray or None
        The target as a code, where it is a class.
    class_names : list of str
        Of the codes.
    n_rows : int
        Rows of the whole table.
    names : list of str
        All features, in the order of the table.
    side : numpy.ndarray or None
        0 = train, 1 = validation, 2 = test, -1 = none of them.
    groups : dict
        As `levels`, of the columns that were named as groups: they are no features.
    texts : dict
        What the codes of `levels` stand for.
    units : dict
        By what the values of a column, or of the target, were divided, where squares of them would overflow.
    """

    target: str
    columns: list[Column]
    levels: dict[str, Codes]
    numbers: Column | None
    classes: Codes | None
    class_names: list[str]
    n_rows: int
    names: list[str] = field(default_factory=list)
    side: Codes | None = None
    groups: dict[str, Codes] = field(default_factory=dict)
    texts: dict[str, tuple[str, ...]] = field(default_factory=dict)
    units: dict[str, float] = field(default_factory=dict)

    @property
    def height(self) -> int:
        """Rows that are looked at."""
        rows = self.numbers.data if self.numbers is not None else self.classes
        return 0 if rows is None else len(rows)


def read_sheet(
    frame: pl.DataFrame, target: str, side: Codes | None, groups: Sequence[str], max_rows: int | None
) -> Sheet:
    """Make numbers and levels of a table; take a sample where it is long.

    Parameters
    ----------
    frame : polars.DataFrame
        Features, and the target; columns that are neither must have been dropped, but for `groups`.
    target : str
        Name of the target.
    side : numpy.ndarray or None
        Of the split of each row.
    groups : sequence of str
        Columns that are no features.
    max_rows : int or None
        Look at so many rows at most, drawn by a permutation that is always the same; None: at all.

    Returns
    -------
    Sheet

    Examples
    --------
    >>> import polars as pl
    >>> table = pl.DataFrame({"x": [1.0, 2.0, 2.0], "t": ["a", "b", None], "y": [1, 2, None]})
    >>> sheet = read_sheet(table, "y", None, [], 9)
    >>> sheet.height, sheet.columns[0].data.tolist(), sheet.levels["t"].tolist()
    (2, [1.0, 2.0], [0, 1])
    """
    import numpy as np
    import polars as pl

    n_rows = frame.height
    frame, units = _bring_to_size(frame)
    told = frame[target].is_not_null()
    if frame[target].dtype.is_float():
        told &= (frame[target].abs() < HUGE).fill_null(value=False) & frame[target].is_finite().fill_null(value=False)
    rows = np.flatnonzero(told.to_numpy())
    if max_rows is not None and rows.size > max_rows:
        rows = np.sort(np.random.default_rng(SEED).permutation(rows)[:max_rows])
    if rows.size < n_rows:
        frame = frame[rows]
    numbers, classes, class_names = _read_target(frame[target])
    sheet = Sheet(target, [], {}, numbers, classes, class_names, n_rows, units=units)
    sheet.side = None if side is None else side[rows]
    for series in frame.get_columns():
        if series.name in groups:
            sheet.groups[series.name] = code_levels(series)
        elif series.name != target:
            sheet.names.append(series.name)
            column = read_numbers(series)
            if column is not None and column.n_distinct > 1:
                sheet.columns.append(column)
            if column is None and (series.dtype.base_type() in (pl.String, pl.Categorical, pl.Enum, pl.Null)):
                sheet.levels[series.name] = code_levels(series)
                sheet.texts[series.name] = tuple(series.cast(pl.String).unique().drop_nulls().sort().to_list())
    return sheet


def _bring_to_size(frame: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, float]]:
    """Divide columns of which half the values are beyond 1e100: their squares would overflow. Tell by what."""
    units: dict[str, float] = {}
    for series in frame.get_columns():
        top = series.abs().median() if series.dtype.is_float() else None
        if isinstance(top, float) and HUGE <= top < math.inf:
            units[series.name] = 10.0 ** math.floor(math.log10(top))
    return frame.with_columns(frame[name] / unit for name, unit in units.items()), units


def _read_target(series: pl.Series) -> tuple[Column | None, Codes | None, list[str]]:
    text = str(series.dtype.base_type()) in TEXTS
    column = read_numbers(series)
    if column is not None and text and not column.known.all():
        column = None  # "nan" is a word as any other
    if column is not None:
        few = column.n_distinct <= (MANY_CLASSES if column.step >= 1 or text else 2)
        if not few and not (text and column.step >= 1):  # whole numbers as text may be names, too
            return column, None, []
        column = None if few and text else column
    codes = code_levels(series)
    names = series.unique().drop_nulls().sort().cast(str, strict=False).to_list() if series.len() else []
    return column, codes, [str(name) for name in names]


def read_numbers(series: pl.Series) -> Column | None:
    """Give a column as numbers, if that is what it has; text of numbers, too.

    Parameters
    ----------
    series : polars.Series
        Numbers, truth values, times, or text.

    Returns
    -------
    Column or None
        NaN for what is missing, not finite or beyond 1e100.

    Examples
    --------
    >>> import polars as pl
    >>> read_numbers(pl.Series("a", ["1", None, " 3"])).data.tolist()
    [1.0, nan, 3.0]
    """
    import numpy as np
    import polars as pl

    dtype = series.dtype
    if str(dtype.base_type()) in TEXTS:
        parsed = series.cast(pl.String).str.strip_chars().cast(pl.Float64, strict=False)
        if parsed.null_count() > series.null_count() or parsed.null_count() == parsed.len():
            return None
        series = parsed
    elif not (dtype.is_numeric() or dtype == pl.Boolean or dtype.is_temporal()):
        return None
    if dtype.is_temporal():
        series = series.to_physical()
    values = series.cast(pl.Float64).to_numpy().astype(np.float64)
    values[~(np.abs(values) < HUGE)] = np.nan
    known = values[~np.isnan(values)]
    n_distinct = int(pl.Series(known).n_unique()) if known.size else 0
    return Column(series.name, values, find_step(known), n_distinct)


def code_levels(series: pl.Series) -> Codes:
    """Give each value a code, in their order; null is -1.

    Examples
    --------
    >>> import polars as pl
    >>> code_levels(pl.Series(["b", None, "a"])).tolist()
    [1, -1, 0]
    """
    import numpy as np
    import polars as pl

    if series.dtype.base_type() in (pl.Categorical, pl.Enum, pl.Null):
        series = series.cast(pl.String)
    if series.dtype.is_nested() or series.dtype == pl.Object:
        return np.full(series.len(), -1, dtype=np.int64)
    ranks = series.rank("dense")
    codes: Codes = ranks.cast(pl.Int64).fill_null(0).to_numpy() - 1
    return codes
