"""A verdict on a fit, and the numbers it rests on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tahoe_engine.evaluate.directions import Metric, find_metric, is_better

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl

NO_BETTER: Final = "no better than the baseline"
NOT_TOLD: Final = "cannot be told"
DISAGREE: Final = "test and folds disagree"
UNDERFITTED: Final = "underfitted"
OVERFITTED: Final = "overfitted"
FITS: Final = "fits"
GAP: Final = 0.1  # of the way from the baseline to perfection that training rows are ahead of test rows
POOR: Final = 0.1  # of that way on the training rows: less was not learned
CEILING: Final = 0.5  # of what the strata leave to be learned: who has as much is not underfitted


def judge_fit(
    metrics: pl.DataFrame, baseline: float | None, metric: str, *, beats: bool | None = None, able: bool = True
) -> tuple[str, str]:
    """Judge how a model fits.

    Parameters
    ----------
    metrics : polars.DataFrame
        Of one model: ``split`` (train, cv-0 ..., test), ``group``, ``metric``, ``value``, ``low``, ``high``, and
        ``baseline`` where it was added.
    baseline : float or None
        Value of the best baseline on the test rows; None: that of the table.
    metric : str
        By which is judged.
    beats : bool, optional
        What the test over all models said (`test_models`); where it is not given, whether the interval of the test rows
        lies beyond the baseline.
    able : bool
        Whether that test could have found a model without a mistake to be better.

    Returns
    -------
    verdict : str
        The first that holds of "cannot be told", "no better than the baseline", "test and folds disagree",
        "overfitted", "underfitted" and "fits".
    evidence : str
        A sentence with the numbers: training, cross-validation, test with its interval, baseline, gap.

    Raises
    ------
    ConfigError
        If there is no such metric.

    Notes
    -----
    A *skill* is the share of the way from the baseline of the same split to a model without a mistake: 0 as the
    baseline, 1 perfect (for R² beside the mean it is R² itself, and ``rmse`` is judged by its square).

    * **cannot be told**: nothing is known of test rows; or it is better there, and so few groups (or rows of a class)
      were tested that not even a model without a mistake could be found to be better.
    * **no better than the baseline**: it is not better on the test rows, or not beyond its interval.
    * **test and folds disagree**: it is better on the test rows, and on average over the folds it is not.
    * **overfitted**: the skill on training rows is more than 0.1 above that on test rows, and the training value lies
      outside the interval of the test rows.
    * **underfitted**: the skill on training rows is below 0.1, unless R² of the test rows is at least half of the
      ceiling (``explained_of_ceiling``): then there is no more to learn.

    Examples
    --------
    >>> import polars as pl
    >>> rows = [("train", None, "r2", 0.99, 0.98, 0.995), ("test", None, "r2", 0.4, 0.3, 0.5)]
    >>> table = pl.DataFrame(rows, schema=["split", "group", "metric", "value", "low", "high"], orient="row")
    >>> judge_fit(table, 0.0, "r2")[0]
    'overfitted'
    """
    measure = find_metric(metric)
    known = [
        row for row in metrics.filter(metrics["group"].is_null()).iter_rows(named=True) if row.get("value") is not None
    ]
    rows = {row["split"]: row for row in known if row["metric"] == metric}
    folds = [row["value"] for split, row in rows.items() if split.startswith("cv-")]
    train, test = rows.get("train"), rows.get("test")
    if test is None:
        return NOT_TOLD, f"{measure.title} is not known of test rows, so that nothing can be said for the model."
    other = baseline if baseline is not None else test.get("baseline")
    of_train = train.get("baseline") if train else None
    skill = _measure_skill(measure, test["value"], other)
    train_skill = (
        _measure_skill(measure, train["value"], of_train if of_train is not None else other) if train else None
    )
    gap = train_skill - skill if train_skill is not None and skill is not None else None
    evidence = _tell(measure, train, folds, test, other)
    if gap is not None:
        evidence += (
            f"; of the way from the baseline to perfection {train_skill:.1%} in training and {skill:.1%} in the test"
        )
    ceilings = [row["value"] for row in known if row["metric"] == "explained_of_ceiling" and row["split"] == "test"]
    if ceilings:
        evidence += f"; {ceilings[0]:.1%} of the ceiling"
    in_folds = _compare_folds(metric, rows, other)
    if in_folds is not None and other is not None and in_folds != is_better(metric, test["value"], other):
        evidence += f"; over the folds it is {'' if in_folds else 'not '}better than the baseline of the folds"
    evidence += "."
    if other is not None and not able and not beats and is_better(metric, test["value"], other):
        return NOT_TOLD, f"{evidence} Not even a model without a mistake could be found to be better here."
    if other is not None and not _is_beyond(metric, test, other, beats=beats):
        return NO_BETTER, evidence
    if other is not None and in_folds is False:
        return DISAGREE, evidence
    return _judge_gap(gap, train, train_skill, test, ceilings), evidence


def _judge_gap(
    gap: float | None,
    train: dict[str, Any] | None,
    train_skill: float | None,
    test: dict[str, Any],
    ceilings: list[float],
) -> str:
    """Judge a model that is better than the baseline by how far training rows are ahead."""
    if gap is not None and train is not None and gap > GAP and _is_outside(train["value"], test):
        return OVERFITTED
    if train_skill is not None and train_skill < POOR and not (ceilings and ceilings[0] >= CEILING):
        return UNDERFITTED
    return FITS


def _measure_skill(measure: Metric, value: float, baseline: float | None) -> float | None:
    """Give the share of the way from the baseline to perfection; None where there is no way to go."""
    if baseline is None or baseline == measure.best:
        return None
    if measure.name == "rmse":  # by its square, so that it is judged as R² is
        return 1 - (value / baseline) ** 2
    return (value - baseline) / (measure.best - baseline)


def _is_beyond(metric: str, test: dict[str, Any], baseline: float, *, beats: bool | None) -> bool:
    if not is_better(metric, test["value"], baseline) or beats is not None:
        return bool(beats) and is_better(metric, test["value"], baseline)
    nearest = test["low"] if find_metric(metric).larger else test["high"]
    return nearest is not None and is_better(metric, nearest, baseline)


def _compare_folds(metric: str, rows: Mapping[str, dict[str, Any]], baseline: float | None) -> bool | None:
    """Tell whether the mean over the folds is better than that of their baselines; None where there are none."""
    folds = [row for split, row in rows.items() if split.startswith("cv-")]
    others = [row.get("baseline") if row.get("baseline") is not None else baseline for row in folds]
    known = [other for other in others if other is not None]
    if not folds or len(known) < len(folds):
        return None
    return is_better(metric, sum(row["value"] for row in folds) / len(folds), sum(known) / len(folds))


def _is_outside(value: float, test: dict[str, Any]) -> bool:
    low, high = test["low"], test["high"]
    return low is None or high is None or not low <= value <= high


def _tell(
    measure: Metric, train: dict[str, Any] | None, folds: list[float], test: dict[str, Any], baseline: float | None
) -> str:
    parts = []
    if train:
        parts.append(f"training {train['value']:.4g}")
    if folds:
        mean = sum(folds) / len(folds)
        spread = (sum((one - mean) ** 2 for one in folds) / (len(folds) - 1)) ** 0.5 if len(folds) > 1 else None
        parts.append(
            f"cross-validation {mean:.4g}" + (f" ± {spread:.2g} ({len(folds)} folds)" if spread is not None else "")
        )
    interval = f" [{test['low']:.4g}, {test['high']:.4g}]" if test["low"] is not None else " (no interval)"
    parts.append(f"test {test['value']:.4g}{interval}")
    parts.append(f"baseline {baseline:.4g}" if baseline is not None else "no baseline")
    return f"{measure.title[:1].upper()}{measure.title[1:]}: {', '.join(parts)}"
