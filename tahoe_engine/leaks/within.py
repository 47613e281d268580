"""One column and the target within the levels of others: another a·x + b, or another order, in each."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from tahoe_engine.leaks import orders
from tahoe_engine.leaks.chance import count_deals, count_values, is_luck
from tahoe_engine.leaks.identities import fit_line, is_exact
from tahoe_engine.leaks.leak import Leak
from tahoe_engine.leaks.pairs import list_blocks
from tahoe_engine.leaks.rounding import round_values

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from tahoe_engine.leaks.sheet import Column, Sheet
    from tahoe_engine.leaks.strata import Stratum

    Floats = NDArray[np.float64]
    Codes = NDArray[np.int64]

LOOK: Final = 60  # levels that are looked at first, ...
LOOK_ROWS: Final = 24  # ... with so many rows each
ALMOST: Final = 1e-4  # share of the variance that a first look may leave
PAIRS: Final = 2000  # within levels, that a finding of order must rest on: many small levels are easily in order
ENOUGH: Final = 4  # rows a level from which on a line of its own is no matter of course
LINE_ROWS: Final = 8  # the same where some levels may have none
SHARE: Final = 0.5  # of the rows that levels with a line must have
PARTLY: Final = 0.4  # the same at a first look
TOLD: Final = 3  # levels whose numbers stand in the evidence


def find_within(sheet: Sheet, strata: Sequence[Stratum], skip: set[str]) -> list[Leak]:
    """Find columns that give the target exactly, or its order, within each level of other columns.

    Parameters
    ----------
    sheet : Sheet
        With a target that is a number, or of two classes.
    strata : sequence of Stratum
        To look within.
    skip : set of str
        Columns of which more is known already.

    Returns
    -------
    list of Leak
        Of kinds affine and monotone; a column once, within the first stratum that does it.
    """
    y = _read_target(sheet)
    if y is None:
        return []
    # A drug with a strong effect has the highest values within any level of others, too: that is honest.
    members = {place for block in list_blocks(sheet.columns) if len(block) > 2 for place in block}  # noqa: PLR2004
    usable = [column for place, column in enumerate(sheet.columns) if place not in members]
    found: dict[str, Leak] = {}
    for stratum in strata:
        columns = [column for column in usable if column.name not in skip | found.keys() | stratum.members]
        if not columns:
            continue
        n_tried = len(sheet.columns) * len(strata)
        likely = _look(columns, y, stratum)
        for column, lines, ordered, partly in likely:
            leak = judge_lines(sheet, column, y, stratum, n_tried) if lines else None
            if leak is None and ordered:
                leak = _judge_orders(sheet, column, y, stratum, n_tried)
            if leak is None and partly and sheet.classes is None:  # designs tie classes in some levels
                leak = _judge_some(sheet, column, y, stratum, n_tried)
            if leak is not None:
                found[column.name] = leak
    return list(found.values())


def _read_target(sheet: Sheet) -> Floats | None:
    if sheet.numbers is not None:
        return sheet.numbers.data
    two = sheet.classes is not None and len(sheet.class_names) == 2  # noqa: PLR2004 -- classes with an order
    return sheet.classes.astype(float) if two and sheet.classes is not None else None


def _look(columns: Sequence[Column], y: Floats, stratum: Stratum) -> Iterator[tuple[Column, bool, bool, bool]]:
    """Give the columns that may do it, by a few rows of some levels: lines, order, lines in some levels."""
    import numpy as np

    rows = np.random.default_rng(0).permutation(np.flatnonzero(stratum.codes >= 0))
    rows = rows[np.argsort(stratum.codes[rows], kind="stable")]
    codes = stratum.codes[rows]
    starts = np.searchsorted(codes, np.arange(stratum.n_levels))
    nth = np.arange(rows.size) - starts[codes]
    sizes = np.bincount(codes)
    chosen = np.argsort(-sizes, kind="stable")[:LOOK]
    keep = (nth < LOOK_ROWS) & np.isin(codes, chosen)
    rows, codes = rows[keep], codes[keep]
    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    places = np.cumsum(np.diff(codes, prepend=codes[0]) > 0)
    target = y[rows][:, None]
    values = np.stack([column.data[rows] for column in columns], axis=1)
    known = ~np.isnan(values)
    number = np.maximum(np.add.reduceat(known, starts, axis=0, dtype=float), 1)

    def center(matrix: Floats) -> Floats:
        filled = np.where(known, matrix, 0.0)
        centred: Floats = np.where(known, matrix - (np.add.reduceat(filled, starts, axis=0) / number)[places], 0.0)
        return centred

    dx, dy = center(values), center(np.broadcast_to(target, values.shape))
    sxx, sxy, syy = (np.add.reduceat(product, starts, axis=0) for product in (dx * dx, dx * dy, dy * dy))
    with np.errstate(invalid="ignore", divide="ignore"):
        left = np.where(sxx > 0, syy - sxy**2 / sxx, syy)
        own = left.sum(axis=0)
        exact = (sxx > 0) & (syy > 0) & (left <= ALMOST * syy) & (number >= LINE_ROWS)
        common = syy.sum(axis=0) - sxy.sum(axis=0) ** 2 / np.where(sxx.sum(axis=0) > 0, sxx.sum(axis=0), np.inf)
    total = syy.sum(axis=0)
    several = rows.size >= ENOUGH * starts.size
    lines = (total > 0) & ((common <= ALMOST * total) | (several & (own <= ALMOST * total)))
    ordered = _look_at_orders(values, target[:, 0], places, starts) & (total > 0)
    weights = sizes[codes[starts]][:, None]  # of the levels looked at
    partly = (exact * weights).sum(axis=0) >= PARTLY * weights.sum()
    for place in np.flatnonzero(lines | ordered | partly).tolist():
        yield columns[place], bool(lines[place]), bool(ordered[place]), bool(partly[place])


def _look_at_orders(values: Floats, y: Floats, places: Codes, starts: Codes) -> NDArray[np.bool_]:
    import numpy as np

    with np.errstate(invalid="ignore"):
        low, high = np.fmin.reduce(values, axis=0), np.fmax.reduce(values, axis=0)
        scaled = (values - low) / np.where(high > low, 2 * (high - low), 1.0)
    order = np.argsort(scaled + places[:, None], axis=0, kind="stable")
    x, target = np.take_along_axis(values, order, axis=0), y[order]
    # Missing values come last and are no pairs, and neither are neighbours of two levels, or of one value.
    level = np.take_along_axis(np.broadcast_to(places[:, None], values.shape), order, axis=0)
    pairs = (np.diff(level, axis=0) == 0) & (np.diff(x, axis=0) > 0)
    steps = np.where(pairs, np.diff(target, axis=0), 0.0)
    tiny = 1e-9 * float(y.std())
    rises: NDArray[np.bool_] = np.zeros((starts.size, values.shape[1]), dtype=bool)
    falls = rises.copy()
    row, column = np.nonzero(steps > tiny)
    rises[level[row, column], column] = True
    row, column = np.nonzero(steps < -tiny)
    falls[level[row, column], column] = True
    mixed: NDArray[np.bool_] = np.any(rises & falls, axis=0)
    moves: NDArray[np.bool_] = np.any(rises | falls, axis=0)
    return moves & ~mixed


def judge_lines(sheet: Sheet, column: Column, y: Floats, stratum: Stratum, n_tried: float) -> Leak | None:
    """Judge whether the target is a·x + b within each level, first with one a for all.

    Returns
    -------
    Leak or None
        Of kind affine.
    """
    import numpy as np

    rows = np.flatnonzero(column.known & (stratum.codes >= 0))
    x, target, codes = column.data[rows], y[rows], stratum.codes[rows]
    n_levels = stratum.n_levels
    sizes = np.bincount(codes, minlength=n_levels)
    per_level = np.maximum(sizes, 1)
    x_means = np.bincount(codes, x, n_levels) / per_level
    y_means = np.bincount(codes, target, n_levels) / per_level
    dx, dy = x - x_means[codes], target - y_means[codes]
    spread = float(np.sqrt(np.mean(dy * dy))) if dy.size else 0.0
    if spread <= 1e-9 * float(y.std()) or not (dx * dx).sum() > 0:
        return None
    sxx, sxy = np.bincount(codes, dx * dx, n_levels), np.bincount(codes, dx * dy, n_levels)
    own = np.divide(sxy, sxx, out=np.zeros(n_levels), where=sxx > 0)
    step = sheet.numbers.step if sheet.numbers is not None else 0.0
    for slopes, free in ((np.full(n_levels, sxy.sum() / sxx.sum()), 1), (own, 2)):
        left = dy - slopes[codes] * dx
        if not is_exact(left, spread, step, float(np.abs(slopes).max()) * column.step):
            continue
        n_values, luck = _bound_levels(codes, target, free)
        luck += np.log10(n_values) * 2 if free == 1 else 0.0
        if is_luck(luck, n_tried):
            continue
        offsets = y_means - slopes * x_means
        some = ", ".join(f"{slopes[one]:.7g}·x {offsets[one]:+.6g}" for one in range(min(TOLD, n_levels)))
        says = (
            f"{sheet.target} is a line over {column.name} within each of {n_levels:,} levels of {stratum.label} "
            f"({some}{', …' if n_levels > TOLD else ''}) over {rows.size:,} rows"
        )
        facts = {"slopes": slopes.tolist(), "offsets": offsets.tolist(), "rows": int(rows.size), "log10_luck": luck}
        facts["residual"] = float(np.sqrt(np.mean(left * left))) / spread
        return Leak(column.name, "affine", says, (column.name, *sorted(stratum.members)), facts)
    return None


def _judge_some(sheet: Sheet, column: Column, y: Floats, stratum: Stratum, n_tried: int) -> Leak | None:
    """Judge whether the target is a·x + b within levels that have half of the rows at least."""
    import numpy as np

    rows = np.flatnonzero(column.known & (stratum.codes >= 0))
    rows = rows[np.argsort(stratum.codes[rows], kind="stable")]
    step = sheet.numbers.step if sheet.numbers is not None else 0.0
    exact: list[int] = []
    for part in np.split(rows, np.flatnonzero(np.diff(stratum.codes[rows])) + 1):
        if part.size < LINE_ROWS:
            continue
        slope, _, left = fit_line(column.data[part], y[part])
        if slope != 0 and is_exact(left, float(y[part].std()), step, abs(slope) * column.step):
            exact.append(int(stratum.codes[part[0]]))
    places = np.full(stratum.n_levels + 1, -1, dtype=np.int64)
    places[exact] = np.arange(len(exact))
    codes = places[stratum.codes]  # -1, the last, stays what it is
    share = float((codes[column.known] >= 0).sum() / codes.size)
    if share < SHARE:
        return None
    some = replace(stratum, codes=codes, n_levels=len(exact))
    # Any choice of levels may have been the one.
    leak = judge_lines(sheet, column, y, some, n_tried * 2.0 ** min(stratum.n_levels, 500))
    if leak is None:
        return None
    says = f"{leak.evidence}, {share:.1%} of the rows; in the other {stratum.n_levels - len(exact):,} levels it is not"
    return replace(leak, evidence=says, facts=leak.facts | {"share": share})


def _bound_levels(codes: Codes, y: Floats, free: int) -> tuple[int, float]:
    """Bound the luck of a line in every level: r free numbers among the v values of a level are v^r of its deals."""
    import numpy as np

    rounded = np.unique(round_values(y), return_inverse=True)[1]
    total, most = 0.0, 1
    places = np.lexsort((rounded, codes))
    parts = np.split(rounded[places], np.flatnonzero(np.diff(codes[places])) + 1)
    for part in parts:
        counts = count_values(part)
        most = max(most, len(counts))
        total += min(0.0, free * float(np.log10(len(counts))) - count_deals(counts))
    return most, total


def _judge_orders(sheet: Sheet, column: Column, y: Floats, stratum: Stratum, n_tried: int) -> Leak | None:
    import numpy as np

    rows = np.flatnonzero(column.known & (stratum.codes >= 0))
    rows = rows[np.argsort(stratum.codes[rows], kind="stable")]
    luck, n_levels, n_dense, n_down, n_pairs = 0.0, 0, 0, 0, 0
    for part in np.split(rows, np.flatnonzero(np.diff(stratum.codes[rows])) + 1):
        x, target = column.data[part], y[part]
        x_codes, y_codes = round_values(x), round_values(target)
        if (y_codes == y_codes[:1]).all():
            continue
        up = orders.order_rows(x, target)
        if not up and not orders.order_rows(-x, target):
            return None
        signed = x_codes if up else -x_codes
        if not orders.tells_the_other(signed, y_codes):
            return None
        n_levels += 1
        n_down += not up
        n_pairs += orders.count_pairs(x_codes, y_codes)
        n_dense += orders.cuts_dense(signed, target)
        deals = count_deals(count_values(y_codes))
        luck += min(0.0, float(np.log10(2)) + orders.count_orders(signed, y_codes) - deals)
    if n_pairs < PAIRS or 2 * n_dense < n_levels or is_luck(luck, n_tried):
        return None
    falls = f" (falling in {n_down:,})" if n_down else ""
    says = (
        f"{sheet.target} and {column.name} have no discordant pair within any of {n_levels:,} levels of "
        f"{stratum.label}{falls}, over {rows.size:,} rows"
    )
    facts = {"levels": n_levels, "falling": n_down, "rows": int(rows.size), "log10_luck": luck}
    return Leak(column.name, "monotone", says, (column.name, *sorted(stratum.members)), facts)
