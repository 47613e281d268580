"""Loaded features: matrices of the stored rows, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest
from sklearn.preprocessing import OneHotEncoder

import tahoe_engine as te
from made_tables import DELTA, make, make_cells, make_recipe, read_parts
from tahoe_engine import schema
from tahoe_engine.errors import ConfigError, StageError

if TYPE_CHECKING:
    from pathlib import Path

    from tahoe_engine.features import Features

LINE = {"kind": "one_hot", "name": "line", "column": "cell_line_id", "levels": "seen"}
RAW = {"kind": "numeric", "name": "raw", "columns": ["n", "a"], "prefix": "raw "}
SQUARES = {"kind": "numeric", "name": "squares", "columns": ["b"], "steps": ["polynomial", "standardize"]}
OF_LINE = {"kind": "column", "name": "line_of", "column": "cell_line_id", "without": ["line", "raw"]}


@pytest.fixture(scope="module")
def into(tmp_path_factory: pytest.TempPathFactory) -> Path:
    into = tmp_path_factory.mktemp("loaded") / "run"
    make(into, make_cells(8), make_recipe(targets=[DELTA, OF_LINE], features=[RAW, LINE, SQUARES]))
    return into


@pytest.fixture(scope="module")
def features(into: Path) -> Features:
    return te.load_features(into, "custom")


def test_columns_are_in_the_order_of_the_recipe_and_codes_stand_for_levels(features: Features) -> None:
    lines = [f"cell_line_id={line}" for line in ("CVCL_0131", "CVCL_0480", "CVCL_1239")]
    assert features.columns() == ("raw n", "raw a", *lines, "b", "b^2")
    assert features.columns("line_of") == ("b", "b^2")
    assert features.columns("delta") == features.columns()


def test_a_matrix_has_the_stored_numbers_and_the_ones_of_scikit_learn(features: Features) -> None:
    n_rows = 0
    for split in schema.SPLITS:
        for rows, matrix in features.blocks(split):
            dense = matrix.toarray()
            assert dense.shape == (rows.height, 7)
            expected = rows.select("raw n", "raw a").to_numpy()
            np.testing.assert_array_equal(dense[:, :2], expected)
            encoder = OneHotEncoder(categories=[["CVCL_0131", "CVCL_0480", "CVCL_1239"]])
            ones = encoder.fit_transform(rows.select("cell_line_id").to_numpy()).toarray()
            np.testing.assert_array_equal(dense[:, 2:5], ones)
            without = features.expand(rows, "line_of").toarray()
            np.testing.assert_array_equal(without, dense[:, 5:])
            n_rows += rows.height
    assert n_rows == 384
    assert not list(features.blocks("validation"))
    assert features.expand(features.table("train").head(0).collect()).shape == (0, 7)


def test_missing_numbers_are_nan_in_the_matrix(features: Features) -> None:
    missing = sum(int(np.isnan(matrix.toarray()).sum()) for _, matrix in features.blocks("train"))
    assert missing == features.table("train").select(pl.col("raw a").null_count()).collect().item() > 0


def test_tables_have_the_rows_of_the_parts(into: Path, features: Features) -> None:
    rows = read_parts(into)
    for split in ("train", "test"):
        stored = features.table(split).collect().sort(schema.BARCODE)
        assert stored.equals(rows.filter(split=split).drop("split"))


def test_a_level_that_is_not_known_has_no_ones(features: Features) -> None:
    rows = next(features.blocks("train"))[0].head(2)
    strange = rows.with_columns(pl.lit(-1, dtype=pl.Int32).alias("cell_line_id_code"))
    assert features.expand(strange).toarray()[:, 2:5].sum() == 0


def test_what_is_not_there_is_told(into: Path, features: Features) -> None:
    with pytest.raises(StageError, match="features/biospark-m3"):
        te.load_features(into, "biospark-m3")
    with pytest.raises(ConfigError, match="custom: no target 'x'; there is delta, line_of"):
        features.columns("x")


def test_a_part_with_other_bytes_is_not_read(into: Path, features: Features) -> None:
    name = next(part["name"] for part in features.manifest["parts"] if part["name"].startswith("test/"))
    path = into / "features/custom" / name
    whole = path.read_bytes()
    path.write_bytes(whole[:100] + bytes([whole[100] ^ 1]) + whole[101:])
    try:
        with pytest.raises(StageError, match="not what the manifest says"):
            list(features.blocks("test"))
    finally:
        path.write_bytes(whole)
