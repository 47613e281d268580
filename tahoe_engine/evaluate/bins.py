"""Bins of about as many rows, in which ranks are resampled."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Whole = NDArray[np.int64]


def bin_values(values: Floats, most: int) -> tuple[Whole, Whole]:
    """Put values in order, and in bins of about as many rows; equal values are never parted.

    Parameters
    ----------
    values : ndarray of float64
        Any.
    most : int
        Bins; fewer where there are fewer different values.

    Returns
    -------
    levels : ndarray of int64
        Number of each row's value among the different ones, ascending.
    bins : ndarray of int64
        Bin of each of the different values: themselves where they are few.

    Examples
    --------
    >>> import numpy as np
    >>> levels, bins = bin_values(np.array([3.0, 1.0, 3.0, 2.0]), 2)
    >>> levels.tolist(), bins.tolist()
    ([2, 0, 2, 1], [0, 0, 1])
    """
    import numpy as np

    different, levels, counts = np.unique(values, return_inverse=True, return_counts=True)
    if different.size <= most:
        return levels.astype(np.int64), np.arange(different.size)
    before = np.cumsum(counts) - counts
    return levels.astype(np.int64), before * most // values.size


def bin_scores(positive: Floats, negative: Floats, most: int) -> Whole:
    """Put the different scores of a class in bins.

    Scores with rows of one side alone, next to each other, are one: their order is nothing to the area under the curve,
    so that classes that are parted stay parted. Where that is still too many, bins hold about as much of both sides.

    Parameters
    ----------
    positive, negative : ndarray
        Rows of the class, and the others, of each score, ascending.
    most : int
        Bins; where there are no more scores each has its own.

    Returns
    -------
    ndarray of int64
        Bin of each score.

    Examples
    --------
    >>> import numpy as np
    >>> bin_scores(np.array([0.0, 0, 0, 1, 1]), np.array([1.0, 1, 1, 0, 0]), 2).tolist()
    [0, 0, 0, 1, 1]
    """
    import numpy as np

    if positive.size <= most:
        return np.arange(positive.size)
    mixed = (positive > 0) & (negative > 0)
    turned = np.diff(positive > 0, prepend=positive[0] == 0)
    run = np.cumsum(turned | mixed | np.concatenate([[False], mixed[:-1]])) - 1
    if run[-1] < most:
        bins: Whole = run.astype(np.int64)
        return bins
    weights = np.bincount(run, weights=positive / (2 * positive.sum()) + negative / (2 * negative.sum()))
    before = np.cumsum(weights) - weights
    spread: Whole = np.minimum((before * most).astype(np.int64), most - 1)[run]
    return spread
