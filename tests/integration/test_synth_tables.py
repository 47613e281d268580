"""A made-up cells table: the contract's columns, believable joint values, bounded memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest

from tahoe_engine.schema import CELLS
from tahoe_engine.synth import write_tables

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three parts of 20,000 rows."""
    out = tmp_path_factory.mktemp("tables")
    write_tables(out, 60_000, plates=(4, 6), part_rows=20_000)
    return out / "cells"


def test_the_columns_are_those_of_the_contract(cells: Path) -> None:
    for path in sorted(cells.iterdir()):
        schema = pl.read_parquet_schema(path)
        assert list(schema) == list(CELLS.names)
        assert [str(dtype) for dtype in schema.values()] == [column.dtype for column in CELLS.columns]
        table = pl.read_parquet(path)
        assert sum(table.null_count().row(0)) == 0
        assert table["shard"].unique().to_list() == [path.stem]
        assert table["row"].to_list() == list(range(20_000))


def test_there_are_as_many_parts_as_it_takes(cells: Path) -> None:
    assert [path.name for path in sorted(cells.iterdir())] == [f"train-{n:05d}-of-00003.parquet" for n in range(3)]


def test_values_fit_together(cells: Path) -> None:
    table = pl.read_parquet(cells)
    assert (table["expr_len"] == table["n_genes_by_counts"]).all()
    assert (table["n_genes_by_counts"] <= table["total_counts"]).all()
    assert (table["total_counts_mt"] < table["total_counts"]).all()
    total = table["total_counts"].to_numpy().astype(float)
    assert np.allclose(table["log1p_total_counts"], np.log1p(total), rtol=1e-14)
    assert np.allclose(table["pct_counts_mt"], 100 * table["total_counts_mt"].to_numpy() / total)
    assert np.allclose(table["expr_mean"], total / table["expr_len"].to_numpy())
    assert (table["expr_max"] >= table["expr_mean"]).all()
    assert (table["expr_std"] > 0).all()
    assert table["pct_counts_in_top_50_genes"].is_between(5, 100).all()
    assert 1_200 <= float(table["n_genes_by_counts"].median() or 0) <= 1_400  # type: ignore[arg-type]
    assert 1.3 <= float(table["expr_mean"].mean() or 0) <= 1.7  # type: ignore[arg-type]


def test_effects_of_line_drug_and_well_are_in_the_rows(cells: Path) -> None:
    table = pl.read_parquet(cells)
    truth = pl.read_parquet(cells.parent / "truth" / "lines.parquet")
    means = (
        table.group_by("cell_line_id").agg(pl.col("log1p_total_counts").mean(), n=pl.len()).filter(pl.col("n") > 400)
    )
    both = means.join(truth, on="cell_line_id")
    assert np.corrcoef(both["log1p_total_counts"], both["log_depth"])[0, 1] > 0.9
    wells = pl.read_parquet(cells.parent / "truth" / "wells.parquet")
    assert wells["n_cells"].sum() == 60_000


def test_the_same_seed_gives_the_same_rows_in_any_parts(cells: Path, tmp_path: Path) -> None:
    write_tables(tmp_path, 60_000, plates=(4, 6), part_rows=45_000)
    again = pl.read_parquet(tmp_path / "cells").drop("shard", "row")
    assert again.equals(pl.read_parquet(cells).drop("shard", "row"))
    assert write_tables(tmp_path, 60_000, plates=(4, 6), part_rows=45_000).written == 0


def test_no_effect_is_none_exactly(tmp_path: Path) -> None:
    write_tables(tmp_path, 100, wells=2, line_effect=0.0, drug_effect=0.0, well_effect=0.0)
    for name in ("lines", "drugs", "wells"):
        shifts = pl.read_parquet(tmp_path / "truth" / f"{name}.parquet").select("log_depth", "log_mt")
        assert shifts.select(pl.all().abs().max()).row(0) == (0.0, 0.0)
