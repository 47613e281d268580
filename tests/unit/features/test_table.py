"""Tables of the user's: of any form, in parts that agree, and never a traceback."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

import tahoe_engine as te
from made_tables import make_cells, make_recipe, write_parts
from tahoe_engine import schema
from tahoe_engine.errors import BadDataError, ConfigError, SourceError, StageError, TahoeError
from tahoe_engine.features.files import measure_file, read_text, require_same
from tahoe_engine.features.table import cut_part, find_table
from tahoe_engine.features.width import SLICE_ROWS
from tahoe_engine.run import Layout

if TYPE_CHECKING:
    from pathlib import Path

    from tahoe_engine.features import table as tables


@pytest.fixture(scope="module")
def cells() -> pl.DataFrame:
    return make_cells(4)


def find(tmp_path: Path, place: Path | str, **parts: Any) -> tables.TableParts:
    return find_table(Layout(tmp_path / "run"), make_recipe(**parts), str(place))


def test_a_part_is_cut_into_slices_that_follow_each_other(tmp_path: Path) -> None:
    pieces = list(cut_part("a", tmp_path / "a.parquet", 2 * SLICE_ROWS + 5))
    assert [(piece.first, piece.n_rows, piece.name) for piece in pieces] == [
        (0, SLICE_ROWS, "a.00000"),
        (SLICE_ROWS, SLICE_ROWS, "a.00001"),
        (2 * SLICE_ROWS, 5, "a.00002"),
    ]
    assert [piece.name for piece in cut_part("b", tmp_path / "b.parquet", SLICE_ROWS)] == ["b"]
    assert not list(cut_part("c", tmp_path / "c.parquet", 0))
    # Text is read as a whole, whatever the case of its name.
    assert len(list(cut_part("d", tmp_path / "d.CSV", 3 * SLICE_ROWS))) == 1


@pytest.mark.parametrize("end", [".csv", ".tsv", ".txt", ".CSV", ".parquet", ".PQ"])
def test_a_file_of_any_form_has_the_rows_and_columns_it_has(tmp_path: Path, cells: pl.DataFrame, end: str) -> None:
    path = tmp_path / f"my cells{end}"
    if end.lower() in {".csv", ".tsv", ".txt"}:
        cells.write_csv(path, separator="," if end.lower() == ".csv" else "\t")
        assert read_text(path).equals(cells.with_columns(pl.col(schema.MOA_FINE).replace("", None)))
    else:
        cells.write_parquet(path)
    found = find(tmp_path, path)
    assert (found.n_rows, found.columns, found.key) == (
        cells.height,
        tuple(cells.columns),
        (schema.BARCODE, schema.SAMPLE),
    )
    assert found.ids == tuple(name for name in schema.CELLS.names if name in cells.columns)
    assert list(found.hashes) == ["my cells"]


def test_a_folder_has_its_parts_in_order_and_none_for_an_empty_one(tmp_path: Path, cells: pl.DataFrame) -> None:
    folder = write_parts(cells, tmp_path / "a folder", 3)
    cells.head(0).write_parquet(folder / "part-1b.parquet")
    (folder / "readme.txt").write_text("not a part")
    found = find(tmp_path, folder)
    assert [piece.name for piece in found.slices] == ["part-0", "part-1", "part-2"]
    assert found.n_rows == cells.height
    assert set(found.hashes) == {"part-0", "part-1", "part-1b", "part-2"}


@pytest.mark.parametrize("name", ["we ird[1]*{x}.parquet", "..parquet", "index.parquet", "a.00001.parquet"])
def test_an_odd_name_of_a_part_is_a_name(tmp_path: Path, cells: pl.DataFrame, name: str) -> None:
    folder = tmp_path / "plate=plate9"
    folder.mkdir()
    cells.write_parquet(folder / name)
    found = find(tmp_path, folder)
    assert found.n_rows == cells.height
    assert found.columns == tuple(cells.columns)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "cannot be read as a table"),
        ("a,b\n", "the table has no rows"),
        ("a,b\n1,2,3\n4,5\n", "cannot be read as a table"),
        (b"a,b\n\xe9,2\n", "cannot be read as a table"),
        (bytes(range(256)), "cannot be read as a table"),
    ],
)
def test_text_that_is_no_table_is_named(tmp_path: Path, content: str | bytes, told: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(BadDataError, match=told) as caught:
        find(tmp_path, path, table="file")
    assert str(path) in str(caught.value)


def test_what_is_no_table_at_all_is_told(tmp_path: Path, cells: pl.DataFrame) -> None:
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 and nothing")
    with pytest.raises(BadDataError, match=r"bad.parquet: cannot be read as a table"):
        find(tmp_path, tmp_path / "bad.parquet")
    (tmp_path / "empty").mkdir()
    for place in (tmp_path / "empty", tmp_path / "nothing.csv"):
        with pytest.raises(SourceError, match="no such table; name a file"):
            find(tmp_path, place)
    cells.head(0).write_parquet(tmp_path / "none.parquet")
    with pytest.raises(BadDataError, match="the table has no rows"):
        find(tmp_path, tmp_path / "none.parquet")
    with pytest.raises(ConfigError, match="name its file with --table"):
        find(tmp_path, "", table="file")
    with pytest.raises(StageError, match="run `tahoe cells` first"):
        find(tmp_path, "")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"a": pl.String}, "the column 'a' is string, and in part-0.parquet it is double"),
        ({"a": pl.Float32}, "the column 'a' is float, and in part-0.parquet it is double"),
        ({"n": pl.Int32}, "the column 'n' is int32, and in part-0.parquet it is int64"),
        ({"drug": pl.Int8}, "the column 'drug' is int8, and in part-0.parquet it is string"),
    ],
)
def test_parts_of_other_types_are_refused_by_the_column(
    tmp_path: Path, cells: pl.DataFrame, change: dict[str, Any], told: str
) -> None:
    folder = write_parts(cells, tmp_path / "table", 2)
    ((name, dtype),) = change.items()
    other = cells.head(5).with_columns(pl.lit(1, dtype=pl.Int8).cast(dtype).alias(name))
    other.write_parquet(folder / "part-2.parquet")
    with pytest.raises(BadDataError, match=told):
        find(tmp_path, folder)


def test_parts_may_differ_in_the_order_of_columns_and_in_how_texts_are_kept(
    tmp_path: Path, cells: pl.DataFrame
) -> None:
    folder = write_parts(cells, tmp_path / "table", 2)
    other = cells.head(5).with_columns(pl.col("drug").cast(pl.Categorical)).select(reversed(cells.columns))
    other.write_parquet(folder / "part-2.parquet")
    assert find(tmp_path, folder).n_rows == cells.height + 5
    cells.head(5).drop("b").write_parquet(folder / "part-3.parquet")
    with pytest.raises(BadDataError, match=r"part-3.parquet: the column 'b' is not there, and in part-0.parquet it is"):
        find(tmp_path, folder)


def test_types_of_two_files_agree_or_not_whatever_their_order(tmp_path: Path) -> None:
    one, other = tmp_path / "one.parquet", tmp_path / "other.parquet"
    require_same({"a": "x", "b": "y"}, other, {"b": "y", "a": "x"}, one)
    with pytest.raises(BadDataError, match=r"other.parquet: the column 'c' is z, and in one.parquet it is not there"):
        require_same({"a": "x", "c": "z"}, other, {"a": "x"}, one)


def test_lists_do_not_tell_rows_apart(tmp_path: Path, cells: pl.DataFrame) -> None:
    path = tmp_path / "t.parquet"
    cells.with_columns(pair=pl.concat_list("a", "b"), both=pl.struct("a", "b")).write_parquet(path)
    with pytest.raises(ConfigError, match=r"'pair' is large_list<.*in the `key` of the recipe"):
        find(tmp_path, path, table="file")
    assert find(tmp_path, path, table="file", key=[schema.BARCODE]).key == (schema.BARCODE,)
    assert measure_file(path)[1]["drug"] == "string"


def test_a_top_table_is_one_file(tmp_path: Path, cells: pl.DataFrame) -> None:
    folder = write_parts(cells, tmp_path / "table", 2)
    with pytest.raises(ConfigError, match="a top table is one file"):
        find(tmp_path, folder, table="top_table")


def test_a_damaged_part_of_the_run_is_named_before_any_work(run: Path, tmp_path: Path) -> None:
    import shutil

    into = tmp_path / "run"
    shutil.copytree(run, into)
    recipe = make_recipe()
    found = find_table(Layout(into), recipe, "")
    assert found.n_rows == 1200
    assert set(found.needs) == {"cells"}
    part = next((into / "cells").glob("*.parquet"))
    part.write_bytes(part.read_bytes()[:-1])
    with pytest.raises(TahoeError, match=part.name):
        find_table(Layout(into), recipe, "")


def test_rows_of_files_have_their_number_among_all_of_the_table(tmp_path: Path) -> None:
    rows = pl.DataFrame(
        {"id": [f"i{at}" for at in range(30)], "x": [float(at % 7) for at in range(30)], "y": range(30)}
    )
    recipe = make_recipe(
        table="file",
        key=["id"],
        rows={"where": "y >= 5"},  # those before are dropped, and counted all the same
        split={"test": 0.3, "folds": 0},
        targets=[{"kind": "column", "name": "target", "column": "y"}],
        features=[{"kind": "numeric", "name": "s", "columns": ["x"]}],
    )
    write_parts(rows, tmp_path / "table", n_parts=3)
    te.make_features(tmp_path / "run", recipe, table=tmp_path / "table", workers=0)
    features = te.load_features(tmp_path / "run", "custom")
    made = pl.concat([features.table(split).collect() for split in ("train", "test")]).sort("row")
    assert made["row"].to_list() == made["target"].to_list() == list(range(5, 30))
    # Rows that come later are numbered as they come, and need no such column.
    assert features.transform(rows.tail(3))["row"].to_list() == [0, 1, 2]


def test_a_column_that_is_called_row_stays_what_it_is(tmp_path: Path) -> None:
    rows = pl.DataFrame({"row": ["c", "a", "b"], "x": [1.0, 2.0, 3.0]})
    rows.write_parquet(tmp_path / "t.parquet")
    parts: dict[str, Any] = {"table": "file", "targets": [{"kind": "column", "name": "y", "column": "x"}]}
    assert find(tmp_path, tmp_path / "t.parquet", key=["row"], **parts).ids == ("row",)
    assert find(tmp_path, tmp_path / "t.parquet", key=["x"], **parts).ids == ("x",)
    rows.select("x").write_parquet(tmp_path / "t.parquet")
    assert find(tmp_path, tmp_path / "t.parquet", key=["x"], **parts).ids == ("x", "row")
    assert find(tmp_path, tmp_path / "t.parquet", key=["x"], derive={"row": "x + 1"}, **parts).ids == ("x",)
