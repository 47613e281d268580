"""Features that are the same twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tahoe_engine.leaks.chance import bound_luck, count_values, is_luck
from tahoe_engine.leaks.identities import fit_line, is_exact, write_line
from tahoe_engine.leaks.leak import Leak

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from tahoe_engine.leaks.sheet import Column, Sheet

    Floats = NDArray[np.float64]

ENOUGH: Final = 5
TWO: Final = 2
GLANCE: Final = 64  # rows that most pairs are told apart by
LIKELY: Final = 0.9  # correlation from which on a pair is looked at
MOST_PAIRS: Final = 20_000


def find_duplicates(sheet: Sheet) -> list[Leak]:
    """Find features that are equal to one before them, or a·x + b of it.

    Parameters
    ----------
    sheet : Sheet
        Any.

    Returns
    -------
    list of Leak
        Of kind duplicate, one for each column that could be left out. Zeros and ones of two one-hot blocks may well be
        equal (a drug that is alone in its mechanism), and the two of one block sum to one: they are not told.
    """
    columns = sheet.columns
    blocks = find_blocks(columns)
    found: list[Leak] = []
    again: set[str] = set()
    n_pairs = len(columns) * (len(columns) - 1) / 2
    for one, other in list_likely_pairs([column.data for column in columns], LIKELY):
        first, second = columns[one], columns[other]
        if second.name in again or first.name in again:
            continue
        if first.name in blocks and second.name in blocks:
            continue
        if (leak := _judge(first, second, n_pairs)) is not None:
            again.add(second.name)
            found.append(leak)
    return found + _find_equal_texts(sheet)


def _judge(first: Column, second: Column, n_pairs: float) -> Leak | None:
    import numpy as np

    both = first.known & second.known
    x, y = first.data[both], second.data[both]
    if y.size < ENOUGH:
        return None
    spread = float(y.std())
    slope, _, left = fit_line(x[:GLANCE], y[:GLANCE])
    if not is_exact(left, spread, second.step, abs(slope) * first.step):
        return None
    slope, offset, left = fit_line(x, y)
    if not is_exact(left, spread, second.step, abs(slope) * first.step):
        return None
    luck = bound_luck(count_values(np.unique(y, return_inverse=True)[1]), 2)
    if slope == 0 or is_luck(luck, n_pairs):
        return None
    if np.array_equal(x, y):
        says = f"equal to {first.name} in all {x.size:,} rows that have both"
    else:
        says = f"{write_line(slope, first.name, offset)} in all {x.size:,} rows that have both"
    facts = {"slope": slope, "offset": offset, "rows": int(x.size), "log10_luck": luck}
    return Leak(second.name, "duplicate", f"{second.name} is {says}", (second.name, first.name), facts)


def _find_equal_texts(sheet: Sheet) -> list[Leak]:
    import numpy as np

    found, names = [], list(sheet.levels)
    for place, name in enumerate(names):
        for earlier in names[:place]:
            codes, others = sheet.levels[name], sheet.levels[earlier]
            same = (
                np.array_equal(codes, others)
                and codes.max(initial=-1) > 0
                and sheet.texts.get(name) == sheet.texts.get(earlier)
            )
            if same and not is_luck(bound_luck(count_values(codes), 1), len(names) ** 2):
                says = f"{name} is equal to {earlier} in all {codes.size:,} rows"
                found.append(Leak(name, "duplicate", says, (name, earlier), {"rows": int(codes.size)}))
                break
    return found


def list_likely_pairs(rows: Sequence[Floats], least: float) -> Iterator[tuple[int, int]]:
    """Give pairs of columns that are correlated, the most correlated first.

    Parameters
    ----------
    rows : sequence of numpy.ndarray
        Columns, NaN where there is no value.
    least : float
        Absolute correlation from which on, over the rows that both have.

    Yields
    ------
    tuple of int
        Places of the two, the smaller one first.

    Examples
    --------
    >>> import numpy as np
    >>> list(list_likely_pairs([np.array([1.0, 2, 3]), np.array([5.0, 1, 5]), np.array([2.0, 4, 6])], 0.9))
    [(0, 2)]
    """
    import numpy as np

    if len(rows) < 2:  # noqa: PLR2004 -- a pair
        return
    matrix = np.stack(rows)
    known = ~np.isnan(matrix)
    if matrix.shape[1] > 4000:  # noqa: PLR2004 -- enough to see a correlation; each pair is looked at in full later
        some = np.random.default_rng(0).permutation(matrix.shape[1])[:4000]
        matrix, known = matrix[:, some], known[:, some]
    number = np.maximum(known.sum(axis=1, keepdims=True), 1)
    filled = np.where(known, matrix, 0.0)
    filled = np.where(known, matrix - filled.sum(axis=1, keepdims=True) / number, 0.0)
    scale = np.sqrt((filled**2).sum(axis=1, keepdims=True) / number)
    filled /= np.where(scale > 0, scale, 1.0)
    # Sums over the rows that both columns have: what is missing may have been the largest values.
    there = known.astype(np.float64)
    both, sums, squares = there @ there.T, filled @ there.T, (filled**2) @ there.T
    with np.errstate(invalid="ignore", divide="ignore"):
        spreads = squares - sums**2 / both
        likeness = np.abs(filled @ filled.T - sums * sums.T / both) / np.sqrt(spreads * spreads.T)
    likeness = np.where(np.isfinite(likeness), likeness, 0.0)
    first, second = np.nonzero(np.triu(likeness >= least, 1))
    order = np.argsort(-likeness[first, second], kind="stable")[:MOST_PAIRS]
    yield from zip(first[order].tolist(), second[order].tolist(), strict=True)


def find_blocks(columns: Sequence[Column]) -> set[str]:
    """Find the columns of two values that stand in one-hot blocks: neighbours of which at most one is up in a row.

    Parameters
    ----------
    columns : sequence of Column
        In the order of the table.

    Returns
    -------
    set of str
        Names.

    Examples
    --------
    >>> import numpy as np
    >>> from tahoe_engine.leaks.sheet import Column
    >>> rows = {"a": [1.0, 0, 0], "b": [0.0, 1, 1], "c": [0.0, 1, 1]}
    >>> columns = [Column(name, np.array(values), 1.0, 2) for name, values in rows.items()]
    >>> sorted(find_blocks(columns))
    ['a', 'b']
    """
    return {columns[place].name for block in list_blocks(columns) for place in block}


def list_blocks(columns: Sequence[Column]) -> list[list[int]]:
    """Give the places of the columns of each one-hot block, of two and more.

    Parameters
    ----------
    columns : sequence of Column
        In the order of the table.

    Returns
    -------
    list of list of int
    """
    import numpy as np

    blocks: list[list[int]] = []
    sums = None
    for place, column in enumerate(columns):
        if column.n_distinct != TWO:
            continue
        up = (column.data == np.nanmax(column.data)).astype(np.int64)
        if sums is not None and not (sums & up).any():
            blocks[-1].append(place)
            sums |= up
        else:
            blocks.append([place])
            sums = up
    return [block for block in blocks if len(block) > 1]
