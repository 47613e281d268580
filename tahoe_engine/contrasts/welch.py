"""Welch's t test of treated against control cells, from their moments alone: no cell is read again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tahoe_engine.contrasts.moments import Moments

# What scanpy adds to both sides of a ratio, in counts per ten thousand.
PSEUDOCOUNT: Final = 1e-9
FEWEST: Final = 2  # cells that have a variance


@dataclass(frozen=True)
class Welch:
    """Results of `test_welch`, each of shape (genes,) or (contrasts, genes).

    Parameters
    ----------
    logfoldchanges : ndarray of float64
        Base 2, with scanpy's pseudocount: about +-25 where one side has no count.
    scores : ndarray of float64
        Welch's t: positive where the treated have more.
    pvals : ndarray of float64
        Two-sided.
    tested : ndarray of bool
        Whether both sides have two cells and one of them a count of the gene. A gene that was not tested should not
        count among the tests: set its P to NaN before `adjust_bh`.
    lfc_bounded : ndarray of float64
        As `logfoldchanges`, but a side without a count is taken to have half a cell with one. For `shrink_lfc`.
    lfc_se : ndarray of float64
        Standard error of `lfc_bounded`; NaN where a side has one cell, or none has a count.

    Examples
    --------
    See `test_welch`.
    """

    logfoldchanges: NDArray[np.float64]
    scores: NDArray[np.float64]
    pvals: NDArray[np.float64]
    tested: NDArray[np.bool_]
    lfc_bounded: NDArray[np.float64]
    lfc_se: NDArray[np.float64]


def test_welch(treated: Moments, control: Moments) -> Welch:
    """Compare treated with control cells gene by gene, as scanpy's t test with a reference does.

    Parameters
    ----------
    treated, control : Moments
        Of log1p of counts per ten thousand, over all cells. One of them or both may be blocks of shape
        (contrasts, genes); a single group is compared with every group of the other's block.

    Returns
    -------
    Welch
        `scores`, `pvals` and `logfoldchanges` are those of
        ``scanpy.tl.rank_genes_groups(method="t-test", reference=...)``:
        ``logfoldchanges = log2((expm1(mean_treated) + 1e-9) / (expm1(mean_control) + 1e-9))``, which is the ratio of
        geometric and not of arithmetic means; where both variances are 0, the score is 0 and P is 1 if the means
        agree, and the score is infinite and P is 0 if they differ. A group of one cell has no variance: scanpy refuses
        it, here scores and P are NaN and `tested` is False.

    Raises
    ------
    ValueError
        If the two have not the same genes, or blocks of different lengths.

    Notes
    -----
    ``t = (m1 - m0) / sqrt(v1/n1 + v0/n0)`` with
    ``(v1/n1 + v0/n0)^2 / ((v1/n1)^2 / (n1 - 1) + (v0/n0)^2 / (n0 - 1))`` degrees of freedom: B. L. Welch, Biometrika 34
    (1947) 28-35.

    The standard error is that of the delta method: with ``f(m) = log2(expm1(m) + 1e-9)``,
    ``se^2 = f'(m1)^2 v1/n1 + f'(m0)^2 v0/n0``. It knows nothing of a side without counts, where the variance is 0 and
    the change is that of the pseudocount. Such a side of n cells is taken to have half a cell with a count, of the
    size x that the cells with counts of the other side have (``x = sum of squares / sum``): its mean is ``x / 2n``, and
    the variance of that mean ``x^2 / 2n^2``, as for a Poisson number of such cells. Where that would turn the sign,
    too few cells were looked at to say anything, and the change is 0.

    Examples
    --------
    Treated cells 1, 2, 3 against control cells 0, 1, 2:

    >>> from tahoe_engine.contrasts.moments import Moments
    >>> result = test_welch(Moments(3, np.array([2.0]), np.array([1.0])), Moments(3, np.array([1.0]), np.array([1.0])))
    >>> [round(float(column[0]), 4) for column in (result.scores, result.pvals, result.logfoldchanges)]
    [1.2247, 0.2879, 1.8946]
    """
    if treated.mean.shape[-1] != control.mean.shape[-1]:
        raise ValueError(f"the treated have {treated.mean.shape[-1]} genes and the control {control.mean.shape[-1]}")
    shape = np.broadcast_shapes(treated.mean.shape, control.mean.shape)
    sides = [
        (
            np.broadcast_to(np.asarray(side.n, dtype=np.int64), shape[:-1]),
            np.broadcast_to(side.mean, shape),
            np.broadcast_to(side.var, shape),
        )
        for side in (treated, control)
    ]
    result = Welch(np.zeros(shape), np.zeros(shape), np.ones(shape), np.zeros(shape, np.bool_), *_untold(shape))
    # A contrast at a time: the dozen temporary arrays of 20,000 genes stay in the cache.
    for place in np.ndindex(*shape[:-1]):
        (n1, m1, v1), (n0, m0, v0) = ((int(n[place]), m[place], v[place]) for n, m, v in sides)
        # Most genes that only other contrasts of the block have need no arithmetic. NaN is no zero.
        seen = np.flatnonzero((m1 != 0) | (m0 != 0))
        one, other = (n1, m1[seen], v1[seen]), (n0, m0[seen], v0[seen])
        result.logfoldchanges[place][seen] = _lfc(one[1], other[1])
        result.lfc_bounded[place][seen], result.lfc_se[place][seen] = _bound_lfc(one, other)
        if min(n1, n0) < FEWEST:
            result.scores[place] = result.pvals[place] = np.nan
        else:
            result.scores[place][seen], result.pvals[place][seen] = _welch(one, other)
            result.tested[place][seen] = True
    return result


_Side = tuple[int, "NDArray[np.float64]", "NDArray[np.float64]"]


def _untold(shape: tuple[int, ...]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give change and error of genes without counts on both sides: none, and not known."""
    return np.zeros(shape), np.full(shape, np.nan)


