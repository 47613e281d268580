"""Columns that are the mean of the target by the level of another column, the row itself included."""

from __future__ import annotations

from itertools import chain, product
from typing import TYPE_CHECKING, Final

from tahoe_engine.leaks.leak import Leak
from tahoe_engine.leaks.strata import list_own_levels

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from tahoe_engine.leaks.sheet import Column, Sheet
    from tahoe_engine.leaks.strata import Stratum

    Floats = NDArray[np.float64]
    Codes = NDArray[np.int64]

SAME: Final = 1e-6  # of the spread of the means
LEVELS_AS_IS: Final = 3  # levels that make equality no chance
LEVELS_SCALED: Final = 6  # the same where a scale and an offset are free, or the weight of the overall mean
MOST_CLASSES: Final = 50
LUCK: Final = -6.0
PAIRS: Final = 50  # of rows of one level with other targets, that a mean over the other rows must rest on
GLANCE: Final = 200  # pairs of rows of one level that most columns are ruled out by


def find_target_statistics(sheet: Sheet, strata: Sequence[Stratum], skip: set[str]) -> list[Leak]:
    """Find columns that tell the target of their own row by a mean over its level.

    Parameters
    ----------
    sheet : Sheet
        Of all rows: the mean of a sample is another one.
    strata : sequence of Stratum
        Levels by which a mean may have been taken.
    skip : set of str
        Columns of which more is known already.

    Returns
    -------
    list of Leak
        Of kind target_statistics: means, also scaled or mixed with the overall mean, standard deviations and medians;
        of the training rows or of all. What was computed out of fold differs within a level, and is none. Where the
        levels are not in the table, the values of the column may tell them.
    """
    import numpy as np

    trains = np.ones(sheet.height, dtype=bool) if sheet.side is None else sheet.side == 0
    bases = [("training rows" if sheet.side is not None else "rows", trains)]
    if sheet.side is not None and not trains.all():
        bases.append(("rows, those of the test included,", np.ones(sheet.height, dtype=bool)))
    found: dict[str, Leak] = {}
    targets = list(_list_targets(sheet))
    spreads = _measure_spreads(sheet, skip)
    groups = ((_find_constant(spreads, stratum, trains), stratum) for stratum in strata)
    own = (([column], stratum) for column, stratum in list_own_levels(sheet) if column.name not in skip | found.keys())
    for constant, stratum in chain(groups, own):
        by = stratum.label if stratum.members else "levels that its own values tell"
        for column, (label, values), (rows, base) in product(constant, targets, bases):
            if column.name not in found and (says := _judge(column, stratum, values, base, trains)):
                what, numbers = says
                words = f"{column.name} is the {what} of {label} by {by}, over all {rows} themselves"
                names = (column.name, *sorted(stratum.members))
                found[column.name] = Leak(column.name, "target_statistics", words, names, numbers)
    for stratum, (label, values) in product(strata, targets[-1:]):
        left = [(column, spread) for column, spread in spreads if column.name not in found]
        for column, n_pairs in _find_left_out(left, stratum, values, trains):
            words = f"{column.name} is the mean of {label} over the other rows of its level of {stratum.label}"
            words += f": with the sizes of the levels it tells the row's own, in {n_pairs:,} pairs of rows"
            names = (column.name, *sorted(stratum.members))
            found[column.name] = Leak(column.name, "target_statistics", words, names, {"pairs": n_pairs})
    return list(found.values())


def list_constant(sheet: Sheet, strata: Sequence[Stratum], skip: set[str]) -> list[str]:
    """Give the columns that may be a mean by some level: those that are constant within it, in the training rows.

    Parameters
    ----------
    sheet : Sheet
        A sample will do.
    strata : sequence of Stratum
        Levels.
    skip : set of str
        Columns of which more is known already.

    Returns
    -------
    list of str
    """
    import numpy as np

    trains = np.ones(sheet.height, dtype=bool) if sheet.side is None else sheet.side == 0
    spreads = _measure_spreads(sheet, skip)
    return [column.name for stratum in strata for column in _find_constant(spreads, stratum, trains)]


