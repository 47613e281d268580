"""Models beside baselines: the best of these is shown, and who is no better is not said to be."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import stats

from tahoe_engine.errors import ConfigError
from tahoe_engine.evaluate import baselines
from tahoe_engine.evaluate.pairs import adjust_holm, compute_p_value, count_needed
from tahoe_engine.evaluate.tally import Tally, collect_tally
from tahoe_engine.schema.models import TESTS


def tally_numbers(y: Any, y_pred: Any, clusters: Any) -> Tally:
    return collect_tally(y, y_pred, clusters, kind="regression")


def tally_codes(y: Any, y_pred: Any, clusters: Any, p: Any = None) -> Tally:
    return collect_tally(y, y_pred, clusters, kind="classification", n_classes=2, probabilities=p)


def test_the_baseline_of_a_metric_is_the_best_of_its_split_and_group() -> None:
    rows = [
        ("mean", "test", None, "rmse", 1.0),
        ("by drug", "test", None, "rmse", 0.8),
        ("mean", "test", None, "r2", 0.0),
        ("by drug", "test", None, "r2", 0.3),
        ("mean", "test", "line=a", "rmse", 2.0),
        ("mean", "test", None, "eta_squared", 0.5),
        ("by drug", "test", None, "spearman", None),
        ("ridge", "test", None, "rmse", 0.7),
        ("ridge", "test", None, "r2", 0.4),
        ("ridge", "test", "line=a", "rmse", 1.5),
        ("ridge", "train", None, "rmse", 0.1),
        ("ridge", "test", None, "eta_squared", 0.5),
        ("ridge", "test", None, "spearman", 0.6),
    ]
    metrics = pl.DataFrame(rows, schema=["model", "split", "group", "metric", "value"], orient="row")
    found = baselines.add_baselines(metrics, ["mean", "by drug"])
    assert found.drop("baseline").equals(metrics)
    expected = [0.8, 0.8, 0.3, 0.3, 2.0, None, None, 0.8, 0.3, 2.0, None, None, None]
    assert found["baseline"].to_list() == expected
    assert baselines.add_baselines(found, ["mean"])["baseline"].to_list()[:2] == [1.0, 1.0]
    assert baselines.add_baselines(metrics, [])["baseline"].null_count() == len(rows)


def test_modes_have_baselines_of_their_own() -> None:
    rows = [(model, mode, value) for mode, value in (("honest", 1.0), ("bug-compat", 0.5)) for model in ("mean", "x")]
    metrics = pl.DataFrame(rows, schema=["model", "mode", "value"], orient="row").with_columns(
        split=pl.lit("test"), group=pl.lit(None, pl.String), metric=pl.lit("rmse")
    )
    assert baselines.add_baselines(metrics, ["mean"])["baseline"].to_list() == [1.0, 1.0, 0.5, 0.5]


def test_a_good_model_beats_the_best_baseline_and_a_bad_one_does_not() -> None:
    random = np.random.default_rng(0)
    wells = np.repeat(np.arange(16), 25)
    y = random.normal(size=16)[wells] + random.normal(size=400)
    tallies = {
        "zero": tally_numbers(y, y * 0, wells),
        "five": tally_numbers(y, y * 0 + 5, wells),
        "good": tally_numbers(y, 0.7 * y, wells),
        "noise": tally_numbers(y, random.normal(size=400), wells),
    }
    found = baselines.test_models(tallies, ["five", "zero"], metric="r2", n_bootstrap=300)
    columns = {column.name: column.dtype for column in TESTS.columns if column.name != "split"}
    assert dict(zip(found.columns, map(str, found.dtypes), strict=True)) == columns
    assert found["model"].to_list() == ["good", "noise"]
    assert found["baseline"].to_list() == ["zero", "zero"]
    assert found["beats_baseline"].to_list() == [True, False]
    good, noise = found.iter_rows(named=True)
    variance = float(((y - y.mean()) ** 2).sum())
    assert good["difference"] == pytest.approx(0.91 * float((y**2).sum()) / variance)
    assert good["low"] < good["difference"] < good["high"]
    assert noise["difference"] < 0
    assert noise["p_value"] > 0.5
    assert set(found["n_groups"]) == {16}


def test_losses_are_better_when_smaller() -> None:
    y, wells = np.arange(40.0) % 7, np.arange(40) % 10
    tallies = {"mean": tally_numbers(y, y * 0 + 3, wells), "good": tally_numbers(y, y + 0.5, wells)}
    row = baselines.test_models(tallies, ["mean"], metric="mae", n_bootstrap=100).row(0, named=True)
    assert row["difference"] == pytest.approx(float(np.abs(y - 3).mean()) - 0.5)
    assert row["beats_baseline"]


@pytest.mark.parametrize(
    ("metric", "tested"),
    [
        ("f1_macro", "balanced_accuracy"),
        ("ece", "brier"),
        ("mcc", "balanced_accuracy"),
        ("average_precision", "roc_auc"),
    ],
)
def test_metrics_by_which_a_guess_beats_the_majority_are_tested_by_another(metric: str, tested: str) -> None:
    y = np.arange(60) % 2
    p = np.column_stack([1 - y, y]).astype(float)
    tallies = {"good": tally_codes(y, y, y * 0 + np.arange(60) % 12, p), "majority": tally_codes(
        y, y * 0, np.arange(60) % 12, p * 0 + 0.5)}  # fmt: skip
    assert baselines.test_models(tallies, ["majority"], metric=metric)["metric"].to_list() == [tested]


def test_correlations_are_tested_by_squared_errors() -> None:
    y, wells = np.arange(40.0) % 7, np.arange(40) % 10
    tallies = {"mean": tally_numbers(y, y * 0 + 3, wells), "good": tally_numbers(y, y + 0.5, wells)}
    row = baselines.test_models(tallies, ["mean"], metric="spearman").row(0, named=True)
    assert (row["metric"], row["beats_baseline"]) == ("mse", True)
    assert row["difference"] == pytest.approx(float(((y - 3) ** 2).mean()) - 0.25)


def test_the_same_predictions_are_no_better() -> None:
    y, wells = np.arange(40.0) % 7, np.arange(40) % 10
    tallies = {"mean": tally_numbers(y, y * 0 + 3, wells), "same": tally_numbers(y, y * 0 + 3, wells)}
    row = baselines.test_models(tallies, ["mean"]).row(0, named=True)
    assert (row["difference"], row["p_value"], row["beats_baseline"]) == (0.0, 1.0, False)


def test_with_one_cluster_nothing_is_said() -> None:
    y, one = np.arange(40.0), np.zeros(40, np.int64)
    tallies = {"mean": tally_numbers(y, y * 0, one), "good": tally_numbers(y, y, one)}
    row = baselines.test_models(tallies, ["mean"]).row(0, named=True)
    assert (row["p_value"], row["p_holm"], row["low"], row["beats_baseline"]) == (None, None, None, False)


def test_four_clusters_are_too_few_to_beat_anything() -> None:
    y, four = np.arange(40.0), np.arange(40) % 4
    tallies = {"mean": tally_numbers(y, y * 0, four), "good": tally_numbers(y, y, four)}
    row = baselines.test_models(tallies, ["mean"]).row(0, named=True)
    assert row["p_value"] == pytest.approx(1 / 16)
    assert row["p_least"] == pytest.approx(1 / 16)
    assert not row["beats_baseline"]
    assert baselines.tell_better(row) == "cannot be told"


def test_what_a_model_without_a_mistake_could_show_is_told_after_holm() -> None:
    random = np.random.default_rng(3)
    y, wells = random.normal(size=70), np.repeat(np.arange(7), 10)
    tallies = {"mean": tally_numbers(y, y * 0, wells)} | {
        f"noise{at}": tally_numbers(y, random.normal(size=70), wells) for at in range(3)
    }
    found = baselines.test_models(tallies, ["mean"])
    assert found["p_least"].to_list() == pytest.approx([3 / 2**7] * 3)
    assert [baselines.tell_better(row) for row in found.iter_rows(named=True)] == ["no"] * 3
    assert count_needed(3) == 6


def test_the_best_that_can_be_said_of_classes_and_ranks_is_of_who_is_always_right() -> None:
    """With six of sixty, the perfect model itself is as good as what is imagined."""
    y, rows = (np.arange(60) < 6).astype(int), np.arange(60)
    p = np.column_stack([1 - y, y]).astype(float)
    tallies = {"majority": tally_codes(y, y * 0, rows, p * 0 + [0.9, 0.1]), "perfect": tally_codes(y, y, rows, p)}
    for metric in ("balanced_accuracy", "roc_auc", "log_loss", "accuracy"):
        row = baselines.test_models(tallies, ["majority"], metric=metric).row(0, named=True)
        assert row["p_value"] == pytest.approx(row["p_least"])
        assert row["beats_baseline"]


def test_of_one_row_of_a_class_nothing_can_be_told() -> None:
    y, rows = (np.arange(60) < 1).astype(int), np.arange(60)
    tallies = {"majority": tally_codes(y, y * 0, rows), "perfect": tally_codes(y, y, rows)}
    row = baselines.test_models(tallies, ["majority"]).row(0, named=True)
    assert row["difference"] == 0.5
    assert baselines.tell_better(row) == "cannot be told"


@pytest.mark.parametrize("metric", ["balanced_accuracy", "roc_auc"])
@pytest.mark.parametrize(("n_rare", "share"), [(2, 0.85), (4, 0.7), (4, 0.85), (10, 0.85)])
def test_the_level_is_kept_with_few_rows_of_a_class_whatever_share_is_guessed(
    metric: str, n_rare: int, share: float
) -> None:
    """All of four are hit by a guess that says so seven times in ten in a fourth of all draws."""
    y, rows = (np.arange(60) < n_rare).astype(int), np.arange(60)
    constant = np.full((60, 2), 0.5)
    false = 0
    for seed in range(40):
        guess = (np.random.default_rng(seed).random(60) < share).astype(int)
        p = np.column_stack([0.8 - 0.6 * guess, 0.2 + 0.6 * guess])
        tallies = {"majority": tally_codes(y, y * 0, rows, constant), "guess": tally_codes(y, guess, rows, p)}
        false += baselines.test_models(tallies, ["majority"], metric=metric, n_bootstrap=0)["p_value"][0] <= 0.05
    assert false <= 4  # 2 expected, standard deviation 1.4


def test_many_rows_of_each_class_leave_a_real_gain_to_be_seen() -> None:
    random = np.random.default_rng(8)
    y = random.integers(0, 2, 200)
    good = np.where(random.random(200) < 0.65, y, 1 - y)
    tallies = {"majority": tally_codes(y, y * 0, np.arange(200)), "good": tally_codes(y, good, np.arange(200))}
    assert baselines.test_models(tallies, ["majority"])["beats_baseline"].to_list() == [True]


def test_other_rows_and_missing_baselines_are_refused() -> None:
    y, wells = np.arange(40.0), np.arange(40) % 10
    tallies = {"mean": tally_numbers(y, y, wells), "other": tally_numbers(y[1:], y[1:], wells[1:])}
    with pytest.raises(ConfigError, match="'other' is of other rows"):
        baselines.test_models(tallies, ["mean"])
    with pytest.raises(ConfigError, match="'median' has no tally"):
        baselines.test_models(tallies, ["median"])
    assert baselines.test_models(tallies, []).is_empty()


def test_the_p_value_of_many_equal_clusters_is_that_of_student() -> None:
    gains = np.random.default_rng(2).normal(0.1, 1, 200)
    mean = float(gains.mean())
    without = (gains.sum() - gains) / 199
    found = compute_p_value(mean, without, np.ones(200), seed=1)
    by_student = stats.ttest_1samp(gains, 0, alternative="greater").pvalue
    assert found is not None
    assert by_student <= found + 1e-12
    assert found == pytest.approx(by_student, abs=0.02)


def test_the_p_value_of_few_clusters_counts_all_changes_of_signs() -> None:
    gains = np.array([3.0, -1.0, 2.0, 0.5, 1.5, 0.25])
    without = (gains.sum() - gains) / 5
    found = compute_p_value(float(gains.mean()), without, np.ones(6))
    all_signs = np.array(np.meshgrid(*[[-1, 1]] * 6)).reshape(6, -1)
    share = float((gains @ all_signs >= gains.sum() - 1e-9).mean())
    by_student = float(stats.ttest_1samp(gains, 0, alternative="greater").pvalue)
    assert found == pytest.approx(max(share, by_student), rel=1e-12)


def test_one_cluster_that_holds_most_rows_counts_for_about_one() -> None:
    without = np.linspace(0.99, 1.01, 20)
    equal = compute_p_value(1.0, without, np.ones(20))
    uneven = compute_p_value(1.0, without, np.array([1e4] + [1.0] * 19))
    assert equal is not None
    assert uneven is not None
    assert equal < 0.001
    assert uneven > 0.05


def test_holm_by_hand_and_in_any_order() -> None:
    assert adjust_holm([0.2, 0.01, None, 0.02]) == pytest.approx([0.2, 0.03, None, 0.04])
    assert adjust_holm([0.02, 0.6, 0.9]) == pytest.approx([0.06, 1.0, 1.0])
    assert adjust_holm([]) == []


def make_null(kind: str, n_clusters: int, seed: int) -> tuple[dict[str, Tally], str]:
    """Two models that are equally good (bad) by what they are tested by; clusters of very different sizes."""
    random = np.random.default_rng(seed)
    sizes = np.round(np.exp(random.uniform(np.log(2), np.log(60), n_clusters))).astype(int)
    wells = np.repeat(np.arange(n_clusters), sizes)
    if kind == "numbers":
        y = random.normal(size=n_clusters)[wells] + random.normal(size=wells.size)
        away = random.normal(size=n_clusters)[wells]
        return {"mean": tally_numbers(y, -away, wells), "x": tally_numbers(y, away, wells)}, "rmse"
    y = (random.random(wells.size) < random.beta(0.5, 2, n_clusters)[wells]).astype(int)
    guess = (random.random(wells.size) < random.beta(1, 2, n_clusters)[wells]).astype(int)
    return {"mean": tally_codes(y, y * 0, wells), "x": tally_codes(y, guess, wells)}, "balanced_accuracy"


@pytest.mark.parametrize("kind", ["numbers", "classes"])
@pytest.mark.parametrize("n_clusters", [8, 13])
def test_the_level_is_kept_with_few_clusters_of_unequal_sizes(kind: str, n_clusters: int) -> None:
    p_values = []
    for seed in range(300):
        tallies, metric = make_null(kind, n_clusters, seed)
        p_values.append(baselines.test_models(tallies, ["mean"], metric=metric, n_bootstrap=0)["p_value"][0])
    # 5 % of 300 are 15, with a standard deviation of 3.8.
    assert sum(p is not None and p <= 0.05 for p in p_values) <= 15 + 2 * 3.8


def test_the_level_is_kept_with_many_clusters_and_a_real_gain_is_seen() -> None:
    random = np.random.default_rng(5)
    false, true = 0, 0
    for seed in range(60):
        sizes = random.uniform(1, 100, 120)
        gains = sizes * random.standard_t(4, 120)  # heavy tails, larger in larger clusters
        for shift in (0.0, 0.5):
            moved = gains + shift * sizes
            total = sizes.sum()
            without = (moved.sum() - moved) / (total - sizes)
            p_value = compute_p_value(float(moved.sum() / total), without, sizes, seed=seed)
            assert p_value is not None
            false += shift == 0 and p_value <= 0.05
            true += shift > 0 and p_value <= 0.05
    assert false <= 8  # 3 expected, standard deviation 1.7
    assert true >= 50
