"""What recipes join: by which key, from which table, and what is not known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from made_tables import make, make_cells, make_recipe, read_parts, write_parts
from tahoe_engine import schema
from tahoe_engine.errors import ConfigError, TahoeError
from tahoe_engine.features.joined import Joins
from tahoe_engine.features.table import find_table
from tahoe_engine.run import Layout

if TYPE_CHECKING:
    from pathlib import Path

ORGAN = {"kind": "one_hot", "name": "organ", "column": "organ", "levels": "seen"}
PHASE = {"kind": "one_hot", "name": "phase", "column": "phase", "levels": "seen"}


def load(folder: Path, table: pl.DataFrame, joins: list[str], obs: str = "") -> Joins:
    recipe = make_recipe(joins=joins, table="file", key=[table.columns[0]])
    found = find_table(Layout(folder / "run"), recipe, str(write_parts(table, folder / "table", 1)))
    return Joins.load(recipe, found, obs)


def test_lines_have_their_organ_and_unknown_ones_none(tmp_path: Path) -> None:
    lines = pl.DataFrame({schema.CELL_LINE_ID: ["CVCL_0480", "CVCL_9999", None, "CVCL_0131"]})
    joins = load(tmp_path, lines, ["cell_line"])
    assert "organ" in joins.columns
    assert joins.keys_of(["organ"]) == {schema.CELL_LINE_ID}
    assert joins.keys_of([schema.CELL_LINE_ID]) == set()
    joined = joins.add(lines, ["organ", schema.CELL_LINE_ID])
    assert joined[schema.CELL_LINE_ID].to_list() == lines[schema.CELL_LINE_ID].to_list()
    organs = joined["organ"].to_list()
    # PANC-1 is of the pancreas, A-172 of the brain.
    assert organs[0] is not None
    assert "pancreas" in organs[0].lower()
    assert organs[1:3] == [None, None]
    assert organs[3] != organs[0]


def test_a_column_of_the_table_stays_what_it_is(tmp_path: Path) -> None:
    lines = pl.DataFrame({schema.CELL_LINE_ID: ["CVCL_0480"], "organ": ["mine"]})
    assert "organ" not in load(tmp_path, lines, ["cell_line"]).columns


@pytest.mark.parametrize("name", ["drug", "cell_line"])
def test_there_must_be_something_to_join_by(tmp_path: Path, name: str) -> None:
    key = {"drug": schema.DRUG, "cell_line": schema.CELL_LINE_ID}[name]
    with pytest.raises(ConfigError, match=f"the recipe joins '{name}', and the table has no column '{key}'"):
        load(tmp_path, pl.DataFrame({"x": [1]}), [name])


def test_obs_must_be_named_and_be_there(tmp_path: Path) -> None:
    cells = make_cells(1)
    with pytest.raises(ConfigError, match="name it with --obs"):
        load(tmp_path, cells, ["obs"])
    with pytest.raises(TahoeError, match=r"none\.parquet"):
        load(tmp_path, cells, ["obs"], str(tmp_path / "none.parquet"))


def test_tables_are_told_apart_by_their_content(tmp_path: Path) -> None:
    lines = pl.DataFrame({schema.CELL_LINE_ID: ["CVCL_0480"], schema.DRUG: ["A"]})
    both = load(tmp_path, lines, ["drug", "cell_line"]).identity
    assert set(both) == {"drug", "cell_line"}
    assert len(set(both.values())) == 2


def test_features_of_joined_tables_are_those_of_the_rows(tmp_path: Path) -> None:
    cells = make_cells(6)
    phases = ["G1", "S", "G2M"]
    obs = cells.select(
        schema.BARCODE, schema.SAMPLE, schema.PLATE, phase=pl.Series([phases[at % 3] for at in range(cells.height)])
    )
    obs.head(cells.height - 9).write_parquet(tmp_path / "obs.parquet")
    recipe = make_recipe(joins=["cell_line", "obs"], features=[ORGAN, PHASE])
    options: dict[str, Any] = {"obs": tmp_path / "obs.parquet"}
    report = make(tmp_path / "run", cells, recipe, **options)
    rows = read_parts(tmp_path / "run")
    # Those without a phase are the level '', which is the first.
    expected = [["", *sorted(phases)].index(phase) for phase in obs.sort(schema.BARCODE)["phase"][:-9]]
    assert rows["phase_code"].to_list() == [*expected, *[rows["phase_code"][-1]] * 9]
    assert rows["phase_code"][-1] in {0, -1}
    assert rows.group_by(schema.CELL_LINE_ID).agg(pl.col("organ_code").n_unique())["organ_code"].to_list() == [1, 1, 1]
    assert set(report.manifest["joined"]) == {"cell_line", "obs"}
