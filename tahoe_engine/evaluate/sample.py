"""The capped sample of rows on which rank metrics are computed: the rows with the smallest hashes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

SLACK: Final = 6.0  # standard deviations of a count: more rows are kept of each part than its share


@dataclass(frozen=True)
class Sample:
    """Rows in order of their hashes.

    Which rows these are depends on their numbers and the seed alone, not on how the rows came in parts.

    Parameters
    ----------
    hashes : ndarray of uint64
        Ascending.
    y, y_pred : ndarray
        True and predicted values, or codes of classes.
    probabilities : ndarray of float64, shape (rows, classes), optional
        Predicted; or margins, where that is all the model gives.
    clusters : ndarray of int64
        Group of each row that is resampled as a whole.
    segments : ndarray of int32, shape (rows, columns)
        Number of the row's segment for each column of groups; -1 = none.
    are_margins : bool
        Of `probabilities`: only their order means something.
    """

    hashes: NDArray[np.uint64]
    y: NDArray[Any]
    y_pred: NDArray[Any]
    probabilities: NDArray[np.float64] | None
    clusters: NDArray[np.int64]
    segments: NDArray[np.int32]
    are_margins: bool = False

    def take(self, rows: NDArray[Any] | slice) -> Sample:
        """Give some of the rows."""
        return Sample(
            self.hashes[rows],
            self.y[rows],
            self.y_pred[rows],
            None if self.probabilities is None else self.probabilities[rows],
            self.clusters[rows],
            self.segments[rows],
            self.are_margins,
        )

    def select(self, segment: int) -> Sample:
        """Give the rows of a segment; 0 is all rows."""
        return self if segment == 0 else self.take((self.segments == segment).any(axis=1))


def hash_numbers(numbers: NDArray[Any], seed: int) -> NDArray[np.uint64]:
    """Hash row numbers with a seed.

    Parameters
    ----------
    numbers : ndarray of int
        Of rows.
    seed : int
        Another seed, another order.

    Returns
    -------
    ndarray of uint64
        Different numbers have different hashes.

    Notes
    -----
    The finalizer of splitmix64: Steele, Lea, Flood: Fast splittable pseudorandom number generators, OOPSLA 2014.

    Examples
    --------
    >>> import numpy as np
    >>> len(set(hash_numbers(np.arange(1000), 7).tolist()))
    1000
    """
    import numpy as np

    def mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
        mixed = values + np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return mixed ^ (mixed >> np.uint64(31))

    return mix(numbers.astype(np.uint64) ^ mix(np.array([seed], np.uint64)))


def choose_rows(hashes: NDArray[np.uint64], n_rows: int, total: int = 0) -> NDArray[np.int64]:
    """Choose the rows of the smallest hashes.

    Parameters
    ----------
    hashes : ndarray of uint64
        Of all rows.
    n_rows : int
        At most so many.
    total : int
        Rows of the whole table of which these are a part; 0 = unknown. Where it is known, a part gives little more
        than its share of the sample: what the sample of the whole table hardly ever needs is left out at once.

    Returns
    -------
    ndarray of int64
        Their places, in order of their hashes.

    Examples
    --------
    >>> import numpy as np
    >>> choose_rows(np.array([9, 1, 5], np.uint64), 2).tolist()
    [1, 2]
    """
    import numpy as np

    places = np.arange(hashes.size)
    share = (n_rows + SLACK * (n_rows + 1) ** 0.5 + SLACK**2) / total if total > 0 else 1.0
    if share < 1.0:
        places = places[hashes <= np.uint64(int(share * 2.0**64))]
    if places.size > n_rows > 0:
        places = np.sort(places[np.argpartition(hashes[places], n_rows - 1)[:n_rows]])
    return places[np.argsort(hashes[places], kind="stable")][:n_rows]


def join_samples(several: Sequence[Sample], n_rows: int) -> Sample:
    """Join the samples of parts to that of the whole.

    Parameters
    ----------
    several : sequence of Sample
        Whose segments have the same numbers.
    n_rows : int
        At most so many rows are kept.

    Returns
    -------
    Sample
        The rows of the smallest hashes.
    """
    import numpy as np

    probabilities = [one.probabilities for one in several if one.probabilities is not None]
    joined = Sample(
        np.concatenate([one.hashes for one in several]),
        np.concatenate([one.y for one in several]),
        np.concatenate([one.y_pred for one in several]),
        np.concatenate(probabilities) if len(probabilities) == len(several) else None,
        np.concatenate([one.clusters for one in several]),
        np.concatenate([one.segments for one in several]),
        several[0].are_margins,
    )
    return joined.take(choose_rows(joined.hashes, n_rows))
