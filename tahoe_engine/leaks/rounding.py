"""To which step the values of a column are rounded: an identity holds no more exactly than that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SAMPLE: Final = 1000
DECIMALS: Final = 8
SINGLE: Final = 2.0**-23  # between neighbouring floats of 32 bits, relative
EXACT: Final = 1e-6  # of the target's standard deviation: what counts as no residual at all
COARSE: Final = 1e-3  # no rounding excuses a residual beyond this


def find_step(values: NDArray[np.float64]) -> float:
    """Find the step to which values are rounded.

    Parameters
    ----------
    values : numpy.ndarray
        Finite.

    Returns
    -------
    float
        A power of ten where they were printed with few decimals, the spacing of 32-bit floats at the largest of them
        where they were kept in 32 bits, or 0.

    Examples
    --------
    >>> import numpy as np
    >>> find_step(np.array([1.25, 3.5, 7.0])), find_step(np.array([3.0, 17.0])), find_step(np.array([np.pi]))
    (0.01, 1.0, 0.0)
    """
    import numpy as np

    some = values[:: max(1, values.size // SAMPLE)]
    if not some.size:
        return 0.0
    top = float(np.abs(some).max())
    for decimals in range(DECIMALS + 1):
        scaled = some * 10.0**decimals
        if np.abs(scaled - np.round(scaled)).max() <= 1e-9 * max(1.0, top * 10.0**decimals * 1e-4):
            return float(10.0**-decimals)
    with np.errstate(over="ignore"):
        single = some.astype(np.float32).astype(np.float64)
    return top * SINGLE if bool((single == some).all()) else 0.0


def allow_residual(spread: float, *steps: float) -> float:
    """Give the largest residual that still counts as none.

    Parameters
    ----------
    spread : float
        Standard deviation of what is explained.
    *steps : float
        To which the sides of the identity are rounded, in units of what is explained.

    Returns
    -------
    float
        1e-6 of the spread; or the rounding, but never above 1e-3 of the spread.

    Examples
    --------
    >>> allow_residual(1.0, 0.0), allow_residual(1.0, 1e-4), allow_residual(1.0, 1.0)
    (1e-06, 0.0001, 1e-06)
    """
    rounding = sum(steps)
    return max(EXACT * spread, rounding if rounding <= COARSE * spread else 0.0)


def round_values(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Give each value a code in their order; values that differ by less than 1e-9 of the spread may share one.

    Examples
    --------
    >>> import numpy as np
    >>> codes = round_values(np.array([0.3, 0.1 + 0.2, 1.0]))
    >>> bool(codes[0] == codes[1] < codes[2])
    True
    """
    import numpy as np

    spread = float(values.std()) if values.size else 0.0
    if not spread > 0:
        return np.zeros(values.size, dtype=np.int64)
    codes: NDArray[np.int64] = np.round((values - values.mean()) / spread * 1e9).astype(np.int64)
    return codes
