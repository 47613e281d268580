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
from tahoe_engine.errors import ConfigError, SourceError, StageError, StoppedError
from tahoe_engine.run import verify_run

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


@pytest.mark.parametrize(
    "gone",
    ["cells/*00001*", ".tahoe/genes/*00002*", ".tahoe/journal/*", ".tahoe/receipts/cells/*", "*/_MANIFEST.json"],
)
def test_what_is_gone_is_made_again_and_only_that(atlas: Path, run: Path, tmp_path: Path, gone: str) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    for path in copy.glob(gone):
        path.unlink()
    report = scan(atlas, copy)
    # Without the journal, receipts tell what the parts hold; with it they are not needed.
    assert report.units_done == (1 if gone in ("cells/*00001*", ".tahoe/genes/*00002*") else 0)
    assert published(copy) == published(run)


def test_a_part_cut_short_is_made_again(atlas: Path, run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    part = min(copy.glob("cells/*.parquet"))
    part.write_bytes(part.read_bytes()[:-1])
    assert scan(atlas, copy).units_done == 1
    assert published(copy) == published(run)


def test_other_settings_in_the_same_run_are_refused_with_the_difference(atlas: Path, run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    for options, said in (
        ({"min_genes": 10}, r"min_genes: 0 before, 10 now"),
        ({"plates": [4]}, r'plates: \[\] before, \["plate4"\] now'),
        ({"stats": "qc"}, r'stats: "all" before, "qc" now'),
    ):
        with pytest.raises(StageError, match=said):
            scan(atlas, copy, **options)
    assert published(copy) == published(run)


def test_a_changed_input_is_refused(atlas: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(atlas, source)
    scan(source, tmp_path / "run")
    shards = sorted((source / "data").iterdir())
    shutil.copy(shards[1], shards[0])
    with pytest.raises(StageError, match="E_INPUT_CHANGED"):
        scan(source, tmp_path / "run")
    shards[0].unlink()
    with pytest.raises(StageError, match="not there any more"):
        scan(source, tmp_path / "run")


def test_a_missing_source_leaves_no_run_behind(tmp_path: Path) -> None:
    with pytest.raises(SourceError):
        scan(tmp_path / "none", tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_running_scheduler_gives_the_same_bytes(atlas: Path, run: Path, tmp_path: Path) -> None:
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=1, threads_per_worker=2, processes=True, host="127.0.0.1", dashboard_address="127.0.0.1:0"
    ) as cluster:
        scan(atlas, tmp_path / "run", scheduler=cluster.scheduler_address, workers=None)
    assert published(tmp_path / "run") == published(run)


def test_a_run_is_never_written_over_its_source(atlas: Path) -> None:
    before = sorted(atlas.rglob("*"))
    for source in (atlas, f"{atlas}/data/*.parquet"):
        with pytest.raises(ConfigError, match="the folder of the source itself"):
            scan(source, atlas)
    assert sorted(atlas.rglob("*")) == before


def test_a_flipped_bit_in_the_sums_of_a_shard_never_reaches_the_table(atlas: Path, run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    part = min(copy.glob(".tahoe/genes/*.parquet"))
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 1
    part.write_bytes(content)
    assert [item.file for item in verify_run(copy, deep=True)[1]] == [f".tahoe/genes/{part.name}"]
    # What is published is right; as soon as the sums are needed again, they are not taken.
    (copy / "genes/genes.parquet").unlink()
    with pytest.raises(StoppedError, match="the gene sums of 1 shards are damaged"):
        scan(atlas, copy)
    assert scan(atlas, copy).units_done == 1
    assert published(copy) == published(run)
    assert verify_run(copy, deep=True)[1] == []


@pytest.mark.parametrize("content", ["{", "{}", '{"format_version": 1, "stages": {"cells": 7}}'])
def test_a_damaged_list_of_stages_is_mended_by_the_same_command(
    atlas: Path, run: Path, tmp_path: Path, content: str
) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    (copy / "_MANIFEST.json").write_text(content)
    with pytest.raises(StageError, match="damaged"):
        te.Run(copy)
    assert scan(atlas, copy).units_done == 0
    assert published(copy) == published(run)


def test_a_run_is_not_written_over_its_source_through_a_link(atlas: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(atlas)
    for into in (tmp_path / "link", atlas / "metadata" / ".."):
        with pytest.raises(ConfigError, match="the folder of the source itself"):
            scan(atlas, into)


def test_a_range_outside_the_source_leaves_no_run_behind(atlas: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="outside the source"):
        scan(atlas, tmp_path / "run", rows="5000:")
    assert not (tmp_path / "run").exists()


def test_a_disk_full_before_the_work_is_something_temporary(
    atlas: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.pwrite", full)
    with pytest.raises(StoppedError, match="No space left"):
        scan(atlas, tmp_path / "run")
