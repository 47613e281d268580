"""Rows of a recipe: kept, dropped and counted, derived, keyed; by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from made_tables import make_recipe
from tahoe_engine.errors import BadDataError, ConfigError
from tahoe_engine.features.joined import Joins
from tahoe_engine.features.rows import RowReader
from tahoe_engine.features.table import find_table
from tahoe_engine.run import Layout
from tahoe_engine.schema import CONTROL, ROW_KEY, ROW_NUMBER

if TYPE_CHECKING:
    from pathlib import Path

TABLE = pl.DataFrame(
    {
        "id": ["r0", "r1", "r2", "r3", "r4", "r5"],
        "drug": ["DMSO_TF", "A", "B", "", None, "DMSO_TF "],
        "x": [1.0, 2.0, None, float("nan"), -1.0, 0.0],
        "n": [1, 2, 3, 4, 5, 6],
    }
)


def read(
    folder: Path, wanted: tuple[str, ...], table: pl.DataFrame = TABLE, **parts: Any
) -> tuple[pl.DataFrame, dict[str, Any]]:
    """Read all rows of a table of one part."""
    reader = open_rows(folder, table, **parts)
    return reader.read(reader.table.slices[0], wanted)


def open_rows(folder: Path, table: pl.DataFrame = TABLE, **parts: Any) -> RowReader:
    folder.mkdir(exist_ok=True)
    path = folder / "t.parquet"
    table.write_parquet(path)
    recipe = make_recipe(**({"table": "file", "key": ["id"]} | parts))
    found = find_table(Layout(folder / "run"), recipe, str(path))
    return RowReader(recipe, found, Joins())


def test_what_is_dropped_is_counted_once_by_the_first_that_drops_it(tmp_path: Path) -> None:
    rows = {"keep": {"drug": ["A", "B", "", "C"]}, "where": "n > 2"}
    frame, told = read(tmp_path, ("id",), rows=rows)
    assert frame["id"].to_list() == ["r2", "r3"]
    # r0, r4 (no drug at all) and r5 are not kept; of the rest r1 is not where.
    assert (told["rows"], told["keep"], told["where"]) == (6, 3, 1)
    assert told["seen"] == {"drug": ["", "A", "B", "DMSO_TF", "DMSO_TF "]}


def test_a_condition_that_cannot_be_told_is_not_met(tmp_path: Path) -> None:
    frame, told = read(tmp_path, ("id",), rows={"where": "x > 0"})
    assert frame["id"].to_list()[:2] == ["r0", "r1"]
    assert "r2" not in frame["id"].to_list()
    assert told["where"] == 6 - frame.height


def test_numbers_are_kept_by_their_value(tmp_path: Path) -> None:
    assert read(tmp_path, ("id",), rows={"keep": {"n": ["1", "3.0", "9"]}})[0]["id"].to_list() == ["r0", "r2"]
    with pytest.raises(ConfigError, match=r"rows.keep: 'n' has numbers, and \('one',\) are not all numbers"):
        read(tmp_path, ("id",), rows={"keep": {"n": ["one"]}})


def test_control_cells_are_those_of_the_very_drug(tmp_path: Path) -> None:
    assert read(tmp_path, (CONTROL,))[0][CONTROL].to_list() == [True, False, False, False, False, False]
    other = read(tmp_path, (CONTROL,), rows={"control": "A"})[0]
    assert other[CONTROL].to_list() == [False, True, False, False, False, False]
    # A table without drugs has no controls.
    assert not read(tmp_path, (CONTROL,), TABLE.drop("drug"))[0][CONTROL].any()


def test_derived_columns_follow_each_other_and_nothing_else_is_computed(tmp_path: Path) -> None:
    derive = {"twice": "n * 2", "more": "twice + 1", "broken": "log1p(x)"}
    frame, _ = read(tmp_path, ("id", "more"), derive=derive)
    assert frame.columns == ["id", "more"]
    assert frame["more"].to_list() == [3, 5, 7, 9, 11, 13]
    assert open_rows(tmp_path, derive=derive).list_base(["more", "id"]) == {"n", "id"}


def test_a_key_depends_on_its_row_alone(tmp_path: Path) -> None:
    keys = dict(zip(TABLE["id"], read(tmp_path, (ROW_KEY,))[0][ROW_KEY], strict=True))
    assert len(set(keys.values())) == 6
    backwards = TABLE.reverse().with_columns(x=pl.lit(7.0)).select("n", "id", "x", "drug")
    frame, _ = read(tmp_path, ("id", ROW_KEY), backwards, rows={"where": "n > 2"})
    assert {row: keys[row] for row in frame["id"]} == dict(zip(frame["id"], frame[ROW_KEY], strict=True))


def test_without_a_key_all_columns_tell_rows_apart(tmp_path: Path) -> None:
    twice = pl.concat([TABLE, TABLE.head(1), TABLE.tail(1).with_columns(n=pl.lit(7, dtype=pl.Int64))])
    keys = read(tmp_path, (ROW_KEY,), twice, key=[])[0][ROW_KEY]
    assert keys.n_unique() == 7
    assert keys[0] == keys[6]


def test_the_first_rows_are_counted_over_all_parts(tmp_path: Path) -> None:
    reader = open_rows(tmp_path, rows={"first": 5})
    piece = reader.table.slices[0]
    for before, expected in ((0, 5), (3, 2), (5, 0), (9, 0)):
        counting = RowReader(reader.recipe, reader.table, reader.joins, {piece.name: before})
        frame, _ = counting.read(piece, (ROW_NUMBER,))
        assert frame[ROW_NUMBER].to_list() == list(range(before, before + expected))


def test_where_must_be_true_or_false(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"rows.where = 'n \+ 1' must be true or false"):
        read(tmp_path, ("id",), rows={"where": "n + 1"})


@pytest.mark.parametrize(
    ("parts", "names", "told"),
    [
        ({}, ["drugs"], "there is no column 'drugs'; did you mean 'drug'? There is id, drug, x, n"),
        ({"rows": {"keep": {"drugg": ["A"]}}}, [], "did you mean 'drug'?"),
        ({"rows": {"where": "xx > 1"}}, [], "there is no column 'xx'; did you mean 'x'?"),
        ({"derive": {"n": "x + 1"}}, [], "the derived column 'n' is there already"),
        ({"derive": {"a": "b + 1", "b": "x + 1"}}, [], "there is no column 'b'"),
        ({"derive": {"row_key": "x + 1"}}, [], "a column is called 'row_key', a name the engine uses itself"),
    ],
)
def test_a_column_that_is_not_there_is_told(tmp_path: Path, parts: dict[str, Any], names: list[str], told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_rows(tmp_path, **parts).require_columns(names)
    assert told in str(caught.value)


def test_names_of_foreign_columns_cannot_write_on_the_terminal(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        open_rows(tmp_path, TABLE.rename({"x": "x\x1b[2J"})).require_columns(["y"])
    assert "\x1b" not in str(caught.value)


def test_a_file_that_changed_meanwhile_is_named(tmp_path: Path) -> None:
    reader = open_rows(tmp_path)
    TABLE.head(4).write_parquet(tmp_path / "t.parquet")
    with pytest.raises(BadDataError, match=r"t.parquet: 4 rows, 6 expected; it changed meanwhile"):
        reader.read(reader.table.slices[0], ("id",))


def test_categories_are_texts(tmp_path: Path) -> None:
    table = TABLE.with_columns(
        pl.col("drug").cast(pl.Categorical), kind=pl.Series(["u", "v"] * 3, dtype=pl.Enum(["u", "v"]))
    )
    frame, _ = read(tmp_path, ("drug", "kind", CONTROL), table, rows={"keep": {"kind": ["u"]}})
    assert frame.schema == {"drug": pl.String, "kind": pl.String, CONTROL: pl.Boolean}
    assert frame["drug"].to_list() == ["DMSO_TF", "B", None]
    assert frame[CONTROL].to_list() == [True, False, False]
