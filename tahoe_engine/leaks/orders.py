"""One column and the target: rows in the same order, strictly or in steps."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from tahoe_engine.leaks.chance import count_deals, count_values, is_luck
from tahoe_engine.leaks.leak import Leak
from tahoe_engine.leaks.pairs import list_blocks
from tahoe_engine.leaks.rounding import round_values

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from tahoe_engine.leaks.sheet import Column, Sheet

    Floats = NDArray[np.float64]
    Codes = NDArray[np.int64]

TELLING: Final = 500  # rows that are enough to see that a column has another order than the target
BINARY: Final = 2
PAIRS: Final = 300  # that a finding must rest on
HALF: Final = 0.5  # of the cuts: those of rounded values in the tails have few rows
FEW_CUTS: Final = 20
NEAR: Final = 20  # rows on either side of a cut
SPARSE: Final = 3.0  # times the usual distance of neighbours: beyond, the cut is in a tail or a gap
EVEN: Final = 0.45  # share of the width of 20 neighbours that 5 of them have at most; a quarter is usual


def find_monotone(sheet: Sheet, skip: set[str]) -> list[Leak]:
    """Find columns that order the rows as the target does, strictly or in steps.

    Parameters
    ----------
    sheet : Sheet
        With a target that is a number.
    skip : set of str
        Columns of which more is known already.

    Returns
    -------
    list of Leak
        Of kind monotone.
    """
    if sheet.numbers is None or sheet.numbers.n_distinct <= BINARY:
        return []  # two values: that is what auc looks at
    target = sheet.numbers
    blocks = list_blocks(sheet.columns)
    members = {place for block in blocks if len(block) > BINARY for place in block}
    columns = [(column, 0.0) for place, column in enumerate(sheet.columns) if place not in members]
    # The levels of a block were put in order by the target: each of the orders could have come out.
    columns += [
        (_order_block(sheet, block, target), count_deals([1] * (len(block) + 1)))
        for block in blocks
        if len(block) > BINARY
    ]
    return [
        leak
        for column, orders in columns
        if column.name not in skip and (leak := _judge_order(sheet, column, target, orders)) is not None
    ]


def _order_block(sheet: Sheet, block: Sequence[int], target: Column) -> Column:
    """Make one column of a one-hot block: its levels in the order of the target.

    A drug with a strong effect has the highest values of all, and its zeros and ones are honest. But when the levels
    of a whole block follow each other over the target without a gap, they are the target in bins.
    """
    import numpy as np

    ups = np.stack([sheet.columns[place].data == np.nanmax(sheet.columns[place].data) for place in block])
    codes = np.where(ups.any(axis=0), ups.argmax(axis=0), len(block))
    number = np.maximum(np.bincount(codes, minlength=len(block) + 1), 1)
    ranks = np.argsort(np.argsort(np.bincount(codes, target.data, len(block) + 1) / number))
    return replace(sheet.columns[block[0]], data=ranks[codes].astype(np.float64), n_distinct=len(block) + 1)


def _judge_order(sheet: Sheet, column: Column, target: Column, orders: float) -> Leak | None:
    import numpy as np

    known = np.flatnonzero(column.known)
    some = known[:TELLING]
    if not any(order_rows(sign * column.data[some], target.data[some]) for sign in (1, -1)):
        return None
    for word, sign in (("rises", 1), ("falls", -1)):
        x, y = sign * column.data[known], target.data[known]
        if not order_rows(x, y):
            continue
        x_codes, y_codes = round_values(x), round_values(y)
        if not tells_the_other(x_codes, y_codes) or not cuts_dense(x_codes, y, 1.0 if orders else HALF):
            return None
        if count_pairs(x_codes, y_codes) < PAIRS:
            return None
        luck = count_orders(x_codes, y_codes) - count_deals(count_values(y_codes))
        if is_luck(luck + orders, 2 * len(sheet.columns)):
            return None
        levels = np.unique(x_codes).size
        how = "with every step of" if levels == known.size else f"over the {levels:,} values of"
        says = f"{sheet.target} {word} {how} {column.name}: no discordant pair among {known.size:,} rows"
        facts = {"sign": sign, "rows": int(known.size), "values": int(levels), "log10_luck": luck}
        return Leak(column.name, "monotone", says, (column.name,), facts)
    return None


def order_rows(x: Floats, y: Floats) -> bool:
    """Tell whether y never falls where x rises.

    Examples
    --------
    >>> import numpy as np
    >>> order_rows(np.array([1.0, 1.0, 2.0]), np.array([5.0, 4.0, 5.0]))
    True
    """
    import numpy as np

    if x.size < BINARY:
        return False
    places = np.lexsort((y, x))
    x, y = x[places], y[places]
    starts = np.flatnonzero(np.diff(x, prepend=-np.inf) > 0)
    lows, highs = y[starts], y[np.append(starts[1:], x.size) - 1]
    spread = float(y.std())
    return bool((lows[1:] >= highs[:-1] - 1e-9 * spread).all()) and spread > 0 and starts.size > 1


def tells_the_other(x: Codes, y: Codes) -> bool:
    """Whether one of the two is a function of the other.

    A category that always has the lowest value, as other rows have too, is in no discordant pair either, and is honest.
    """
    import numpy as np

    pairs = np.unique(np.stack([x, y], axis=1), axis=0).shape[0]
    return bool(pairs == np.unique(x).size or pairs == np.unique(y).size)


def cuts_dense(x: Codes, y: Floats, share: float = HALF) -> bool:
    """Whether the few values of x cut the target where it has many rows: a strong honest effect leaves a gap there."""
    import numpy as np

    values, counts = np.unique(x, return_counts=True)
    if values.size > FEW_CUTS or np.unique(np.stack([x, round_values(y)]), axis=1).shape[1] == values.size:
        return True  # many values, or one value of the target for each
    ordered = np.sort(y)
    usual = float(np.quantile(y, 0.9) - np.quantile(y, 0.1)) / max(0.8 * y.size, 1.0)
    dense = 0
    for cut in np.cumsum(counts)[:-1]:
        if min(cut, y.size - cut) < NEAR:
            continue
        wide, narrow = (float(ordered[cut + near - 1] - ordered[cut - near]) for near in (NEAR, NEAR // 4))
        dense += wide <= SPARSE * usual * 2 * NEAR and narrow <= EVEN * wide
    return bool(dense >= max(1, share * (values.size - 1)))


def count_pairs(x: Codes, y: Codes) -> int:
    """Count the pairs of rows that differ in both, where one of the two is a function of the other.

    A strong honest effect (correlation 0.99) has one discordant pair in 20: among few pairs it may have none.

    Examples
    --------
    >>> import numpy as np
    >>> count_pairs(np.array([1, 2, 3, 4]), np.array([1, 1, 2, 2]))
    4
    """
    tied = [int((counts * (counts - 1) // 2).sum()) for counts in (count_values(x), count_values(y))]
    return x.size * (x.size - 1) // 2 - max(tied)


def count_orders(x: Codes, y: Codes) -> float:
    """Count (log10) the deals of y that have no discordant pair with x: those within the values of x."""
    import numpy as np

    places = np.lexsort((y, x))
    x, y = x[places], y[places]
    starts = np.flatnonzero(np.diff(x, prepend=x[0] - 1))
    sizes = np.diff(np.append(starts, x.size))
    if (sizes == 1).all():
        return 0.0
    groups = np.split(y, starts[1:])
    return sum(count_deals(count_values(group)) for group in groups if group.size > 1)
