"""Whatever a shard holds and however it is written, the compiled core gives what the oracle gives."""

from __future__ import annotations

import math
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import oracle
import strategies
from scan import merge, scan
from tahoe_engine.errors import ShardError

if TYPE_CHECKING:
    import pyarrow as pa

CLOSE = {  # relative tolerances; every other column is exact
    "expr_mean": 1e-12,
    "expr_std": 1e-12,
    "expr_skew": 1e-9,
    "log1p_total_counts": 1e-12,
    "pct_counts_mt": 1e-12,
    "pct_counts_in_top_50_genes": 1e-12,
    "mean_log1p_cp10k": 1e-9,
}
# Gene sums are whole numbers of a fixed-point step: each entry is off by half a step at most, hence so is a mean, and a
# standard deviation by half a step times the square root of n / (n - 1).
HALF_STEP = {"cp10k": 2.0**-37, "log1p_cp10k": 2.0**-41}
# A symmetric cell has a skewness of zero, beside which there is no relative error.
NEAR_ZERO = 1e-12

many = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
few = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def assert_close(name: str, found: float | None, expected: float | None, rel_tol: float, abs_tol: float) -> None:
    if found is None or expected is None:
        assert found is expected, (name, found, expected)
    else:
        assert math.isclose(found, expected, rel_tol=rel_tol, abs_tol=abs_tol), (name, found, expected)


def assert_cell(found: dict[str, Any], expected: dict[str, Any]) -> None:
    for name, value in found.items():
        if name in CLOSE:
            assert_close(name, value, expected[name], CLOSE[name], NEAR_ZERO)
        else:
            assert value == expected[name], name


def assert_gene(found: dict[str, Any], expected: dict[str, Any]) -> None:
    for name in ("n_cells_by_counts", "total_counts"):
        assert found[name] == expected[name]
    for name in ("mean_counts", "pct_dropout_by_counts"):
        assert_close(name, found[name], expected[name], 1e-12, 0)
    for quantity, half_step in HALF_STEP.items():
        assert_close(quantity, found[f"mean_{quantity}"], expected[f"mean_{quantity}"], 1e-9, half_step)
        ours, theirs = (take_root(row[f"var_{quantity}"]) for row in (found, expected))
        assert_close(f"std of {quantity}", ours, theirs, 1e-9, 2 * half_step)


def take_root(variance: float | None) -> float | None:
    return None if variance is None else math.sqrt(variance)


def assert_equals_oracle(table: pa.Table, layout: strategies.Layout, stats: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = layout.write(table, Path(folder) / "train-00000-of-00001.parquet")
        scanned = scan(path, stats=stats)
        found = pl.read_parquet(scanned.cells).to_dicts()
        expected = oracle.summarize_cells(table, strategies.TABLES, shard=path.name.removesuffix(".parquet"))
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert set(one) == set(oracle.SUMMARY_COLUMNS if stats == "summary" else other)
            assert_cell(one, other)
        receipt = scanned.receipt
        assert (receipt["rows_in"], receipt["kept"]) == (table.num_rows, table.num_rows)
        assert receipt["rejected"] == {}
        assert receipt["warnings"] == oracle.count_warnings(table)
        if stats == "all":
            genes = merge([scanned])
            cells = [oracle.drop_marker(row["genes"], row["expressions"]) for row in table.to_pylist()]
            for i, row in enumerate(oracle.summarize_genes(cells, strategies.TABLES)):
                assert_gene({name: column[i] for name, column in genes.items()}, row)


@many
@given(strategies.tables(), strategies.layouts(), st.sampled_from(["summary", "qc", "all"]))
def test_any_small_shard_in_any_layout(table: pa.Table, layout: strategies.Layout, stats: str) -> None:
    assert_equals_oracle(table, layout, stats)


@few
@given(strategies.long_tables(), strategies.layouts(), st.sampled_from(["summary", "all"]))
def test_any_long_shard_in_any_layout(table: pa.Table, layout: strategies.Layout, stats: str) -> None:
    assert_equals_oracle(table, layout, stats)


@many
@given(strategies.long_tables(max_rows=60), strategies.layouts(), strategies.layouts())
def test_the_layout_leaves_no_trace(table: pa.Table, one: strategies.Layout, other: strategies.Layout) -> None:
    with tempfile.TemporaryDirectory() as folder:
        results = []
        for name, layout in (("one", one), ("other", other)):
            sub = Path(folder) / name
            sub.mkdir()
            scanned = scan(layout.write(table, sub / "shard.parquet"), stats="all")
            results.append((scanned.cells.read_bytes(), scanned.receipt["cells"], scanned.receipt["genes"]))
        assert results[0] == results[1]


@few
@given(strategies.long_tables(max_rows=200), strategies.layouts(), st.data())
def test_any_split_in_any_order_merges_to_the_same_bytes(
    table: pa.Table, layout: strategies.Layout, data: st.DataObject
) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, table.num_rows), max_size=4)))
    bounds = [0, *cuts, table.num_rows]
    with tempfile.TemporaryDirectory() as folder:
        whole = scan(layout.write(table, Path(folder) / "whole.parquet"), stats="all")
        pieces = [
            scan(layout.write(table.slice(low, high - low), Path(folder) / f"piece{i}.parquet"), stats="all")
            for i, (low, high) in enumerate(pairwise(bounds))
        ]
        assert merge(data.draw(st.permutations(pieces)), raw=True) == merge([whole], raw=True)