def _welch(treated: _Side, control: _Side) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    from scipy.special import stdtr

    (n1, m1, v1), (n0, m0, v0) = treated, control
    a, b = v1 / n1, v0 / n0
    total = a + b
    with np.errstate(divide="ignore", invalid="ignore"):
        scores = (m1 - m0) / np.sqrt(total)
        df = total * total / (a * a / (n1 - 1) + b * b / (n0 - 1))
    flat = total == 0
    df[flat] = 1.0  # any number will do: t is infinite, or not a number
    scores[flat & (m1 == m0)] = 0.0
    return scores, 2.0 * stdtr(df, -np.abs(scores))


def _lfc(treated: NDArray[np.float64], control: NDArray[np.float64]) -> NDArray[np.float64]:
    ratio = (np.expm1(treated) + PSEUDOCOUNT) / (np.expm1(control) + PSEUDOCOUNT)
    changes: NDArray[np.float64] = np.log2(ratio)
    return changes


def _bound_lfc(treated: _Side, control: _Side) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give log fold changes that no missing count makes huge, and their standard errors."""
    m1, a = _fill_half_a_cell(treated, control)
    m0, b = _fill_half_a_cell(control, treated)
    raw1, raw0 = np.expm1(m1) + PSEUDOCOUNT, np.expm1(m0) + PSEUDOCOUNT
    changes = np.log2(raw1 / raw0)
    turned = np.where(treated[1] > control[1], changes < 0, changes > 0)
    changes[turned] = 0.0
    # f'(m) = exp(m) / ((expm1(m) + 1e-9) ln 2)
    slope1, slope0 = (raw1 + (1 - PSEUDOCOUNT)) / raw1, (raw0 + (1 - PSEUDOCOUNT)) / raw0
    errors = np.sqrt(slope1 * slope1 * a + slope0 * slope0 * b) / np.log(2)
    return changes, errors


def _fill_half_a_cell(side: _Side, other: _Side) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give mean and variance of the mean of a side, with half a cell in place of none."""
    (n, mean, var), (n_other, mean_other, var_other) = side, other
    if not n:
        return mean, var
    of_mean = var / n
    empty = np.flatnonzero(mean == 0)
    if n >= FEWEST and empty.size:
        m, v = mean_other[empty], var_other[empty]
        size = v * ((n_other - 1) / n_other) / m + m
        mean = mean.copy()
        mean[empty] = size / (2 * n)
        of_mean[empty] = 0.5 * np.square(size / n)
    return mean, of_mean