def _measure_spreads(sheet: Sheet, skip: set[str]) -> list[tuple[Column, float]]:
    import numpy as np

    columns = [column for column in sheet.columns if column.name not in skip and column.n_distinct > 2]  # noqa: PLR2004
    return [(column, float(np.nanstd(column.data))) for column in columns]  # zeros and ones are no means


def _find_constant(
    spreads: Sequence[tuple[Column, float]], stratum: Stratum, trains: NDArray[np.bool_]
) -> list[Column]:
    import numpy as np

    rows = np.flatnonzero(trains & (stratum.codes >= 0))
    rows = rows[np.argsort(stratum.codes[rows], kind="stable")]
    pairs = np.flatnonzero(np.diff(stratum.codes[rows]) == 0)
    pairs = pairs[:: max(1, pairs.size // GLANCE)]
    first, second = rows[pairs], rows[pairs + 1]
    return [
        column
        for column, spread in spreads
        if column.name not in stratum.members
        and not (np.abs(column.data[first] - column.data[second]) > SAME * spread).any()
        and _is_constant(column, spread, stratum.codes, trains)
    ]


def _find_left_out(
    spreads: Sequence[tuple[Column, float]], stratum: Stratum, y: Floats, trains: NDArray[np.bool_]
) -> Iterator[tuple[Column, int]]:
    """Find columns for which y + (n - 1)·x is one number, the sum, in each level of n rows."""
    import numpy as np

    rows = np.flatnonzero(trains & (stratum.codes >= 0))
    rows = rows[np.argsort(stratum.codes[rows], kind="stable")]
    sizes = np.bincount(stratum.codes[rows], minlength=stratum.n_levels)
    places = np.flatnonzero((np.diff(stratum.codes[rows]) == 0) & (np.diff(y[rows]) != 0))
    tolerance = SAME * float(y.std())
    for pairs in (places[:: max(1, places.size // GLANCE)], places):
        first, second = rows[pairs], rows[pairs + 1]
        others = sizes[stratum.codes[first]] - 1
        steps = y[first] - y[second]
        spreads = [
            (column, spread)
            for column, spread in spreads
            if column.name not in stratum.members
            and not (np.abs(steps + others * (column.data[first] - column.data[second])) > tolerance).any()
            and np.count_nonzero(column.known[first] & column.known[second]) >= PAIRS
        ]
        if not spreads:
            return
    yield from ((column, int(places.size)) for column, _ in spreads)


def _list_targets(sheet: Sheet) -> Iterator[tuple[str, Floats]]:
    if sheet.numbers is not None:
        yield sheet.target, sheet.numbers.data
    if sheet.classes is not None and len(sheet.class_names) <= MOST_CLASSES:
        for code, name in enumerate(sheet.class_names):
            yield f"{sheet.target} = {name}", (sheet.classes == code).astype(float)


def _is_constant(column: Column, spread: float, codes: Codes, trains: NDArray[np.bool_]) -> bool:
    """Whether a column has one value a level in the training rows: a quick look first."""
    import numpy as np

    rows = np.flatnonzero(trains & column.known & (codes >= 0))
    for some in (rows[:2000], rows):
        if some.size < 2 or not spread > 0:  # noqa: PLR2004
            return False
        values, levels = column.data[some], codes[some]
        lows, highs = np.full(codes.max() + 1, np.inf), np.full(codes.max() + 1, -np.inf)
        np.minimum.at(lows, levels, values)
        np.maximum.at(highs, levels, values)
        seen = np.isfinite(lows)
        if (highs[seen] - lows[seen]).max() > SAME * spread:
            return False
    return True


def _judge(  # noqa: PLR0911 -- a way of taking a mean each
    column: Column, stratum: Stratum, y: Floats, base: NDArray[np.bool_], trains: NDArray[np.bool_]
) -> tuple[str, dict[str, float]] | None:
    import numpy as np

    n_levels = stratum.n_levels
    rows = np.flatnonzero(base & (stratum.codes >= 0))
    codes = stratum.codes[rows]
    number = np.bincount(codes, minlength=n_levels)
    sums = np.bincount(codes, y[rows], n_levels)
    told = np.flatnonzero(trains & column.known & (stratum.codes >= 0))
    x = np.full(n_levels, np.nan)
    x[stratum.codes[told]] = column.data[told]
    some = np.flatnonzero((number > 1) & ~np.isnan(x))
    if some.size < LEVELS_AS_IS:
        return None
    x, n = x[some], number[some]
    means = sums[some] / n
    chances = _bound_hits(y[rows], n)
    if _agree(x, means, column.step) and chances.sum() < LUCK:
        return "mean", {"levels": int(some.size), "smoothing": 0.0}
    deviations = y[rows] - (sums / np.maximum(number, 1))[codes]
    squares = np.bincount(codes, deviations**2, n_levels)[some]
    for ddof in (0, 1):
        if _agree(x, np.sqrt(squares / (n - ddof)), column.step) and chances.sum() < LUCK:
            return "standard deviation", {"levels": int(some.size), "ddof": ddof}
    if np.unique(y[rows]).size > MOST_CLASSES and _agree(x, _take_medians(codes, y[rows], number)[some], column.step):
        return "median", {"levels": int(some.size)}
    if some.size < LEVELS_SCALED or chances.sum() >= LUCK:
        return None
    if np.sort(chances)[2:].sum() < LUCK:
        slope, offset = np.polyfit(means, x, 1) if np.ptp(means) > 0 else (0.0, 0.0)
        if slope != 0 and _agree(x, slope * means + offset, column.step):
            return "mean, scaled,", {"levels": int(some.size), "slope": float(slope), "offset": float(offset)}
    # Other values that are mixed with an overall mean by the same weight are these ones only if all sums are: no
    # number is free, and what follows from a weight that fits them all does so by far more digits than asked for.
    overall = float(y[rows].mean())
    away = x - overall
    with np.errstate(invalid="ignore", divide="ignore"):
        weights = (sums[some] - n * x) / away
    weight = float(np.median(weights[np.isfinite(weights)])) if np.isfinite(weights).any() else 0.0
    if weight > 0 and _agree(x, (sums[some] + weight * overall) / (n + weight), column.step):
        return f"mean (smoothed by {weight:.6g} rows of the overall mean)", {"levels": some.size, "smoothing": weight}
    return None


def _agree(x: Floats, other: Floats, step: float) -> bool:
    import numpy as np

    spread = float(other.std())
    rounding = step if step <= 1e-3 * spread else 0.0
    return spread > 0 and bool(np.abs(x - other).max() <= max(SAME * spread, rounding))


def _take_medians(codes: Codes, y: Floats, number: Codes) -> Floats:
    """Give the median of each level; NaN where it has no rows."""
    import numpy as np

    ordered = y[np.lexsort((y, codes))]
    starts = np.cumsum(number) - number
    last = max(ordered.size - 1, 0)
    low, high = (np.minimum(starts + np.maximum(number - odd, 0) // 2, last) for odd in (1, 0))
    medians: Floats = np.where(number > 0, (ordered[low] + ordered[high]) / 2, np.nan)
    return medians


def _bound_hits(y: Floats, sizes: Codes) -> Floats:
    """Bound log10 of the chance that a level's mean hits a given value: for few values, that of its likeliest sum."""
    import numpy as np

    values = np.unique(y[:: max(1, y.size // 5000)])
    if values.size > MOST_CLASSES:
        return np.full(sizes.size, -6.0)
    if values.size == 1:
        return np.zeros(sizes.size)
    step = float(np.diff(values).min())
    scale = np.maximum(2 * np.pi * sizes * float(y.var()) / step**2, 1.0)
    chances: Floats = -0.5 * np.log10(scale)
    return chances
