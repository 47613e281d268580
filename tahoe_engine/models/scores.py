"""The one number by which candidates are compared: while tuning, in curves, and where columns are shuffled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tahoe_engine.evaluate.directions import choose_primary, find_metric
from tahoe_engine.evaluate.metrics import compute_metrics
from tahoe_engine.evaluate.tally import collect_tally
from tahoe_engine.evaluate.ties import rank_scores as rank_values

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    from tahoe_engine.models.training import Trained

PROBABILITY_METRICS: Final = ("average_precision", "brier", "ece", "log_loss", "roc_auc")
# What needs the groups of all rows is stood for by what orders candidates alike, or nearly so.
STOOD_FOR: Final = {"explained_of_ceiling": "r2", "r2_clusters": "r2"}


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
        Its name; ``r2`` for those that need the groups of all rows.

    Raises
    ------
    ConfigError
        If nothing can be compared by it.

    Examples
    --------
    >>> choose_metric("", "regression"), choose_metric("r2_clusters", "regression")
    ('rmse', 'r2')
    """
    metric = choose_primary(kind, primary)
    return STOOD_FOR.get(metric, metric)


def score_trained(metric: str, trained: Trained, x: csr_array, y: NDArray[Any], n_classes: int) -> float:
    """Score what was trained on rows.

    Parameters
    ----------
    metric : str
        As `choose_metric` gives it.
    trained : Trained
        Predicts.
    x : csr_array
        Rows by columns.
    y : ndarray
        Values, or codes of classes.
    n_classes : int
        As in `score_predictions`.

    Returns
    -------
    float
        As there.
    """
    y_pred = trained.predict(x)
    if metric not in PROBABILITY_METRICS:
        return score_predictions(metric, y, y_pred, None, n_classes)
    shares = trained.predict_probabilities(x)
    margins = trained.predict_margins(x) if shares is None else None
    return score_predictions(metric, y, y_pred, shares, n_classes, margins=margins)


def score_predictions(  # noqa: PLR0913 - all sides of the rows
    metric: str,
    y: NDArray[Any],
    y_pred: NDArray[Any],
    probabilities: NDArray[np.float64] | None,
    n_classes: int,
    *,
    margins: NDArray[np.float64] | None = None,
) -> float:
    """Score predictions, as the tables of the stage have it.

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
    margins : ndarray, optional
        Where there are no probabilities: for areas under curves.

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

    if not len(y):
        return float("nan")
    tally = collect_tally(
        y,
        y_pred,
        np.zeros(len(y), dtype=np.int64),
        kind=find_metric(metric).kind,
        n_classes=n_classes,
        probabilities=probabilities,
        margins=margins,
        numbers=np.arange(len(y)),
        rank_rows=len(y),
    )
    found = compute_metrics(tally, n_bootstrap=0, only=[metric])
    value = found["value"][0] if found.height else None
    return float("nan") if value is None else float(value)


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
    return not find_metric(metric).larger


def rank_scores(scores: Sequence[float], *, small: bool) -> tuple[list[int], list[bool]]:
    """Rank scores; what differs by rounding alone shares the lowest rank.

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
    ranks, tied = rank_values(scores, larger=not small)
    return ranks.tolist(), tied.tolist()
