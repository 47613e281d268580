"""Importances: scikit-learn's permutations are the oracle in the mean, its attributes to the bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy.sparse import csr_array
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LinearRegression, LogisticRegression

from made_rows import make_rows
from tahoe_engine.config import WorkersSettings
from tahoe_engine.models import importance
from tahoe_engine.models.catalogue import find_entry, make_estimator
from tahoe_engine.models.importance import measure_importance, shuffle_columns
from tahoe_engine.models.task import Model, Task
from tahoe_engine.schema.models import IMPORTANCES
from tahoe_engine.workers import open_computing

HERE = WorkersSettings(count=0)
MODEL = Model(name="m", estimator="ridge")


def make_task(**parts: Any) -> Task:
    return Task.model_validate(
        {"features": "made", "targets": "y", "models": [{"name": "m", "estimator": "ridge"}], **parts}
    )


def measure(material: Any, estimator: Any, task: Task, settings: WorkersSettings = HERE) -> pl.DataFrame:
    with open_computing(settings, 2) as computing:
        return measure_importance(material, estimator, task, MODEL, computing)


@pytest.fixture(scope="module")
def numbers() -> Any:
    generator = np.random.default_rng(6)
    x = generator.normal(size=(600, 4))
    return make_rows(x, x @ [3.0, 0.0, 1.0, 0.0], test=np.arange(600) >= 300)


def test_what_the_metric_loses_is_what_scikit_learn_finds(numbers: Any) -> None:
    train, test = numbers.gather(), numbers.gather(("test",))
    fitted = LinearRegression().fit(train.x.toarray(), train.y)
    table = measure(numbers, fitted, make_task(primary="mse", importance={"repeats": 40}))
    oracle = permutation_importance(
        fitted, test.x.toarray(), test.y, scoring="neg_mean_squared_error", n_repeats=40, random_state=0
    )
    shuffled = table.filter(pl.col("kind") == "permutation")
    assert shuffled["feature"].to_list() == ["x0", "x1", "x2", "x3"]
    np.testing.assert_allclose(shuffled["value"], oracle.importances_mean, rtol=0.05, atol=1e-9)
    np.testing.assert_allclose(shuffled["sd"][0], oracle.importances_std[0], rtol=0.5)
    assert shuffled["rank"].to_list()[0] == 1
    assert shuffled["rank"].to_list()[2] == 2
    # Expected of mean squared error when w x is exchanged: 2 w² var(x).
    assert shuffled["value"][0] == pytest.approx(18 * test.x.toarray()[:, 0].var(), rel=0.05)
    coefficients = table.filter(pl.col("kind") == "coefficient")
    assert coefficients["value"].to_list() == fitted.coef_.tolist()
    assert tuple(table.columns) == IMPORTANCES.names[1:]


def test_levels_of_one_column_move_together() -> None:
    levels = np.arange(300) % 3
    y = np.array([0.0, 5.0, 10.0])[levels]
    x = np.column_stack([np.eye(3)[levels], np.arange(300) % 7])
    material = make_rows(x, y, test=np.arange(300) % 2 == 0, sources=("line", "line", "line", "other"))
    fitted = LinearRegression().fit(x, y)
    task = make_task(primary="rmse", importance={"repeats": 3})
    table = measure(material, fitted, task).filter(pl.col("kind") == "permutation")
    assert table["feature"].to_list() == ["line", "other"]
    assert table["value"][0] > 3.0
    assert table["value"][1] == pytest.approx(0.0, abs=1e-9)
    # Rows keep exactly one level, whichever moves in.
    moved = shuffle_columns(csr_array(x), np.arange(3), np.random.default_rng(0).permutation(300)).toarray()
    assert moved[:, :3].sum(axis=1).tolist() == [1.0] * 300
    assert moved[:, 3].tolist() == x[:, 3].tolist()


def test_columns_without_any_weight_share_a_rank() -> None:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(200, 5))
    y = (x[:, 2] > 0).astype(np.int64)
    material = make_rows(x, y, test=np.arange(200) >= 150, classes=("a", "b"))
    entry = find_entry("logistic", "classification")
    fitted = make_estimator(entry, "classification", {"penalty": "l1", "C": 0.05}, seed=0, n_features=5)
    fitted.fit(x[:150], y[:150])
    table = measure(material, fitted, make_task())
    for kind in ("permutation", "coefficient"):
        ranks = dict(table.filter(pl.col("kind") == kind).select("feature", "rank").iter_rows())
        assert ranks == {"x0": 2, "x1": 2, "x2": 1, "x3": 2, "x4": 2}
    assert table.filter(pl.col("kind") == "coefficient")["class"].null_count() == 5


def test_coefficients_of_several_classes_are_named_and_forests_tell_impurities() -> None:
    generator = np.random.default_rng(3)
    x = generator.normal(size=(240, 3))
    y = np.digitize(x[:, 0], [-0.5, 0.5])
    material = make_rows(x, y, test=np.arange(240) >= 200, classes=("low", "mid", "top"))
    logistic = LogisticRegression().fit(x[:200], y[:200])
    told = measure(material, logistic, make_task(importance={"rows": 0}))
    assert told["class"].to_list() == [name for name in ("low", "mid", "top") for _ in range(3)]
    assert told["value"].to_list() == logistic.coef_.ravel().tolist()
    assert told.filter(pl.col("feature") == "x0")["rank"].to_list()[0] == 1
    forest = make_estimator(find_entry("random_forest", "classification"), "classification", {}, seed=0, n_features=3)
    forest.fit(x[:200], y[:200])
    impurity = measure(material, forest, make_task(importance={"rows": 0}))
    assert impurity["kind"].unique().to_list() == ["impurity"]
    assert impurity["value"].to_list() == forest[-1].feature_importances_.tolist()
    kernel = make_estimator(
        find_entry("kernel_svm", "classification"), "classification", {"n_components": 3}, seed=0, n_features=3
    ).fit(x[:200], y[:200])
    assert measure(material, kernel, make_task(importance={"rows": 0})).is_empty()


def test_workers_change_no_bit_and_a_part_of_many_columns_is_shuffled(
    numbers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importance, "AT_ONCE", 1)
    fitted = LinearRegression().fit(numbers.gather().x.toarray(), numbers.gather().y)
    task = make_task(importance={"rows": 100, "repeats": 2})
    here = measure(numbers, fitted, task)
    assert measure(numbers, fitted, task, WorkersSettings(count=2)).equals(here)
    monkeypatch.setattr(importance, "MOST_COLUMNS", 2)
    few = measure(numbers, fitted, task).filter(pl.col("kind") == "permutation")
    assert few["feature"].to_list() == ["x0", "x2"]
    once = measure(numbers, fitted, make_task(importance={"rows": 100, "repeats": 1}))
    assert once["sd"].null_count() == once.height


def test_nothing_is_shuffled_where_nothing_is_held_out(numbers: Any) -> None:
    block = numbers.gather()
    material = make_rows(block.x.toarray(), block.y)
    fitted = LinearRegression().fit(block.x.toarray(), block.y)
    assert measure(material, fitted, make_task())["kind"].unique().to_list() == ["coefficient"]
