"""The main job on a part of an atlas: by names, by rows, and with names that are not there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

import tahoe_engine as te
from runs import scan
from tahoe_engine import schema
from tahoe_engine.cli import main
from tahoe_engine.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


pytest.importorskip("tahoe_engine._rust", reason="the core is not built: make build")


def test_filters_keep_what_was_asked_for_and_the_rows_add_up(atlas: Path, run: Path, tmp_path: Path) -> None:
    everything = te.Run(run).table("cells").collect()
    lines = sorted(everything[schema.CELL_LINE_ID].unique())[:2]
    name = everything.filter(pl.col(schema.CELL_LINE_ID) == lines[1])[schema.CELL_NAME][0]
    report = scan(atlas, tmp_path / "run", cell_lines=[lines[0], name], plates=[4], min_genes=900)
    expected = everything.filter(
        pl.col(schema.CELL_LINE_ID).is_in(lines), pl.col(schema.PLATE) == "plate4", pl.col("n_genes_by_counts") >= 900
    )
    assert 0 < expected.height < 600
    kept = te.Run(tmp_path / "run").table("cells").collect()
    assert kept.equals(expected)
    rows = report.manifest["rows"]
    assert rows == {"in": 1200, "kept": kept.height, "filtered": 1200 - kept.height, "rejected": 0, "quarantined": 0}
    assert sum(report.manifest["filtered"].values()) == rows["filtered"]
    genes = te.Run(tmp_path / "run").table("genes").collect()
    assert genes["total_counts"].sum() == kept["total_counts"].sum()


def test_an_absent_name_is_recorded_with_the_nearest(atlas: Path, tmp_path: Path) -> None:
    told: list[Any] = []
    samples = ["smp_1591", "smp_1783"]
    report = scan(atlas, tmp_path / "run", cell_lines=["CVCL_0021"], samples=samples, on_unknown=told.append)
    assert list(told[0]["cell_lines"]) == ["CVCL_0021"]
    wanted = report.manifest["wanted"]
    assert wanted["cell_lines"]["present"] == []
    near = wanted["cell_lines"]["absent"]["CVCL_0021"]
    assert len(near) == 3
    assert all("CVCL_" in name for name in near)
    assert wanted["samples"]["present"] == [] or set(wanted["samples"]["present"]) <= set(samples)
    assert report.manifest["rows"]["kept"] == 0
    assert te.Run(tmp_path / "run").table("cells").collect().height == 0
    assert te.Run(tmp_path / "run").table("genes").collect()["total_counts"].sum() == 0


def test_a_known_name_without_a_row_is_told_with_what_the_source_has(atlas: Path, tmp_path: Path) -> None:
    report = scan(atlas, tmp_path / "run", plates=["plate5", "plate6"])
    assert report.manifest["wanted"]["plates"] == {
        "present": ["plate6"],
        "elsewhere": [],
        "absent": {"plate5": ["plate4", "plate6"]},
    }


def test_a_name_that_stands_only_in_what_was_skipped_is_not_called_absent(
    atlas: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cells = te.Run(run).table("cells").collect()
    # The last well: the first of plate 6 may share a row group with plate 4.
    well = cells[schema.SAMPLE][-1]
    asked = ["--plates", "4", "--samples", well, "--workers", "0", "--quiet"]
    assert main(["cells", str(atlas), "--into", str(tmp_path / "run"), *asked]) == 0
    assert capsys.readouterr().err == (
        f"tahoe: the source has {well!r} among its samples, but no row that was read: "
        "other filters, --rows or bad shards leave it out\n"
    )
    wanted = te.Run(tmp_path / "run").manifest["cells"]["wanted"]
    assert wanted["samples"] == {"present": [], "elsewhere": [well], "absent": {}}


def test_a_name_outside_the_rows_that_were_asked_for_is_said_of_those_rows_alone(
    atlas: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--plates", "6", "--rows", "0:10", "--workers", "0", "--quiet"]
    assert main(["cells", str(atlas), "--into", str(tmp_path / "run"), *asked]) == 0
    told = capsys.readouterr().err
    assert told == "tahoe: no row that was read has 'plate6' among its plates; the nearest: plate4\n"


@pytest.mark.parametrize(
    ("rows", "first", "n"), [("0:10", 0, 10), ("150:450", 150, 300), ("1190:", 1190, 10), (":1", 0, 1)]
)
def test_a_row_range_counts_over_the_whole_source(
    atlas: Path, run: Path, tmp_path: Path, rows: str, first: int, n: int
) -> None:
    report = scan(atlas, tmp_path / "run", rows=rows)
    cells = te.Run(tmp_path / "run").table("cells").collect()
    assert cells.equals(te.Run(run).table("cells").collect()[first : first + n])
    assert report.manifest["rows"]["in"] == n


def test_rows_outside_the_source_are_a_config_error(atlas: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="which has 1200 rows"):
        scan(atlas, tmp_path / "run", rows="5000:6000")
