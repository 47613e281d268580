"""The main job on a made-up atlas: equal bytes however it is run, nothing done twice, all accounted for."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import polars as pl
import pytest

import tahoe_engine as te
from runs import published, scan
from tahoe_engine import schema

if TYPE_CHECKING:
    from pathlib import Path


pytest.importorskip("tahoe_engine._rust", reason="the core is not built: make build")


def test_the_tables_are_those_of_the_schema(run: Path) -> None:
    cells, genes = te.Run(run).table("cells").collect(), te.Run(run).table("genes").collect()
    for frame, table in ((cells, schema.CELLS), (genes, schema.GENES)):
        assert {n: str(t) for n, t in frame.schema.items()} == {c.name: c.dtype for c in table.columns}
        assert not any(frame[column.name].null_count() for column in table.columns if not column.nullable)
    assert cells.height == 1200
    assert genes.height == 62_710
    assert cells["total_counts"].sum() == genes["total_counts"].sum()
    assert cells["n_genes_by_counts"].sum() == genes["n_cells_by_counts"].sum()


def test_the_summary_has_its_own_columns_and_equal_numbers(atlas: Path, run: Path, tmp_path: Path) -> None:
    report = scan(atlas, tmp_path / "run", stats="summary")
    summary = te.Run(tmp_path / "run").table("cells").collect()
    assert tuple(summary.columns) == schema.CELLS_SUMMARY.names
    assert summary.equals(te.Run(run).table("cells").select(summary.columns).collect())
    assert report.manifest["tokens_checked"] is False
    assert te.Run(tmp_path / "run").stages == ("cells",)


def test_the_source_s_own_rows_are_in_order_and_all_there(atlas: Path, run: Path) -> None:
    source = pl.scan_parquet(atlas / "data").select(schema.BARCODE, schema.SAMPLE).collect()
    assert te.Run(run).table("cells").select(schema.BARCODE, schema.SAMPLE).collect().equals(source)


@pytest.mark.parametrize("workers", [1, 2])
def test_any_number_of_workers_gives_the_same_bytes(atlas: Path, run: Path, tmp_path: Path, workers: int) -> None:
    scan(atlas, tmp_path / "run", workers=workers)
    assert published(tmp_path / "run") == published(run)


def test_another_place_and_spelling_of_the_source_gives_the_same_bytes(atlas: Path, run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "a place with blanks ü"
    shutil.copytree(atlas, copy)
    scan(copy, tmp_path / "run 1")
    assert published(tmp_path / "run 1") == published(run)
    listed = tmp_path / "list.txt"
    listed.write_text("".join(f"{path}\n" for path in sorted((copy / "data").iterdir(), reverse=True)))
    for number, source in enumerate([f"{copy}/data/*.parquet", listed, sorted((copy / "data").iterdir())[::-1]]):
        scan(source, tmp_path / f"run {number + 2}")
        assert (
            te.Run(tmp_path / f"run {number + 2}").manifest["cells"]["digest"]
            == te.Run(run).manifest["cells"]["digest"]
        )


def test_manifests_hold_no_times_hosts_or_places(run: Path, atlas: Path) -> None:
    text = b"".join(content for name, content in published(run).items() if name.endswith(".json")).decode()
    assert str(run.parent) not in text
    assert str(atlas) not in text
    assert "pid" not in json.loads((run / "cells/_MANIFEST.json").read_text())


def test_the_same_command_again_does_nothing(atlas: Path, run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    report = scan(atlas, copy, workers=2)
    assert (report.units_done, report.units_found_done) == (0, 6)
    assert published(copy) == published(run)
