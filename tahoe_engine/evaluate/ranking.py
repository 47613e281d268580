"""The judge of probabilities: areas under curves and calibration, exact on the sample, resampled in bins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tahoe_engine.evaluate.bins import bin_scores
from tahoe_engine.evaluate.judges import average_known, divide, score_in_pieces, weigh_counts, weigh_sums

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tahoe_engine.evaluate.sample import Sample

    Floats = NDArray[np.float64]
    Whole = NDArray[np.int64]

BINS: Final = 100  # of the scores of a class
CONFIDENCE_BINS: Final = 15
BINARY: Final = 2


def measure_area(positive: Floats, negative: Floats) -> Floats:
    """Measure the area under the ROC curve of counts by ascending score; ties count half.

    Parameters
    ----------
    positive, negative : ndarray, shape (..., scores)
        Rows of the class, and the others, of each score.

    Returns
    -------
    ndarray, shape (...)
        NaN where either is missing.

    Examples
    --------
    >>> import numpy as np
    >>> float(measure_area(np.array([0.0, 1, 1]), np.array([1.0, 1, 0])))
    0.875
    """
    import numpy as np

    below = np.cumsum(negative, axis=-1) - negative / 2
    area = (positive * below).sum(axis=-1)
    return divide(area, positive.sum(axis=-1) * negative.sum(axis=-1))


def measure_precision(positive: Floats, negative: Floats) -> Floats:
    """Measure the average precision of counts by ascending score: Σ (R[i] - R[i-1]) P[i] from the highest score down.

    Parameters
    ----------
    positive, negative : ndarray, shape (..., scores)
        Rows of the class, and the others, of each score.

    Returns
    -------
    ndarray, shape (...)
        NaN where either is missing.

    Examples
    --------
    >>> import numpy as np
    >>> round(float(measure_precision(np.array([0.0, 1, 1]), np.array([1.0, 1, 0]))), 4)
    0.8333
    """
    import numpy as np

    hits = np.cumsum(positive[..., ::-1], axis=-1)
    found = hits + np.cumsum(negative[..., ::-1], axis=-1)
    precision = np.where(found > 0, hits / np.where(found > 0, found, 1.0), 0.0)
    both = (positive.sum(axis=-1) > 0) & (negative.sum(axis=-1) > 0)
    area = (positive[..., ::-1] * precision).sum(axis=-1)
    return np.where(both, divide(area, positive.sum(axis=-1)), np.nan)


@dataclass(frozen=True)
class ClassRankJudge:
    """Areas under curves, and the expected calibration error.

    Parameters
    ----------
    at : ndarray of int64
        Place of each of its clusters among all.
    counts : tuple of ndarray, each of shape (clusters, 2, bins)
        Of each class that has both: its rows, and the others, by bin of its probability.
    areas, precisions : ndarray
        Exact values of these classes.
    classes : ndarray of int64
        Their codes.
    calibration : ndarray, shape (clusters, 3, bins)
        Rows, hits and confidence of the likeliest class, by bin of its probability.
    n_rows : int
        Rows.

    Notes
    -----
    ``roc_auc`` and ``average_precision`` are means over the classes that have rows within and without, one against the
    rest; of two classes, those of the second. ``ece`` has 15 bins of equal width of the probability of the likeliest
    class: C. Guo et al., On calibration of modern neural networks, ICML 2017. Resamples are scored in bins of scores
    and moved by what the bins make of the sample itself: exact where a class has no more different scores than bins.
    """

    at: Whole
    counts: tuple[Floats, ...]
    areas: Floats
    precisions: Floats
    classes: Whole
    calibration: Floats
    n_rows: int
    names: tuple[str, ...] = ("roc_auc", "average_precision", "ece")

    @property
    def n_clusters(self) -> int:
        """Clusters."""
        return self.at.size

    def score(self, weights: Floats) -> dict[str, Floats]:
        """Give each metric for each row of weights."""
        return score_in_pieces(self._score, weights, 4 * BINS)

    def _score(self, weights: Floats) -> dict[str, Floats]:
        import numpy as np

        mine = weights[:, self.at]
        shape = (len(mine), len(self.counts))
        areas, precisions = np.full(shape, np.nan), np.full(shape, np.nan)
        for place, counts in enumerate(self.counts):
            positive, negative = np.split(weigh_counts(mine, counts.reshape(len(counts), -1)), 2, axis=1)
            whole = counts.sum(axis=0)
            moved = self.areas[place] - measure_area(whole[0], whole[1])
            areas[:, place] = np.clip(measure_area(positive, negative) + moved, 0.0, 1.0)
            moved = self.precisions[place] - measure_precision(whole[0], whole[1])
            precisions[:, place] = np.clip(measure_precision(positive, negative) + moved, 0.0, 1.0)
        flat = self.calibration.reshape(len(self.calibration), -1)
        rows, hits, confidence = np.split(weigh_sums(mine, flat), 3, axis=1)
        return {
            "roc_auc": average_known(areas),
            "average_precision": average_known(precisions),
            "ece": divide(np.abs(hits - confidence).sum(axis=1), rows.sum(axis=1)),
        }


def judge_class_ranks(sample: Sample, clusters: Whole, *, bins: int = BINS) -> ClassRankJudge | None:
    """Make the judge of the probabilities of a segment.

    Parameters
    ----------
    sample : Sample
        Rows of the segment.
    clusters : ndarray of int64
        Codes of all clusters, ascending.
    bins : int
        Of the scores of a class.

    Returns
    -------
    ClassRankJudge or None
        None without rows or probabilities.
    """
    import numpy as np

    p = sample.probabilities
    if p is None or not len(p):
        return None
    at, mine = np.unique(np.searchsorted(clusters, sample.clusters), return_inverse=True)
    chosen = (1,) if p.shape[1] == BINARY else range(p.shape[1])
    all_counts, areas, precisions, known = [], [], [], []
    for one in chosen:
        of_class = sample.y == one
        if not of_class.any() or of_class.all():
            continue
        known.append(one)
        scores, levels = np.unique(p[:, one], return_inverse=True)
        # One histogram of the different scores for the exact value, one of bins and clusters for the resamples.
        exact = [np.bincount(levels[rows], minlength=scores.size).astype(np.float64) for rows in (of_class, ~of_class)]
        bin_of = bin_scores(exact[0], exact[1], bins)
        areas.append(float(measure_area(exact[0], exact[1])))
        precisions.append(float(measure_precision(exact[0], exact[1])))
        width = int(bin_of.max()) + 1
        flat = (mine * 2 + ~of_class) * width + bin_of[levels]
        all_counts.append(np.bincount(flat, minlength=at.size * 2 * width).reshape(at.size, 2, width).astype(float))
    # Margins are of no scale that could be compared with how often they are right.
    confidence = np.full(len(p), np.nan) if sample.are_margins else p.max(axis=1)
    right = p.argmax(axis=1) == sample.y
    bin_of_row = np.clip(
        np.ceil(np.nan_to_num(confidence) * CONFIDENCE_BINS).astype(np.int64) - 1, 0, CONFIDENCE_BINS - 1
    )
    cell, size = mine * CONFIDENCE_BINS + bin_of_row, at.size * CONFIDENCE_BINS
    told: list[Floats] = [
        np.bincount(cell, weights=values, minlength=size).astype(np.float64)
        for values in (np.ones(len(p)), right, confidence)
    ]
    calibration = np.stack([one.reshape(at.size, CONFIDENCE_BINS) for one in told], axis=1)
    return ClassRankJudge(
        at, tuple(all_counts), np.array(areas), np.array(precisions), np.array(known, np.int64), calibration, len(p)
    )
