"""The test of one paired difference over clusters, and Holm's correction for several."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

EXACT: Final = 13  # with so many clusters all changes of signs are tried
CHANGES: Final = 9_999  # else so many at random
AT_ONCE: Final = 2_000_000  # signs that are held


def compute_p_value(difference: float, without: Floats, sizes: Floats, *, seed: int = 0) -> float | None:
    """Test whether a difference of a metric is above 0.

    Parameters
    ----------
    difference : float
        Of all clusters; positive where the model is better.
    without : ndarray, shape (clusters,)
        The difference without each cluster.
    sizes : ndarray, shape (clusters,)
        Rows of each cluster.
    seed : int
        Of the changes of signs.

    Returns
    -------
    float or None
        The one-sided P value: the larger of two. None with fewer than two clusters, or where a difference is not known.

    Notes
    -----
    Both tests look at the jackknife's pseudo-values of the clusters, ``K d - (K - 1) d[-k]`` (B. Efron and R. J.
    Tibshirani, An introduction to the bootstrap, 1993, chapter 11), so that any metric is a mean over clusters. The
    first is Student's t with the effective number of clusters, ``(Σ n)² / Σ n²``, less one as its degrees of freedom
    (A. V. Carter, K. T. Schnepel and D. G. Steigerwald, Asymptotic behavior of a t-test robust to cluster
    heterogeneity, Rev. Econ. Stat. 99 (2017) 698-709): a few large clusters are few. The second changes the signs of
    the pseudo-values: with four clusters no P value is below 1/16. Simulated levels at 0.05, of two models that are
    equally good: 0.01 to 0.05 with 8 clusters (4,000 pairs each), 0.02 to 0.06 with 30 (300 pairs each), of equal sizes
    and of sizes that differ a hundredfold.

    Examples
    --------
    Ten clusters that all gain the same: one of 1,024 changes of signs is as good as what was seen.

    >>> import numpy as np
    >>> compute_p_value(1.0, np.ones(10), np.ones(10)) == 1 / 1024
    True
    """
    import numpy as np
    from scipy.stats import t as student

    count = without.size
    if count < 2 or np.isnan(difference) or np.isnan(without).any():  # noqa: PLR2004 -- two make a pair
        return None
    centre = float(without.mean())
    pseudo = count * difference - (count - 1) * without
    error = float(np.sqrt((count - 1) / count * ((without - centre) ** 2).sum()))
    if error > 0:
        by_t = float(student.sf(difference / error, _count_effective(sizes) - 1.0))
    else:  # all clusters say the same
        by_t = 0.0 if difference > 0 else 1.0
    return max(by_t, _change_signs(pseudo, seed))


def _count_effective(sizes: Floats) -> float:
    return max(float(sizes.sum() ** 2 / (sizes**2).sum()), 1.0 + 1e-9)


def _change_signs(values: Floats, seed: int) -> float:
    """Give the share of the changes of signs whose sum is at least that of the values."""
    import numpy as np

    total = float(np.einsum("k->", values))
    least = total - 1e-12 * float(np.abs(values).sum())  # sums that differ by rounding are equal
    if values.size <= EXACT:
        masks = np.arange(2**values.size)[:, None] >> np.arange(values.size) & 1
        return float((np.einsum("bk,k->b", 1.0 - 2.0 * masks, values) >= least).mean())
    random = np.random.default_rng(seed)
    step = max(1, AT_ONCE // values.size)
    as_good = 1
    for low in range(0, CHANGES, step):
        size = (min(step, CHANGES - low), values.size)
        signs = 1.0 - 2.0 * random.integers(0, 2, size)
        as_good += int((np.einsum("bk,k->b", signs, values) >= least).sum())
    return as_good / (CHANGES + 1)


def adjust_holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Adjust P values for their number, as Holm does.

    Parameters
    ----------
    p_values : sequence of float or None
        None was not tested, and does not count.

    Returns
    -------
    list of float or None
        In the same order, at most 1.

    Examples
    --------
    >>> adjust_holm([0.01, None, 0.04, 0.03])
    [0.03, None, 0.06, 0.06]
    """
    order = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for number, (p, place) in enumerate(order):
        largest = max(largest, min(1.0, p * (len(order) - number)))
        adjusted[place] = largest
    return adjusted
