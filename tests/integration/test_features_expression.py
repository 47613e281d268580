"""Expression of chosen genes from a scanned atlas: as NumPy has it from the raw lists of the shards."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

import exported
import tahoe_engine as te
from runs import scan
from server import Server
from tahoe_engine import schema
from tahoe_engine.cells.counts import locate_shards
from tahoe_engine.config import Settings
from tahoe_engine.errors import ConfigError, ShardError, SourceError, StageError
from tahoe_engine.features.blocks import Expression
from tahoe_engine.features.expression import list_groups, read_expression
from tahoe_engine.features.genes import FittedGenes, choose_genes

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("tahoe_engine._rust", reason="the core is not built: make build")

BLOCK = Expression(kind="expression", name="expr", genes=80)


@pytest.fixture(scope="module")
def grouped(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    into = tmp_path_factory.mktemp("grouped") / "run"
    shutil.copytree(run, into)
    te.sum_groups(into, workers=0)
    return into


@pytest.fixture(scope="module")
def logs(atlas: Path, run: Path) -> Any:
    """log1p(CP10k) of all cells of the run, cells x genes, in the order of its table."""
    counts = np.asarray(exported.build_adata(atlas, run).X.todense(), dtype=np.float64)
    return np.log1p(counts / counts.sum(axis=1, keepdims=True) * 1e4)


@pytest.fixture(scope="module")
def cells(run: Path) -> pl.DataFrame:
    return te.Run(run).table("cells").collect()


@pytest.fixture(scope="module")
def train(grouped: Path) -> pl.DataFrame:
    groups = list_groups(grouped, [schema.PLATE])
    return groups.filter(pl.col(schema.PLATE) == "plate4")


@pytest.fixture(scope="module")
def genes(grouped: Path, train: pl.DataFrame) -> FittedGenes:
    return choose_genes(grouped, BLOCK, train)


def columns_of(genes: FittedGenes) -> Any:
    return np.asarray(genes.genes) - exported.FIRST_TOKEN


def test_the_genes_are_those_of_the_training_cells(cells: pl.DataFrame, logs: Any, genes: FittedGenes) -> None:
    here = logs[(cells[schema.PLATE] == "plate4").to_numpy()]
    seen = np.flatnonzero(here.any(axis=0))
    scaled = np.expm1(here[:, seen])
    moments = {"mean_cp10k": scaled.mean(axis=0), "var_cp10k": scaled.var(axis=0, ddof=1)}
    table = te.select_genes(pl.DataFrame({"gene": seen + exported.FIRST_TOKEN, **moments}), n_top_genes=80)
    # Genes of one cell with equal counts tie for the last place.
    ranked = table.filter("highly_variable").sort("dispersions_norm", "gene", descending=[True, False])
    expected = ranked.head(80).sort("gene")
    assert ranked.height > 80
    assert genes.genes == tuple(expected["gene"].to_list())
    assert genes.n_cells == len(here) < cells.height
    np.testing.assert_allclose(genes.mean, expected["mean_cp10k"].to_numpy(), rtol=1e-9)
    np.testing.assert_allclose(genes.var, expected["var_cp10k"].to_numpy(), rtol=1e-8)


def test_cells_have_the_logarithms_of_their_counts(
    run: Path, cells: pl.DataFrame, logs: Any, genes: FittedGenes, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Blocks of a few cells, that end within row groups.
    monkeypatch.setattr("tahoe_engine.cells.counts.ENTRIES", 40_000)
    found = read_expression(run, genes, cells)
    expected = logs[:, columns_of(genes)].astype(np.float32)
    assert found.dtype == np.float32
    assert (expected > 0).mean() > 0.01
    np.testing.assert_allclose(found, expected, rtol=1.2e-7)  # of float32 the last bit
    assert list(genes.columns) == te.Run(run).table("genes").collect()["ensembl_id"].gather(columns_of(genes)).to_list()


def test_a_cell_s_values_depend_on_no_other_row(run: Path, cells: pl.DataFrame, genes: FittedGenes) -> None:
    everything = read_expression(run, genes, cells)
    some = np.random.default_rng(3).choice(cells.height, 150)
    assert len(set(some.tolist())) < 150
    assert (read_expression(run, genes, cells.select("row", "shard")[some]) == everything[some]).all()
    one = cells.filter(pl.col("shard") == cells["shard"][0])
    assert (read_expression(run, genes, one[7:8]) == everything[7:8]).all()


def test_groups_have_the_means_of_their_cells(
    grouped: Path, cells: pl.DataFrame, logs: Any, genes: FittedGenes
) -> None:
    groups = te.Run(grouped).table("groups").collect()
    found = read_expression(grouped, genes, groups.select("group_id"))
    for row in range(0, groups.height, 5):
        here = (cells[schema.SAMPLE] == groups[schema.SAMPLE][row]) & (
            cells[schema.CELL_LINE_ID] == groups[schema.CELL_LINE_ID][row]
        )
        expected = logs[here.to_numpy()].mean(axis=0)[columns_of(genes)]
        np.testing.assert_allclose(found[row], expected, rtol=2e-7, atol=1e-12)


def test_columns_that_are_no_keys_come_from_the_cells(grouped: Path, cells: pl.DataFrame) -> None:
    by = [schema.MOA_FINE, schema.CELL_NAME, schema.DRUG, schema.SAMPLE]
    found = list_groups(grouped, by)
    keys = te.Run(grouped).table("groups").select("group_id", *schema.GROUP_KEYS).collect()
    expected = cells.select(*schema.GROUP_KEYS, *by[:3]).unique().join(keys, on=schema.GROUP_KEYS).sort("group_id")
    assert found.rows() == expected.select("group_id", *by).rows()


def test_a_split_that_cuts_groups_in_two_is_refused(grouped: Path, run: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="more than one shard"):
        list_groups(grouped, [schema.DRUG, "shard"])
    shutil.copytree(run, tmp_path / "run")
    te.sum_groups(tmp_path / "run", by=["cell_line_id"], workers=0)
    with pytest.raises(ConfigError, match=r"more than one sample.* by cell_line_id"):
        list_groups(tmp_path / "run", [schema.SAMPLE])
    assert list_groups(tmp_path / "run", [schema.CELL_NAME]).height == 6


def test_shards_that_lie_elsewhere_give_the_same(
    atlas: Path, run: Path, cells: pl.DataFrame, genes: FittedGenes, tmp_path: Path
) -> None:
    expected = read_expression(run, genes, cells)
    copy, moved = tmp_path / "run", tmp_path / "moved"
    shutil.copytree(run, copy)
    shutil.copytree(atlas, moved)
    # What the run recorded leads nowhere.
    sources = (copy / ".tahoe" / "sources.json").read_text()
    (copy / ".tahoe" / "sources.json").write_text(sources.replace(str(atlas), str(tmp_path / "gone")))
    with pytest.raises((ShardError, SourceError, OSError)):
        read_expression(copy, genes, cells)
    shards = locate_shards(copy, Settings(), moved)
    assert (read_expression(copy, genes, cells, shards=shards) == expected).all()
    part = cells.filter(pl.col("shard") == cells["shard"][-1])
    only = {part["shard"][0]: shards[part["shard"][0]]}
    assert (read_expression(copy, genes, part, shards=only) == expected[-part.height :]).all()
    with Server(moved) as server:
        urls = [f"{server.url}/data/{path.name}" for path in sorted((moved / "data").iterdir())]
        shards = locate_shards(copy, Settings(), urls)
        assert (read_expression(copy, genes, part, shards=shards) == expected[-part.height :]).all()


def test_cells_that_are_no_rows_of_the_run_are_refused(
    atlas: Path, genes: FittedGenes, cells: pl.DataFrame, tmp_path: Path
) -> None:
    scan(atlas, tmp_path / "run", cell_lines=[cells[schema.CELL_LINE_ID][0]])
    with pytest.raises(StageError, match=r"\d+ of 200 rows are not there"):
        read_expression(tmp_path / "run", genes, cells[:200])
    with pytest.raises(StageError, match="no shard strange"):
        read_expression(tmp_path / "run", genes, pl.DataFrame({"shard": ["strange"], "row": [0]}))
    kept = te.Run(tmp_path / "run").table("cells").collect()
    assert read_expression(tmp_path / "run", genes, kept).shape == (kept.height, 80)


def test_counts_that_changed_are_noticed(run: Path, genes: FittedGenes, cells: pl.DataFrame, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    part = min(copy.glob("cells/*.parquet"))
    table = pl.read_parquet(part)
    total = pl.when(pl.col("row") == 7).then(pl.col("total_counts") + 1).otherwise(pl.col("total_counts"))
    table.with_columns(total.alias("total_counts")).write_parquet(part)
    with pytest.raises(ShardError, match="E_COUNTS_DIFFER"):
        read_expression(copy, genes, cells[:20])
