from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline

from made_tables import DELTA, make, make_cells, make_recipe
from tahoe_engine import schema
from tahoe_engine.errors import ConflictError, StageError
from tahoe_engine.models.baseline import learn_baseline
from tahoe_engine.models.material import Material, open_material
from tahoe_engine.models.predictions import (
    PredictionsUnit,
    PredictionsWork,
    name_part,
    predict_piece,
    write_predictions,
)
from tahoe_engine.models.store import encode_baseline, encode_model
from tahoe_engine.run import Layout, hash_file
from tahoe_engine.run.receipts import find_receipt

STAGE = "models/t"


@pytest.fixture(scope="module")
def into(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A target that one row in three lacks, and one of classes."""
    into = tmp_path_factory.mktemp("predictions") / "run"
    line = {"kind": "column", "name": "line_of", "column": "cell_line_id"}
    half = {"kind": "column", "name": "half", "column": "half"}
    cells = make_cells(8).with_row_index("at")
    cells = cells.with_columns(half=pl.when(pl.col("at") % 3 == 1).then(None).otherwise("value")).drop("at")
    cells = cells.with_columns(model=pl.lit("of the row"))
    make(into, cells, make_recipe(targets=[DELTA, line, half], derive={}))
    return into


def begin(material: Material, model: Any, label: str = "m", epoch: int = 1) -> PredictionsWork:
    """Write a model as a launch does."""
    layout = Layout(Path(material.root), epoch)
    layout.make_state()
    (layout.epochs / f"{epoch:06}").touch()
    layout.receipts(STAGE).mkdir(parents=True, exist_ok=True)
    is_baseline = not hasattr(model, "get_params")
    content = encode_baseline(model) if is_baseline else encode_model(model)
    file = f"{label}/model.{'json' if is_baseline else 'skops'}"
    path = layout.stage(STAGE) / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    sha256 = hashlib.sha256(content).hexdigest()
    return PredictionsWork(material.root, epoch, STAGE, label, file, sha256, (), material)


def fit_ridge(material: Material) -> Any:
    block = material.gather()
    return Ridge(alpha=1.0).fit(block.x, block.y)


def units(work: PredictionsWork) -> list[PredictionsUnit]:
    pieces = [piece for pieces in work.material.pieces.values() for piece in pieces]
    return [PredictionsUnit(work, piece, name_part(piece, work.label), "key") for piece in pieces]


def test_every_row_with_the_target_is_there_once_with_its_ids(into: Path) -> None:
    material = open_material(into, "custom", "half")
    model = fit_ridge(material)
    work = begin(material, model, "numbers")
    for split in schema.SPLITS:
        stored = [into / STAGE / f"{name_part(piece, 'numbers')}.parquet" for piece in material.pieces[split]]
        for unit in units(work):
            if unit.piece.split == split:
                write_predictions(unit)
        if not stored:
            continue
        found = pl.concat([pl.read_parquet(path, hive_partitioning=False) for path in stored])
        block = material.gather([split])
        assert found[schema.BARCODE].to_list() == block.rows[schema.BARCODE].to_list()
        assert found["y"].to_numpy().tobytes() == block.y.tobytes()
        np.testing.assert_allclose(found["y_pred"].to_numpy(), model.predict(block.x), rtol=1e-12)
        assert set(found["model"]) == {"numbers"}
        assert found.columns[-3:] == ["model", "y", "y_pred"]
    assert sum(unit.piece.n_rows for unit in units(work)) < make_cells(8).height


def test_classes_are_texts_and_each_has_its_share(into: Path) -> None:
    material = open_material(into, "custom", "line_of")
    block = material.gather()
    model = Pipeline([("model", LogisticRegression(max_iter=1000))]).fit(block.x, block.y)
    work = begin(material, model, "classes")
    for piece in material.pieces["test"]:
        found, rows = predict_piece(work, piece), material.load(piece)
        assert found["y"].to_list() == found[schema.CELL_LINE_ID].to_list()
        shares = found.select(f"p_{name}" for name in material.classes)
        np.testing.assert_allclose(shares.to_numpy(), model.predict_proba(rows.x), rtol=1e-12)
        named = [material.classes[code] for code in model.predict(rows.x)]
        assert found["y_pred"].to_list() == named
        assert (found["y_pred"] != found["y"]).any()


def test_a_class_that_was_not_in_training_keeps_its_name(into: Path) -> None:
    material = open_material(into, "custom", "line_of")
    first, *rest = material.classes
    assert rest
    other = replace(material, classes=tuple(rest), strange=(first,))
    block = other.gather()
    seen = block.y < len(rest)
    model = LogisticRegression(max_iter=1000).fit(block.x[seen], block.y[seen])
    work = begin(other, model, "strange")
    (piece, *_) = other.pieces["test"]
    found = predict_piece(work, piece)
    assert found["y"].to_list() == found[schema.CELL_LINE_ID].to_list()
    assert set(found["y_pred"]) <= set(rest)
    assert [name for name in found.columns if name.startswith("p_")] == [f"p_{name}" for name in rest]


def test_a_baseline_predicts_by_the_ids_and_no_feature_is_read(into: Path) -> None:
    material = open_material(into, "custom", "delta")
    block = material.gather()
    learned = learn_baseline("group_mean", (), [schema.CELL_LINE_ID], block.rows, block.y)
    work = begin(replace(material, columns=("nothing",), sources=("nothing",)), learned, "baseline")
    (piece, *_) = material.pieces["test"]
    found = predict_piece(work, piece)
    assert found["y_pred"].to_list() == [learned.levels[line,][0] for line in found[schema.CELL_LINE_ID]]


def test_a_receipt_says_what_the_part_is(into: Path) -> None:
    material = open_material(into, "custom", "delta")
    work = begin(material, fit_ridge(material), "receipt")
    unit = units(work)[0]
    receipt = write_predictions(unit)
    path = into / STAGE / f"{unit.name}.parquet"
    assert receipt[STAGE]["rows"] == unit.piece.n_rows
    assert receipt[STAGE]["sha256"] == hash_file(path)
    assert [name for name, _ in receipt["columns"]] == pl.read_parquet(path, hive_partitioning=False).columns
    assert find_receipt(Layout(into, 1), STAGE, unit.name, "key") == receipt
    assert not list(Layout(into, 1).temporary.iterdir())


def test_the_same_part_twice_is_one_and_another_is_refused(into: Path) -> None:
    material = open_material(into, "custom", "delta")
    work = begin(material, fit_ridge(material), "twice")
    unit = units(work)[0]
    assert write_predictions(unit) == write_predictions(unit)
    other = begin(material, Ridge(alpha=100.0).fit(*_rows(material)), "twice")
    with pytest.raises(ConflictError, match="E_NONDETERMINISM"):
        write_predictions(replace(unit, work=other))


def _rows(material: Material) -> tuple[Any, Any]:
    block = material.gather()
    return block.x, block.y


def test_a_model_with_other_bytes_is_refused(into: Path) -> None:
    material = open_material(into, "custom", "delta")
    work = begin(material, fit_ridge(material), "changed")
    path = into / STAGE / work.file
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(StageError, match="other bytes"):
        write_predictions(units(work)[0])
    path.unlink()
    with pytest.raises(StageError, match="gone"):
        write_predictions(units(work)[0])


def test_an_id_that_has_the_name_of_a_prediction_is_kept_under_another(tmp_path: Path) -> None:
    cells = make_cells(8).with_columns(y=pl.int_range(pl.len()), model=pl.lit("x")).drop(schema.BARCODE)
    recipe = make_recipe(table="file", key=["y", "model"], targets=[_value()])
    make(tmp_path / "run", cells, recipe)
    material = open_material(tmp_path / "run", "custom", "delta")
    work = begin(material, fit_ridge(material))
    (piece, *_) = material.pieces["test"]
    found = predict_piece(work, piece)
    assert found["y of the row"].n_unique() == piece.n_rows
    assert found["y"].dtype == pl.Float64
    assert set(found["model"]) == {"m"}


def _value() -> dict[str, Any]:
    return {"kind": "column", "name": "delta", "column": "value"}
