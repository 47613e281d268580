"""Sums of measured numbers without any rounding: the same for every order and every partition of the rows."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Final

from tahoe_engine.errors import BadDataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

DIGITS: Final = 53  # of a float64
LOW: Final = 26  # of them are summed apart, so that 2^36 rows fit into 64 bits
SPLITTER: Final = 2.0**27 + 1


def sum_exactly(keys: pl.DataFrame, values: pl.Series) -> pl.DataFrame:
    """Sum numbers by group, keeping every bit.

    Parameters
    ----------
    keys : polars.DataFrame
        What groups rows; without columns all rows are one group.
    values : polars.Series of Float64
        Null is left out.

    Returns
    -------
    polars.DataFrame
        The keys, ``exponent``, ``high``, ``low`` and ``n``: whole numbers, to be put together by `merge_sums` and read
        by `read_sums`.

    Raises
    ------
    BadDataError
        If a number is infinite.

    Notes
    -----
    A float64 is m · 2^(e - 53) with a whole number m; the m of equal e are added as integers (R. Demmel and Y. Hida,
    Fast and accurate floating point summation, 2003, sum so too).
    """
    import numpy as np
    import polars as pl

    known = values.is_not_null() & values.is_not_nan()
    numbers = values.filter(known).to_numpy()
    if not np.isfinite(numbers).all():
        raise BadDataError(f"the column {values.name!r} has an infinite number; leave such rows out with `where`")
    mantissas, exponents = np.frexp(numbers)
    whole = (mantissas * 2.0**DIGITS).astype(np.int64)
    parts = keys.filter(known).with_columns(
        pl.Series("exponent", exponents.astype(np.int32)),
        pl.Series("high", whole >> LOW),
        pl.Series("low", whole & ((1 << LOW) - 1)),
        pl.lit(1, dtype=pl.Int64).alias("n"),
    )
    return _add(parts)


def sum_squares(keys: pl.DataFrame, values: pl.Series) -> pl.DataFrame:
    """Sum the squares of numbers by group, keeping every bit.

    Parameters
    ----------
    keys, values
        As in `sum_exactly`.

    Returns
    -------
    polars.DataFrame
        As `sum_exactly` gives it; its ``n`` counts every number twice.

    Notes
    -----
    A square is split into a float64 and the error of its rounding, which is a float64 too (T. J. Dekker, A floating-
    point technique for extending the available precision, 1971).
    """
    import polars as pl

    numbers = values.fill_nan(None).fill_null(0.0).to_numpy()
    square = numbers * numbers
    large = SPLITTER * numbers
    high = large - (large - numbers)
    low = numbers - high
    error = ((high * high - square) + 2 * high * low) + low * low
    missing = values.is_null() | values.is_nan()
    both = [pl.Series(values.name, part).set(missing, None) for part in (square, error)]
    return merge_sums([sum_exactly(keys, part) for part in both])


def merge_sums(parts: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Put sums together.

    Parameters
    ----------
    parts : sequence of polars.DataFrame
        As `sum_exactly` gives them, in any order.

    Returns
    -------
    polars.DataFrame
        Of all rows.
    """
    import polars as pl

    return _add(pl.concat(parts))


def read_sums(sums: pl.DataFrame) -> dict[tuple[str | int | None, ...], tuple[int, Fraction]]:
    """Give each group's number of values and their sum.

    Parameters
    ----------
    sums : polars.DataFrame
        As `merge_sums` gives them.

    Returns
    -------
    dict
        (n, sum) by the values of the keys; the sum is exact.

    Examples
    --------
    >>> import polars as pl
    >>> tenths = pl.Series("x", [0.1] * 10 + [1e300, -1e300])
    >>> keys = pl.DataFrame({"key": ["a"] * 12})
    >>> read_sums(sum_exactly(keys, tenths)) == {("a",): (12, 10 * Fraction(0.1))}
    True
    """
    found: dict[tuple[str | int | None, ...], tuple[int, Fraction]] = {}
    for *key, exponent, high, low, n in sums.iter_rows():
        whole = (high << LOW) + low
        power = exponent - DIGITS
        term = Fraction(whole << power) if power >= 0 else Fraction(whole, 1 << -power)
        before = found.get(tuple(key), (0, Fraction(0)))
        found[tuple(key)] = (before[0] + n, before[1] + term)
    return found


def _add(parts: pl.DataFrame) -> pl.DataFrame:
    import polars as pl

    keys = [name for name in parts.columns if name not in {"high", "low", "n"}]
    return parts.group_by(keys).agg(pl.col("high").sum(), pl.col("low").sum(), pl.col("n").sum()).sort(keys)
