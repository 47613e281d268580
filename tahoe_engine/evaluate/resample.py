"""Resamples of clusters, drawn once for all metrics and models of a split, and the intervals they give."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

AT_ONCE: Final = 4_000_000  # weights that are held
TAIL: Final = 0.025
KNOWN: Final = 0.5  # share of the resamples in which a metric must be defined


def draw_resamples(n_clusters: int, n_resamples: int, seed: int) -> Iterator[Floats]:
    """Draw how often each cluster is in each resample.

    Parameters
    ----------
    n_clusters : int
        To draw from, with replacement, as many as there are.
    n_resamples : int
        Resamples.
    seed : int
        The same number of clusters and the same seed give the same resamples: differences of models are paired.

    Yields
    ------
    ndarray of float64, shape (some resamples, clusters)
        Whole numbers.

    Examples
    --------
    >>> [weights.sum(axis=1).tolist() for weights in draw_resamples(4, 2, 0)]
    [[4.0, 4.0]]
    """
    import numpy as np

    random = np.random.default_rng(seed)
    step = max(1, AT_ONCE // max(n_clusters, 1))
    for low in range(0, n_resamples, step):
        size = min(step, n_resamples - low)
        drawn = random.integers(0, n_clusters, (size, n_clusters))
        flat = drawn + np.arange(size)[:, None] * n_clusters
        counts = np.bincount(flat.ravel(), minlength=size * n_clusters)
        yield counts.reshape(size, n_clusters).astype(np.float64)


def bound_values(values: Floats) -> tuple[float | None, float | None]:
    """Bound what resamples give: their 2.5th and 97.5th percentiles.

    Parameters
    ----------
    values : ndarray
        A metric in each resample; NaN where it is not defined there.

    Returns
    -------
    low, high : float or None
        None where fewer than half of the resamples give a value.

    Examples
    --------
    >>> import numpy as np
    >>> bound_values(np.arange(1001.0)), bound_values(np.array([1.0, np.nan, np.nan]))
    ((25.0, 975.0), (None, None))
    """
    import numpy as np

    known = values[~np.isnan(values)]
    if not values.size or known.size < KNOWN * values.size:
        return None, None
    low, high = np.quantile(known, (TAIL, 1 - TAIL))
    return float(low), float(high)
