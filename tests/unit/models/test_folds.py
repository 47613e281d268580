"""Cross-validation: who is held out was never seen, whichever way the estimator goes."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, PredefinedSplit, StratifiedKFold

from made_rows import Memory, make_rows
from tahoe_engine.config import WorkersSettings
from tahoe_engine.models import folds as module
from tahoe_engine.models.catalogue import list_entries
from tahoe_engine.models.folds import validate_folds
from tahoe_engine.models.task import Model, Task
from tahoe_engine.workers import open_computing

HERE = WorkersSettings(count=0)


def make_task(**parts: Any) -> Task:
    return Task.model_validate(
        {"features": "made", "targets": "y", "models": [{"name": "m", "estimator": "ridge"}], **parts}
    )


def validate(material: Any, model: Model, task: Task, settings: WorkersSettings = HERE, kept: Any = None) -> Any:
    entry = next(one for one in list_entries() if one.name == model.estimator and material.kind in one.kinds)
    with open_computing(settings, 4) as computing:
        store: Any = Memory() if kept is None else kept
        return validate_folds(material, model, entry, task, computing, store)


@pytest.fixture(scope="module")
def numbers() -> Any:
    generator = np.random.default_rng(8)
    x = generator.normal(size=(120, 4))
    lines = np.arange(120) // 3 % 4
    y = x @ [1.0, 0.0, -2.0, 0.5] + lines + generator.normal(size=120)
    ids = pl.DataFrame({"line": [f"line {at}" for at in lines]})
    return make_rows(x, y, clusters=np.arange(120) // 6, folds=np.arange(120) // 6 % 5, rows=ids)


@pytest.fixture(scope="module")
def labels() -> Any:
    generator = np.random.default_rng(9)
    x = generator.normal(size=(150, 4))
    y = np.digitize(x[:, 0] + 0.3 * generator.normal(size=150), [-0.4, 0.4])
    return make_rows(x, y, clusters=np.arange(150) // 5, folds=np.arange(150) // 5 % 5, classes=("a", "b", "c"))


def test_each_fold_is_predicted_by_a_fit_to_the_others(numbers: Any) -> None:
    held = validate(numbers, Model(name="m", estimator="ridge", parameters={"alpha": 2.0}), make_task())
    block = numbers.gather()
    assert [one.fold for one in held] == [0, 1, 2, 3, 4]
    for one in held:
        inside = block.fold != one.fold
        oracle = Ridge(alpha=2.0, solver="svd").fit(block.x.toarray()[inside], block.y[inside])
        np.testing.assert_allclose(one.y_pred, oracle.predict(block.x.toarray()[~inside]), rtol=1e-9)
        np.testing.assert_allclose(one.y_train_pred, oracle.predict(block.x.toarray()[inside]), rtol=1e-9)
        assert one.y.tolist() == block.y[~inside].tolist()
        assert one.clusters.tolist() == block.clusters[~inside].tolist()
        assert (one.probabilities, one.parameters) == (None, {"alpha": 2.0})


def test_what_is_searched_for_is_searched_for_within_the_other_folds(numbers: Any) -> None:
    alphas = (1000.0, 1.0, 0.01)
    held = validate(numbers, Model(name="m", estimator="ridge", search={"alpha": alphas}), make_task())
    block = numbers.gather()
    x = block.x.toarray()
    for one in held:
        inside = block.fold != one.fold
        oracle = GridSearchCV(
            Ridge(),
            {"alpha": list(alphas)},
            scoring="neg_root_mean_squared_error",
            cv=PredefinedSplit(block.fold[inside]),
        ).fit(x[inside], block.y[inside])
        assert one.parameters == oracle.best_params_
        np.testing.assert_allclose(one.y_pred, oracle.predict(x[~inside]), rtol=1e-8)


@pytest.mark.parametrize("name", sorted({one.name for one in list_entries() if "classification" in one.kinds}))
def test_every_way_can_be_validated(labels: Any, name: str) -> None:
    few: dict[str, dict[str, Any]] = {
        **{key: {"n_estimators": 4} for key in ("random_forest", "extra_trees", "gradient_boosting")},
        "kernel_svm": {"n_components": 20},
        "group_majority": {"by": "row"},
    }
    parameters = few.get(name, {})
    held = validate(labels, Model(name="m", estimator=name, parameters=parameters), make_task())
    right = float(np.mean(np.concatenate([one.y == one.y_pred for one in held])))
    assert right > (0.25 if "majority" in name else 0.6)
    for one in held:
        if one.probabilities is not None:
            np.testing.assert_allclose(one.probabilities.sum(axis=1), 1.0, rtol=1e-6)
            if "majority" not in name:
                assert np.argmax(one.probabilities, axis=1).tolist() == one.y_pred.tolist()


def test_workers_change_no_bit_of_a_fold(labels: Any) -> None:
    task = make_task(seed=3)
    forest = Model(name="m", estimator="random_forest", parameters={"n_estimators": 5})
    entries = {one.name: one for one in list_entries()}
    found: list[list[Any]] = []
    for settings in (HERE, WorkersSettings(count=2)):
        with open_computing(settings, 4) as computing:
            store: Any = Memory()
            models = (forest, Model(name="m", estimator="logistic"))
            held = [validate_folds(labels, one, entries[one.estimator], task, computing, store) for one in models]
        told: list[Any] = held[0] + held[1]
        found.append([(one.probabilities.tobytes(), one.y_train_pred.tobytes()) for one in told])
    assert found[0] == found[1]


def test_baselines_know_groups_and_nothing_else(numbers: Any) -> None:
    held = validate(numbers, Model(name="m", estimator="group_mean", parameters={"by": "line"}), make_task())
    block = numbers.gather()
    lines = block.rows["line"].to_numpy()
    for one in held:
        inside = block.fold != one.fold
        expected = [block.y[inside & (lines == line)].mean() for line in lines[~inside]]
        np.testing.assert_allclose(one.y_pred, expected, rtol=1e-12)
    plain = validate(numbers, Model(name="m", estimator="mean"), make_task())
    np.testing.assert_allclose(plain[0].y_pred, block.y[block.fold != 0].mean(), rtol=1e-12)


def test_a_class_that_a_fold_has_not_seen_costs_no_other_its_place() -> None:
    generator = np.random.default_rng(1)
    clusters = np.arange(90) // 10
    y = np.where(clusters == 4, 1, np.where(clusters % 2 == 0, 0, 2))
    x = np.eye(3)[y] + 0.01 * generator.normal(size=(90, 3))
    material = make_rows(x, y, clusters=clusters, folds=clusters % 3, classes=("a", "b", "c"))
    for name in ("gradient_boosting", "random_forest", "logistic"):
        held = validate(material, Model(name="m", estimator=name), make_task(folds={"number": 3}))
        seen = held[1]  # the only rows of class b are in fold 1
        assert set(seen.y_pred.tolist()) <= {0, 2}
        assert seen.probabilities[:, 1].tolist() == [0.0] * 30
        assert np.mean(held[0].y == held[0].y_pred) > 0.9


def test_rows_of_one_class_are_predicted_as_that_class() -> None:
    material = make_rows(np.zeros((8, 2)), np.repeat([0, 1], 4), folds=np.repeat([0, 1], 4), classes=("a", "b"))
    held = validate(material, Model(name="m", estimator="logistic"), make_task(folds={"number": 2}))
    assert held[0].y_pred.tolist() == [1] * 4
    assert held[0].probabilities.tolist() == [[0.0, 1.0]] * 4


def test_finished_folds_are_kept_and_a_killed_validation_goes_on(labels: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model, task, kept = Model(name="m", estimator="logistic"), make_task(), Memory()
    whole = validate(labels, model, task)
    fit = module.fit_fold

    def stop(unit: Any) -> Any:
        if unit.fold == 2:
            raise MemoryError
        return fit(unit)

    monkeypatch.setattr(module, "fit_fold", stop)
    with pytest.raises(Exception, match="Give the model rows = N"):
        validate(labels, model, task, kept=kept)
    assert len(kept.stored) == 2
    monkeypatch.setattr(module, "fit_fold", fit)
    again = validate(labels, model, task, kept=kept)
    assert kept.n_found == 2
    for one, other in zip(whole, again, strict=True):
        assert one.probabilities.tobytes() == other.probabilities.tobytes()
        assert (one.fold, one.parameters) == (other.fold, other.parameters)


def test_the_way_of_the_references_takes_all_rows_unscaled_and_stratified() -> None:
    generator = np.random.default_rng(4)
    x = generator.normal(size=(100, 2)) * [1.0, 1000.0]
    y = (x[:, 0] > 0).astype(np.int64)
    material = make_rows(x, y, test=generator.random(100) < 0.2, classes=("a", "b"))
    held = validate(material, Model(name="m", estimator="svc"), make_task(folds={"of": "all", "number": 4}))
    splits = list(StratifiedKFold(4).split(x, y))
    assert [one.y.tolist() for one in held] == [y[test].tolist() for _, test in splits]
    from sklearn.svm import SVC

    for one, (train, test) in zip(held, splits, strict=True):
        assert one.y_pred.tolist() == SVC().fit(x[train], y[train]).predict(x[test]).tolist()


def test_there_is_nothing_to_validate_without_folds(labels: Any) -> None:
    assert validate(labels, Model(name="m", estimator="svc"), make_task(folds={"number": 0})) == []
