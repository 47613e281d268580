"""Predictions in a fresh process: from files alone, bit for bit; and of rows that no features were made of."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.linear_model import Ridge

from made_tables import DELTA, make, make_cells, make_recipe
from runs import published
from tahoe_engine import schema
from tahoe_engine.config import Settings
from tahoe_engine.errors import BadDataError, ConfigError, StageError
from tahoe_engine.features import load_features
from tahoe_engine.models.baseline import learn_baseline
from tahoe_engine.models.labels import list_fits
from tahoe_engine.models.material import open_material
from tahoe_engine.models.predict import CheckUnit, check_part, predict_rows
from tahoe_engine.models.predictions import PredictionsUnit, PredictionsWork, name_part, write_predictions
from tahoe_engine.models.store import encode_baseline, encode_model
from tahoe_engine.models.task import Task
from tahoe_engine.run import open_run, publish_stage, verify_run

VALUE = {"kind": "column", "name": "value_of", "column": "value"}
LINE = {"kind": "one_hot", "name": "line", "column": "cell_line_id", "levels": "seen"}
SUMMARIES = {"kind": "numeric", "name": "summaries", "columns": ["a", "b"], "steps": ["impute", "standardize"]}
TASK = """
features = "custom"
targets = ["value_of"]
models = [{ name = "ridge", estimator = "ridge" }]
"""


def train(into: Path) -> None:
    """Do what a launch of the stage does, but judge."""
    targets = ("value_of",)
    task = Task(features="custom", targets=targets, models=({"name": "ridge", "estimator": "ridge"},))  # type: ignore[arg-type]
    features = load_features(into, "custom")
    files, receipts, stage = {}, {}, "models/t"
    with open_run(into) as layout:
        layout.receipts(stage).mkdir(parents=True, exist_ok=True)
        for fit in list_fits(task, into, "custom", targets):
            block = fit.material.gather()
            if fit.is_baseline:
                content = encode_baseline(learn_baseline("mean", (), (), block.rows, block.y))
            else:
                content = encode_model(Ridge(alpha=1.0).fit(block.x, block.y))
            file = f"{fit.label}/model.{'json' if fit.is_baseline else 'skops'}"
            files[file] = content
            path = layout.stage(stage) / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            sha256 = hashlib.sha256(content).hexdigest()
            work = PredictionsWork(str(into.absolute()), layout.epoch, stage, fit.label, file, sha256, (), fit.material)
            for pieces in fit.material.pieces.values():
                for piece in pieces:
                    name = name_part(piece, fit.label)
                    receipts[name] = write_predictions(PredictionsUnit(work, piece, name, "key"))
        facts = {
            "settings": {"models": {"mode": "honest", "task": task.describe()}},
            "versions": {},
            "needs": {features.stage: features.manifest["digest"]},
            "rows": {"in": 1, "kept": 1, "filtered": 0, "rejected": 0, "quarantined": 0},
            "features": "custom",
            "targets": list(targets),
        }
        publish_stage(layout, stage, files, receipts, facts)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("predict")
    (folder / "t.toml").write_text(TASK)
    make(folder / "run", make_cells(6), make_recipe(targets=[VALUE, DELTA], features=[SUMMARIES, LINE]))
    train(folder / "run")
    return folder


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "copy"))


def predict(folder: Path, **options: Any) -> Any:
    return predict_rows(folder / "run", folder / "t.toml", **{"workers": 0, **options})


def test_all_parts_are_predicted_again_and_equal(folder: Path) -> None:
    before = published(folder / "run")
    report = predict(folder)
    n_parts = len(list((folder / "run/models/t/predictions").rglob("*.parquet")))
    assert (report.equal, report.restored) == (n_parts, 0)
    assert report.rows == 2 * make_cells(6).height
    assert published(folder / "run") == before


@pytest.mark.parametrize("damage", ["gone", "changed", "cut"])
def test_a_part_that_is_missing_or_damaged_is_restored(folder: Path, damage: str) -> None:
    before = published(folder / "run")
    path = min((folder / "run/models/t/predictions/test").glob("ridge*.parquet"))
    content = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(content[:-9] if damage == "cut" else content[:-9] + b"x" + content[-8:])
    report = predict(folder)
    assert report.restored == 1
    assert published(folder / "run") == before
    assert predict(folder).restored == 0


def test_a_model_with_other_bytes_is_not_used(folder: Path) -> None:
    path = folder / "run/models/t/ridge/model.skops"
    path.write_bytes(encode_model(Ridge().fit([[0.0], [1.0]], [0.0, 1.0])))
    with pytest.raises(StageError, match="other bytes"):
        predict(folder)


def test_a_model_that_says_something_else_here_is_told(folder: Path) -> None:
    """As one of other versions, or on another kind of machine, may."""
    material = open_material(folder / "run", "custom", "value_of")
    block = material.gather()
    content = encode_model(Ridge(alpha=1.0000001).fit(block.x, block.y))
    (folder / "run/models/t/ridge/model.skops").write_bytes(content)
    sha256 = hashlib.sha256(content).hexdigest()
    work = PredictionsWork(material.root, 0, "models/t", "ridge", "ridge/model.skops", sha256, (), material)
    parts = json.loads((folder / "run/models/t/_MANIFEST.json").read_text())["parts"]
    (piece, *_) = material.pieces["test"]
    (part,) = [one for one in parts if one["name"] == f"{name_part(piece, 'ridge')}.parquet"]
    with pytest.raises(StageError, match="something else here than it did"):
        check_part(CheckUnit(work, piece, part))


def test_the_task_that_was_trained_counts_not_what_its_file_says_now(folder: Path) -> None:
    (folder / "t.toml").write_text(TASK.replace('name = "ridge"', 'name = "other"'))
    assert predict(folder).restored == 0


def test_models_that_are_not_there_are_told(folder: Path) -> None:
    (folder / "other.toml").write_text(TASK)
    with pytest.raises(StageError, match="tahoe train"):
        predict_rows(folder / "run", folder / "other.toml", workers=0)
    with pytest.raises(ConfigError, match="--task"):
        predict_rows(folder / "run", settings=Settings())


def test_rows_of_the_same_table_have_the_same_predictions(folder: Path) -> None:
    table = next(folder.glob("run table"))
    report = predict(folder, on=table)
    parts = sorted((folder / "run" / report.tables).glob("*.parquet"))
    assert len(parts) == 3
    found = pl.concat([pl.read_parquet(path, hive_partitioning=False) for path in parts]).filter(model="ridge")
    run = folder / "run/models/t/predictions"
    stored = pl.concat(
        [pl.read_parquet(path, hive_partitioning=False) for path in sorted(run.glob("*/ridge.*.parquet"))]
    )
    both = found.join(stored, on=schema.BARCODE, how="inner", validate="1:1")
    assert both.height == make_cells(6).height == found.height
    assert both["y_pred"].to_numpy().tobytes() == both["y_pred_right"].to_numpy().tobytes()
    assert both["y"].to_numpy().tobytes() == both["y_right"].to_numpy().tobytes()
    assert report.rows == 2 * found.height


def test_rows_that_were_never_seen_are_predicted_and_what_is_unlike_training_is_counted(folder: Path) -> None:
    new = make_cells(2, seed=9).with_columns(
        pl.Series("b", [1e9] * 3 + [1.0] * (make_cells(2).height - 3)),
        pl.when(pl.int_range(pl.len()) < 4).then(pl.lit("CVCL_9999")).otherwise("cell_line_id").alias("cell_line_id"),
    )
    new.write_csv(folder / "new cells.csv")
    report = predict(folder, on=folder / "new cells.csv")
    assert report.tables == "predictions/t/new_cells"
    told = json.loads((folder / "run" / f"{report.tables}.json").read_text())
    assert told["rows_read"] == told["rows_made"] == new.height
    assert told["outside"]["value_of"]["b"] == 3
    (codes,) = [name for name in told["outside"]["value_of"] if name.endswith("_code") or "line" in name]
    assert told["outside"]["value_of"][codes] == 4
    assert '"b" (3)' in report.notes[0]
    ridge = pl.read_parquet(folder / "run" / report.tables / "new cells.parquet").filter(model="ridge")
    features = load_features(folder / "run", "custom")
    made = features.transform(pl.read_csv(folder / "new cells.csv"))
    block = np.asarray(features.expand(made, "value_of").toarray())
    gathered = open_material(folder / "run", "custom", "value_of").gather()
    expected = Ridge(alpha=1.0).fit(gathered.x, gathered.y).predict(block)
    np.testing.assert_allclose(ridge["y_pred"].to_numpy(), expected, rtol=1e-9)


def test_predicting_a_table_twice_replaces_what_was_there(folder: Path) -> None:
    table = next(folder.glob("run table"))
    first, second = predict(folder, on=table), predict(folder, on=table)
    assert first.tables == second.tables
    assert (first.rows, first.notes) == (second.rows, second.notes)
    assert predict(folder).restored == 0
    _, mismatches = verify_run(folder / "run")
    assert not [one for one in mismatches if "predictions" in str(one)]


def test_a_table_that_is_not_like_theirs_is_refused(folder: Path) -> None:
    make_cells(1).drop("b").write_parquet(folder / "less.parquet")
    with pytest.raises(ConfigError, match="'b'"):
        predict(folder, on=folder / "less.parquet")
    with pytest.raises(ConfigError, match="not of groups"):
        predict(folder, on="groups")
    (folder / "broken.parquet").write_bytes(b"PAR1 nothing PAR1")
    with pytest.raises(BadDataError):
        predict(folder, on=folder / "broken.parquet")
