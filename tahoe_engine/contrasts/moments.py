"""Mean and variance of the genes of a group: how they are pooled, and made dense from the sparse tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import polars as pl
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Moments:
    """Moments of log1p of counts per ten thousand, of one group or of a block of groups.

    Parameters
    ----------
    n : int or ndarray of int64, shape (groups,)
        Cells.
    mean : ndarray of float64, shape (genes,) or (groups, genes)
        Over all cells of the group, also those without a count of the gene.
    var : ndarray of float64, of the shape of `mean`
        Likewise, with n - 1 in the denominator; NaN in a group of one cell, which has none.

    Examples
    --------
    >>> Moments(3, np.array([1.0, 0.0]), np.array([0.5, 0.0])).n
    3
    """

    n: int | NDArray[np.int64]
    mean: NDArray[np.float64]
    var: NDArray[np.float64]


def pool_moments(groups: Sequence[Moments]) -> Moments:
    """Give the moments of all cells of several groups, which have no cell in common.

    Parameters
    ----------
    groups : sequence of Moments
        One group each (not blocks), over the same genes.

    Returns
    -------
    Moments
        What the cells themselves would give, but for rounding. Groups without cells add nothing, groups of one cell
        add their cell. The variance is NaN where there is one cell in all, the mean, too, where there is none.

    Raises
    ------
    ValueError
        If there is no group.

    Notes
    -----
    ``n = sum n[i]``, ``mean = sum n[i] mean[i] / n``, and about that mean
    ``(n - 1) var = sum (n[i] - 1) var[i] + n[i] (mean[i] - mean)^2``. T. F. Chan, G. H. Golub and R. J. LeVeque,
    Algorithms for computing the sample variance, Am. Stat. 37 (1983) 242-247.

    Examples
    --------
    Cells 0 and 2, and a cell 4:

    >>> two, one = Moments(2, np.array([1.0]), np.array([2.0])), Moments(1, np.array([4.0]), np.array([np.nan]))
    >>> pooled = pool_moments([two, one])
    >>> pooled.n, pooled.mean.tolist(), pooled.var.tolist()
    (3, [2.0], [4.0])
    """
    if not groups:
        raise ValueError("there is no group to pool")
    filled = [(int(group.n), group) for group in groups if group.n > 0]
    count = sum(n for n, _ in filled)
    none = np.full(groups[0].mean.shape, np.nan)
    if not count:
        return Moments(0, none, none.copy())
    mean = sum((n * group.mean for n, group in filled), np.zeros(none.shape)) / count
    if count == 1:
        return Moments(1, mean, none)
    squares = np.zeros(none.shape)
    for n, group in filled:
        if n > 1:
            squares += (n - 1) * group.var
        squares += n * np.square(group.mean - mean)
    return Moments(count, mean, squares / (count - 1))


@dataclass(frozen=True)
class Aligned:
    """Moments and sums of counts of several groups over the genes that any of them has.

    Parameters
    ----------
    group_ids : ndarray of int32, shape (groups,)
        In the order that was asked for.
    genes : ndarray of int32, shape (genes,)
        Tokens, ascending.
    moments : Moments
        Of the block: n of shape (groups,), mean and var of shape (groups, genes).
    sum_counts : ndarray of uint64, shape (groups, genes)
        Counts of all cells of a group.

    Examples
    --------
    See `align_moments`.
    """

    group_ids: NDArray[np.int32]
    genes: NDArray[np.int32]
    moments: Moments
    sum_counts: NDArray[np.uint64]

    def take(self, rows: Sequence[int] | NDArray[np.int64]) -> Moments:
        """Give the moments of these rows as a block."""
        at = np.asarray(rows, dtype=np.int64)
        return Moments(np.asarray(self.moments.n)[at], self.moments.mean[at], self.moments.var[at])

    def pool(self, rows: Sequence[int] | NDArray[np.int64]) -> Moments:
        """Give the moments of all cells of these rows together, as `pool_moments` does."""
        n = np.asarray(self.moments.n)
        return pool_moments([Moments(int(n[row]), self.moments.mean[row], self.moments.var[row]) for row in rows])


def align_moments(frames: Iterable[pl.DataFrame], groups: pl.DataFrame) -> Aligned:
    """Make sparse tables of moments dense, over the union of their genes.

    Parameters
    ----------
    frames : iterable of polars.DataFrame
        Tables ``groups/moments`` or parts of them: ``group_id``, ``gene``, ``sum_counts``, ``mean_log1p_cp10k`` and
        ``var_log1p_cp10k``, one row a group and gene with counts, in any order. Rows of groups that were not asked
        for are left out.
    groups : polars.DataFrame
        The groups that are wanted, with ``group_id`` and ``n_cells``.

    Returns
    -------
    Aligned
        Groups in the order of `groups`. A gene without a row in a group has mean 0 and variance 0 there, and
        variance NaN in a group of one cell, whatever the tables say.

    Raises
    ------
    ValueError
        If a group is named twice.

    Examples
    --------
    >>> import polars as pl
    >>> rows = {"group_id": [7, 7, 9], "gene": [3, 8, 5], "sum_counts": [4, 1, 2]}
    >>> moments = {"mean_log1p_cp10k": [0.5, 0.1, 0.2], "var_log1p_cp10k": [0.3, 0.1, 0.2]}
    >>> aligned = align_moments([pl.DataFrame(rows | moments)], pl.DataFrame({"group_id": [9, 7], "n_cells": [5, 6]}))
    >>> aligned.genes.tolist(), aligned.moments.mean.tolist()
    ([3, 5, 8], [[0.0, 0.2, 0.0], [0.5, 0.0, 0.1]])
    """
    import polars as pl

    ids = groups["group_id"].to_numpy().astype(np.int32)
    n_cells = groups["n_cells"].to_numpy().astype(np.int64)
    order = np.argsort(ids)
    if (np.diff(ids[order]) == 0).any():
        raise ValueError("a group is named twice")
    names = ("group_id", "gene", "sum_counts", "mean_log1p_cp10k", "var_log1p_cp10k")
    wanted = pl.Series(ids).implode()
    columns: list[list[NDArray[np.generic]]] = [[] for _ in names]
    for frame in frames:
        kept = frame.filter(pl.col("group_id").is_in(wanted))
        for column, name in zip(columns, names, strict=True):
            column.append(kept[name].to_numpy())
    types = (np.int32, np.int32, np.uint64, np.float64, np.float64)
    group, gene, counts, mean, var = (
        np.concatenate([*column, np.empty(0, dtype)]).astype(dtype)
        for column, dtype in zip(columns, types, strict=True)
    )
    genes, column_of = np.unique(gene, return_inverse=True)
    place = (order[np.searchsorted(ids[order], group)], column_of)
    shape = (ids.size, genes.size)
    means, variances, sums = np.zeros(shape), np.zeros(shape), np.zeros(shape, np.uint64)
    means[place], variances[place], sums[place] = mean, var, counts
    variances[n_cells <= 1] = np.nan
    means[n_cells == 0] = np.nan
    return Aligned(ids, genes, Moments(n_cells, means, variances), sums)
