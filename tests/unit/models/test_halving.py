"""Successive halving: who goes on, what is told of them, and that finished rungs are not run again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sklearn.linear_model import SGDRegressor
from sklearn.metrics import root_mean_squared_error

from made_material import make_kept, make_material, make_task
from tahoe_engine.config import WorkersSettings
from tahoe_engine.errors import ConfigError
from tahoe_engine.models.catalogue import find_entry
from tahoe_engine.models.halving import Rung, halve
from tahoe_engine.models.passes import fit_passes
from tahoe_engine.models.store import encode_model
from tahoe_engine.workers import open_computing

if TYPE_CHECKING:
    from pathlib import Path

    from tahoe_engine.models.fitted import Fitted
    from tahoe_engine.models.material import Material

ALPHAS = (1e-4, 1e-2, 1.0, 10.0)
RATES = (0.001, 0.01, 1e300)


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    return make_material(tmp_path_factory.mktemp("halving") / "run")


def search(material: Material, into: Path, *, workers: int = 0, **model: Any) -> Fitted:
    said = {"name": "sgd", "estimator": "sgd", "how": "halving", "search": {"alpha": ALPHAS, "eta0": RATES}, **model}
    task = make_task({"passes": {"epochs": 9, "window": 3}, **said}, seed=7)
    with open_computing(WorkersSettings(count=workers), 4) as computing:
        return halve(material, task.models[0], find_entry("sgd", "regression"), task, computing, make_kept(into))


def score(material: Material, parameters: dict[str, Any], epochs: int) -> tuple[float, float]:
    """What scikit-learn reaches on the first fold after so many passes over the others."""
    held = next(at for at, n in enumerate(material.fold_rows) if n)
    estimator = SGDRegressor(random_state=7, **parameters)
    n = len(material.pieces["train"])
    for epoch in range(epochs):
        for at in np.random.default_rng([7, epoch]).permutation(n):
            block = material.load(material.pieces["train"][at])
            chosen = block.fold != held
            if chosen.any():
                estimator.partial_fit(block.x[chosen], block.y[chosen])
    block = material.gather()
    out = block.fold == held
    return tuple(root_mean_squared_error(block.y[rows], estimator.predict(block.x[rows])) for rows in (~out, out))


def test_the_best_third_goes_on_with_three_times_the_passes(material: Material, tmp_path: Path) -> None:
    found = search(material, tmp_path)
    assert found.candidates is not None
    told = {row["parameters"]: row for row in found.candidates.iter_rows(named=True)}
    assert len(told) == 12
    alive = [json.loads(name) for name in told if json.loads(name)["eta0"] < 1]
    passes: dict[str, int] = {}
    for epochs, n in ((1, 4), (3, 2), (9, 1)):
        scores = {json.dumps(one, sort_keys=True): score(material, one, epochs) for one in alive}
        passes |= dict.fromkeys(scores, epochs)
        for name, (train, held) in scores.items():
            if passes[name] == epochs and (epochs == 9 or name not in _best(scores, n)):
                assert told[name]["mean"] == pytest.approx(held, rel=1e-12)
                assert told[name]["train_mean"] == pytest.approx(train, rel=1e-12)
        alive = [json.loads(name) for name in _best(scores, n)]
    chosen = found.candidates.filter("chosen")["parameters"].to_list()
    assert chosen == [json.dumps(alive[0], sort_keys=True)]
    assert told[chosen[0]]["rank"] == 1
    assert {name: found.parameters[name] for name in ("alpha", "eta0")} == alive[0]


def _best(scores: dict[str, tuple[float, float]], n: int) -> list[str]:
    return sorted(scores, key=lambda name: scores[name][1])[:n]


def test_what_overflows_is_last_and_has_no_score(material: Material, tmp_path: Path) -> None:
    found = search(material, tmp_path)
    assert found.candidates is not None
    lost = found.candidates.filter(found.candidates["parameters"].str.contains("1e[+]?300"))
    assert lost["mean"].null_count() == 4
    assert set(lost["rank"]) == {9}
    with pytest.raises(ConfigError, match="no candidate could be trained"):
        search(material, tmp_path, search={"eta0": [1e300, 1e299]})


def test_the_best_is_fitted_as_without_a_search(material: Material, tmp_path: Path) -> None:
    found = search(material, tmp_path / "search")
    parameters = {name: found.parameters[name] for name in ("alpha", "eta0")}
    task = make_task(
        {"name": "sgd", "estimator": "sgd", "parameters": parameters, "passes": {"epochs": 9, "window": 3}}, seed=7
    )
    with open_computing(WorkersSettings(count=0), 1) as computing:
        one = (material, task.models[0], find_entry("sgd", "regression"), task, computing, make_kept(tmp_path / "one"))
        plain = fit_passes(*one)
    assert encode_model(plain.estimator) == encode_model(found.estimator)


def test_finished_rungs_are_not_run_again(material: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = search(material, tmp_path / "whole")
    train, rungs = Rung.__call__, []

    def train_or_die(self: Rung, estimators: tuple[Any, ...]) -> list[Any]:
        rungs.append(self.last)
        if rungs.count(3) == 1 and self.last == 3:
            raise KeyboardInterrupt
        return train(self, estimators)

    monkeypatch.setattr(Rung, "__call__", train_or_die)
    with pytest.raises(KeyboardInterrupt):
        search(material, tmp_path / "killed")
    again = search(material, tmp_path / "killed")
    assert rungs == [1, 1, 1, 3, 3, 9]
    assert again.candidates is not None
    assert whole.candidates is not None
    assert again.candidates.equals(whole.candidates)
    assert encode_model(again.estimator) == encode_model(whole.estimator)


@pytest.mark.slow  # two workers start
def test_workers_give_the_same_bits(material: Material, tmp_path: Path) -> None:
    here, there = search(material, tmp_path / "here"), search(material, tmp_path / "there", workers=2)
    assert encode_model(here.estimator) == encode_model(there.estimator)
    assert here.candidates is not None
    assert there.candidates is not None
    assert here.candidates.equals(there.candidates)


def test_validation_rows_choose_where_there_are_no_folds(tmp_path: Path) -> None:
    material = make_material(tmp_path / "run", folds=0, validation=0.25)
    found = search(material, tmp_path, search={"alpha": ALPHAS})
    assert found.candidates is not None
    assert "scored on the validation rows" in found.notes[0]
    assert found.candidates["mean"].null_count() == 0


def test_without_rows_to_choose_by_it_is_refused(tmp_path: Path) -> None:
    material = make_material(tmp_path / "run", folds=0)
    with pytest.raises(ConfigError, match="neither folds nor validation rows"):
        search(material, tmp_path)
