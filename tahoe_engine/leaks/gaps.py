"""Columns that give the target away in most rows, and stand at one value in the rest.

That is what imputing makes of a column with gaps: the identity holds in all rows that had a value.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from tahoe_engine.leaks.combinations import find_combined
from tahoe_engine.leaks.identities import find_affine
from tahoe_engine.leaks.orders import find_monotone
from tahoe_engine.leaks.within import find_within

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tahoe_engine.leaks.leak import Leak
    from tahoe_engine.leaks.sheet import Column, Sheet
    from tahoe_engine.leaks.strata import Stratum

LEAST: Final = 5  # rows at one value
OFTEN: Final = 3  # times as many as at any other
MOST: Final = 0.5  # of the rows: beyond, it is the value and the rest are the exception


def find_filled(sheet: Sheet, strata: Sequence[Stratum], skip: set[str]) -> list[Leak]:
    """Find columns that give the target away but for the rows at their commonest value.

    Parameters
    ----------
    sheet : Sheet
        With a target that is a number.
    strata : sequence of Stratum
        To look within.
    skip : set of str
        Columns of which more is known already.

    Returns
    -------
    list of Leak
        Of kinds affine, affine_combination and monotone; the share of the other rows is told.
    """
    if sheet.numbers is None or sheet.numbers.n_distinct <= 2:  # noqa: PLR2004 -- classes
        return []
    filled = [open_gaps(column) for column in sheet.columns if column.name not in skip]
    values = {column.name: value for column, value in filled if value is not None}
    if not values:
        return []
    opened = replace(sheet, columns=[column for column, value in filled if value is not None])
    found = find_affine(opened)
    found += find_monotone(opened, {leak.column for leak in found})
    found += find_within(opened, strata, {leak.column for leak in found})
    if not found:
        both = replace(sheet, columns=[column for column, _ in filled])
        found = [leak for leak in find_combined(both, set()) if values.keys() & set(leak.columns)]
    shares = {column.name: float(column.known.mean()) for column in opened.columns}
    return [_add_share(leak, values, shares) for leak in found]


def open_gaps(column: Column) -> tuple[Column, float | None]:
    """Take the commonest value of a column for a gap, where it is by far the commonest.

    Parameters
    ----------
    column : Column
        Of numbers.

    Returns
    -------
    tuple
        The column without it, and the value; or the same column and None.

    Examples
    --------
    >>> import numpy as np
    >>> from tahoe_engine.leaks.sheet import Column
    >>> values = np.array([1.0, 7, 2, 7, 3, 7, 4, 7, 5, 7, 6, 8])
    >>> opened, value = open_gaps(Column("x", values, 1.0, 8))
    >>> value, int(opened.known.sum())
    (7.0, 7)
    """
    import numpy as np

    known = column.data[column.known]
    some = known[:: max(1, known.size // 2000)]
    if np.unique(some).size == some.size < known.size // 2:
        return column, None  # hardly any value is there twice
    values, counts = np.unique(known, return_counts=True)
    if values.size <= LEAST:
        return column, None
    most, second = np.argsort(-counts, kind="stable")[:2]
    if counts[most] < max(LEAST, OFTEN * counts[second]) or counts[most] > MOST * column.data.size:
        return column, None
    data = np.where(column.data == values[most], np.nan, column.data)
    return replace(column, data=data, n_distinct=int(values.size - 1)), float(values[most])


def _add_share(leak: Leak, values: dict[str, float], shares: dict[str, float]) -> Leak:
    told = {name: (values[name], shares[name]) for name in leak.columns if name in values and name in shares}
    says = "; ".join(f"in the other {1 - share:.1%} {name} is {value:.6g}" for name, (value, share) in told.items())
    share = min(share for _, share in told.values()) if told else 1.0
    return replace(leak, evidence=f"{leak.evidence}; {says}", facts=leak.facts | {"share": share})
