"""Judges: what turns a tally, and weights of its clusters, into values of metrics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from tahoe_engine.evaluate.cells import find_centre, measure_means

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from tahoe_engine.evaluate.cells import Cells, Counts

    Floats = NDArray[np.float64]

NOTHING: Final = 1e-12  # a share of a variance below this is rounding
AT_ONCE: Final = 4_000_000  # numbers of a matrix


class Judge(Protocol):
    """Whoever gives values of metrics for weights of clusters.

    Parameters
    ----------
    names : tuple of str
        Metrics that it gives.
    n_rows : int
        Rows they are of.
    n_clusters : int
        Clusters these come from.
    """

    @property
    def names(self) -> tuple[str, ...]: ...  # noqa: D102 -- told above

    @property
    def n_rows(self) -> int: ...  # noqa: D102

    @property
    def n_clusters(self) -> int: ...  # noqa: D102

    def score(self, weights: Floats) -> dict[str, Floats]:
        """Give each metric for each row of weights: how often each cluster is there."""
        ...


def weigh_sums(weights: Floats, sums: Floats) -> Floats:
    """Weigh sums of clusters, in a fixed order.

    Parameters
    ----------
    weights : ndarray, shape (resamples, clusters)
        How often each cluster is there.
    sums : ndarray, shape (clusters, sums)
        Of each cluster.

    Returns
    -------
    ndarray, shape (resamples, sums)
        Weighed.

    Examples
    --------
    >>> import numpy as np
    >>> weigh_sums(np.array([[2.0, 0.0]]), np.array([[1.5], [4.0]])).tolist()
    [[3.0]]
    """
    import numpy as np

    # Einsum and not a matrix product: what BLAS gives of fractions depends on its threads, and tables must not.
    weighed: Floats = np.einsum("bk,km->bm", weights, sums)
    return weighed


def weigh_counts(weights: Floats, counts: Floats) -> Floats:
    """Weigh whole numbers: exact in any order below 2^53, so that BLAS may do it."""
    weighed: Floats = weights @ counts
    return weighed


def divide(over: Floats, under: Floats, least: Any = 0.0) -> Floats:  # noqa: ANN401 -- a number or an array
    """Divide, with NaN where the denominator is not above `least`."""
    import numpy as np

    fine = under > least
    return np.where(fine, over / np.where(fine, under, 1.0), np.nan)


@dataclass(frozen=True)
class RegressionJudge:
    """Errors, R² and Pearson's correlation from sums by cluster.

    Parameters
    ----------
    at : ndarray of int64
        Place of each of its clusters among all.
    sums : ndarray, shape (clusters, 12)
        n, a, a², b, b², ab of a = y - mean and b = y_pred - mean, |e|, e²; 1, A, A² and (A - B)² of the cluster's
        means.
    n_rows : int
        Rows.

    Notes
    -----
    As scikit-learn's, but R² of a target that does not vary is not defined (there it is 0 or 1). ``r2_clusters`` is the
    R² of the means of clusters, one vote a cluster: the level of a pseudobulk.
    """

    at: NDArray[np.int64]
    sums: Floats
    n_rows: int
    names: tuple[str, ...] = ("mse", "rmse", "mae", "r2", "pearson", "r2_clusters")

    @property
    def n_clusters(self) -> int:
        """Clusters."""
        return self.at.size

    def score(self, weights: Floats) -> dict[str, Floats]:
        """Give each metric for each row of weights."""
        import numpy as np

        s = weigh_sums(weights[:, self.at], self.sums).T
        n = s[0]
        mse = divide(s[7], n)
        vary, vary_pred = s[2] - divide(s[1] ** 2, n), s[4] - divide(s[3] ** 2, n)
        varies = (vary > NOTHING * s[2]) & (vary_pred > NOTHING * s[4])
        pearson = divide(s[5] - divide(s[1] * s[3], n), np.sqrt(np.where(varies, vary * vary_pred, 0.0)))
        between = s[10] - divide(s[9] ** 2, s[8])
        return {
            "mse": mse,
            "rmse": np.sqrt(mse),
            "mae": divide(s[6], n),
            "r2": 1.0 - divide(s[7], vary, NOTHING * s[2]),
            "pearson": np.clip(pearson, -1.0, 1.0),
            "r2_clusters": 1.0 - divide(s[11], between, NOTHING * s[10]),
        }


def judge_regression(cells: Cells, at: NDArray[np.int64]) -> RegressionJudge:
    """Make the judge of a segment of a regression.

    Parameters
    ----------
    cells : Cells
        Of y and y_pred by cluster.
    at : ndarray of int64
        Place of each of their clusters among all.

    Returns
    -------
    RegressionJudge
        For weights of all clusters.
    """
    import numpy as np

    n = cells.n.astype(np.float64)
    # All sums are about the mean of the segment, so that no digits are lost where it is large.
    origin, centre = find_centre(cells)
    a, b = (measure_means(cells, origin) - centre).T
    apart = (cells.shifts[:, 0] - cells.shifts[:, 1]) + (cells.offsets[:, 0] - cells.offsets[:, 1])
    products = cells.products
    sums = [n, n * a, products[:, 0, 0] + n * a * a, n * b, products[:, 1, 1] + n * b * b]
    sums += [products[:, 0, 1] + n * a * b, cells.totals[:, 0], cells.totals[:, 1]]
    sums += [np.ones_like(n), a, a * a, apart**2]
    return RegressionJudge(at, np.column_stack(sums), int(cells.n.sum()))


@dataclass(frozen=True)
class ClassJudge:
    """Metrics of classes from counts by cluster.

    Parameters
    ----------
    at : ndarray of int64
        Place of each of its clusters among all.
    counts : ndarray, shape (clusters, 3 * classes)
        Hits, rows and predictions of each class that occurs.
    losses : ndarray, shape (clusters, 0 or 2)
        Log loss and Brier score.
    n_rows : int
        Rows.

    Notes
    -----
    As scikit-learn's: ``balanced_accuracy`` is the mean recall over the classes that occur in y, ``f1_macro`` the mean
    over those that occur in y or y_pred, ``mcc`` is 0 where y or y_pred has one class alone (J. Gorodkin, Comparing two
    K-category assignments by a K-category correlation coefficient, Comput. Biol. Chem. 28 (2004) 367-374).
    """

    at: NDArray[np.int64]
    counts: Floats
    losses: Floats
    n_rows: int

    @property
    def names(self) -> tuple[str, ...]:
        """Metrics that it gives."""
        plain = ("accuracy", "balanced_accuracy", "f1_macro", "mcc")
        return (*plain, "log_loss", "brier") if self.losses.shape[1] else plain

    @property
    def n_clusters(self) -> int:
        """Clusters."""
        return self.at.size

    def score(self, weights: Floats) -> dict[str, Floats]:
        """Give each metric for each row of weights."""
        import numpy as np

        mine = weights[:, self.at]
        hits, rows, said = np.split(weigh_counts(mine, self.counts), 3, axis=1)
        n = rows.sum(axis=1)
        right = hits.sum(axis=1)
        recalls, f1 = divide(hits, rows), divide(2 * hits, rows + said)
        of_rows, of_said = n**2 - (rows**2).sum(axis=1), n**2 - (said**2).sum(axis=1)
        there = of_rows * of_said > 0
        over = right * n - (rows * said).sum(axis=1)
        mcc = np.where(there, over / np.sqrt(np.where(there, of_rows * of_said, 1.0)), 0.0)
        values = {
            "accuracy": divide(right, n),
            "balanced_accuracy": average_known(recalls),
            "f1_macro": average_known(f1),
            "mcc": np.where(n > 0, mcc, np.nan),
        }
        if self.losses.shape[1]:
            lost = weigh_sums(mine, self.losses)
            values |= {"log_loss": divide(lost[:, 0], n), "brier": divide(lost[:, 1], n)}
        return values


def average_known(values: Floats) -> Floats:
    """Give the mean of each row without its NaN; NaN where there is nothing else.

    Examples
    --------
    >>> import numpy as np
    >>> average_known(np.array([[1.0, np.nan], [np.nan, np.nan]])).tolist()
    [1.0, nan]
    """
    import numpy as np

    known = ~np.isnan(values)
    return divide(np.where(known, values, 0.0).sum(axis=1), known.sum(axis=1).astype(np.float64))


def judge_classes(cells: Cells, classes: Counts, at: NDArray[np.int64]) -> ClassJudge:
    """Make the judge of a segment of a classification.

    Parameters
    ----------
    cells : Cells
        Of the losses by cluster.
    classes : Counts
        By cluster and class.
    at : ndarray of int64
        Place of each of the clusters among all.

    Returns
    -------
    ClassJudge
        For weights of all clusters.
    """
    import numpy as np

    rows = np.searchsorted(cells.keys[:, 1], classes.keys[:, 1])
    known, columns = np.unique(classes.keys[:, 2], return_inverse=True)
    counts = np.zeros((len(cells.keys), 3, known.size))
    counts[rows, :, columns] = classes.counts
    return ClassJudge(at, counts.reshape(len(cells.keys), -1), cells.totals, int(cells.n.sum()))


def score_in_pieces(score: Callable[[Floats], dict[str, Floats]], weights: Floats, width: int) -> dict[str, Floats]:
    """Score some rows of weights after others, where all at once would take much memory.

    Parameters
    ----------
    score : callable
        Of a judge.
    weights : ndarray, shape (resamples, clusters)
        How often each cluster is there.
    width : int
        Numbers that one resample takes.

    Returns
    -------
    dict of str to ndarray
        Metrics of all resamples.
    """
    import numpy as np

    step = max(1, AT_ONCE // max(width, 1))
    pieces = [score(weights[low : low + step]) for low in range(0, len(weights), step)]
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}
