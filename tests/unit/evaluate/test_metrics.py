"""Metrics: those of scikit-learn, of all rows and of groups; intervals: those of rows drawn by whole clusters."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import stats
from sklearn import metrics as oracle

from tahoe_engine.errors import ConfigError
from tahoe_engine.evaluate.metrics import compute_metrics
from tahoe_engine.evaluate.resample import draw_resamples
from tahoe_engine.evaluate.tally import Tally, collect_tally
from tahoe_engine.schema.models import METRICS

EXACT: dict[str, Any] = {"rtol": 1e-12, "atol": 1e-13}


def values_of(frame: pl.DataFrame, group: str | None = None) -> dict[str, Any]:
    mine = frame.filter(pl.col("group").eq_missing(group))
    return dict(zip(mine["metric"], mine["value"], strict=True))


def judge_numbers(y: Any, y_pred: Any) -> dict[str, float]:
    return {
        "mse": oracle.mean_squared_error(y, y_pred),
        "rmse": oracle.root_mean_squared_error(y, y_pred),
        "mae": oracle.mean_absolute_error(y, y_pred),
        "r2": oracle.r2_score(y, y_pred),
        "pearson": stats.pearsonr(y, y_pred).statistic,
        "spearman": stats.spearmanr(y, y_pred).statistic,
    }


def judge_codes(y: Any, y_pred: Any) -> dict[str, float]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes that are missing on a side
        return {
            "accuracy": oracle.accuracy_score(y, y_pred),
            "balanced_accuracy": oracle.balanced_accuracy_score(y, y_pred),
            "f1_macro": oracle.f1_score(y, y_pred, average="macro"),
            "mcc": oracle.matthews_corrcoef(y, y_pred),
        }


def judge_probabilities(y: Any, p: Any) -> dict[str, float]:
    n_classes = p.shape[1]
    truth = np.eye(n_classes)[y]
    chosen = [1] if n_classes == 2 else [one for one in range(n_classes) if 0 < truth[:, one].sum() < len(y)]
    return {
        "roc_auc": float(np.mean([oracle.roc_auc_score(truth[:, one], p[:, one]) for one in chosen])),
        "average_precision": float(
            np.mean([oracle.average_precision_score(truth[:, one], p[:, one]) for one in chosen])
        ),
        "log_loss": oracle.log_loss(y, p, labels=range(n_classes)),
        "brier": oracle.brier_score_loss(y, p, labels=range(n_classes)),
    }


def tally_classes(
    n_classes: int, seed: int, rows: int = 400, digits: int = 9, **options: Any
) -> tuple[Tally, Any, Any, Any]:
    random = np.random.default_rng(seed)
    y = random.integers(0, n_classes, rows)
    p = random.multinomial(10**digits, random.dirichlet(np.full(n_classes, 0.7), rows)) / 10**digits
    y_pred = np.where(random.random(rows) < 0.3, y, p.argmax(axis=1))
    given: dict[str, Any] = {"clusters": random.integers(0, 15, rows), "n_classes": n_classes} | options
    tally = collect_tally(y, y_pred, given.pop("clusters"), kind="classification", probabilities=p, **given)
    return tally, y, y_pred, p


@pytest.mark.parametrize("seed", range(5))
def test_metrics_of_numbers_are_those_of_scikit_learn(seed: int) -> None:
    random = np.random.default_rng(seed)
    y = random.normal(5, 2, 300).round(1)  # ties
    y_pred = (y + random.normal(size=300)).round(1)
    found = values_of(compute_metrics(collect_tally(y, y_pred, random.integers(0, 9, 300), kind="regression")))
    for name, value in judge_numbers(y, y_pred).items():
        np.testing.assert_allclose(found[name], value, **EXACT, err_msg=name)


@pytest.mark.parametrize("n_classes", [2, 3, 7])
def test_metrics_of_classes_are_those_of_scikit_learn(n_classes: int) -> None:
    tally, y, y_pred, p = tally_classes(n_classes, n_classes)
    found = values_of(compute_metrics(tally, n_bootstrap=0))
    for name, value in (judge_codes(y, y_pred) | judge_probabilities(y, p)).items():
        np.testing.assert_allclose(found[name], value, **EXACT, err_msg=name)


@pytest.mark.parametrize(
    ("y", "y_pred"),
    [
        ([0, 0, 1], [2, 0, 1]),  # a class that is only predicted
        ([0, 1, 2], [0, 1, 1]),  # one that is never predicted
        ([0, 0, 0], [0, 0, 0]),  # one alone
        ([0, 0, 0], [1, 1, 0]),
        ([4, 4, 1], [1, 1, 4]),
    ],
)
def test_classes_that_are_missing_on_a_side_count_as_in_scikit_learn(y: list[int], y_pred: list[int]) -> None:
    tally = collect_tally(np.array(y), np.array(y_pred), np.arange(3), kind="classification", n_classes=3)
    found = values_of(compute_metrics(tally, n_bootstrap=20))
    assert found == pytest.approx(judge_codes(y, y_pred), abs=1e-13)


def test_a_class_that_the_model_never_saw_had_no_chance() -> None:
    p = np.array([[0.5, 0.5], [0.25, 0.75]])
    tally = collect_tally(
        np.array([2, 1]), np.array([0, 1]), np.array([0, 1]), kind="classification", n_classes=2, probabilities=p
    )
    found = values_of(compute_metrics(tally, classes=["a", "b", "new"], n_bootstrap=0))
    # -log of the machine's epsilon, and of 3/4; (0.25 + 0.25 + 1) / 2 and (1/16 + 1/16) / 2.
    assert found["log_loss"] == pytest.approx((-np.log(2.0**-52) - np.log(0.75)) / 2)
    assert found["brier"] == pytest.approx((0.75 + 0.0625) / 2)
    assert found["accuracy"] == 0.5
    with pytest.raises(ConfigError, match="2 names for 3 classes"):
        compute_metrics(tally, classes=["a", "b"])


def test_the_calibration_error_is_the_weighed_distance_of_bins() -> None:
    p = np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [0.38, 0.62]])
    tally = collect_tally(
        np.array([0, 1, 1, 1]), p.argmax(axis=1), np.arange(4), kind="classification", n_classes=2, probabilities=p
    )
    # Bins of 1/15: 0.9 in the 14th; 0.6 in the 9th, which ends there; 0.62 in the 10th.
    expected = (abs(1 - 1.8) + abs(1 - 0.6) + abs(1 - 0.62)) / 4
    assert values_of(compute_metrics(tally, only=["ece"], n_bootstrap=0))["ece"] == pytest.approx(expected)


def test_groups_are_told_as_if_they_were_alone() -> None:
    random = np.random.default_rng(3)
    y = random.normal(size=400)
    y_pred = y + random.normal(size=400)
    line = random.choice(["x", "y=z", "rare"], 400, p=[0.5, 0.45, 0.05])
    plate = pl.Series([None if one < 0.5 else "p1" for one in random.random(400)])
    tally = collect_tally(y, y_pred, np.arange(400) % 20, kind="regression", groups={"line": line, "plate": plate})
    found = compute_metrics(tally, n_bootstrap=10)
    assert found["group"].unique(maintain_order=True).to_list() == [
        *(None, "line=rare", "line=x", "line=y=z", "plate=p1"),
    ]
    for group, there in (("line=x", line == "x"), ("plate=p1", plate.is_not_null().to_numpy())):
        mine = values_of(found, group)
        for name, value in judge_numbers(y[there], y_pred[there]).items():
            np.testing.assert_allclose(mine[name], value, **EXACT)
        assert set(found.filter(pl.col("group") == group)["n"]) == {int(there.sum())}
    assert "spearman" not in values_of(found, "line=rare")  # of about 20 rows


def draw_rows(clusters: Any, n_resamples: int, seed: int) -> list[Any]:
    """Rows of each resample, with repeats: what a bootstrap by hand does."""
    codes = np.unique(clusters, return_inverse=True)[1]
    weights = np.concatenate(list(draw_resamples(int(codes.max()) + 1, n_resamples, seed))).astype(int)
    return [np.repeat(np.arange(codes.size), one[codes]) for one in weights]


def test_intervals_of_numbers_are_those_of_repeated_rows() -> None:
    random = np.random.default_rng(4)
    clusters = random.integers(0, 10, 150) * 3
    y = random.integers(0, 12, 150) + (clusters == 3)
    y_pred = random.integers(0, 6, 150) + y
    found = compute_metrics(collect_tally(y, y_pred, clusters, kind="regression"), n_bootstrap=60, seed=5)
    drawn = [judge_numbers(y[rows], y_pred[rows]) for rows in draw_rows(clusters, 60, 5)]
    for row in found.filter(pl.col("metric").is_in(list(drawn[0]))).iter_rows(named=True):
        low, high = np.quantile([one[row["metric"]] for one in drawn], [0.025, 0.975])
        np.testing.assert_allclose([row["low"], row["high"]], [low, high], rtol=1e-10, err_msg=row["metric"])


@pytest.mark.parametrize("n_classes", [2, 4])
def test_intervals_of_classes_are_those_of_repeated_rows(n_classes: int) -> None:
    clusters = np.arange(300) % 12
    tally, y, y_pred, p = tally_classes(n_classes, 9, rows=300, digits=1, clusters=clusters)
    found = compute_metrics(tally, n_bootstrap=40, seed=6)
    drawn = [judge_codes(y[rows], y_pred[rows]) | judge_probabilities(y[rows], p[rows])
             for rows in draw_rows(clusters, 40, 6)]  # fmt: skip
    for row in found.filter(pl.col("metric") != "ece").iter_rows(named=True):
        low, high = np.quantile([one[row["metric"]] for one in drawn], [0.025, 0.975])
        np.testing.assert_allclose([row["low"], row["high"]], [low, high], rtol=1e-10, err_msg=row["metric"])


def test_bins_of_scores_hardly_move_the_intervals_of_ranks() -> None:
    clusters = np.arange(2000) % 40
    tally, y, _, p = tally_classes(2, 11, rows=2000, clusters=clusters)
    found = compute_metrics(tally, n_bootstrap=200, seed=1, only=["roc_auc", "average_precision"])
    drawn = [judge_probabilities(y[rows], p[rows]) for rows in draw_rows(clusters, 200, 1)]
    for row in found.iter_rows(named=True):
        low, high = np.quantile([one[row["metric"]] for one in drawn], [0.025, 0.975])
        assert abs(row["low"] - low) + abs(row["high"] - high) < 0.05 * (high - low)


def test_classes_that_are_parted_are_parted_in_every_resample() -> None:
    q = np.linspace(0, 1, 1000)
    y = (q > 0.8).astype(int)
    tally = collect_tally(
        *(y, y, np.arange(1000) % 10),
        kind="classification",
        n_classes=2,
        probabilities=np.column_stack([1 - q, q]),
    )
    found = compute_metrics(tally, only=["roc_auc", "average_precision"])
    assert found.select("value", "low", "high").rows() == [(1.0, 1.0, 1.0)] * 2


def test_the_ceiling_is_the_share_between_strata() -> None:
    y = np.array([1.0, 3.0, 5.0, 7.0, 9.0, 11.0])
    strata = np.array([0, 0, 1, 1, 2, 2])
    y_pred = np.array([2.0, 2.0, 6.0, 6.0, 10.0, 10.0])  # the mean of each stratum: nobody can do better
    tally = collect_tally(y, y_pred, np.arange(6), kind="regression", strata=strata)
    found = values_of(compute_metrics(tally, n_bootstrap=0))
    # SST 70, SSW 6; n - k = 3, n - 1 = 5.
    assert found["eta_squared"] == pytest.approx(64 / 70)
    assert found["r2"] == pytest.approx(64 / 70)
    assert found["eta_squared_adjusted"] == pytest.approx(1 - (6 / 3) / (70 / 5))
    assert found["explained_of_ceiling"] == pytest.approx((64 / 70) / (1 - 2 / 14))


def test_the_corrected_ceiling_of_noise_is_about_nothing_and_so_is_its_interval() -> None:
    random = np.random.default_rng(0)
    wells = np.repeat(np.arange(60), 30)
    strata = wells * 3 + np.arange(1800) % 3
    y = random.normal(size=1800)
    found = compute_metrics(collect_tally(y, y * 0, wells, kind="regression", strata=strata), n_bootstrap=400)
    plain, adjusted = (found.row(by_predicate=pl.col("metric") == name, named=True)
                       for name in ("eta_squared", "eta_squared_adjusted"))  # fmt: skip
    assert plain["value"] > 0.08  # 179 / 1799 by luck alone
    assert adjusted["low"] < 0 < adjusted["high"]
    assert adjusted["high"] < 0.06


def test_the_mean_of_a_cluster_is_one_vote() -> None:
    y = np.array([0.0, 2.0, 4.0, 10.0])
    y_pred = np.array([1.0, 1.0, 3.0, 10.0])
    tally = collect_tally(y, y_pred, np.array([0, 0, 1, 2]), kind="regression")
    # Means 1, 4, 10 and 1, 3, 10: 1 - 1 / 42.
    assert values_of(compute_metrics(tally))["r2_clusters"] == pytest.approx(1 - 1 / 42)


def test_what_is_not_defined_is_null() -> None:
    y = np.array([0.1, 0.1, 0.1])
    found = values_of(compute_metrics(collect_tally(y, y + 1, np.array([0, 0, 1]), kind="regression")))
    assert {name for name, value in found.items() if value is None} == {"r2", "pearson", "spearman", "r2_clusters"}
    p = np.full((3, 2), 0.5)
    zeros = np.zeros(3, np.int64)
    tally = collect_tally(zeros, zeros, np.arange(3), kind="classification", n_classes=2, probabilities=p)
    found = values_of(compute_metrics(tally))
    assert {name for name, value in found.items() if value is None} == {"roc_auc", "average_precision"}


def test_one_cluster_has_no_interval_and_no_rows_have_no_metrics() -> None:
    y = np.arange(5.0)
    one = compute_metrics(collect_tally(y, y + 1, np.zeros(5, np.int64), kind="regression"))
    assert one["low"].null_count() == one["high"].null_count() == one.height
    assert values_of(one)["mse"] == 1.0
    empty = np.empty(0)
    assert compute_metrics(collect_tally(empty, empty, empty.astype(int), kind="regression")).is_empty()


def test_constant_predictions_have_no_correlation_at_any_scale() -> None:
    y = np.random.default_rng(0).normal(size=1000)
    tally = collect_tally(y, np.full(1000, 0.1), np.arange(1000) % 7, kind="regression")
    assert values_of(compute_metrics(tally))["pearson"] is None


def test_columns_are_those_of_the_table_and_only_what_is_wanted_is_told() -> None:
    y = np.arange(6.0)
    found = compute_metrics(collect_tally(y, y + 1, np.arange(6), kind="regression"), only=["mae", "r2"])
    columns = {column.name: column for column in METRICS.columns}
    assert [columns[name].dtype for name in found.columns] == [str(dtype) for dtype in found.dtypes]
    assert found["metric"].to_list() == ["mae", "r2"]
    with pytest.raises(ConfigError, match="did you mean 'rmse'"):
        compute_metrics(collect_tally(y, y, np.arange(6), kind="regression"), only=["rmsee"])


def test_no_share_is_given_of_a_ceiling_that_may_be_nothing() -> None:
    random = np.random.default_rng(4)
    wells = np.repeat(np.arange(30), 10)
    noise, strata = random.normal(size=300), np.repeat(np.arange(10), 30)
    nothing, something = (
        collect_tally(y, 0.9 * y, wells, kind="regression", strata=strata) for y in (noise, noise + 2.0 * strata)
    )
    found = values_of(compute_metrics(nothing, n_bootstrap=200))
    assert found["explained_of_ceiling"] is None
    assert found["eta_squared_adjusted"] is not None
    assert compute_metrics(nothing, n_bootstrap=200, only=["explained_of_ceiling"])["value"].to_list() == [None]
    assert values_of(compute_metrics(something, n_bootstrap=200))["explained_of_ceiling"] > 0.9


def test_groups_have_intervals_but_of_ranks_and_where_nobody_asks() -> None:
    random = np.random.default_rng(4)
    y, wells, line = random.normal(size=240), np.repeat(np.arange(24), 10), np.tile(["a", "b"], 120)
    tally = collect_tally(y, y + random.normal(size=240), wells, kind="regression", groups={"line": line})
    found = compute_metrics(tally, n_bootstrap=50)
    bare = compute_metrics(tally, n_bootstrap=50, bound_groups=False)
    whole, groups = pl.col("group").is_null(), pl.col("group").is_not_null()
    assert found.filter(groups, pl.col("low").is_null())["metric"].to_list() == ["spearman", "spearman"]
    assert found.filter(whole)["low"].null_count() == 0
    assert bare.filter(whole).equals(found.filter(whole))
    assert bare.filter(groups)["low"].null_count() == bare.filter(groups).height
    assert bare["value"].equals(found["value"])
