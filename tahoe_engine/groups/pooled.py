"""Moments of the cells of many groups together, added group by group from the sparse tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class PooledMoments:
    """Mean and variance of every gene over all cells of the groups that were added.

    Parameters
    ----------
    n_genes : int
        Of the vocabulary.

    Notes
    -----
    The groups have no cell in common. Of two sets of cells, with ``d = mean[2] - mean[1]`` and ``n = n[1] + n[2]``:
    ``mean = mean[1] + d n[2] / n`` and ``M2 = M2[1] + M2[2] + d^2 n[1] n[2] / n``, where ``M2 = (n - 1) var``.
    T. F. Chan, G. H. Golub and R. J. LeVeque, Algorithms for computing the sample variance, Am. Stat. 37 (1983) 242.
    A gene that a group has no counts of has no row there: its zeros are added at the end, all at once. The order of the
    groups shows in the last bits.

    Examples
    --------
    Cells 0 and 2, and a cell 4; of the other gene nothing was counted in the first two:

    >>> pooled = PooledMoments(2)
    >>> pooled.add(2, np.array([0]), np.array([1.0]), np.array([2.0]))
    >>> pooled.add(1, np.array([0, 1]), np.array([4.0, 3.0]), np.array([np.nan, np.nan]))
    >>> pooled.means(3).tolist(), pooled.variances(3).tolist()
    ([2.0, 1.0], [4.0, 3.0])
    """

    def __init__(self, n_genes: int) -> None:
        # Of the groups that have counts of the gene.
        self._n = np.zeros(n_genes, np.int64)
        self._mean = np.zeros(n_genes)
        self._squares = np.zeros(n_genes)

    def add(self, n_cells: int, genes: NDArray[np.int64], mean: NDArray[np.float64], var: NDArray[np.float64]) -> None:
        """Add a group.

        Parameters
        ----------
        n_cells : int
            Its cells.
        genes : ndarray of int64
            Places of the genes that it has counts of, each once.
        mean, var : ndarray of float64
            Of these genes, over all its cells, with n - 1 in the denominator of the variance; what is said of the
            variance of one cell is not read.
        """
        before = self._n[genes]
        count = before + n_cells
        apart = mean - self._mean[genes]
        within = (n_cells - 1) * var if n_cells > 1 else 0.0
        self._mean[genes] += apart * (n_cells / count)
        self._squares[genes] += within + np.square(apart) * (before * (n_cells / count))
        self._n[genes] = count

    def means(self, n_cells: int) -> NDArray[np.float64]:
        """Give the mean of each gene.

        Parameters
        ----------
        n_cells : int
            Of all groups, also of those that have no counts at all.

        Returns
        -------
        ndarray of float64
            Over all these cells.
        """
        return self._mean * (self._n / n_cells)

    def variances(self, n_cells: int) -> NDArray[np.float64]:
        """Give the variance of each gene.

        Parameters
        ----------
        n_cells : int
            As of `means`; at least two.

        Returns
        -------
        ndarray of float64
            Over all these cells, with n - 1 in the denominator.
        """
        zeros = n_cells - self._n
        squares = self._squares + np.square(self._mean) * (self._n * (zeros / n_cells))
        return squares / (n_cells - 1)
