"""Levels within which identities are looked for: columns of few values, one-hot blocks, and pairs of them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Final

from tahoe_engine.leaks.pairs import list_blocks

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from tahoe_engine.leaks.sheet import Column, Sheet

    Codes = NDArray[np.int64]

FEW_LEVELS: Final = 50  # of a column of numbers
ROWS_A_LEVEL: Final = 4
ROWS_AN_ID: Final = 20  # the same for whole numbers, which may be the numbers of samples
MOST: Final = 24
PAIRED: Final = 7  # columns whose pairs are looked at
MANY: Final = 0.95  # levels a row: so many that hardly any has rows enough for more than a mean
OWN: Final = 0.6  # the same for the values of a column of numbers themselves
OWN_LEVELS: Final = 3


@dataclass(frozen=True)
class Stratum:
    """Rows by the levels of one column, or of several together.

    Parameters
    ----------
    names : tuple of str
        The columns; of a one-hot block, its first and last.
    codes : numpy.ndarray
        0 ... n_levels - 1, and -1 where there is none.
    n_levels : int
        How many.
    members : frozenset of str
        All columns that it is made of.
    """

    names: tuple[str, ...]
    codes: Codes
    n_levels: int
    members: frozenset[str]

    @property
    def label(self) -> str:
        """Its name in evidence."""
        return " and ".join(self.names)


def list_strata(sheet: Sheet) -> list[Stratum]:
    """Give the levels to look within: groups, text, one-hot blocks, few numbers; then pairs.

    Parameters
    ----------
    sheet : Sheet
        Any.

    Returns
    -------
    list of Stratum
        At least two levels, and four rows a level on average.
    """
    import numpy as np

    singles: list[Stratum] = []
    for levels in (sheet.groups, sheet.levels):
        singles += [_make((name,), codes, frozenset({name})) for name, codes in levels.items()]
    blocks = list_blocks(sheet.columns)
    for block in blocks:
        ups = np.stack([sheet.columns[place].data == np.nanmax(sheet.columns[place].data) for place in block])
        names = [sheet.columns[place].name for place in block]
        label = f"the one-hot block {names[0]} … {names[-1]}"
        singles.append(_make((label,), np.where(ups.any(axis=0), ups.argmax(axis=0), len(block)), frozenset(names)))
    in_blocks = {place for block in blocks for place in block}
    for place, column in enumerate(sheet.columns):
        few = max(FEW_LEVELS, column.data.size // ROWS_AN_ID if column.step >= 1 else 0)
        if column.n_distinct <= few and place not in in_blocks:
            singles.append(_make_of_values(column, frozenset({column.name})))
    if sheet.side is not None:
        singles.append(_make(("the split",), sheet.side, frozenset()))
    singles = [one for one in singles if _is_useful(one)][:MOST]
    pairs = [
        _make((*one.names, *other.names), _cross(one, other), one.members | other.members)
        for one, other in combinations(singles[:PAIRED], 2)
    ]

    return singles + [pair for pair in pairs if _is_useful(pair)]


def list_many_levels(sheet: Sheet) -> list[Stratum]:
    """Give the columns of so many levels that `list_strata` leaves them out: a mean may be taken over two rows, too.

    Parameters
    ----------
    sheet : Sheet
        Any.

    Returns
    -------
    list of Stratum
        Groups, text, and whole numbers.
    """
    import numpy as np

    many: list[Stratum] = []
    for levels in (sheet.groups, sheet.levels):
        many += [_make((name,), codes, frozenset({name})) for name, codes in levels.items()]
    for column in sheet.columns:
        if column.step >= 1 and column.data.size // ROWS_AN_ID < column.n_distinct <= MANY * column.data.size:
            many.append(_make_of_values(column, frozenset({column.name})))
        if len(many) >= MOST + len(sheet.groups) + len(sheet.levels):
            break
    some = [one for one in many if not _is_useful(one) and 1 < one.n_levels <= MANY * np.count_nonzero(one.codes >= 0)]
    return some[:MOST]


def list_own_levels(sheet: Sheet) -> Iterator[tuple[Column, Stratum]]:
    """Give each column of numbers with the levels that its own repeated values make.

    Parameters
    ----------
    sheet : Sheet
        Any.

    Yields
    ------
    tuple
        A column that is rounded to less than whole numbers, and a stratum of no members.
    """
    for column in sheet.columns:
        if column.step < 1 and OWN_LEVELS <= column.n_distinct <= OWN * column.data.size:
            yield column, _make_of_values(column, frozenset())


def _make_of_values(column: Column, members: frozenset[str]) -> Stratum:
    import numpy as np

    codes = np.full(column.data.size, -1, dtype=np.int64)
    codes[column.known] = np.unique(column.data[column.known], return_inverse=True)[1]
    return Stratum((column.name,), codes, column.n_distinct, members)


def _make(names: tuple[str, ...], codes: Codes, members: frozenset[str]) -> Stratum:
    import numpy as np

    dense = np.full(codes.size, -1, dtype=np.int64)
    known = codes >= 0
    values, dense[known] = np.unique(codes[known], return_inverse=True)
    return Stratum(names, dense, int(values.size), members)


def _cross(one: Stratum, other: Stratum) -> Codes:
    import numpy as np

    both: Codes = np.where((one.codes >= 0) & (other.codes >= 0), one.codes * other.n_levels + other.codes, -1)
    return both


def _is_useful(stratum: Stratum) -> bool:
    return 1 < stratum.n_levels <= stratum.codes.size // ROWS_A_LEVEL
