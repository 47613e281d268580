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
