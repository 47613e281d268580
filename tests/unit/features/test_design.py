"""Names and places of what comes out of a design: each stands for one column."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

import tahoe_engine as te
from made_tables import DELTA, SUMMARIES, make, make_cells, make_recipe, read_parts, write_parts
from tahoe_engine import schema
from tahoe_engine.errors import BadDataError, ConfigError
from tahoe_engine.features.columns import read_numbers

if TYPE_CHECKING:
    from pathlib import Path

A = {"kind": "numeric", "name": "first", "columns": ["a"], "steps": ["impute"]}
TARGET = {"kind": "column", "name": "y", "column": "value"}


@pytest.fixture(scope="module")
def cells() -> pl.DataFrame:
    return make_cells(4)


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ({"features": [A, A | {"name": "second"}]}, "two columns of the features are called 'a'"),
        ({"features": [A | {"columns": ["b", "b"]}]}, "two columns of the features are called 'b'"),
        ({"features": [A | {"columns": ["dose_um"]}]}, "two columns of the features are called 'dose_um'"),
        ({"features": [A | {"columns": ["delta"]}]}, "two columns of the features are called 'delta'"),
        ({"targets": [TARGET | {"name": "drug", "column": "drug"}]}, "two columns of the features are called 'drug'"),
        ({"targets": [TARGET | {"name": "a"}]}, "the target 'a' is called like a column that it is not"),
        ({"derive": {"delta": "b + 1"}}, "the target 'delta' is called like a column that it is not"),
        ({"targets": [DELTA | {"name": "value"}]}, "the target 'value' is called like a column that it is not"),
        ({"targets": [TARGET | {"name": "split"}]}, "the target 'split' has a name the engine uses itself"),
        ({"targets": [TARGET | {"name": "fold"}]}, "the target 'fold' has a name the engine uses itself"),
        ({"derive": {"fold": "b + 1"}, "features": [A | {"columns": ["fold"]}]}, "the recipe uses a column 'fold'"),
    ],
)
def test_a_name_that_could_be_mistaken_is_refused(
    cells: pl.DataFrame, tmp_path: Path, parts: dict[str, Any], told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        make(tmp_path / "run", cells, make_recipe(**parts))
    assert not (tmp_path / "run/_MANIFEST.json").exists()


def test_a_prefix_keeps_blocks_apart(cells: pl.DataFrame, tmp_path: Path) -> None:
    blocks = [A, {"kind": "numeric", "name": "second", "columns": ["a"], "steps": ["impute", "log1p"], "prefix": "p "}]
    table = cells.with_columns(pl.col("a").abs())
    make(tmp_path / "run", table, make_recipe(features=blocks))
    rows = read_parts(tmp_path / "run")
    np.testing.assert_allclose(rows["p log1p(a)"], np.log1p(rows["a"].to_numpy()), rtol=1e-12)


@pytest.mark.parametrize(
    ("column", "value", "error", "told"),
    [
        ("a", float("inf"), BadDataError, "'a' has an infinite value"),
        ("value", float("inf"), BadDataError, "'value' has an infinite number"),
        ("a", "text", ConfigError, "the column 'a' has no numbers, it is String"),
        ("value", "text", ConfigError, "'value' has no numbers"),
    ],
)
def test_what_is_no_finite_number_is_told_by_its_column(
    cells: pl.DataFrame, tmp_path: Path, column: str, value: Any, error: type[Exception], told: str
) -> None:
    table = (
        cells.with_columns(pl.lit(value).alias(column))
        if value == "text"
        else cells.with_columns(
            pl.when(pl.int_range(pl.len()) == 7).then(value).otherwise(pl.col(column)).alias(column)
        )
    )
    with pytest.raises(error, match=told):
        make(tmp_path / "run", table)


def test_nan_is_a_missing_number_and_a_missing_target_is_counted(cells: pl.DataFrame, tmp_path: Path) -> None:
    n_missing = cells["a"].null_count()
    is_third = pl.int_range(pl.len()) % 3 == 0
    table = cells.with_columns(
        pl.when(is_third).then(float("nan")).otherwise(pl.col("a")).alias("a"),
        pl.when(is_third).then(float("nan")).otherwise(pl.col("value")).alias("value"),
    )
    report = make(tmp_path / "run", table, make_recipe(features=[SUMMARIES | {"steps": ["standardize"]}]))
    assert report.manifest["targets"]["delta"]["missing"] == cells.height // 3
    rows = read_parts(tmp_path / "run")
    assert rows["delta"].null_count() == cells.height // 3
    assert rows["delta"].is_nan().sum() == rows["a"].is_nan().sum() == 0
    assert cells.height // 3 <= rows["a"].null_count() <= cells.height // 3 + n_missing
    assert report.manifest["counted"]["null"] == {"a": rows["a"].null_count()}


def test_levels_that_do_not_train_are_unknown_and_empty_ones_are_one_level(cells: pl.DataFrame, tmp_path: Path) -> None:
    make(tmp_path / "first", cells)
    tests = read_parts(tmp_path / "first").filter(split="test")[schema.BARCODE]
    is_test = pl.col(schema.BARCODE).is_in(tests.implode())
    moa = pl.when(is_test).then(pl.lit("New")).when(pl.col("b") > 2).then(None).otherwise(pl.col(schema.MOA_FINE))
    table = cells.with_columns(moa.alias(schema.MOA_FINE))
    block = {"kind": "one_hot", "name": "moa", "column": schema.MOA_FINE, "levels": "seen"}
    report = make(tmp_path / "run", table, make_recipe(features=[block]))
    features = te.load_features(tmp_path / "run", "custom")
    known = sorted({moa or "" for moa in table.filter(~is_test)[schema.MOA_FINE]})
    assert features.columns() == tuple(f"{schema.MOA_FINE}={level}" for level in known)
    assert report.manifest["counted"]["unknown"] == {f"{schema.MOA_FINE}_code": len(tests)}
    for rows, matrix in features.blocks("train"):
        dense = matrix.toarray()
        assert [known[at] for at in dense.argmax(axis=1)] == rows[schema.MOA_FINE].fill_null("").to_list()
        assert (dense.sum(axis=1) == 1).all()
    for _, matrix in features.blocks("test"):
        assert matrix.nnz == 0


@pytest.mark.parametrize(
    "parts",
    [
        {"targets": [TARGET | {"column": "pair"}]},
        {"split": {"by": ["pair"]}},
        {"features": [{"kind": "one_hot", "name": "pair", "column": "pair", "levels": "seen"}]},
        {"features": [A | {"columns": ["pair"]}]},
    ],
    ids=["target", "split", "levels", "numbers"],
)
@pytest.mark.parametrize("kind", ["list", "record", "bytes"])
def test_a_column_of_lists_is_refused_where_it_is_used(
    cells: pl.DataFrame, tmp_path: Path, parts: dict[str, Any], kind: str
) -> None:
    pair = {"list": pl.concat_list("a", "b"), "record": pl.struct("a", "b"), "bytes": pl.col("drug").cast(pl.Binary)}
    table = cells.with_columns(pair[kind].alias("pair"))
    with pytest.raises(BadDataError, match=r"part-\d.parquet: the column 'pair' is (List|Struct|Binary)"):
        make(tmp_path / "run", table, make_recipe(**parts))
    make(tmp_path / "other", table)


@pytest.mark.parametrize(
    ("change", "n_rows"),
    [
        (lambda cells: cells.drop("drug"), 192),
        (lambda cells: cells.filter(pl.col("drug") != schema.CONTROL_DRUG), 144),
        (lambda cells: cells.with_columns(value=pl.lit(None, dtype=pl.Float64)), 192),
    ],
    ids=["no drugs", "no controls", "no values"],
)
def test_features_without_any_target_say_so(cells: pl.DataFrame, tmp_path: Path, change: Any, n_rows: int) -> None:
    report = make(tmp_path / "run", change(cells))
    assert report.manifest["targets"] == {"delta": {"missing": n_rows}}
    notes = [note for note in report.manifest["notes"] if "has the target 'delta'" in note]
    assert [note.partition(":")[0] for note in notes] == ["train", "test"]


def test_only_controls_leave_nothing_to_split(cells: pl.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="0 groups of sample besides those of controls"):
        make(tmp_path / "run", cells.with_columns(drug=pl.lit(schema.CONTROL_DRUG)))


def test_controls_may_be_baseline_only(cells: pl.DataFrame, tmp_path: Path) -> None:
    report = make(tmp_path / "run", cells, make_recipe(rows={"controls": "drop"}))
    make(tmp_path / "kept", cells)
    rows, kept = read_parts(tmp_path / "run"), read_parts(tmp_path / "kept")
    assert report.manifest["filtered"] == {"controls": 48}
    assert schema.CONTROL_DRUG not in rows["drug"].to_list()
    expected = kept.filter(pl.col("drug") != schema.CONTROL_DRUG)
    assert rows.select(schema.BARCODE, "split", "delta").equals(expected.select(schema.BARCODE, "split", "delta"))


def test_numbers_of_any_kind_are_read_as_doubles() -> None:
    frame = pl.DataFrame(
        {
            "f": pl.Series([1.5, None], dtype=pl.Float32),
            "u": pl.Series([2**63, 1], dtype=pl.UInt64),
            "d": pl.Series(["1.25", "2"]).cast(pl.Decimal(10, 2)),
            "b": [True, None],
            "n": pl.Series([None, None], dtype=pl.Null),
        }
    )
    expected = [[1.5, 2.0**63, 1.25, 1.0, np.nan], [np.nan, 1.0, 2.0, np.nan, np.nan]]
    np.testing.assert_array_equal(read_numbers(frame, ("f", "u", "d", "b", "n")), expected)
    with pytest.raises(ConfigError, match=r"the column 'l' has no numbers, it is List\(Int64\)"):
        read_numbers(pl.DataFrame({"l": [[1]]}), ("l",))


def test_a_recipe_is_a_name_a_path_or_a_recipe(cells: pl.DataFrame, tmp_path: Path) -> None:
    from tahoe_engine.features.recipes import list_recipes

    wrong: list[Any] = [3, {"table": "cells"}, b"dge"]
    for recipe in wrong:
        with pytest.raises(ConfigError, match="input should be a name, a path or a Recipe"):
            te.make_features(tmp_path / "run", recipe, table=tmp_path, workers=0)
    # A path is one, whoever wrote it: here it is found that the table is not for it.
    table = write_parts(cells, tmp_path / "table", 1)
    with pytest.raises(ConfigError, match="there is no column 'expr_len'"):
        te.make_features(tmp_path / "run", next(iter(list_recipes())), table=table, workers=0)
