"""Doubt for metrics that weigh classes alike: who was right in four of four rows of a class may have guessed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from tahoe_engine.evaluate.judges import ClassJudge, RegressionJudge
from tahoe_engine.evaluate.ranking import ClassRankJudge, measure_area

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tahoe_engine.evaluate.judges import Judge

    Floats = NDArray[np.float64]

DOUBTED: Final = frozenset({"balanced_accuracy", "roc_auc"})  # means over classes, however few rows they have
CLASSED: Final = DOUBTED | {"log_loss", "brier"}  # what few rows of a class decide


def count_by_class(judge: Judge) -> Floats:
    """Count the rows of each class in each cluster.

    Parameters
    ----------
    judge : Judge
        Of classes or of their probabilities.

    Returns
    -------
    ndarray, shape (clusters, classes)
        Of the classes that have rows; without columns for numbers.
    """
    import numpy as np

    if isinstance(judge, ClassJudge):
        rows = np.split(judge.counts, 3, axis=1)[1]
    elif isinstance(judge, ClassRankJudge) and judge.counts:
        rows = np.stack([counts[:, 0].sum(axis=1) for counts in judge.counts], axis=1)
        if len(judge.counts) == 1:  # of two classes, one curve
            rows = np.column_stack([judge.counts[0][:, 1].sum(axis=1), rows])
    else:
        return np.empty((judge.n_clusters, 0))
    held: Floats = rows[:, rows.sum(axis=0) > 0]
    return held


def count_effective(sizes: Floats) -> float:
    """Count the clusters that rows are worth: ``(Σ n)² / Σ n²``; a few large ones are few.

    Examples
    --------
    >>> import numpy as np
    >>> count_effective(np.array([5.0, 5.0, 0.0])), round(count_effective(np.array([100.0, 1.0])), 2)
    (2.0, 1.02)
    """
    return float(sizes.sum() ** 2 / (sizes**2).sum())


def count_freedom(rows: Floats) -> float:
    """Count the degrees of freedom of a mean over classes.

    Parameters
    ----------
    rows : ndarray, shape (clusters, classes)
        Of each class in each cluster.

    Returns
    -------
    float
        Infinite without classes.

    Notes
    -----
    F. E. Satterthwaite, An approximate distribution of estimates of variance components, Biometrics Bull. 2 (1946)
    110-114, for classes that vary alike, each with its effective number of clusters and the one of doubt: what is
    estimated from few rows of one class is not known better for many rows of another.

    Examples
    --------
    Four rows of one class decide, and not the fifty-six of the other.

    >>> import numpy as np
    >>> round(count_freedom(np.eye(2)[[0] * 4 + [1] * 56]), 1)
    4.7
    """
    import numpy as np

    if not rows.shape[1]:
        return float("inf")
    known = np.array([count_effective(column) + 1.0 for column in rows.T])
    shares = 1.0 / known
    return float(shares.sum() ** 2 / (shares**2 / (known - 1.0)).sum())


def add_doubt(judge: Judge, n_clusters: int, *, wrong: bool) -> Judge:
    """Add a cluster of each class: of a size as they have, in which a model is always wrong.

    Parameters
    ----------
    judge : Judge
        Of classes or of their probabilities; others stay as they are.
    n_clusters : int
        That there are in all: the added ones come after these.
    wrong : bool
        Whether it is wrong there; else they are empty: a baseline is as good as it is.

    Returns
    -------
    Judge
        For weights of the clusters and the added ones.
    """
    import numpy as np

    rows = count_by_class(judge)
    n_classes = rows.shape[1]
    if not n_classes:
        return judge
    sizes = np.array([max(1.0, np.rint(column.sum() / count_effective(column))) for column in rows.T]) * wrong
    at = np.concatenate([judge.at, n_clusters + np.arange(n_classes)])  # type: ignore[attr-defined]  # these have it
    if isinstance(judge, ClassJudge):
        hits, held, said = np.split(judge.counts, 3, axis=1)
        added = np.zeros((n_classes, held.shape[1]))
        added[np.arange(n_classes), np.flatnonzero(held.sum(axis=0) > 0)] = sizes
        zeros = np.zeros_like(added)
        counts = np.hstack([np.vstack(pair) for pair in ((hits, zeros), (held, added), (said, zeros))])
        losses = np.vstack([judge.losses, np.zeros((n_classes, judge.losses.shape[1]))])
        return replace(judge, at=at, counts=counts, losses=losses)
    assert isinstance(judge, ClassRankJudge)  # noqa: S101 -- only these two have classes
    several, areas = [], []
    for place, counts in enumerate(judge.counts):
        own = 1 if len(judge.counts) == 1 else place
        # Its rows have the least probability of their class, and the most of all others.
        added = np.zeros((n_classes, 2, counts.shape[2] + 2))
        added[own, 0, 0] = sizes[own]
        others = np.arange(n_classes) != own
        added[others, 1, -1] = sizes[others]
        whole = counts.sum(axis=0)
        wide = np.concatenate([np.pad(counts, ((0, 0), (0, 0), (1, 1))), added])
        total = wide.sum(axis=0)
        moved = judge.areas[place] - float(measure_area(whole[0], whole[1]))
        areas.append(float(measure_area(total[0], total[1])) + moved)
        several.append(wide)
    calibration = np.concatenate([judge.calibration, np.zeros((n_classes, *judge.calibration.shape[1:]))])
    return replace(judge, at=at, counts=tuple(several), areas=np.array(areas), calibration=calibration)


def imagine_perfect(judge: Judge) -> Judge:
    """Imagine a model without a mistake on the same rows: what it cannot show, no model can be blamed for.

    Parameters
    ----------
    judge : Judge
        Of any model.

    Returns
    -------
    Judge
        Of that model.
    """
    import numpy as np

    if isinstance(judge, RegressionJudge):
        sums = judge.sums.copy()
        sums[:, 3], sums[:, 4], sums[:, 5] = sums[:, 1], sums[:, 2], sums[:, 2]
        sums[:, 6], sums[:, 7], sums[:, 11] = 0.0, 0.0, 0.0
        return replace(judge, sums=sums)
    if isinstance(judge, ClassJudge):
        rows = np.split(judge.counts, 3, axis=1)[1]
        return replace(judge, counts=np.hstack([rows, rows, rows]), losses=np.zeros_like(judge.losses))
    if isinstance(judge, ClassRankJudge):
        parted = []
        for counts in judge.counts:
            positive, negative = counts.sum(axis=2).T
            nothing = np.zeros_like(positive)
            parted.append(np.stack([np.stack([nothing, positive], 1), np.stack([negative, nothing], 1)], axis=1))
        ones = np.ones(len(parted))
        return replace(judge, counts=tuple(parted), areas=ones, precisions=ones)
    return judge
