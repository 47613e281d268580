"""Verdicts: the first that holds, with the numbers it rests on."""

from __future__ import annotations

import polars as pl
import pytest

from tahoe_engine.errors import ConfigError
from tahoe_engine.evaluate.verdict import judge_fit


def make_metrics(metric: str, train: float, test: float, low: float, high: float, **more: float) -> pl.DataFrame:
    rows = [
        ("train", None, metric, train, train, train),
        ("test", None, metric, test, low, high),
        ("test", "line=a", metric, -99.0, -99.0, -99.0),  # groups decide nothing
        *((f"cv-{fold}", None, metric, value, None, None) for fold, value in enumerate((test - 0.1, test + 0.1))),
        *(("test", None, name, value, value, value) for name, value in more.items()),
    ]
    return pl.DataFrame(rows, schema=["split", "group", "metric", "value", "low", "high"], orient="row")


@pytest.mark.parametrize(
    ("metric", "train", "test", "interval", "baseline", "verdict"),
    [
        ("r2", 0.9, 0.05, (-0.1, 0.2), 0.0, "no better than the baseline"),
        ("r2", 0.9, -0.5, (-0.6, -0.4), 0.0, "no better than the baseline"),
        ("r2", 0.9, 0.4, (0.3, 0.5), 0.0, "overfitted"),
        ("r2", 0.45, 0.4, (0.3, 0.5), 0.0, "fits"),
        ("r2", 0.6, 0.4, (0.1, 0.7), 0.0, "fits"),  # the test rows do not say so
        ("r2", 0.03, 0.02, (0.01, 0.03), 0.0, "underfitted"),
        ("rmse", 0.2, 0.3, (0.25, 0.35), 1.0, "fits"),  # R² of 0.96 and 0.91
        ("rmse", 0.1, 0.5, (0.4, 0.6), 1.0, "overfitted"),
        ("rmse", 0.95, 1.1, (1.0, 1.2), 1.0, "no better than the baseline"),
        ("rmse", 0.95, 0.97, (0.96, 0.98), 1.0, "underfitted"),
        ("balanced_accuracy", 1.0, 0.99, (0.98, 1.0), 0.5, "fits"),
        ("balanced_accuracy", 1.0, 0.8, (0.7, 0.9), 0.5, "overfitted"),
    ],
)
def test_verdicts(
    metric: str, train: float, test: float, interval: tuple[float, float], baseline: float, verdict: str
) -> None:
    found, _ = judge_fit(make_metrics(metric, train, test, *interval), baseline, metric)
    assert found == verdict


def test_the_evidence_has_all_numbers() -> None:
    _, evidence = judge_fit(make_metrics("r2", 0.9, 0.4, 0.3, 0.5, explained_of_ceiling=0.8), 0.0, "r2")
    assert evidence == (
        "R²: training 0.9, cross-validation 0.4 ± 0.14 (2 folds), test 0.4 [0.3, 0.5], baseline 0; of the way from the "
        "baseline to perfection 90.0% in training and 40.0% in the test; 80.0% of the ceiling."
    )


def test_who_reaches_the_ceiling_is_not_underfitted() -> None:
    metrics = make_metrics("r2", 0.03, 0.02, 0.01, 0.03, explained_of_ceiling=0.95)
    assert judge_fit(metrics, 0.0, "r2")[0] == "fits"


def test_the_test_over_all_models_has_the_last_word() -> None:
    metrics = make_metrics("r2", 0.45, 0.4, 0.3, 0.5)
    assert judge_fit(metrics, 0.0, "r2", beats=False)[0] == "no better than the baseline"
    wide = make_metrics("r2", 0.45, 0.4, -0.1, 0.9)
    assert judge_fit(wide, 0.0, "r2", beats=True)[0] == "fits"
    assert judge_fit(wide, 0.0, "r2")[0] == "no better than the baseline"


def test_what_no_test_could_show_cannot_be_told() -> None:
    better, worse = make_metrics("r2", 0.45, 0.4, 0.3, 0.5), make_metrics("r2", 0.45, -0.4, -0.5, -0.3)
    verdict, evidence = judge_fit(better, 0.0, "r2", beats=False, able=False)
    assert verdict == "cannot be told"
    assert evidence.endswith("Not even a model without a mistake could be found to be better here.")
    assert judge_fit(worse, 0.0, "r2", beats=False, able=False)[0] == "no better than the baseline"
    assert judge_fit(better, 0.0, "r2", beats=False, able=True)[0] == "no better than the baseline"


@pytest.mark.parametrize(
    ("metric", "folds", "verdict"),
    [
        ("r2", -0.1, "test and folds disagree"),
        ("r2", 0.3, "fits"),
        ("rmse", 1.1, "test and folds disagree"),
        ("rmse", 0.5, "fits"),
    ],
)
def test_test_and_folds_must_agree(metric: str, folds: float, verdict: str) -> None:
    metrics = make_metrics(metric, 0.45, 0.4, 0.3, 0.5)
    in_folds = pl.when(pl.col("split").str.starts_with("cv-")).then(folds).otherwise(pl.col("value"))
    metrics = metrics.with_columns(in_folds.alias("value"), baseline=pl.lit(0.0 if metric == "r2" else 1.0))
    found, evidence = judge_fit(metrics, None, metric, beats=True)
    assert found == verdict
    assert ("over the folds it is not better" in evidence) == (verdict != "fits")


def test_folds_alone_do_not_make_a_model_better() -> None:
    metrics = make_metrics("r2", 0.45, -0.4, -0.5, -0.3)
    in_folds = pl.when(pl.col("split").str.starts_with("cv-")).then(0.3).otherwise(pl.col("value")).alias("value")
    verdict, evidence = judge_fit(metrics.with_columns(in_folds), 0.0, "r2", beats=False)
    assert verdict == "no better than the baseline"
    assert "over the folds it is better than the baseline of the folds" in evidence


def test_training_rows_have_a_baseline_of_their_own() -> None:
    metrics = make_metrics("rmse", 0.9, 1.0, 0.9, 1.1).with_columns(
        baseline=pl.when(pl.col("split") == "train").then(1.0).otherwise(3.0)
    )
    # 1 - 0.9² in training, 1 - (1 / 3)² in the test: no gap.
    verdict, evidence = judge_fit(metrics, None, "rmse")
    assert verdict == "fits"
    assert "19.0% in training and 88.9% in the test" in evidence


def test_a_test_without_a_value_gives_no_good_verdict() -> None:
    metrics = make_metrics("r2", 0.9, 0.4, 0.3, 0.5).filter(pl.col("split") != "test")
    assert judge_fit(metrics, 0.0, "r2")[0] == "cannot be told"
    with pytest.raises(ConfigError, match="no metric"):
        judge_fit(metrics, 0.0, "r3")
