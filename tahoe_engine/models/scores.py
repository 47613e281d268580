"""The one number by which candidates are compared: while tuning, in curves, and where columns are permuted."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Final

from tahoe_engine.errors import ConfigError, escape_controls
from tahoe_engine.vocabulary import nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

REGRESSION_METRICS: Final = ("mae", "mse", "pearson", "r2", "rmse", "spearman")
LABEL_METRICS: Final = ("accuracy", "balanced_accuracy", "f1_macro", "mcc")
PROBABILITY_METRICS: Final = ("average_precision", "brier", "log_loss", "roc_auc")
SMALLER_IS_BETTER: Final = frozenset({"mae", "mse", "rmse", "brier", "log_loss"})
DEFAULTS: Final = {"regression": "rmse", "classification": "balanced_accuracy"}
TIED: Final = 1e-12  # scores that differ by less, of the larger, are the same


def choose_metric(primary: str, kind: str) -> str:
    """Choose the metric by which candidates are compared.

    Parameters
    ----------
    primary : str
        As the task says it; empty for the default.
    kind : {"classification", "regression"}
        Of the target.

    Returns
    -------
    str
        Its name.

    Raises
    ------
    ConfigError
        If nothing can be compared by it.

    Examples
    --------
    >>> choose_metric("", "regression"), choose_metric("mcc", "classification")
    ('rmse', 'mcc')
    """
    known = REGRESSION_METRICS if kind == "regression" else (*LABEL_METRICS, *PROBABILITY_METRICS)
    metric = primary or DEFAULTS[kind]
    if metric not in known:
        near = ", ".join(nearest(metric, known))
        raise ConfigError(
            f"primary = {escape_controls(metric)!r}: nothing of {kind} is compared by it; the nearest are {near}"
        )
    return metric


def score_predictions(
    metric: str, y: NDArray[Any], y_pred: NDArray[Any], probabilities: NDArray[np.float64] | None, n_classes: int
) -> float:
    """Score predictions, as scikit-learn defines it.

    Parameters
    ----------
    metric : str
        As `choose_metric` gives it.
    y, y_pred : ndarray
        Values, or codes of classes; a code beyond the classes was never trained on.
    probabilities : ndarray, optional
        Rows by classes.
    n_classes : int
        That were trained on; 0 for numbers.

    Returns
    -------
    float
        NaN where it is not defined: no rows, one class only, no probabilities.

    Examples
    --------
    >>> import numpy as np
    >>> score_predictions("rmse", np.array([1.0, 3.0]), np.array([1.0, 1.0]), None, 0)
    1.4142135623730951
    """
    import numpy as np
    from sklearn import metrics

    if not len(y):
        return float("nan")
    if metric in PROBABILITY_METRICS:
        return _score_probabilities(metric, y, probabilities, n_classes)
    if metric in {"pearson", "spearman"}:
        from scipy.stats import rankdata

        sides = (y, y_pred) if metric == "pearson" else (rankdata(y), rankdata(y_pred))
        if any(np.ptp(side) == 0.0 for side in sides):
            return float("nan")
        return float(np.corrcoef(*sides)[0, 1])
    if metric == "r2" and np.ptp(y) == 0.0:
        return float("nan")
    functions = {
        "mae": metrics.mean_absolute_error,
        "mse": metrics.mean_squared_error,
        "rmse": metrics.root_mean_squared_error,
        "r2": metrics.r2_score,
        "accuracy": metrics.accuracy_score,
        "balanced_accuracy": metrics.balanced_accuracy_score,
        "f1_macro": lambda true, found: metrics.f1_score(true, found, average="macro", zero_division=0),
        "mcc": metrics.matthews_corrcoef,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes that are only predicted: they count as scikit-learn counts them
        return float(functions[metric](y, y_pred))


def is_better_small(metric: str) -> bool:
    """Tell whether a metric is the better the smaller it is.

    Parameters
    ----------
    metric : str
        Its name.

    Returns
    -------
    bool
        True for errors.
    """
    return metric in SMALLER_IS_BETTER


def rank_scores(scores: Sequence[float], *, small: bool) -> tuple[list[int], list[bool]]:
    """Rank scores; what differs by less than 1e-12 of its size shares the lowest rank.

    Parameters
    ----------
    scores : sequence of float
        NaN is the worst.
    small : bool
        Whether small ones are better.

    Returns
    -------
    ranks : list of int
        1 is best.
    tied : list of bool
        Whether another has the same.

    Examples
    --------
    >>> rank_scores([0.5, 1.0, 1.0 + 1e-15, float("nan")], small=False)
    ([3, 1, 1, 4], [False, True, True, False])
    """
    import math

    worth = [-math.inf if math.isnan(score) else (-score if small else score) for score in scores]
    order = sorted(range(len(worth)), key=lambda at: (-worth[at], at))
    ranks, first = [0] * len(worth), 0
    for place, at in enumerate(order):
        best = worth[order[first]]
        apart = abs(best - worth[at])  # NaN for two that are the worst
        same = best == worth[at] or (math.isfinite(apart) and apart <= TIED * max(abs(best), abs(worth[at])))
        if not same:
            first = place
        ranks[at] = first + 1
    return ranks, [ranks.count(rank) > 1 for rank in ranks]


def _score_probabilities(metric: str, y: NDArray[Any], found: NDArray[np.float64] | None, n_classes: int) -> float:
    """Score probabilities; rows of a class that was never trained on are left out, as nobody could have any for it."""
    import numpy as np
    from sklearn import metrics

    known = y < n_classes
    if found is None or not known.any():
        return float("nan")
    y, found = y[known], found[known]
    codes = np.arange(n_classes)
    truth = (y[:, None] == codes[None, :]).astype(np.float64)
    if metric == "log_loss":
        return float(metrics.log_loss(y, found, labels=codes)) if n_classes > 1 else float("nan")
    if metric == "brier":
        return float(np.mean(np.sum((found - truth) ** 2, axis=1))) / (2 if n_classes == 2 else 1)  # noqa: PLR2004
    one = metrics.roc_auc_score if metric == "roc_auc" else metrics.average_precision_score
    chosen = [1] if n_classes == 2 else codes.tolist()  # noqa: PLR2004 - of two classes the second is the positive one
    parts = [float(one(truth[:, code], found[:, code])) for code in chosen if 0 < truth[:, code].sum() < len(y)]
    return float(np.mean(parts)) if parts else float("nan")
