"""Ranks in which equal scores share a place: a tie is told as a tie."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

EQUAL: Final = 1e-12  # of the larger of two scores


def rank_scores(
    scores: Sequence[float | None] | NDArray[Any], *, larger: bool = True
) -> tuple[NDArray[np.uint32], NDArray[np.bool_]]:
    """Rank scores; those that differ by rounding alone share the lowest rank.

    Parameters
    ----------
    scores : sequence of float or None
        None or NaN: no score; such share the last rank.
    larger : bool
        Whether the largest is the first.

    Returns
    -------
    ranks : ndarray of uint32
        1 is best.
    tied : ndarray of bool
        Whether another has the same rank.

    Notes
    -----
    A score is tied with the best of its rank if they differ by at most 1e-12 of the larger of the two.

    Examples
    --------
    >>> ranks, tied = rank_scores([0.9, 1.0, 1.0 - 1e-15, None])
    >>> ranks.tolist(), tied.tolist()
    ([3, 1, 1, 4], [False, True, True, False])
    """
    import numpy as np

    values = np.array([np.nan if score is None else score for score in scores], dtype=np.float64)
    order = np.argsort(-values if larger else values, kind="stable")  # NaN last, either way
    ranks = np.zeros(values.size, np.uint32)
    best, rank = np.nan, 0
    for place, row in enumerate(order, start=1):
        value = values[row]
        same = bool(np.isnan(value) and np.isnan(best)) or value == best
        if not same and np.isfinite(value) and np.isfinite(best):
            same = abs(value - best) <= EQUAL * max(abs(value), abs(best))
        if not same or rank == 0:
            best, rank = value, place
        ranks[row] = rank
    return ranks, np.bincount(ranks, minlength=1)[ranks] > 1
