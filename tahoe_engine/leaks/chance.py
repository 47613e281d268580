"""How probable a finding is by mere luck: what cannot be told from luck is not found.

Every rule asks the same question: if the values of the target were dealt out to the rows anew, in how many of the
deals would the finding be there? There are n! / (c1! c2! ...) deals, of values that occur c1, c2, ... times.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

LUCK: Final = -6.0  # log10 of the probability that a whole table gives one false finding of a kind


def count_deals(counts: NDArray[np.int64] | Sequence[int]) -> float:
    """Give log10 of the number of ways in which values can be dealt out to rows.

    Parameters
    ----------
    counts : numpy.ndarray or sequence of int
        How often each value occurs.

    Returns
    -------
    float
        log10(n! / (c1! c2! ...)).

    Examples
    --------
    >>> round(10 ** count_deals([2, 2]))
    6
    """
    import numpy as np
    from scipy.special import gammaln

    sizes = np.asarray(counts, dtype=np.float64)
    return float((gammaln(sizes.sum() + 1) - gammaln(sizes + 1).sum()) / np.log(10))


def count_values(codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Give how often each value occurs.

    Examples
    --------
    >>> import numpy as np
    >>> count_values(np.array([5, 7, 5])).tolist()
    [2, 1]
    """
    import numpy as np

    counts: NDArray[np.int64] = np.unique(codes, return_counts=True)[1]
    return counts


def bound_luck(counts: NDArray[np.int64] | Sequence[int], n_free: int) -> float:
    """Bound log10 of the probability that a deal of the target lies in a space of few dimensions.

    Parameters
    ----------
    counts : numpy.ndarray or sequence of int
        How often each value of the target occurs.
    n_free : int
        Dimensions of the space: 2 for a·x + b, the number of levels for a function of levels.

    Returns
    -------
    float
        At most 0. A vector in a space of r dimensions is known by r of its rows, so that no more than v^r deals of v
        values lie in it.

    Examples
    --------
    Four rows, all different: 4² of 24 deals.

    >>> round(10 ** bound_luck([1, 1, 1, 1], 2), 3)
    0.667
    """
    import numpy as np

    return min(0.0, n_free * float(np.log10(max(len(counts), 1))) - count_deals(counts))


def is_luck(log10_chance: float, n_tried: float) -> bool:
    """Tell whether a finding could be luck, given how many of its kind were looked for.

    Parameters
    ----------
    log10_chance : float
        Of this one.
    n_tried : float
        Columns, pairs or the like among which it was found.

    Returns
    -------
    bool
        Whether the chance is not below 1e-6 / n_tried.

    Examples
    --------
    >>> is_luck(-8, 10), is_luck(-8, 1000)
    (False, True)
    """
    import numpy as np

    return bool(log10_chance + np.log10(max(n_tried, 1)) > LUCK)
