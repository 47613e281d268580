"""`tahoe groups` on made-up atlases: the numbers, the same bytes however it is done, and what it refuses."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

import tahoe_engine as te
from runs import published
from tahoe_engine.cli import main
from tahoe_engine.config import load_settings
from tahoe_engine.errors import ConfigError, SourceError, StageError
from tahoe_engine.groups import plan_groups, sum_groups
from tahoe_engine.synth import write_atlas

if TYPE_CHECKING:
    from pathlib import Path

CELLS = 900


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("groups") / "atlas"
    write_atlas(
        folder,
        plates=(4, 6),
        wells=4,
        lines=5,
        cells=CELLS,
        seed=2,
        median_counts=400.0,
        shard_rows=250,
        row_group_rows=40,
        sublibrary_cells=9_600,
    )
    return folder


@pytest.fixture(scope="module")
def scanned(atlas: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("groups") / "run"
    te.scan_cells(atlas, run, workers=0)
    return run


@pytest.fixture
def run(scanned: Path, tmp_path: Path) -> Path:
    shutil.copytree(scanned, tmp_path / "run")
    return tmp_path / "run"


def settings(*overrides: str) -> Any:
    return load_settings(overrides=["workers.count=0", *overrides])


def groups_of(run: Path) -> dict[str, bytes]:
    return {name: content for name, content in published(run).items() if name.startswith("groups/")}


def read_cells(atlas: Path) -> pl.DataFrame:
    """Every entry of every cell, with the marker gone: a row an entry."""
    shards = [
        pl.read_parquet(path).with_row_index("row").with_columns(pl.lit(path.stem).alias("shard"))
        for path in sorted((atlas / "data").glob("*.parquet"))
    ]
    long = pl.concat(shards).explode("genes", "expressions")
    return long.filter(pl.col("genes") > 2).with_columns(pl.col("expressions").cast(pl.Float64))


def test_the_moments_are_those_of_numpy(atlas: Path, run: Path) -> None:
    sum_groups(run, settings=settings())
    index = te.Run(run).table("groups").collect()
    moments = te.Run(run).table("groups/moments").collect()
    assert index["n_cells"].sum() == CELLS
    assert index["group_id"].to_list() == list(range(index.height))
    entries = read_cells(atlas)
    totals = entries.group_by("shard", "row").agg(pl.col("expressions").sum().alias("total"))
    entries = entries.join(totals, on=["shard", "row"])
    entries = entries.with_columns((pl.col("expressions") * 1e4 / pl.col("total")).alias("cp"))
    entries = entries.with_columns(pl.col("cp").log1p().alias("log"))
    entries = entries.join(index, on=["sample", "cell_line_id"])
    # Around the mean, zeros counted: nothing that cancels.
    sums = entries.group_by("group_id", "genes").agg(
        pl.len().alias("n"),
        pl.col("n_cells").first().cast(pl.Float64),
        pl.col("expressions").sum().alias("sum"),
        (pl.col("expressions") ** 2).sum().alias("squares"),
        *(pl.col(name).implode().alias(f"{name}s") for name in ("cp", "log")),
    )
    joined = moments.join(sums, left_on=["group_id", "gene"], right_on=["group_id", "genes"], how="full")
    assert joined.null_count()["n"].item() == 0
    assert joined.null_count()["gene"].item() == 0
    assert (joined["n_cells_by_counts"] == joined["n"]).all()
    assert (joined["sum_counts"].cast(pl.Float64) == joined["sum"]).all()
    assert (joined["sum_sq_counts"].cast(pl.Float64) == joined["squares"]).all()
    for name, column in (("cp", "cp10k"), ("log", "log1p_cp10k")):
        for row in joined.sample(3000, seed=1).iter_rows(named=True):
            values = np.zeros(int(row["n_cells"]))
            values[: row["n"]] = row[f"{name}s"]
            assert row[f"mean_{column}"] == pytest.approx(values.mean(), rel=1e-9)
            if len(values) > 1:
                assert row[f"var_{column}"] == pytest.approx(values.var(ddof=1), rel=1e-7)
            else:
                assert row[f"var_{column}"] is None
    assert index["total_counts"].sum() == entries["expressions"].sum()


def test_the_bytes_do_not_depend_on_blocks_memory_or_workers(run: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(run, other)
    sum_groups(run, settings=settings("groups.wells_a_block=1"))
    sum_groups(other, settings=settings("groups.wells_a_block=5", "groups.batch_mib=1", "groups.memory_mib=64"))
    assert groups_of(run) == groups_of(other)
    assert main(["verify", str(run), "--deep"]) == 0
    sum_groups(other, settings=settings("workers.count=2", "groups.wells_a_block=2"), new=True)
    assert groups_of(run) == groups_of(other)


def test_the_bytes_do_not_depend_on_the_order_of_the_shards(atlas: Path, run: Path, tmp_path: Path) -> None:
    sum_groups(run, settings=settings())
    shuffled = tmp_path / "shuffled"
    shuffled.mkdir()
    shards = sorted((atlas / "data").glob("*.parquet"))
    for number, shard in enumerate(reversed(shards)):
        (shuffled / f"train-{number:05}.parquet").symlink_to(shard)
    other = tmp_path / "other"
    te.scan_cells(
        shuffled, other, settings=load_settings(overrides=["workers.count=0", f'source.metadata="{atlas}/metadata"'])
    )
    sum_groups(other, settings=settings())
    one, two = groups_of(run), groups_of(other)
    parts = [name for name in one if name.endswith(".parquet")]
    assert len(parts) == 1 + 8
    assert {name: one[name] for name in parts} == {name: two[name] for name in parts}


@pytest.mark.parametrize(
    "by",
    [
        "cell_line_id",
        "drug,cell_line_id",
        "plate,moa-fine",
        "drug,cell_line_id,plate",
        "dose_um",
        "cell_line_id,sample",
    ],
)
def test_groups_by_any_keys_hold_every_kept_cell(run: Path, by: str) -> None:
    report = sum_groups(run, settings=settings(f"groups.by={by.split(',')}".replace("'", '"')))
    index = te.Run(run).table("groups").collect()
    keys = by.split(",")
    cells = (
        te.Run(run)
        .table("cells")
        .group_by(keys)
        .agg(pl.len().cast(pl.UInt64).alias("n"), pl.col("total_counts").sum().alias("total"))
    )
    both = index.join(cells.collect(), on=keys, how="full", nulls_equal=True)
    assert index.height == both.height == report.manifest["n_groups"]
    assert (both["n_cells"] == both["n"]).all()
    assert (both["total_counts"] == both["total"]).all()
    summed = te.Run(run).table("groups/moments").group_by("gene").agg(pl.col("sum_counts").sum()).collect()
    genes = te.Run(run).table("genes").filter(pl.col("total_counts") > 0).collect()
    assert dict(summed.rows()) == dict(genes.select("gene", "total_counts").rows())
    assert index["group_id"].to_list() == list(range(index.height))
    assert (
        plan_groups(run, settings=settings(f"groups.by={by.split(',')}".replace("'", '"'))).describe()["groups"]
        == index.height
    )


def test_one_group_of_all_has_the_moments_of_the_genes_table(run: Path, atlas: Path, tmp_path: Path) -> None:
    one = tmp_path / "one"
    te.scan_cells(atlas, one, samples=[te.Run(run).table("cells").collect()["sample"][0]], workers=0)
    sum_groups(one, settings=settings('groups.by=["sample"]'))
    moments = te.Run(one).table("groups/moments").collect()
    genes = te.Run(one).table("genes").filter(pl.col("total_counts") > 0).collect()
    for column in ("mean_cp10k", "var_cp10k", "mean_log1p_cp10k", "var_log1p_cp10k"):
        assert moments[column].to_list() == genes[column].to_list()


def test_only_kept_cells_are_summed(atlas: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    te.scan_cells(atlas, run, plates=[6], min_genes=200, workers=0)
    sum_groups(run, settings=settings())
    index = te.Run(run).table("groups").collect()
    cells = te.Run(run).table("cells").collect()
    assert 0 < cells.height < CELLS
    assert index["n_cells"].sum() == cells.height
    assert index["plate"].unique().to_list() == ["plate6"]


def test_the_plan_looks_at_receipts_and_at_no_cell(run: Path) -> None:
    before = plan_groups(run, settings=settings("groups.wells_a_block=2")).describe()
    for part in (run / "cells").glob("*.parquet"):
        part.write_bytes(b"")
    assert plan_groups(run, settings=settings("groups.wells_a_block=2")).describe() == before
    assert before["cells"] == CELLS
    assert before["rows_to_read"] >= CELLS
    assert before["units"] == 4
    one = plan_groups(run, settings=settings("groups.wells_a_block=1")).describe()
    assert one["rows_to_read"] > before["rows_to_read"]


def test_runs_that_receipts_do_not_tell_are_found_in_the_cells(run: Path) -> None:
    told = plan_groups(run, settings=settings())
    # Without the journal the keys of the cells say the same.
    shutil.rmtree(run / ".tahoe/journal")
    found = plan_groups(run, settings=settings())
    assert found.anchors == told.anchors
    assert found.rest == told.rest


def test_a_part_that_is_lost_is_made_again_and_no_other(run: Path) -> None:
    sum_groups(run, settings=settings())
    before = groups_of(run)
    part = sorted((run / "groups/moments").rglob("*.parquet"))[3]
    part.unlink()
    assert main(["verify", str(run)]) == 3
    report = sum_groups(run, settings=settings())
    assert (report.parts_done, report.parts_found_done) == (1, 7)
    assert groups_of(run) == before


def test_other_keys_need_a_new_start(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["groups", "--into", str(run), "--workers", "0", "-q"]) == 0
    assert main(["groups", "--into", str(run), "--workers", "0", "-q", "--by", "plate"]) == 64
    assert "settings.groups.by" in capsys.readouterr().err
    assert main(["groups", "--into", str(run), "--workers", "0", "-q", "--by", "plate", "--new"]) == 0
    assert te.Run(run).table("groups").collect()["plate"].to_list() == ["plate4", "plate6"]


def test_groups_of_other_cells_are_stale(atlas: Path, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sum_groups(run, settings=settings())
    te.scan_cells(atlas, run, min_genes=250, workers=0, new=True)
    with pytest.raises(StageError, match="stale"):
        te.Run(run).table("groups")
    assert main(["verify", str(run)]) == 3
    assert main(["groups", "--into", str(run), "--workers", "0", "-q"]) == 64
    assert "needs.cells" in capsys.readouterr().err
    sum_groups(run, settings=settings(), new=True)
    assert main(["verify", str(run), "--deep"]) == 0


def test_a_shard_that_changed_since_is_refused(atlas: Path, tmp_path: Path) -> None:
    source, run = tmp_path / "my source", tmp_path / "a run"
    shutil.copytree(atlas, source)
    te.scan_cells(source, run, workers=0)
    shards = sorted((source / "data").glob("*.parquet"))
    shutil.copy(shards[0], shards[1])
    with pytest.raises(StageError, match="E_INPUT_CHANGED"):
        sum_groups(run, settings=settings())
    assert "groups" not in te.Run(run).stages
    assert main(["groups", "--into", str(run), "--workers", "0", "-q"]) == 64
    # Where they went instead is named, and is the same.
    assert main(["groups", "--into", str(run), "--workers", "0", "-q", "--source", str(atlas)]) == 0
    with pytest.raises(SourceError, match="shards of this run are not in the source"):
        sum_groups(run, source=str(shards[0]), settings=settings())


def test_without_finished_cells_there_are_no_groups(atlas: Path, tmp_path: Path) -> None:
    with pytest.raises(StageError):
        sum_groups(tmp_path / "nothing", settings=settings())
    assert not (tmp_path / "nothing").exists()
    te.scan_cells(atlas, tmp_path / "run", workers=0)
    (tmp_path / "run/.tahoe/sources.json").unlink()
    with pytest.raises(StageError, match="run `tahoe cells` again"):
        sum_groups(tmp_path / "run", settings=settings())
    te.scan_cells(atlas, tmp_path / "run", workers=0)
    assert sum_groups(tmp_path / "run", settings=settings()).parts_done == 8


def test_a_key_that_is_none_is_a_wrong_setting() -> None:
    with pytest.raises(ConfigError, match="'gene' is no key"):
        settings('groups.by=["gene"]')
