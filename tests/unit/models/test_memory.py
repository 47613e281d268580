"""Way memory: what is fitted is what scikit-learn fits, whoever computes, also when it was broken off."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from made_rows import Memory, make_rows
from tahoe_engine.config import WorkersSettings
from tahoe_engine.errors import ConfigError, StoppedError
from tahoe_engine.models import memory
from tahoe_engine.models.catalogue import find_entry
from tahoe_engine.models.folds import validate_folds
from tahoe_engine.models.importance import measure_importance
from tahoe_engine.models.memory import fit_memory
from tahoe_engine.models.store import decode_model, encode_model
from tahoe_engine.models.task import Model, Task
from tahoe_engine.workers import Computing, open_computing

if TYPE_CHECKING:
    from pathlib import Path

    from tahoe_engine.models.fitted import Fitted

HERE = WorkersSettings(count=0)
DGE: dict[str, tuple[str, dict[str, Any], float, float]] = {
    "forest": ("random_forest", {}, 1.0, 1.0),
    "logistic": ("logistic", {}, 1.0, 1.0),
    "svm": ("svc", {}, 1.0, 0.99),
    "xgboost": ("gradient_boosting", {"eval_metric": "mlogloss"}, 0.9667, 0.9967),
    "l1": ("logistic", {"penalty": "l1"}, 1.0, 1.0),
}


def make_task(**parts: Any) -> Task:
    models = parts.pop("models", [{"name": "m", "estimator": "random_forest"}])
    return Task.model_validate({"features": "made", "targets": "y", "models": models, **parts})


def fit(material: Any, model: Model, task: Task, computing: Any, kept: Any = None) -> Fitted:
    entry = find_entry(model.estimator, material.kind)
    kept = Memory() if kept is None else kept
    return fit_memory(material, model, entry, task, computing, kept)


@pytest.fixture(scope="module")
def table(shared: Path) -> tuple[Any, Any]:
    path = shared / "reference" / "dge_top_table" / "gene_expression_data.csv"
    if not path.is_file():
        pytest.skip("the folder `shared/reference/dge_top_table` is not there")
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    names = ("logFC", "AveExpr", "P.Value", "adj.P.Val", "B")
    x = np.array([[float(row[name]) for name in names] for row in rows])
    return x, (x[:, 0] > 0).astype(np.int64)


@pytest.fixture(scope="module")
def moons() -> Any:
    generator = np.random.default_rng(5)
    x = generator.normal(size=(300, 6)).round(2)
    y = (x[:, 0] * x[:, 1] > 0).astype(np.int64)
    return make_rows(x, y, classes=("no", "yes"), clusters=np.arange(300) // 10)


@pytest.mark.parametrize("name", DGE)
def test_the_published_accuracies_of_the_small_table_are_reached(name: str, table: tuple[Any, Any]) -> None:
    x, y = table
    estimator, parameters, on_test, over_folds = DGE[name]
    train, test = train_test_split(np.arange(len(y)), test_size=0.2, random_state=42)
    scaled = StandardScaler().fit(x[train]).transform(x)
    tested = np.isin(np.arange(len(y)), test)
    model = Model(name=name, estimator=estimator, parameters=parameters)
    task = make_task(seed=42, folds={"of": "all", "number": 5, "rows": 0})
    # The order of the training rows is that of their draw, as the references had it.
    material = make_rows(scaled[train], y[train], classes=("down", "up"))
    with open_computing(HERE, 1) as computing:
        fitted = fit(material, model, task, computing)
        found = decode_model(encode_model(fitted.estimator), find_entry(estimator, "classification").trusted)
        assert np.mean(found.predict(scaled[test]) == y[test]) == pytest.approx(on_test, abs=5e-5)
        if name == "l1":
            coefficients = measure_importance(material, found, task, model, computing)
            assert [abs(value) > 0 for value in coefficients["value"]] == [True, False, False, False, False]
            assert coefficients["value"][0] == pytest.approx(2.803, abs=0.001)
        whole = make_rows(x, y, test=tested, classes=("down", "up"))
        kept: Any = Memory()
        held = validate_folds(whole, model, find_entry(estimator, "classification"), task, computing, kept)
    assert np.mean([np.mean(one.y == one.y_pred) for one in held]) == pytest.approx(over_folds, abs=5e-5)


def test_the_published_grid_ends_with_the_published_importances(table: tuple[Any, Any]) -> None:
    x, y = table
    train, _ = train_test_split(np.arange(len(y)), test_size=0.2, random_state=42)
    scaled = StandardScaler().fit_transform(x[train])
    grid = {"n_estimators": (50, 100), "max_depth": ("none", 5), "min_samples_split": (2,), "min_samples_leaf": (1,)}
    model = Model.model_validate({"name": "forest", "estimator": "random_forest", "search": grid})
    task = make_task(seed=42, primary="accuracy", folds={"number": 5})
    with open_computing(HERE, 1) as computing:
        fitted = fit(make_rows(scaled, y[train], classes=("down", "up")), model, task, computing)
    assert fitted.candidates is not None
    assert fitted.candidates["rank"].to_list() == [1, 1, 1, 1]
    assert fitted.candidates["chosen"].to_list() == [True, False, False, False]
    assert (fitted.parameters["n_estimators"], fitted.parameters["max_depth"]) == (50, None)
    found = fitted.estimator[-1].feature_importances_
    np.testing.assert_allclose(found, [0.760, 0.055, 0.0685, 0.0396, 0.077], atol=0.001)


def test_a_forest_grown_in_batches_is_that_of_one_fit_and_goes_on_where_it_was(
    moons: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "TREES_AT_ONCE", 4)
    monkeypatch.setattr(memory, "ROWS_AT_ONCE", 0)
    monkeypatch.setattr(memory, "SAVE_SECONDS", 0.0)
    model = Model(name="m", estimator="random_forest", parameters={"n_estimators": 11, "min_samples_leaf": 2})
    block = moons.gather()
    plain = RandomForestClassifier(11, min_samples_leaf=2, random_state=7).fit(block.x.toarray(), block.y)
    kept, task = Memory(), make_task(seed=7)
    grown: list[int] = []
    add = memory._add_trees

    def count(forest: Any, *rest: Any) -> Any:
        grown.append(forest.n_estimators)
        if forest.n_estimators == 11 and len(grown) == 3:
            raise StoppedError("killed")
        return add(forest, *rest)

    monkeypatch.setattr(memory, "_add_trees", count)
    with open_computing(HERE, 1) as computing:
        with pytest.raises(StoppedError, match="killed"):
            fit(moons, model, task, computing, kept)
        fitted = fit(moons, model, task, computing, kept)
    assert grown == [4, 8, 11, 11]
    assert np.array_equal(fitted.estimator.predict_proba(block.x), plain.predict_proba(block.x.toarray()))
    assert encode_model(fitted.estimator[-1]) == encode_model(plain)
    assert (fitted.n_rows, fitted.notes) == (300, ())


def test_workers_change_no_bit_of_a_fit(moons: Any) -> None:
    forest = Model(name="f", estimator="extra_trees", parameters={"n_estimators": 6})
    logistic = Model(name="l", estimator="logistic", search={"C": (0.01, 1.0)})
    task = make_task(seed=1, folds={"number": 3})
    found: list[Any] = []
    for settings in (HERE, WorkersSettings(count=2)):
        with open_computing(settings, 4) as computing:
            fits = [fit(moons, model, task, computing) for model in (forest, logistic)]
        found.append([encode_model(one.estimator) for one in fits] + [fits[1].candidates])
    assert found[0][:2] == found[1][:2]
    assert found[0][2].equals(found[1][2])


def test_a_worker_lost_in_the_middle_of_a_forest_costs_nothing_but_time(
    moons: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[int] = []

    class Loses(Computing):
        def joblib(self) -> Any:
            tries.append(len(tries))
            if len(tries) in {1, 3}:
                raise StoppedError("a worker was lost")
            return super().joblib()

    monkeypatch.setattr(memory, "TREES_AT_ONCE", 3)
    monkeypatch.setattr(memory, "ROWS_AT_ONCE", 0)
    block = moons.gather()
    with open_computing(HERE, 1) as computing:
        model = Model(name="m", estimator="random_forest", parameters={"n_estimators": 6})
        losing = Loses(computing._settings, computing._interrupts)
        fitted = fit(moons, model, make_task(seed=2), losing)
    plain = RandomForestClassifier(6, random_state=2).fit(block.x.toarray(), block.y)
    assert encode_model(fitted.estimator[-1]) == encode_model(plain)
    assert len(tries) == 4


def test_a_sample_is_told_and_must_have_every_class() -> None:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(200, 3))
    y = x @ [1.0, 2.0, 3.0]
    model = Model(name="m", estimator="random_forest", rows=50, parameters={"n_estimators": 3})
    with open_computing(HERE, 1) as computing:
        material = make_rows(x, y)
        fitted = fit(material, model, make_task(), computing)
        assert (fitted.n_rows, fitted.notes) == (50, ("trained on 50 of 200 training rows, chosen by their hash",))
        chosen = material.gather(n_rows=50)
        plain = RandomForestRegressor(3, random_state=0).fit(chosen.x.toarray(), chosen.y)
        assert np.array_equal(fitted.estimator.predict(x), plain.predict(x))
        rare = make_rows(x, np.array([0] * 198 + [1, 2]), classes=("a", "b", "c"))
        logistic = Model(name="m", estimator="logistic", rows=20)
        with pytest.raises(ConfigError, match=r"lack .* of 3 classes, '[bc]' among them; give the model more rows"):
            fit(rare, logistic, make_task(), computing)


def test_what_an_estimator_warns_of_is_a_note_and_what_it_refuses_an_error(moons: Any) -> None:
    with open_computing(HERE, 1) as computing:
        short = Model(name="m", estimator="logistic", parameters={"max_iter": 1, "C": 100.0})
        assert fit(moons, short, make_task(), computing).notes == (
            "the fit did not converge: raise max_iter, or scale the features",
        )
        wrong = Model(name="m", estimator="gradient_boosting", parameters={"max_depth": -3})
        with pytest.raises(ConfigError, match="gradient_boosting cannot be fitted: "):
            fit(moons, wrong, make_task(), computing)
        searching = Model(name="m", estimator="logistic", search={"C": (1.0, 2.0)})
        with pytest.raises(ConfigError, match=r"folds.number = 3 or more"):
            fit(moons, searching, make_task(folds={"number": 2}), computing)


def test_the_result_is_the_estimator_that_scikit_learn_fits(moons: Any) -> None:
    block = moons.gather()
    with open_computing(HERE, 1) as computing:
        fitted = fit(moons, Model(name="m", estimator="logistic", parameters={"C": 0.5}), make_task(), computing)
    inside = StandardScaler().fit(block.x.toarray())
    plain = LogisticRegression(C=0.5, max_iter=1000).fit(inside.transform(block.x.toarray()), block.y)
    np.testing.assert_allclose(fitted.estimator[-1].coef_, plain.coef_, rtol=1e-9)
    assert fitted.parameters == {"C": 0.5, "max_iter": 1000}
