"""Learning curves: whole groups, fold 0 held out, and the parameter that was searched for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.preprocessing import StandardScaler

from made_rows import Memory, make_rows
from tahoe_engine.config import WorkersSettings
from tahoe_engine.models.catalogue import find_entry
from tahoe_engine.models.curves import draw_curves, take_share
from tahoe_engine.models.memory import fit_memory
from tahoe_engine.models.task import Model, Task
from tahoe_engine.schema.models import CURVES
from tahoe_engine.workers import open_computing

HERE = WorkersSettings(count=0)


def make_task(**parts: Any) -> Task:
    return Task.model_validate(
        {"features": "made", "targets": "y", "models": [{"name": "m", "estimator": "logistic"}], **parts}
    )


@pytest.fixture(scope="module")
def material() -> Any:
    generator = np.random.default_rng(11)
    x = generator.normal(size=(400, 5))
    y = (x[:, 0] + generator.normal(size=400) > 0).astype(np.int64)
    return make_rows(x, y, clusters=np.arange(400) // 10, folds=np.arange(400) // 10 % 5, classes=("a", "b"))


def test_rows_grow_by_whole_groups_and_the_scores_are_those_of_scikit_learn(material: Any) -> None:
    model, task, kept = Model(name="m", estimator="logistic"), make_task(), Memory()
    entry = find_entry("logistic", "classification")
    with open_computing(HERE, 2) as computing:
        store: Any = kept
        table = draw_curves(material, model, entry, task, computing, store)
        again = draw_curves(material, model, entry, task, computing, store)
    assert again.equals(table)
    assert kept.n_found == 1
    assert tuple(table.columns) == CURVES.names[1:]
    assert table["curve"].unique().to_list() == ["rows"]
    # 32 groups of 10 rows are outside fold 0.
    assert table["x"].to_list() == [80.0, 80.0, 160.0, 160.0, 320.0, 320.0]
    block = material.gather()
    x, inside = block.x.toarray(), np.flatnonzero(block.fold != 0)
    for at, share in enumerate((0.25, 0.5, 1.0)):
        rows = inside[take_share(block.clusters[inside], share, task.seed)]
        assert set(np.bincount(block.clusters[rows]).tolist()) <= {0, 10}
        scaler = StandardScaler().fit(x[rows])
        oracle = LogisticRegression(max_iter=1000).fit(scaler.transform(x[rows]), block.y[rows])
        for part, chosen in enumerate((rows, np.flatnonzero(block.fold == 0))):
            score = balanced_accuracy_score(block.y[chosen], oracle.predict(scaler.transform(x[chosen])))
            assert table["value"][2 * at + part] == pytest.approx(score, abs=1e-12)


def test_the_one_parameter_that_was_searched_for_is_followed(material: Any) -> None:
    task = make_task(folds={"number": 5})
    model = Model(name="m", estimator="logistic", search={"C": (1.0, 0.001)})
    entry = find_entry("logistic", "classification")
    with open_computing(HERE, 2) as computing:
        kept: Any = Memory()
        fitted = fit_memory(material, model, entry, task, computing, kept)
        found = draw_curves(material, model, entry, task, computing, kept)
        told = draw_curves(
            material, model, entry, task, computing, kept, parameters=fitted.parameters, candidates=fitted.candidates
        )
    assert fitted.candidates is not None
    for table in (found, told):
        curve = table.filter(table["curve"] == "C")
        assert curve["x"].to_list() == [0.001, 0.001, 1.0, 1.0]
        small, large = fitted.candidates["mean"][1], fitted.candidates["mean"][0]
        assert curve.filter(curve["part"] == "validation")["value"].to_list() == [small, large]
    assert told.filter(told["curve"] == "rows").equals(found.filter(found["curve"] == "rows"))


def test_forests_and_boosted_trees_can_be_told_with_the_parameters_of_their_fit(material: Any) -> None:
    for name in ("random_forest", "gradient_boosting"):
        model = Model(name="m", estimator=name, parameters={"n_estimators": 3})
        entry = find_entry(name, "classification")
        with open_computing(HERE, 2) as computing:
            kept: Any = Memory()
            fitted = fit_memory(material, model, entry, make_task(), computing, kept)
            table = draw_curves(material, model, entry, make_task(), computing, kept, parameters=fitted.parameters)
        assert table.height == 6
        assert table["value"].null_count() == 0


def test_without_folds_there_is_no_curve(material: Any) -> None:
    with open_computing(HERE, 2) as computing:
        kept: Any = Memory()
        entry = find_entry("logistic", "classification")
        table = draw_curves(
            material, Model(name="m", estimator="logistic"), entry, make_task(folds={"number": 0}), computing, kept
        )
    assert table.is_empty()
    assert tuple(table.columns) == CURVES.names[1:]
