"""The search: scikit-learn's own GridSearchCV is the oracle; ties, batches, and metrics."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from sklearn import metrics
from sklearn.ensemble import RandomForestRegressor
from sklearn.model_selection import GridSearchCV, ParameterGrid, PredefinedSplit

from made_rows import Memory, make_rows
from tahoe_engine.config import WorkersSettings
from tahoe_engine.daskml import search_grid as search_on_dask
from tahoe_engine.errors import ConfigError
from tahoe_engine.models import search
from tahoe_engine.models.catalogue import find_entry
from tahoe_engine.models.foldrows import choose_sample, load_sample, spread_clusters
from tahoe_engine.models.scores import choose_metric, score_predictions
from tahoe_engine.models.search import list_candidates, search_grid, search_nested
from tahoe_engine.models.task import Model, Task
from tahoe_engine.workers import open_computing

HERE = WorkersSettings(count=0)
GRID: dict[str, tuple[Any, ...]] = {"n_estimators": (3, 5), "max_depth": (1, 3, 2), "min_samples_leaf": (1, 4)}


def make_task(**parts: Any) -> Task:
    return Task.model_validate(
        {"features": "made", "targets": "y", "models": [{"name": "m", "estimator": "random_forest"}], **parts}
    )


@pytest.fixture(scope="module")
def material() -> Any:
    generator = np.random.default_rng(2)
    x = generator.normal(size=(160, 5)).round(2)
    return make_rows(x, x[:, 0] + x[:, 1] ** 2, clusters=np.arange(160) // 8)


def run(material: Any, model: Model, task: Task, settings: WorkersSettings = HERE, **options: Any) -> Any:
    entry = find_entry(model.estimator, material.kind)
    kept: Any = options.pop("kept", None) or Memory()
    how = options.pop("how", search_grid)
    with open_computing(settings, 2) as computing:
        sample = choose_sample(material, model, entry, task)
        folds = sample.assign(load_sample(sample))
        return how(sample, folds, model, entry, task, computing, kept), folds


@pytest.mark.parametrize(
    "settings", [HERE, pytest.param(WorkersSettings(count=2), marks=pytest.mark.slow)], ids=["here", "cluster"]
)
def test_the_search_finds_what_scikit_learn_finds(
    material: Any, settings: WorkersSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "BATCH", 5)
    model = Model(name="m", estimator="random_forest", search=GRID)
    (table, chosen), folds = run(material, model, make_task(seed=4, folds={"number": 4}), settings)
    block = material.gather()
    oracle = GridSearchCV(
        RandomForestRegressor(random_state=4),
        {name: list(values) for name, values in GRID.items()},
        scoring="neg_root_mean_squared_error",
        cv=PredefinedSplit(folds),
        return_train_score=True,
    ).fit(block.x.toarray(), block.y)
    assert [json.loads(text) for text in table["parameters"]] == oracle.cv_results_["params"]
    np.testing.assert_allclose(table["mean"], -oracle.cv_results_["mean_test_score"], rtol=1e-12)
    np.testing.assert_allclose(table["train_mean"], -oracle.cv_results_["mean_train_score"], rtol=1e-12)
    splits = np.array([oracle.cv_results_[f"split{at}_test_score"] for at in range(4)])
    np.testing.assert_allclose(table["sd"], splits.std(axis=0, ddof=1), rtol=1e-10)
    assert table["rank"].to_list() == oracle.cv_results_["rank_test_score"].tolist()
    assert (chosen, table["folds"].unique().to_list()) == (oracle.best_params_, [4])
    assert json.loads(table.filter(table["chosen"])["parameters"].item()) == oracle.best_params_


def test_a_search_that_was_broken_off_goes_on_and_ends_alike(material: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "BATCH", 2)
    model = Model(name="m", estimator="random_forest", search={"max_depth": (1, 2, 3, 4, 5)})
    task, kept = make_task(folds={"number": 3}), Memory()
    whole, _ = run(material, model, task)
    calls: list[int] = []
    tried = search_on_dask

    def stop(trial: Any, grid: Any, *rest: Any) -> Any:
        calls.append(len(grid["parameters"]))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return tried(trial, grid, *rest)

    monkeypatch.setattr("tahoe_engine.models.search.try_candidates", stop)
    with pytest.raises(KeyboardInterrupt):
        run(material, model, task, kept=kept)
    again, _ = run(material, model, task, kept=kept)
    assert calls == [2, 2, 2, 1]
    assert again[0].equals(whole[0])
    assert again[1] == whole[1]


def test_a_fold_that_is_held_out_is_not_looked_at(material: Any) -> None:
    model = Model(name="m", estimator="random_forest", search={"max_depth": (1, 3)})
    task = make_task(folds={"number": 4})
    found, folds = run(material, model, task, how=search_nested)
    (table, _) = found[2]
    spoilt = make_rows(
        material.gather().x.toarray(),
        np.where(folds == 2, 1e6, material.gather().y),
        clusters=material.gather().clusters,
    )
    load_sample.cache_clear()  # made rows all have one key
    spoiled, _ = run(spoilt, model, task, how=search_nested)
    assert table["folds"].to_list() == [3, 3]
    assert spoiled[2][0].equals(table)
    assert not spoiled[1][0].equals(found[1][0])
    load_sample.cache_clear()
    # Each fold for itself, by scikit-learn.
    block = material.gather()
    for fold, (one, chosen) in enumerate(found):
        rows = np.flatnonzero(folds != fold)
        oracle = GridSearchCV(
            RandomForestRegressor(random_state=task.seed),
            {"max_depth": [1, 3]},
            scoring="neg_root_mean_squared_error",
            cv=PredefinedSplit(folds[rows]),
            return_train_score=True,
        ).fit(block.x.toarray()[rows], block.y[rows])
        np.testing.assert_allclose(one["mean"], -oracle.cv_results_["mean_test_score"], rtol=1e-12)
        np.testing.assert_allclose(one["train_mean"], -oracle.cv_results_["mean_train_score"], rtol=1e-12)
        assert chosen == oracle.best_params_


def test_the_first_of_the_best_is_chosen_and_ties_are_told() -> None:
    x = np.repeat([[0.0], [1.0]], 30, axis=0)
    material = make_rows(x, np.repeat([0, 1], 30), clusters=np.arange(60) % 6, classes=("a", "b"))
    model = Model(name="m", estimator="random_forest", search={"n_estimators": (9, 3), "max_depth": ("none", 2)})
    (table, chosen), _ = run(material, model, make_task(folds={"number": 3}))
    assert table["tied"].to_list() == [True] * 4
    assert table["rank"].to_list() == [1] * 4
    assert chosen == {"max_depth": None, "n_estimators": 9}
    assert table["parameters"][0] == '{"max_depth": null, "n_estimators": 9}'
    assert table["metric"].unique().to_list() == ["balanced_accuracy"]


def test_candidates_come_in_the_order_of_scikit_learn() -> None:
    model = Model(name="m", estimator="random_forest", search=GRID)
    assert list_candidates(model) == list(ParameterGrid({name: list(values) for name, values in GRID.items()}))


@pytest.mark.parametrize("n_classes", [2, 3])
def test_scores_are_those_of_scikit_learn(n_classes: int) -> None:
    generator = np.random.default_rng(n_classes)
    y, y_pred = generator.integers(0, n_classes, (2, 90))
    p = generator.dirichlet(np.ones(n_classes), 90)
    more: dict[str, Any] = {} if n_classes == 2 else {"multi_class": "ovr"}
    own = p[:, 1] if n_classes == 2 else p
    one_hot = np.eye(n_classes)[y]
    expected = {
        "accuracy": metrics.accuracy_score(y, y_pred),
        "balanced_accuracy": metrics.balanced_accuracy_score(y, y_pred),
        "f1_macro": metrics.f1_score(y, y_pred, average="macro"),
        "mcc": metrics.matthews_corrcoef(y, y_pred),
        "roc_auc": metrics.roc_auc_score(y, own, **more),
        "average_precision": metrics.average_precision_score(one_hot if n_classes > 2 else y, own),
        "log_loss": metrics.log_loss(y, p),
        "brier": metrics.brier_score_loss(y, own, **({"scale_by_half": False} if n_classes > 2 else {})),
    }
    for name, value in expected.items():
        assert score_predictions(name, y, y_pred, p, n_classes) == pytest.approx(value, abs=1e-12), name
    numbers, found = generator.normal(size=(2, 50))
    for name, function in {
        "rmse": metrics.root_mean_squared_error,
        "mse": metrics.mean_squared_error,
        "mae": metrics.mean_absolute_error,
        "r2": metrics.r2_score,
        "pearson": lambda a, b: np.corrcoef(a, b)[0, 1],
    }.items():
        assert score_predictions(name, numbers, found, None, 0) == pytest.approx(function(numbers, found), abs=1e-12)


def test_a_metric_that_nothing_is_compared_by_is_refused() -> None:
    with pytest.raises(ConfigError, match="did you mean 'rmse'"):
        choose_metric("rmze", "regression")
    with pytest.raises(ConfigError, match="not for regression"):
        choose_metric("mcc", "regression")
    assert np.isnan(score_predictions("roc_auc", np.zeros(4, int), np.zeros(4, int), None, 2))
    assert np.isnan(score_predictions("rmse", np.zeros(0), np.zeros(0), None, 0))
    # A class beyond those that were trained on is never right: recalls 1 and 0.
    assert score_predictions("balanced_accuracy", np.array([0, 0, 2]), np.array([0, 0, 1]), None, 2) == 0.5


def test_groups_stay_together_and_folds_are_even() -> None:
    clusters = np.repeat(np.arange(9), [9, 1, 4, 4, 3, 3, 2, 2, 2])
    folds = spread_clusters(clusters, 3)
    # Largest first, each to the emptiest: 9 + 2, 4 + 3 + 2 + 1, 4 + 3 + 2.
    assert np.bincount(folds).tolist() == [11, 10, 9]
    assert all(len(set(folds[clusters == name].tolist())) == 1 for name in range(9))
    with pytest.raises(ConfigError, match=r"2 groups and 3 folds; give the task folds.number = 2"):
        spread_clusters(np.array([0, 0, 1]), 3)
    with pytest.raises(ConfigError, match=r"folds.number = 0"):
        spread_clusters(np.array([5, 5]), 3)
