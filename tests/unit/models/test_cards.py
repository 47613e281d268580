from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
from sklearn.linear_model import Ridge

from made_tables import DELTA, make, make_cells, make_recipe
from tahoe_engine.models.baseline import learn_baseline
from tahoe_engine.models.cards import make_card
from tahoe_engine.models.fits import FittedModel
from tahoe_engine.models.plan import ModelsPlan, plan_models
from tahoe_engine.models.store import encode_baseline, encode_model
from tahoe_engine.run.manifest import encode_manifest
from tahoe_engine.schema.models import CANDIDATES, CURVES, METRICS, TESTS, VERDICTS

if TYPE_CHECKING:
    from pathlib import Path

    from tahoe_engine.schema import Table

TASK = """
description = "What the wells say"
features = "custom"
targets = ["delta"]
seed = 7
sets = { small = ["line"] }
models = [{ name = "ridge", estimator = "ridge", search = { alpha = [0.5, 1.0] } }]
"""
LINE = {"kind": "one_hot", "name": "line", "column": "cell_line_id", "levels": "seen"}
SUMMARIES = {"kind": "numeric", "name": "summaries", "columns": ["a", "b"], "steps": ["impute"]}


def frame(table: Table, *rows: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema={column.name: getattr(pl, column.dtype) for column in table.columns})


def tables(label: str, *, beats: bool = True, n_groups: int = 20) -> dict[str, pl.DataFrame]:
    metric = {"model": label, "mode": "honest", "split": "test", "group": None, "metric": "rmse", "value": 1.5, "n": 40}
    test = {"model": label, "split": "test", "metric": "rmse", "baseline": "mean", "n_groups": n_groups}
    return {
        "metrics": frame(
            METRICS,
            metric | {"low": 1.0, "high": float("nan"), "baseline": 2.0},
            metric | {"group": "plate=plate1", "value": 9.0},
            metric | {"model": "another", "value": 7.0},
        ),
        "tests": frame(TESTS, test | {"difference": 0.5, "beats_baseline": beats}),
        "verdicts": frame(VERDICTS, {"model": label, "verdict": "fits", "evidence": "as it should"}),
    }


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> ModelsPlan:
    folder = tmp_path_factory.mktemp("cards")
    (folder / "t.toml").write_text(TASK)
    make(folder / "run", make_cells(8), make_recipe(targets=[DELTA], features=[SUMMARIES, LINE]))
    return plan_models(folder / "run", str(folder / "t.toml"))


def fitted(plan: ModelsPlan, at: int, n_rows: int | None = None) -> FittedModel:
    fit = plan.fits[at]
    block = fit.material.gather()
    if fit.is_baseline:
        content = encode_baseline(learn_baseline("mean", (), (), block.rows, block.y))
    else:
        content = encode_model(Ridge().fit(block.x, block.y))
    parameters = {} if fit.is_baseline else {"alpha": np.float64(0.5), "tol": float("inf"), "solver": ("a", None)}
    empty = frame(CANDIDATES), frame(CURVES)
    return FittedModel(fit, content, parameters, n_rows or len(block.y), *empty, ("converged late",), 12.5)


def test_a_card_says_what_the_model_is_and_was_made_of(plan: ModelsPlan) -> None:
    model = fitted(plan, 1)
    card = make_card(plan, model, tables("small.ridge"))
    manifest = plan.features.manifest
    assert (card["model"], card["task"], card["target"], card["mode"]) == ("small.ridge", "t", "delta", "honest")
    assert card["file"] == {"name": "model.skops", "sha256": model.sha256, "size": len(model.content)}
    assert card["estimator"]["parameters"] == {"alpha": 0.5, "tol": None, "solver": ["a", None]}
    assert card["estimator"]["searched"] == {"alpha": [0.5, 1.0]}
    assert card["estimator"]["seed"] == 7
    assert card["features"]["blocks"] == ["line"]
    assert card["features"]["columns"] == 3
    ((name, lineage),) = card["features"]["lineage"].items()
    assert lineage["sources"] == ["cell_line_id"]
    assert "levels" not in lineage
    assert name == plan.fits[1].material.sources[0]
    assert card["features"]["digest"] == card["data"]["features"] == manifest["digest"]
    assert card["split"]["hash"] == manifest["split"]["hash"]
    assert card["split"]["rows"]["train"] == card["trained_on"]["rows"]
    assert sum(card["split"]["rows"].values()) == sum(
        piece.n_rows for of in plan.fits[1].material.pieces.values() for piece in of
    )
    assert card["versions"]["scikit-learn"]


def test_a_card_has_the_numbers_of_its_model_alone(plan: ModelsPlan) -> None:
    card = make_card(plan, fitted(plan, 1), tables("small.ridge"))
    assert card["metrics"] == {"test": {"rmse": {"value": 1.5, "low": 1.0, "high": None, "n": 40, "baseline": 2.0}}}
    assert [row["difference"] for row in card["tests"]] == [0.5]
    assert card["verdict"] == {"verdict": "fits", "evidence": "as it should"}
    assert card["notes"] == ["converged late"]


def test_equal_models_have_equal_cards(plan: ModelsPlan) -> None:
    one, other = (encode_manifest(make_card(plan, fitted(plan, 1), tables("small.ridge"))) for _ in range(2))
    assert one == other
    assert json.loads(one)["model"] == "small.ridge"
    assert str(plan.root).encode() not in one
    assert b"12.5" not in one


def test_limits_say_what_the_model_is_not(plan: ModelsPlan) -> None:
    told = make_card(plan, fitted(plan, 1, n_rows=10), tables("small.ridge", beats=False, n_groups=5))["limits"]
    text = " ".join(told)
    assert "Tested on values of sample that it was not trained on" in text
    assert f"trained on 10 of {plan.fits[1].material.count_rows()} rows" in text
    assert "not shown to be better than the baseline mean" in text
    assert "tested on 5 groups" in text
    better = " ".join(make_card(plan, fitted(plan, 1), tables("small.ridge"))["limits"])
    assert "not shown" not in better
    assert "rough" not in better
    assert "rows." not in better.replace("trained on.", "")


def test_a_baseline_looks_at_no_feature(plan: ModelsPlan) -> None:
    card = make_card(plan, fitted(plan, 0), tables("mean"))
    assert card["file"]["name"] == "model.json"
    assert card["features"]["columns"] == 0
    assert card["features"]["lineage"] == {}
    assert any("no feature" in sentence for sentence in card["limits"])


def test_leaks_that_were_allowed_are_in_the_card(tmp_path: Path) -> None:
    (tmp_path / "t.toml").write_text(TASK.replace('["line"]', '["summaries"]'))
    recipe = make_recipe(
        targets=[{"kind": "column", "name": "delta", "column": "value"}],
        features=[{"kind": "numeric", "name": "summaries", "columns": ["value"]}],
    )
    make(tmp_path / "run", make_cells(8), recipe, allow_leaks=True)
    plan = plan_models(tmp_path / "run", str(tmp_path / "t.toml"))
    card = make_card(plan, fitted(plan, 1), tables("small.ridge"))
    assert card["leaks_allowed"]
    assert any("leak guard" in sentence for sentence in card["limits"])
