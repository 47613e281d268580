"""P values to false discovery rates: Benjamini and Hochberg, within a contrast."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def adjust_bh(pvals: ArrayLike, *, axis: int = -1) -> NDArray[np.float64]:
    """Adjust P values for their number, as Benjamini and Hochberg do.

    The adjusted value of the i-th smallest of m is the smallest of ``p[j] * m / j`` over j >= i, and at most 1.

    Parameters
    ----------
    pvals : array_like of float64, any shape
        P values. NaN is "not tested": it stays NaN and does not count among the m.
    axis : int, default -1
        Values along this axis are one family: -1 for (contrasts, genes), 0 for (genes, contrasts).

    Returns
    -------
    ndarray of float64
        In the shape and order of the input.

    Raises
    ------
    ValueError
        If a P value is below 0 or above 1.

    Notes
    -----
    Y. Benjamini and Y. Hochberg, Controlling the false discovery rate, J. R. Stat. Soc. B 57 (1995) 289-300; in the
    form of adjusted values as R's ``p.adjust(method = "BH")`` gives them.

    Examples
    --------
    >>> adjust_bh([0.01, 0.02, 0.5, float("nan")]).tolist()
    [0.03, 0.03, 0.5, nan]
    """
    given = np.asarray(pvals, dtype=np.float64)
    if given.size and (np.nanmin(given, initial=0.0) < 0 or np.nanmax(given, initial=0.0) > 1):
        raise ValueError("a P value lies outside 0 to 1: adjust P values, not scores")
    # A family at a time: 20,000 values stay in the cache, where a whole block of contrasts would not.
    families = np.moveaxis(np.atleast_1d(given), axis, -1)
    adjusted = np.empty(families.shape)
    for place in np.ndindex(*families.shape[:-1]):
        adjusted[place] = _adjust_family(families[place])
    return np.moveaxis(adjusted, -1, axis).reshape(given.shape)


def _adjust_family(pvals: NDArray[np.float64]) -> NDArray[np.float64]:
    order = np.argsort(pvals)  # NaN comes last
    count = pvals.size - int(np.isnan(pvals).sum())
    adjusted = np.full(pvals.size, np.nan)
    ranked = pvals[order[:count]] * (count / np.arange(1, count + 1))
    adjusted[order[:count]] = np.minimum(np.minimum.accumulate(ranked[::-1])[::-1], 1.0)
    return adjusted
