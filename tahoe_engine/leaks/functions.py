"""One column and the target: a value of the target for every value, or neighbourhood of values, of the column."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tahoe_engine.leaks.chance import bound_luck, count_values, is_luck
from tahoe_engine.leaks.leak import Leak
from tahoe_engine.leaks.rounding import round_values

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tahoe_engine.leaks.sheet import Column, Sheet

    Floats = NDArray[np.float64]
    Codes = NDArray[np.int64]

TELLING: Final = 500  # rows that are enough to see that a level has two values
SMOOTH_ROWS: Final = 500
CLOSING: Final = 1.5  # times what a quarter of the rows promises for all
SMOOTH_BENDS: Final = 8  # so often may a smooth function turn
DISTINCT: Final = 0.9  # of the rows of a curve have a value of their own


def find_functions(sheet: Sheet, skip: set[str]) -> list[Leak]:
    """Find columns whose every value, or neighbourhood of values, has one value of the target.

    Parameters
    ----------
    sheet : Sheet
        With any target.
    skip : set of str
        Columns of which more is known already.

    Returns
    -------
    list of Leak
        Of kind function.
    """
    import numpy as np

    target = sheet.numbers
    y = sheet.classes if sheet.classes is not None else None if target is None else round_values(target.data)
    if y is None or np.unique(y).size == 1:
        return []
    found = []
    candidates: list[tuple[str, Codes]] = list(sheet.levels.items())
    for column in sheet.columns:
        if column.n_distinct <= column.data.size // 2:
            codes = np.full(column.data.size, -1, dtype=np.int64)
            codes[column.known] = np.unique(column.data[column.known], return_inverse=True)[1]
            candidates.append((column.name, codes))
    for name, codes in candidates:
        if name not in skip and (leak := judge_levels(sheet, (name,), codes, y, len(candidates))) is not None:
            found.append(leak)
    if target is not None and sheet.classes is None:
        told = skip | {leak.column for leak in found}
        found += [
            leak
            for column in sheet.columns
            if column.name not in told and (leak := _judge_curve(sheet, column, target))
        ]
    return found


def judge_levels(sheet: Sheet, names: tuple[str, ...], codes: Codes, y: Codes, n_tried: int) -> Leak | None:
    """Judge whether the target is constant within each level of a column, or of several.

    Parameters
    ----------
    sheet : Sheet
        For its target's name.
    names : tuple of str
        Of the columns.
    codes : numpy.ndarray
        Their level, -1 where there is none.
    y : numpy.ndarray
        Codes of the target.
    n_tried : int
        Among how many.

    Returns
    -------
    Leak or None
    """
    import numpy as np

    some = np.flatnonzero(codes >= 0)
    codes, y = codes[some], y[some]
    if not codes.size or _splits(codes[:TELLING], y[:TELLING]) or _splits(codes, y):
        return None
    n_levels = int(np.unique(codes).size)
    counts = count_values(y)
    luck = bound_luck(counts, n_levels)
    if len(counts) == 1 or n_levels > codes.size // 2 or is_luck(luck, n_tried):
        return None
    what = " and ".join(names)
    says = f"{sheet.target} has one value within each of the {n_levels:,} levels of {what}, over {codes.size:,} rows"
    facts: dict[str, Any] = {"levels": n_levels, "rows": int(codes.size), "log10_luck": luck}
    return Leak(names[0], "function", says, names, facts)


def _splits(codes: Codes, y: Codes) -> bool:
    """Whether a level has more than one value of the target."""
    import numpy as np

    places = np.lexsort((y, codes))
    return bool(((np.diff(codes[places]) == 0) & (np.diff(y[places]) != 0)).any())


def _judge_curve(sheet: Sheet, column: Column, target: Column) -> Leak | None:
    """Judge whether the target is a smooth function of the column, or the column one of the target.

    S. Chatterjee's coefficient (J. Am. Stat. Assoc. 116 (2021) 2009-2022) for a function that turns less than
    8 times is above 1 - 3·(8 + 1)/n; with any noise that can be seen at this number of rows it is below.
    """
    known = column.known
    x, y = column.data[known], target.data[known]
    n = x.size
    if n < SMOOTH_ROWS or column.n_distinct < DISTINCT * n or target.n_distinct < DISTINCT * n:
        return None
    for one, other, says in (
        (x, y, f"{sheet.target} is a curve over {column.name}"),
        (y, x, f"{column.name} is a curve over {sheet.target}"),
    ):
        if _measure_gap(one[:SMOOTH_ROWS], other[:SMOOTH_ROWS]) > _bar(SMOOTH_ROWS):
            continue
        gap, part = _measure_gap(one, other), _measure_gap(one[::4], other[::4])
        # Of a function the gap to 1 is as 1/n; noise leaves one that more rows do not close.
        if gap <= _bar(n) and gap <= CLOSING * part / 4:
            words = f"{says} without noise: Chatterjee's xi is {1 - gap:.6f} over {n:,} rows"
            return Leak(column.name, "function", words, (column.name,), {"xi": 1 - gap, "rows": int(n)})
    return None


def _bar(n: int) -> float:
    return 3 * (SMOOTH_BENDS + 1) / n


def _measure_gap(one: Floats, other: Floats) -> float:
    """How far Chatterjee's coefficient of `other` over `one` is below 1; no ties are looked for."""
    import numpy as np

    n = one.size
    ranks = np.empty(n)
    ranks[np.argsort(other, kind="stable")] = np.arange(n)
    steps = np.abs(np.diff(ranks[np.argsort(one, kind="stable")]))
    return 3 * float(steps.sum()) / (n * n - 1)
