"""Sums by cell: the rows of one slice of the predictions and one cluster, merged without loss of digits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Whole = NDArray[np.int64]


@dataclass(frozen=True)
class Cells:
    """Moments of some variables, and plain sums, in each cell.

    Parameters
    ----------
    keys : ndarray of int64, shape (cells, d)
        What makes a cell, in lexicographic order.
    n : ndarray of int64, shape (cells,)
        Rows.
    shifts : ndarray of float64, shape (cells, v)
        A value of each variable.
    offsets : ndarray of float64, shape (cells, v)
        Mean of each variable less its shift: the sum of both would lose digits where a mean is large.
    products : ndarray of float64, shape (cells, v, v)
        Sums of products of deviations from the cell's own means.
    totals : ndarray of float64, shape (cells, e)
        Plain sums.
    """

    keys: Whole
    n: Whole
    shifts: Floats
    offsets: Floats
    products: Floats
    totals: Floats

    def take(self, rows: slice) -> Cells:
        """Give some of the cells."""
        means = self.shifts[rows], self.offsets[rows]
        return Cells(self.keys[rows], self.n[rows], *means, self.products[rows], self.totals[rows])

    def select(self, segment: int) -> Cells:
        """Give the cells whose first key is this."""
        import numpy as np

        low, high = np.searchsorted(self.keys[:, 0], (segment, segment + 1))
        return self.take(slice(int(low), int(high)))


@dataclass(frozen=True)
class Counts:
    """Whole numbers in each cell; cells of nothing are left out.

    Parameters
    ----------
    keys : ndarray of int64, shape (cells, d)
        What makes a cell, in lexicographic order.
    counts : ndarray of int64, shape (cells, k)
        Numbers of rows.
    """

    keys: Whole
    counts: Whole

    def select(self, segment: int) -> Counts:
        """Give the cells whose first key is this."""
        import numpy as np

        low, high = np.searchsorted(self.keys[:, 0], (segment, segment + 1))
        return Counts(self.keys[low:high], self.counts[low:high])


def group_keys(keys: Whole) -> tuple[Whole, Whole, Whole]:
    """Find rows of equal keys.

    Parameters
    ----------
    keys : ndarray of int64, shape (rows, d)
        Any.

    Returns
    -------
    unique : ndarray of int64, shape (cells, d)
        The different keys, in lexicographic order.
    codes : ndarray of int64, shape (rows,)
        Cell of each row.
    first : ndarray of int64, shape (cells,)
        First row of each cell.

    Examples
    --------
    >>> import numpy as np
    >>> unique, codes, first = group_keys(np.array([[2, 0], [1, 5], [2, 0]]))
    >>> unique.tolist(), codes.tolist(), first.tolist()
    ([[1, 5], [2, 0]], [1, 0, 1], [1, 0])
    """
    import numpy as np

    packed = np.zeros(len(keys), np.int64)
    # Each column is made dense first, so that packed keys stay far below 2^63: cells to the power of columns.
    for column in keys.T:
        values, codes = np.unique(column, return_inverse=True)
        packed = packed * max(values.size, 1) + codes
    _, first, codes = np.unique(packed, return_index=True, return_inverse=True)
    return keys[first], codes.astype(np.int64), first


def merge_cells(cells: Cells) -> Cells:
    """Merge cells of equal keys.

    Rows are cells of one row each, so that rows are collected by the same sums: in the order in which they come.

    Parameters
    ----------
    cells : Cells
        In any order; keys may repeat.

    Returns
    -------
    Cells
        One a key.

    Notes
    -----
    Means and products of merged cells: T. F. Chan, G. H. Golub and R. J. LeVeque, Updating formulae and a pairwise
    algorithm for computing sample variances, COMPSTAT 1982; about the first value of the cell, so that a variable
    without any variation has products of exactly 0.
    """
    import numpy as np

    keys, codes, first = group_keys(cells.keys)
    size = len(keys)

    def add(values: Floats) -> Floats:
        summed: Floats = np.bincount(codes, weights=values, minlength=size).astype(np.float64)
        return summed

    weights = cells.n.astype(np.float64)
    n = add(weights)
    shifts = cells.shifts[first]
    from_shift = measure_means(cells, shifts[codes])
    offsets = np.zeros_like(shifts)
    for _ in range(2):  # the second round mends the rounding of the first
        for variable in range(shifts.shape[1]):
            offsets[:, variable] += add(weights * (from_shift[:, variable] - offsets[codes, variable])) / n
    away = from_shift - offsets[codes]
    products = np.empty((size, shifts.shape[1], shifts.shape[1]))
    for one in range(shifts.shape[1]):
        for other in range(one + 1):
            summed = add(cells.products[:, one, other] + weights * away[:, one] * away[:, other])
            products[:, one, other] = products[:, other, one] = summed
    totals = np.empty((size, cells.totals.shape[1]))
    for column in range(totals.shape[1]):
        totals[:, column] = add(cells.totals[:, column])
    return Cells(keys, n.astype(np.int64), shifts, offsets, products, totals)


def measure_means(cells: Cells, origin: Floats) -> Floats:
    """Measure the means of cells from an origin near to them, without loss of digits."""
    return (cells.shifts - origin) + cells.offsets


def find_centre(cells: Cells) -> tuple[Floats, Floats]:
    """Find the mean of all rows: an origin, and the mean's distance from it."""
    origin = cells.shifts[:1]
    weights = cells.n.astype(float)[:, None]
    return origin, (weights * measure_means(cells, origin)).sum(axis=0) / weights.sum()