@many
@given(strategies.tables(min_rows=1), strategies.layouts(), st.data())
def test_filters_and_slices_keep_the_rows_they_should(
    table: pa.Table, layout: strategies.Layout, data: st.DataObject
) -> None:
    first, last = sorted(data.draw(st.tuples(*[st.integers(0, table.num_rows)] * 2)))
    wanted = data.draw(st.lists(st.sampled_from(strategies.TEXTS["cell_line_id"]), unique=True, min_size=1))
    plates = data.draw(st.none() | st.just({"plate12"}))
    min_genes = data.draw(st.sampled_from([0, 1, 10]))
    with tempfile.TemporaryDirectory() as folder:
        path = layout.write(table, Path(folder) / "shard.parquet")
        filters: dict[str, Any] = {"cell_lines": set(wanted), "plates": plates, "min_genes": min_genes}
        scanned = scan(path, stats="qc", first_row=first, last_row=last, **filters)
        rows = oracle.summarize_cells(table, strategies.TABLES, shard="shard", rows=range(first, last))
        on_keys = [r for r in rows if r["cell_line_id"] in wanted and (plates is None or r["plate"] in plates)]
        kept = [r for r in on_keys if r["n_genes_by_counts"] >= min_genes]
        found = pl.read_parquet(scanned.cells)
        assert found["row"].to_list() == [r["row"] for r in kept]
        receipt = scanned.receipt
        assert receipt["rows_in"] == last - first
        assert receipt["rows_in"] == receipt["kept"] + sum(receipt["filtered"].values())
        assert receipt["filtered"].get("min_genes", 0) == len(on_keys) - len(kept)


@many
@given(strategies.defects(), strategies.layouts())
def test_a_defective_row_condemns_its_shard_or_is_counted(
    defect: tuple[pa.Table, int, str], layout: strategies.Layout
) -> None:
    table, row, code = defect
    if layout.token_type.bit_width < 64 and code == "E_TOKEN_RANGE":
        layout = strategies.Layout(options=layout.options, columns=layout.columns)
    with tempfile.TemporaryDirectory() as folder:
        path = layout.write(table, Path(folder) / "shard.parquet")
        with pytest.raises(ShardError) as caught:
            scan(path, stats="all")
        assert (caught.value.shard, caught.value.row, caught.value.code) == ("shard", row, code)
        scanned = scan(path, stats="all", bad_rows="reject", suffix=".rejected")
        assert scanned.receipt["rejected"] == {code: 1}
        assert pl.read_parquet(scanned.cells)["row"].to_list() == [i for i in range(table.num_rows) if i != row]
