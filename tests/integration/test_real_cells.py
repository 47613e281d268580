"""Real cells, and a shard as the writers of Tahoe's time laid it out, against NumPy, SciPy and the oracle."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from scipy import stats

import oracle
from measure import run_tahoe
from scan import merge, scan
from tahoe_engine.schema import CELLS, GENES

TAHOE = Path(__file__).parents[3] / "shared" / "tahoe"
FIVE = TAHOE / "five_real_cells.parquet"
UNALIGNED = TAHOE / "made_up_shard_pyarrow18.parquet"
pytestmark = pytest.mark.skipif(not TAHOE.is_dir(), reason="../shared/tahoe is not beside the repository")

COUNTS = ("n_genes_by_counts", "total_counts", "total_counts_mt", "expr_len", "expr_max")
WITHIN_1E12 = ("expr_mean", "expr_std", "pct_counts_mt", "pct_counts_in_top_50_genes")
WITHIN_1E9_RELATIVE = ("expr_skew", "log1p_total_counts", "mean_log1p_cp10k")


@pytest.fixture(scope="module")
def tables() -> oracle.Tables:
    """The real vocabulary; a gene is mitochondrial where its symbol starts with `MT-`."""
    genes = pl.read_parquet(TAHOE / "gene_metadata.parquet").sort("token_id")
    return oracle.Tables(
        dict(zip(genes["token_id"], genes["gene_symbol"].str.starts_with("MT-"), strict=True)),
        {"CVCL_0131": "A-172", "CVCL_1239": "H4"},
        {"smp_1783": 0.05},
    )


@pytest.fixture
def unwritten(tmp_path: Path) -> Path:
    """A folder that takes the parts; the source's own is read-only."""
    for file in (FIVE, UNALIGNED):
        (tmp_path / file.name).symlink_to(file)
    return tmp_path


def test_five_real_cells_equal_numpy_and_scipy_on_the_raw_lists(unwritten: Path, tables: oracle.Tables) -> None:
    found = pl.read_parquet(scan(unwritten / FIVE.name, stats="all", tables=tables).cells)
    mitochondrial = np.array([token for token, is_mt in tables.mitochondrial.items() if is_mt])
    for row, raw in zip(found.to_dicts(), pq.read_table(FIVE).to_pylist(), strict=True):
        tokens, values = np.array(raw["genes"]), np.array(raw["expressions"], np.float64)
        assert (tokens[0], values[0]) == (1, -2.0)
        tokens, values = tokens[1:], values[1:]
        assert row["expr_len"] == len(values)
        assert row["n_genes_by_counts"] == np.count_nonzero(values)
        assert row["total_counts"] == values.sum()
        assert row["total_counts_mt"] == values[np.isin(tokens, mitochondrial)].sum()
        assert row["expr_max"] == values.max()
        assert math.isclose(row["expr_mean"], values.mean(), rel_tol=0, abs_tol=1e-12)
        assert math.isclose(row["expr_std"], values.std(), rel_tol=0, abs_tol=1e-12)
        assert math.isclose(row["expr_skew"], stats.skew(values), rel_tol=1e-9)
        assert math.isclose(row["log1p_total_counts"], np.log1p(values.sum()), rel_tol=1e-9)
        normalized = np.log1p(values / values.sum() * 1e4).sum() / len(tables.mitochondrial)
        assert math.isclose(row["mean_log1p_cp10k"], normalized, rel_tol=1e-9)
        top_50 = 100 * np.sort(values)[-50:].sum() / values.sum()
        assert math.isclose(row["pct_counts_in_top_50_genes"], top_50, rel_tol=0, abs_tol=1e-12)


@pytest.mark.parametrize("file", [FIVE, UNALIGNED], ids=lambda file: file.stem)
@pytest.mark.parametrize("which", ["summary", "all"])
def test_cells_equal_the_oracle(file: Path, which: str, unwritten: Path, tables: oracle.Tables) -> None:
    source = pq.read_table(file)
    found = pl.read_parquet(scan(unwritten / file.name, stats=which, tables=tables).cells).to_dicts()
    expected = oracle.summarize_cells(source, tables, shard=file.stem)
    assert len(found) == len(expected) == source.num_rows
    for one, other in zip(found, expected, strict=True):
        for name, value in one.items():
            if value is None or other[name] is None or name not in WITHIN_1E12 + WITHIN_1E9_RELATIVE:
                assert value == other[name], (one["row"], name)
            elif name in WITHIN_1E12:
                assert abs(value - other[name]) <= 1e-12 * max(1.0, abs(value)), (one["row"], name)
            else:
                assert math.isclose(value, other[name], rel_tol=1e-9, abs_tol=1e-12), (one["row"], name)


def test_genes_of_five_real_cells_equal_the_oracle(unwritten: Path, tables: oracle.Tables) -> None:
    genes = merge([scan(unwritten / FIVE.name, stats="all", tables=tables)], tables=tables)
    cells = [oracle.drop_marker(row["genes"], row["expressions"]) for row in pq.read_table(FIVE).to_pylist()]
    for i, expected in enumerate(oracle.summarize_genes(cells, tables)):
        for name in ("n_cells_by_counts", "total_counts"):
            assert genes[name][i] == expected[name]
        for name in ("mean_counts", "pct_dropout_by_counts"):
            assert math.isclose(genes[name][i], expected[name], rel_tol=0, abs_tol=1e-12)
        for name in ("mean_cp10k", "var_cp10k", "mean_log1p_cp10k", "var_log1p_cp10k"):
            assert math.isclose(genes[name][i], expected[name], rel_tol=1e-9, abs_tol=1e-12)


def test_the_command_gives_the_tables_of_the_contract(tables: oracle.Tables, tmp_path: Path) -> None:
    finished = run_tahoe("cells", FIVE, "--into", tmp_path / "run", "--workers", "0")
    assert finished.code == 0, finished.stderr
    cells = pl.read_parquet(tmp_path / "run" / "cells" / "*.parquet").to_dicts()
    expected = oracle.summarize_cells(pq.read_table(FIVE), tables, shard=FIVE.stem)
    for one, other in zip(cells, expected, strict=True):
        assert list(one) == list(CELLS.names)
        for name in set(one) - set(WITHIN_1E12) - set(WITHIN_1E9_RELATIVE):
            assert one[name] == other[name], name
    genes = pl.read_parquet(tmp_path / "run" / "genes" / "genes.parquet")
    assert genes.columns == list(GENES.names)
    known = pl.read_parquet(TAHOE / "gene_metadata.parquet").sort("token_id")
    assert genes["gene"].to_list() == known["token_id"].to_list()
    assert genes["gene_symbol"].to_list() == known["gene_symbol"].to_list()
    assert genes["ensembl_id"].to_list() == known["ensembl_id"].to_list()
    assert genes["total_counts"].sum() == sum(row["total_counts"] for row in cells)