def collect_cells(keys: Whole, variables: Sequence[Floats], totals: Sequence[Floats]) -> Cells:
    """Collect the cells of rows.

    Parameters
    ----------
    keys : ndarray of int64, shape (rows, d)
        Cell of each row.
    variables : sequence of ndarray
        Whose moments are wanted.
    totals : sequence of ndarray
        Whose sums are.

    Returns
    -------
    Cells
        One a key.

    Examples
    --------
    >>> import numpy as np
    >>> cells = collect_cells(np.array([[0], [0], [1]]), [np.array([1.0, 3.0, 7.0])], [])
    >>> cells.n.tolist(), cells.offsets[:, 0].tolist(), cells.products[:, 0, 0].tolist()
    ([2, 1], [1.0, 0.0], [2.0, 0.0])
    """
    import numpy as np

    rows, wide = len(keys), len(variables)
    shifts = np.empty((rows, wide))
    sums = np.empty((rows, len(totals)))
    for place, values in enumerate(variables):
        shifts[:, place] = values
    for place, values in enumerate(totals):
        sums[:, place] = values
    ones, zeros = np.ones(rows, np.int64), np.zeros((rows, wide))
    return merge_cells(Cells(keys, ones, shifts, zeros, np.zeros((rows, wide, wide)), sums))


def join_cells(several: Sequence[Cells]) -> Cells:
    """Join cells one after another, and merge those of equal keys."""
    import numpy as np

    return merge_cells(
        Cells(
            np.concatenate([cells.keys for cells in several]),
            np.concatenate([cells.n for cells in several]),
            np.concatenate([cells.shifts for cells in several]),
            np.concatenate([cells.offsets for cells in several]),
            np.concatenate([cells.products for cells in several]),
            np.concatenate([cells.totals for cells in several]),
        )
    )


def join_counts(several: Sequence[Counts]) -> Counts:
    """Join counts, and add up those of equal keys."""
    import numpy as np

    keys, codes, _ = group_keys(np.concatenate([counts.keys for counts in several]))
    values = np.concatenate([counts.counts for counts in several])
    summed = np.zeros((len(keys), values.shape[1]), np.int64)
    for column in range(values.shape[1]):
        # As float64, in which whole numbers are exact up to 2^53 rows.
        summed[:, column] = np.bincount(codes, weights=values[:, column], minlength=len(keys)).astype(np.int64)
    return Counts(keys, summed)


def count_pairs(y: Whole, y_pred: Whole) -> Counts:
    """Count the rows of each true and predicted class.

    Parameters
    ----------
    y, y_pred : ndarray of int64
        Codes of classes.

    Returns
    -------
    Counts
        By true and predicted class.

    Examples
    --------
    >>> import numpy as np
    >>> pairs = count_pairs(np.array([0, 1, 1]), np.array([0, 0, 0]))
    >>> pairs.keys.tolist(), pairs.counts[:, 0].tolist()
    ([[0, 0], [1, 0]], [1, 2])
    """
    import numpy as np

    keys, codes, _ = group_keys(np.column_stack([y, y_pred]))
    return Counts(keys, np.bincount(codes, minlength=len(keys)).astype(np.int64)[:, None])


def count_classes(keys: Whole, y: Whole, y_pred: Whole) -> Counts:
    """Count, in each cell and for each class, the rows that are hit, that are of it, and that are said to be.

    Parameters
    ----------
    keys : ndarray of int64, shape (rows, d)
        Cell of each row.
    y, y_pred : ndarray of int64
        Codes of classes.

    Returns
    -------
    Counts
        By key and class: hits, rows of the class, rows predicted to be of it.

    Examples
    --------
    >>> import numpy as np
    >>> told = count_classes(np.zeros((3, 1), np.int64), np.array([0, 1, 1]), np.array([0, 0, 1]))
    >>> told.keys.tolist(), told.counts.tolist()
    ([[0, 0], [0, 1]], [[1, 1, 2], [1, 2, 1]])
    """
    import numpy as np

    cells, codes, _ = group_keys(keys)
    pairs, pair_codes, _ = group_keys(np.column_stack([codes, y, y_pred]))
    n = np.bincount(pair_codes, minlength=len(pairs)).astype(np.int64)
    hit = pairs[:, 1] == pairs[:, 2]
    none = np.zeros_like(n)
    cell_keys = cells[pairs[:, 0]]
    of_class = Counts(np.column_stack([cell_keys, pairs[:, 1]]), np.column_stack([n * hit, n, none]))
    said = Counts(np.column_stack([cell_keys, pairs[:, 2]]), np.column_stack([none, none, n]))
    return join_counts([of_class, said])
