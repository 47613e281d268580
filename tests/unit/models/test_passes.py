"""Training part by part: as a loop of partial_fit, whoever loads, and after any kill."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sklearn.linear_model import SGDClassifier, SGDRegressor
from sklearn.metrics import balanced_accuracy_score, root_mean_squared_error

from made_material import make_kept, make_material, make_task
from tahoe_engine import daskml
from tahoe_engine.config import WorkersSettings
from tahoe_engine.daskml import Counted
from tahoe_engine.errors import ConfigError, StoppedError
from tahoe_engine.models import passes
from tahoe_engine.models.catalogue import find_entry
from tahoe_engine.models.course import Course
from tahoe_engine.models.draws import choose_rows
from tahoe_engine.models.material import open_material
from tahoe_engine.models.passes import Progress, fit_passes, train_passes
from tahoe_engine.models.store import encode_model
from tahoe_engine.models.task import Passes
from tahoe_engine.workers import open_computing

if TYPE_CHECKING:
    from pathlib import Path

    from tahoe_engine.models.fitted import Fitted
    from tahoe_engine.models.material import Material


@pytest.fixture(scope="module")
def numbers(tmp_path_factory: pytest.TempPathFactory) -> Material:
    return make_material(tmp_path_factory.mktemp("passes") / "run")


@pytest.fixture(scope="module")
def classes(numbers: Material) -> Material:
    return open_material(numbers.root, numbers.features, "line_of")


def fit(material: Material, into: Path, *, workers: int = 0, primary: str = "", **model: Any) -> Fitted:
    task = make_task({"name": "sgd", "estimator": "sgd", **model}, target=material.target, primary=primary, seed=7)
    entry = find_entry("sgd", material.kind)
    with open_computing(WorkersSettings(count=workers), 4) as computing:
        return fit_passes(material, task.models[0], entry, task, computing, make_kept(into))


def orders(material: Material, epochs: int, seed: int = 7) -> list[list[int]]:
    n = len(material.pieces["train"])
    return [np.random.default_rng([seed, epoch]).permutation(n).tolist() for epoch in range(epochs)]


def loop(estimator: Any, material: Material, epochs: int, folds: frozenset[int] | None = None) -> Any:
    """What scikit-learn makes of the same pieces in the same order, in one process."""
    more = {"classes": np.arange(len(material.classes))} if material.classes else {}
    for order in orders(material, epochs):
        for at in order:
            block = material.load(material.pieces["train"][at], folds=folds)
            if len(block.y):
                estimator.partial_fit(block.x, block.y, **more)
    return estimator


def test_weights_are_those_of_a_loop_of_partial_fit(numbers: Material, tmp_path: Path) -> None:
    found = fit(numbers, tmp_path, passes={"epochs": 3, "window": 2, "patience": 0})
    expected = loop(SGDRegressor(random_state=7), numbers, 3)
    assert found.estimator.coef_.tobytes() == expected.coef_.tobytes()
    assert found.estimator.intercept_.tobytes() == expected.intercept_.tobytes()
    assert found.n_rows == numbers.count_rows()


def test_classes_are_known_from_the_first_piece_on(classes: Material, tmp_path: Path) -> None:
    found = fit(classes, tmp_path, passes={"epochs": 2, "window": 3, "patience": 0})
    expected = loop(SGDClassifier(loss="log_loss", random_state=7), classes, 2)
    assert found.estimator.coef_.tobytes() == expected.coef_.tobytes()
    assert found.estimator.classes_.tolist() == [0, 1, 2]


@pytest.mark.slow  # two workers start
def test_workers_give_the_same_bits(numbers: Material, tmp_path: Path) -> None:
    here = fit(numbers, tmp_path / "here", passes={"epochs": 3, "window": 4})
    there = fit(numbers, tmp_path / "there", workers=2, passes={"epochs": 3, "window": 4})
    assert encode_model(here.estimator) == encode_model(there.estimator)
    assert here.curves is not None
    assert there.curves is not None
    assert here.curves.equals(there.curves)


def test_the_order_of_pieces_may_be_that_of_the_table(numbers: Material, tmp_path: Path) -> None:
    found = fit(numbers, tmp_path, passes={"epochs": 1, "patience": 0, "shuffle": False})
    expected = SGDRegressor(random_state=7)
    for piece in numbers.pieces["train"]:
        block = numbers.load(piece)
        expected.partial_fit(block.x, block.y)
    assert found.estimator.coef_.tobytes() == expected.coef_.tobytes()


def test_the_number_of_passes_is_chosen_by_a_fold_and_all_rows_are_trained_on(
    numbers: Material, tmp_path: Path
) -> None:
    found = fit(numbers, tmp_path, passes={"epochs": 6, "patience": 2})
    assert found.curves is not None
    rest = frozenset(range(-1, 5)) - {next(at for at, n in enumerate(numbers.fold_rows) if n)}
    held = numbers.gather()
    out = ~np.isin(held.fold, sorted(rest))
    scores = []
    for epochs in range(1, 7):
        estimator = loop(SGDRegressor(random_state=7), numbers, epochs, rest)
        scores.append(root_mean_squared_error(held.y[out], estimator.predict(held.x[out])))
    told = found.curves.filter(part="validation")["value"].to_list()
    np.testing.assert_allclose(told, scores[: len(told)], rtol=1e-12)
    best = int(np.argmin(told)) + 1
    assert len(told) == min(6, best + 2)
    assert found.estimator.coef_.tobytes() == loop(SGDRegressor(random_state=7), numbers, best).coef_.tobytes()
    assert any(note.startswith(f"{best} passes") for note in found.notes)


def test_validation_rows_decide_where_there_are_any(tmp_path: Path) -> None:
    material = make_material(tmp_path / "run", "line_of", validation=0.25)
    assert material.pieces["validation"]
    found = fit(material, tmp_path, passes={"epochs": 4, "patience": 1})
    assert found.curves is not None
    block = material.gather(["validation"])
    scores = []
    for epochs in range(1, 5):
        estimator = loop(SGDClassifier(loss="log_loss", random_state=7), material, epochs)
        scores.append(balanced_accuracy_score(block.y, estimator.predict(block.x)))
    told = found.curves.filter(part="validation")["value"].to_list()
    np.testing.assert_allclose(told, scores[: len(told)])
    best = int(np.argmax(told)) + 1
    expected = loop(SGDClassifier(loss="log_loss", random_state=7), material, best)
    assert found.estimator.coef_.tobytes() == expected.coef_.tobytes()


class Killed(Exception):  # noqa: N818 - no error of ours
    """Stands for a kill."""


@pytest.mark.parametrize("at", range(1, 18, 2))
def test_a_killed_training_ends_with_the_same_bits(
    at: int, numbers: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passes, "KEEP_SECONDS", 0.0)
    whole = fit(numbers, tmp_path / "whole", passes={"epochs": 3, "window": 2})
    train, count = daskml.train_blocks, 0

    def train_or_die(*args: Any, **options: Any) -> Any:
        nonlocal count
        count += 1
        if count == at:
            raise Killed
        return train(*args, **options)

    monkeypatch.setattr(daskml, "train_blocks", train_or_die)
    with pytest.raises(Killed):
        fit(numbers, tmp_path / "killed", passes={"epochs": 3, "window": 2})
    done = count - 1
    again = fit(numbers, tmp_path / "killed", passes={"epochs": 3, "window": 2})
    assert encode_model(again.estimator) == encode_model(whole.estimator)
    assert again.curves is not None
    assert whole.curves is not None
    assert again.curves.equals(whole.curves)
    # Nothing that was kept is trained again: three windows a pass, held out and then anew.
    assert count - 1 - done == 3 * (_passes(whole) + _told(whole)) - done


def _passes(fitted: Fitted) -> int:
    assert fitted.curves is not None
    return fitted.curves.filter(part="validation").height


def _told(fitted: Fitted) -> int:
    return int(fitted.notes[0].split()[0])


def test_checkpoints_are_made_when_time_has_gone_by_and_after_each_pass(
    numbers: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = make_kept(tmp_path)
    states: list[tuple[int, int]] = []

    def keep(_: str, content: bytes) -> None:
        state = Progress.decode(content, ())
        states.append((state.epoch, state.position))

    monkeypatch.setattr(kept, "keep", keep)
    course = Course(numbers, 0, "rmse")
    with open_computing(WorkersSettings(count=0), 1) as computing:
        train_passes(course, SGDRegressor(), Passes(epochs=2, window=2), computing=computing, kept=kept, key={})
        assert states == [(1, 0), (2, 0)]
        states.clear()
        monkeypatch.setattr(passes, "KEEP_SECONDS", 0.0)
        train_passes(course, SGDRegressor(), Passes(epochs=1, window=2), computing=computing, kept=kept, key={})
    assert states == [(0, 1), (0, 2), (1, 0)]


def test_a_window_that_was_trained_twice_is_trained_anew(
    numbers: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fit(numbers, tmp_path / "whole", passes={"epochs": 1, "patience": 0})
    train, n_calls = Counted.partial_fit, 0

    def train_twice(self: Counted, x: Any, y: Any, **options: Any) -> Counted:
        nonlocal n_calls
        n_calls += 1
        if n_calls == 2:
            train(self, x, y, **options)
        return train(self, x, y, **options)

    monkeypatch.setattr(Counted, "partial_fit", train_twice)
    again = fit(numbers, tmp_path / "again", passes={"epochs": 1, "patience": 0})
    assert n_calls == 12
    assert again.estimator.coef_.tobytes() == whole.estimator.coef_.tobytes()
    monkeypatch.setattr(Counted, "partial_fit", lambda self, *_, **__: self)
    with pytest.raises(StoppedError, match="workers died again and again"):
        fit(numbers, tmp_path / "never", passes={"epochs": 1, "patience": 0})


def test_a_sample_of_rows_is_trained_on_as_if_there_were_no_others(numbers: Material, tmp_path: Path) -> None:
    found = fit(numbers, tmp_path, rows=100, passes={"epochs": 1, "patience": 0})
    chosen = set(choose_rows(numbers.count_rows(), 100, 7).tolist())
    expected = SGDRegressor(random_state=7)
    for at in orders(numbers, 1)[0]:
        block = numbers.load(numbers.pieces["train"][at])
        block = block.take(np.array([number in chosen for number in block.numbers]))
        expected.partial_fit(block.x, block.y)
    assert found.estimator.coef_.tobytes() == expected.coef_.tobytes()
    assert found.n_rows == 100


def test_what_cannot_be_trained_is_told(numbers: Material, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match='how = "halving"'):
        fit(numbers, tmp_path, search={"alpha": [1.0, 2.0]})
    with pytest.raises(ConfigError, match=r"model 'sgd': sgd cannot be fitted: Floating-point"):
        fit(numbers, tmp_path, parameters={"eta0": 1e300, "learning_rate": "constant"})
