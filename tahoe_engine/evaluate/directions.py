"""The metrics: which there are, for what, whether large is good, and what people call them."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Final, Literal

from tahoe_engine.errors import ConfigError, escape_controls

Kind = Literal["regression", "classification"]
KINDS: Final = ("regression", "classification")


@dataclass(frozen=True)
class Metric:
    """One metric.

    Parameters
    ----------
    name : str
        In tables and tasks.
    kind : {"regression", "classification"}
        Of the target.
    title : str
        For people.
    larger : bool
        Whether a larger value is a better one.
    best : float
        The value of a model without a mistake.
    ranked : bool
        Computed on the capped sample of rows.
    of_model : bool
        False where it tells of the rows alone, whatever was predicted: no model is tuned or compared by it.
    """

    name: str
    kind: Kind
    title: str
    larger: bool
    best: float
    ranked: bool = False
    of_model: bool = True


METRICS: Final = {
    metric.name: metric
    for metric in (
        Metric("mse", "regression", "mean squared error", larger=False, best=0.0),
        Metric("rmse", "regression", "root mean squared error", larger=False, best=0.0),
        Metric("mae", "regression", "mean absolute error", larger=False, best=0.0),
        Metric("r2", "regression", "R²", larger=True, best=1.0),
        Metric("pearson", "regression", "Pearson correlation", larger=True, best=1.0),
        Metric("spearman", "regression", "Spearman correlation", larger=True, best=1.0, ranked=True),
        Metric("r2_clusters", "regression", "R² of group means", larger=True, best=1.0),
        Metric("eta_squared", "regression", "ceiling η²", larger=True, best=1.0, of_model=False),
        Metric(
            "eta_squared_adjusted",
            "regression",
            "ceiling η², corrected for its bias",
            larger=True,
            best=1.0,
            of_model=False,
        ),
        Metric("explained_of_ceiling", "regression", "share of the ceiling", larger=True, best=1.0),
        Metric("accuracy", "classification", "accuracy", larger=True, best=1.0),
        Metric("balanced_accuracy", "classification", "balanced accuracy", larger=True, best=1.0),
        Metric("f1_macro", "classification", "macro F1", larger=True, best=1.0),
        Metric("mcc", "classification", "Matthews correlation", larger=True, best=1.0),
        Metric("roc_auc", "classification", "area under the ROC curve", larger=True, best=1.0, ranked=True),
        Metric("average_precision", "classification", "average precision", larger=True, best=1.0, ranked=True),
        Metric("log_loss", "classification", "log loss", larger=False, best=0.0),
        Metric("brier", "classification", "Brier score", larger=False, best=0.0),
        Metric("ece", "classification", "expected calibration error", larger=False, best=0.0, ranked=True),
    )
}


def find_metric(name: str, kind: str = "") -> Metric:
    """Find a metric by its name.

    Parameters
    ----------
    name : str
        Of the metric.
    kind : {"", "regression", "classification"}
        What it must be for.

    Returns
    -------
    Metric
        With its direction.

    Raises
    ------
    ConfigError
        If there is none of the name, or it is for the other kind of target.

    Examples
    --------
    >>> find_metric("rmse").larger, find_metric("mcc").title
    (False, 'Matthews correlation')
    """
    known = [metric.name for metric in METRICS.values() if kind in ("", metric.kind)]
    if name in known:
        return METRICS[name]
    if name in METRICS:
        raise ConfigError(f"the metric {name!r} is not for {kind}; there are {', '.join(known)}")
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
    raise ConfigError(f"there is no metric {escape_controls(name)!r}: {hint}")


def list_metrics(kind: str) -> tuple[str, ...]:
    """List the names of the metrics of a kind of target, in the order of the tables.

    Parameters
    ----------
    kind : {"regression", "classification"}
        Of the target.

    Returns
    -------
    tuple of str
        Names.

    Raises
    ------
    ConfigError
        If there is no such kind.

    Examples
    --------
    >>> list_metrics("regression")[:3]
    ('mse', 'rmse', 'mae')
    """
    if kind not in KINDS:
        raise ConfigError(f"there is no kind of target {kind!r}: it is regression or classification")
    return tuple(metric.name for metric in METRICS.values() if metric.kind == kind)


def choose_primary(kind: str, primary: str = "") -> str:
    """Choose the metric by which is tuned and compared.

    Parameters
    ----------
    kind : {"regression", "classification"}
        Of the target.
    primary : str
        What the task says; empty: the default.

    Returns
    -------
    str
        Name of the metric.

    Raises
    ------
    ConfigError
        If there is no such metric for the kind, or it says nothing about a model.

    Examples
    --------
    >>> choose_primary("regression"), choose_primary("classification"), choose_primary("regression", "mae")
    ('rmse', 'balanced_accuracy', 'mae')
    """
    if not primary:
        return "rmse" if kind == "regression" else "balanced_accuracy"
    if not find_metric(primary, kind).of_model:
        raise ConfigError(f"the metric {primary!r} tells of the rows and not of a model; name another as primary")
    return primary


def is_better(metric: str, value: float, other: float) -> bool:
    """Tell whether a value is better than another.

    Parameters
    ----------
    metric : str
        Whose values they are.
    value, other : float
        NaN is better than nothing, and nothing is better than NaN.

    Returns
    -------
    bool
        Whether `value` is the better one; False for equal ones.

    Raises
    ------
    ConfigError
        If there is no such metric.

    Examples
    --------
    >>> is_better("rmse", 0.2, 0.3), is_better("r2", 0.2, 0.3)
    (True, False)
    """
    return value > other if find_metric(metric).larger else value < other
