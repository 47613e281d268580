"""Locally weighted regression with robustness iterations (Cleveland 1979, JASA 74:829)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

NEAR, FAR = 1e-3, 0.999  # closer than the one share of the bandwidth weighs 1, farther than the other 0
FLAT: Final = 1e-3  # a local spread of x below this share of the range bears no slope
SETTLED: Final = 1e-7  # residuals whose median is below this share of their mean: nothing is left to be robust against


def smooth_lowess(
    x: ArrayLike, y: ArrayLike, *, span: float = 0.5, iterations: int = 3, delta: float | None = None
) -> NDArray[np.float64]:
    """Smooth points along x by local lines with tricube weights, made robust by bisquare weights.

    Points closer than `delta` to the last fitted one are not fitted but interpolated, which saves the time of all but
    about a hundred of the points and is how Cleveland's own program does it.

    Parameters
    ----------
    x, y : array_like of float, shape (points,)
        The points, `x` ascending.
    span : float
        Share of the points in a local fit.
    iterations : int
        How often residuals turn into new weights.
    delta : float, optional
        1 % of the range of x if not given.

    Returns
    -------
    numpy.ndarray of float64, shape (points,)
        The smoothed y.

    Examples
    --------
    A line is its own smooth:

    >>> [round(float(value), 9) for value in smooth_lowess([0, 1, 2, 3, 4], [1, 3, 5, 7, 9], span=0.8)]
    [1.0, 3.0, 5.0, 7.0, 9.0]
    """
    along, values = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    n = along.size
    if n < 2:  # noqa: PLR2004 -- a point is its own smooth
        return values.copy()
    wide = float(along[-1] - along[0])
    anchors = _choose_anchors(along, 0.01 * wide if delta is None else delta)
    size = max(min(int(span * n + 1e-7), n), 2)
    # The window moves right as long as its left end is farther away than the next point beyond its right end.
    lefts = np.searchsorted(along[: n - size] + along[size:], 2 * along[anchors], side="left")
    robust = np.ones(n)
    smooth = values
    for _ in range(iterations + 1):
        fitted = [
            _fit_line(along, values, robust, anchor, left, size, wide)
            for anchor, left in zip(anchors, lefts, strict=True)
        ]
        smooth = np.interp(along, along[anchors], fitted)
        residuals = np.abs(values - smooth)
        scale = 6 * float(np.median(residuals))
        if scale <= SETTLED * float(residuals.mean()):
            break
        shares = residuals / scale
        robust = np.where(shares <= NEAR, 1.0, np.where(shares <= FAR, (1 - shares**2) ** 2, 0.0))
    return smooth


def _choose_anchors(along: NDArray[np.float64], delta: float) -> NDArray[np.int64]:
    """Choose the points to fit: after each the last one within delta, but at least the next one of another x."""
    anchors = [0]
    while True:
        start = along[anchors[-1]]
        last = int(np.searchsorted(along, start, side="right")) - 1  # of the same x as the last anchor
        if last >= along.size - 1:
            return np.array(anchors)
        beyond = int(np.searchsorted(along, start + delta, side="right"))
        anchors.append(max(last + 1, beyond - 1))


def _fit_line(  # noqa: PLR0913, PLR0917 -- one local fit
    along: NDArray[np.float64],
    values: NDArray[np.float64],
    robust: NDArray[np.float64],
    anchor: int,
    left: int,
    size: int,
    wide: float,
) -> float:
    """Fit a line to the window at a point and read it there."""
    at = along[anchor]
    reach = max(at - along[left], along[left + size - 1] - at)
    # Points as far as the last of the window belong to it, too.
    right = int(np.searchsorted(along, at + reach, side="right"))
    x, y = along[left:right], values[left:right]
    shares = np.abs(x - at)
    if reach > 0:
        shares = shares / reach
    tricube = np.where(shares <= NEAR, 1.0, np.where(shares <= FAR, (1 - np.minimum(shares, 1) ** 3) ** 3, 0.0))
    weights = tricube * robust[left:right]
    total = weights.sum()
    if total <= 0:
        return float(values[anchor])
    weights = weights / total
    centre = float(weights @ x)
    spread = float(weights @ (x - centre) ** 2)
    if spread**0.5 > FLAT * wide:
        weights = weights * (1 + (at - centre) * (x - centre) / spread)
    return float(weights @ y)
