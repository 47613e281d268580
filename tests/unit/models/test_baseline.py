from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.dummy import DummyClassifier

from made_tables import DELTA, make, make_cells, make_recipe
from tahoe_engine import schema
from tahoe_engine.config import WorkersSettings
from tahoe_engine.errors import ConfigError, StageError
from tahoe_engine.models.baseline import Baseline, fit_baseline, learn_baseline
from tahoe_engine.models.catalogue import find_entry
from tahoe_engine.models.kept import Kept
from tahoe_engine.models.material import Material, open_material
from tahoe_engine.models.store import decode_baseline, encode_baseline
from tahoe_engine.models.task import Model, Task
from tahoe_engine.run import Layout
from tahoe_engine.workers import open_computing

ROWS = pl.DataFrame({"line": ["a", "a", "b", None, "a"], "dose": [0.5, 0.5, 5.0, 5.0, 0.5], "other": [1, 2, 3, 4, 5]})
NUMBERS = np.array([1.0, 2.0, 6.0, 4.0, 3.0])
CODES = np.array([1, 0, 2, 2, 1])


def learn(name: str, by: list[str], classes: tuple[str, ...] = ()) -> Baseline:
    return learn_baseline(name, classes, by, ROWS, CODES if classes else NUMBERS)


def fit(material: Material, name: str, **parameters: Any) -> Baseline:
    model = Model(name="m", estimator=name, parameters=parameters)
    task = Task(features="custom", targets=(material.target,), models=(model,))
    with open_computing(WorkersSettings(count=0), 1) as computing:
        kept = Kept(Layout(Path(material.root)), "models/t")
        fitted = fit_baseline(material, model, find_entry(name, material.kind), task, computing, kept)
    assert fitted.n_rows == material.count_rows()
    assert isinstance(fitted.estimator, Baseline)
    return fitted.estimator


@pytest.fixture(scope="module")
def into(tmp_path_factory: pytest.TempPathFactory) -> Path:
    into = tmp_path_factory.mktemp("baseline") / "run"
    line = {"kind": "column", "name": "line_of", "column": "cell_line_id"}
    make(into, make_cells(8), make_recipe(targets=[DELTA, line]))
    return into


def test_the_mean_is_that_of_all_rows() -> None:
    assert learn("mean", []).predict(ROWS.head(2)).tolist() == [16 / 5, 16 / 5]


def test_a_group_has_its_own_mean_and_an_unknown_one_that_of_all() -> None:
    rows = pl.DataFrame({"line": ["b", "a", None, "new"]})
    assert learn("group_mean", ["line"]).predict(rows).tolist() == [6.0, 2.0, 4.0, 16 / 5]


def test_groups_may_be_of_several_columns() -> None:
    rows = pl.DataFrame({"dose": [0.5, 5.0, 5.0], "line": ["a", "b", "a"]})
    assert learn("group_mean", ["line", "dose"]).predict(rows).tolist() == [2.0, 6.0, 16 / 5]


def test_the_majority_is_the_first_of_those_that_are_as_frequent() -> None:
    learned = learn("majority", [], ("x", "y", "z"))
    assert learned.predict(ROWS).tolist() == [1] * 5
    assert learned.predict_proba(ROWS.head(1)).tolist() == [[0.2, 0.4, 0.4]]  # type: ignore[union-attr]
    dummy = DummyClassifier(strategy="prior").fit(ROWS[["other"]].to_numpy(), CODES)
    assert learned.predict_proba(ROWS).tolist() == dummy.predict_proba(ROWS[["other"]].to_numpy()).tolist()  # type: ignore[union-attr]
    assert learned.predict(ROWS).tolist() == dummy.predict(ROWS[["other"]].to_numpy()).tolist()


def test_a_group_has_its_own_majority() -> None:
    learned = learn("group_majority", ["line"], ("x", "y", "z"))
    rows = pl.DataFrame({"line": ["b", "a", "new"]})
    assert learned.predict(rows).tolist() == [2, 1, 1]
    assert learned.predict_proba(rows).tolist()[1] == [1 / 3, 2 / 3, 0.0]  # type: ignore[union-attr]


def test_a_mean_has_no_probabilities() -> None:
    assert learn("mean", []).predict_proba(ROWS) is None


def test_means_are_exact_in_any_order_of_rows() -> None:
    numbers = np.array([1e16, 1.0, -1e16, 1.0, 0.1, 0.1, 0.1])
    exact = float(sum(map(Fraction, numbers.tolist())) / 7)
    order = np.random.default_rng(0).permutation(7)
    for one in (numbers, numbers[order]):
        assert learn_baseline("mean", (), [], pl.DataFrame({"a": one}), one).overall == (exact,)


@pytest.mark.parametrize("name", ["mean", "group_mean"])
def test_a_fit_over_pieces_is_that_of_all_training_rows(into: Path, name: str) -> None:
    material = open_material(into, "custom", "delta")
    by = [schema.CELL_LINE_ID] if name == "group_mean" else []
    block = material.gather()
    fitted = fit(material, name, **({"by": by} if by else {}))
    assert fitted == learn_baseline(name, (), by, block.rows, block.y)
    assert fitted.overall[0] == pytest.approx(float(np.mean(block.y)), rel=1e-12)
    for line, mean in zip(
        *_group(block.rows[schema.CELL_LINE_ID].to_numpy(), block.y) if by else ((), ()), strict=True
    ):
        assert fitted.levels[line,][0] == pytest.approx(mean, rel=1e-12)


def _group(names: Any, y: Any) -> tuple[list[str], list[float]]:
    levels = sorted(set(names))
    return levels, [float(np.mean(y[names == level])) for level in levels]


def test_a_group_that_is_the_class_itself_is_always_right(into: Path) -> None:
    material = open_material(into, "custom", "line_of")
    fitted = fit(material, "group_majority", by=schema.CELL_LINE_ID)
    test = material.gather(["test"])
    assert fitted.predict(test.rows).tolist() == test.y.tolist()
    assert fit(material, "majority").predict(test.rows).tolist() == [0] * len(test.y)


@pytest.mark.parametrize(
    ("name", "parameters", "told"),
    [
        ("mean", {"by": ["plate"]}, "group_mean"),
        ("group_mean", {}, "say by which columns"),
        ("group_mean", {"by": ["nothing like it"]}, "no column 'nothing like it'"),
        ("group_mean", {"by": [1]}, "names columns"),
        ("mean", {"alpha": 1.0}, "no parameter 'alpha'"),
    ],
)
def test_wrong_parameters_are_named(into: Path, name: str, parameters: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        fit(open_material(into, "custom", "delta"), name, **parameters)


@pytest.mark.parametrize("classes", [(), ("x", "y", "ä")])
def test_a_baseline_is_the_same_after_it_was_stored(classes: tuple[str, ...]) -> None:
    learned = learn("group_majority" if classes else "group_mean", ["line"], classes)
    content = encode_baseline(learned)
    assert decode_baseline(content) == learned
    assert encode_baseline(decode_baseline(content)) == content


def test_the_order_of_groups_is_not_in_the_bytes() -> None:
    learned = learn("group_mean", ["line"])
    turned = Baseline(learned.name, (), learned.by, learned.overall, dict(reversed(learned.levels.items())))
    assert encode_baseline(turned) == encode_baseline(learned)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"name": "mean"}', b"\xff", b"[" * 100_000])
def test_a_damaged_baseline_is_refused(content: bytes) -> None:
    with pytest.raises(StageError, match="damaged"):
        decode_baseline(content)
