"""Sums of products of centred columns, piece by piece: all that least squares needs of any number of rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tahoe_engine.models.draws import draw_rows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    from tahoe_engine.models.blocks import Piece
    from tahoe_engine.models.material import Material

    Floats = NDArray[np.float64]

DENSE: Final = 0.5  # share of rows with an entry from which on a column is centred, and multiplied as a dense one
CHUNK: Final = 1 << 22  # numbers that are dense at once


@dataclass
class Products:
    """Sums over rows of x - shift and y - shift.

    Parameters
    ----------
    n : int
        Rows.
    x, y : ndarray
        Sums of the p columns and the k targets.
    xx : ndarray
        Upper triangle, row by row, of the p by p sums of products.
    xy : ndarray, p by k
        Sums of products with the targets.
    yy : ndarray
        Sums of squares of the targets.
    """

    n: int
    x: Floats
    y: Floats
    xx: Floats
    xy: Floats
    yy: Floats

    def add(self, other: Products) -> None:
        """Add the sums over other rows."""
        self.n += other.n
        for mine, more in zip(self._sums(), other._sums(), strict=True):
            mine[...] += more

    def copy(self) -> Products:
        """Give the same, to be added to."""
        return Products(self.n, *(one.copy() for one in self._sums()))

    def square(self) -> Floats:
        """Give the p by p sums of products."""
        import numpy as np

        p = len(self.x)
        whole = np.zeros((p, p))
        whole[_upper(p)] = self.xx
        return whole + np.triu(whole, 1).T

    def _sums(self) -> tuple[Floats, ...]:
        return self.x, self.y, self.xx, self.xy, self.yy


@dataclass(frozen=True)
class Shifts:
    """What is subtracted, so that large means do not swallow the digits of small deviations.

    Parameters
    ----------
    x : ndarray
        Of each column; 0 for those that stay sparse.
    dense : ndarray of bool
        Columns that are dense.
    y : ndarray
        Of each target.
    """

    x: Floats
    dense: NDArray[np.bool_]
    y: Floats


def choose_shifts(x: csr_array, y: Floats) -> Shifts:
    """Choose shifts by some rows: the means of dense columns, whatever rows follow.

    Parameters
    ----------
    x : scipy.sparse.csr_array
        Rows by columns; at least one row.
    y : ndarray
        Rows by targets.

    Returns
    -------
    Shifts
        The same for the same rows.
    """
    import numpy as np

    entries = np.bincount(x.indices, minlength=x.shape[1])
    dense = entries >= DENSE * x.shape[0]
    means = np.asarray(x.sum(axis=0), dtype=np.float64).ravel() / x.shape[0]
    return Shifts(np.where(dense, means, 0.0), dense, y.mean(axis=0))


def sum_products(x: csr_array, y: Floats, shifts: Shifts) -> Products:
    """Sum products over rows.

    Parameters
    ----------
    x : scipy.sparse.csr_array
        Rows by columns.
    y : ndarray
        Rows by targets.
    shifts : Shifts
        What is subtracted.

    Returns
    -------
    Products
        The same bits for the same rows.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.sparse import csr_array
    >>> rows = csr_array(np.array([[1.0, 0.0], [3.0, 2.0]]))
    >>> nothing = Shifts(np.zeros(2), np.array([True, False]), np.zeros(1))
    >>> sum_products(rows, np.array([[1.0], [2.0]]), nothing).square().tolist()
    [[10.0, 6.0], [6.0, 4.0]]
    """
    import numpy as np
    from threadpoolctl import threadpool_limits

    n, p = x.shape
    places, others = np.flatnonzero(shifts.dense), np.flatnonzero(~shifts.dense)
    centred = y - shifts.y
    whole, totals, cross = np.zeros((p, p)), np.zeros(p), np.zeros((p, y.shape[1]))
    step = max(1, CHUNK // max(1, len(places)))
    with threadpool_limits(limits=1, user_api="blas"):
        for first in range(0, n, step):
            rows, target = x[first : first + step], centred[first : first + step]
            sparse = rows[:, others]
            whole[np.ix_(others, others)] += (sparse.T @ sparse).toarray()
            totals[others] += sparse.sum(axis=0)
            cross[others] += sparse.T @ target
            if len(places):
                dense = rows[:, places].toarray() - shifts.x[places]
                whole[np.ix_(places, places)] += dense.T @ dense
                mixed = sparse.T @ dense
                whole[np.ix_(others, places)] += mixed
                whole[np.ix_(places, others)] += mixed.T
                totals[places] += dense.sum(axis=0)
                cross[places] += dense.T @ target
    return Products(n, totals, centred.sum(axis=0), whole[_upper(p)], cross, (centred**2).sum(axis=0))


@dataclass(frozen=True)
class SumPieces:
    """What a task sums: some pieces, each fold for itself.

    Parameters
    ----------
    material : Material
        Whose.
    shifts : Shifts
        What is subtracted.
    folds : tuple of int
        Which, -1 for rows of none; empty: all rows, summed under -1.
    n_rows, seed : int
        As in `tahoe_engine.models.draws.draw_rows`.
    """

    material: Material
    shifts: Shifts
    folds: tuple[int, ...]
    n_rows: int
    seed: int

    def __call__(self, pieces: tuple[Piece, ...]) -> dict[int, Products]:
        """Sum over pieces, in their order."""
        import numpy as np

        found: dict[int, Products] = {}
        for piece in pieces:
            block = self.material.load(piece, bare=True)
            block = draw_rows(block, self.material.count_rows(), self.n_rows, self.seed)
            for fold in self.folds or (-1,):
                rows = np.flatnonzero(block.fold == fold) if self.folds else np.arange(len(block.y))
                if rows.size:
                    x = block.x if rows.size == len(block.y) else block.x[rows]
                    products = sum_products(x, block.y[rows].reshape(-1, 1), self.shifts)
                    if fold in found:
                        found[fold].add(products)
                    else:
                        found[fold] = products
        return found


def merge_products(parts: list[dict[int, Products]]) -> dict[int, Products]:
    """Put sums together, in the order given.

    Parameters
    ----------
    parts : list of dict
        Of each fold its sums.

    Returns
    -------
    dict
        Likewise.
    """
    merged: dict[int, Products] = {}
    for part in parts:
        for fold, products in part.items():
            if fold in merged:
                merged[fold].add(products)
            else:
                # What a task was given is not changed: it may be needed again, where a worker dies.
                merged[fold] = products.copy()
    return merged


def _upper(p: int) -> Any:  # noqa: ANN401 - a mask
    import numpy as np

    return np.triu(np.ones((p, p), bool))
