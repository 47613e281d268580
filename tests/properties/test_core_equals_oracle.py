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

EXACT = {"shard", "row", "expr_len", "expr_max", "n_genes_by_counts", "total_counts", "total_counts_mt"}
CLOSE = {  # relative tolerances; what is in neither table is compared as text
    "expr_mean": 1e-12,
    "expr_std": 1e-12,
    "expr_skew": 1e-9,
    "log1p_total_counts": 1e-12,
    "pct_counts_mt": 1e-12,
    "pct_counts_in_top_50_genes": 1e-12,
    "mean_log1p_cp10k": 1e-9,
}
GENES_CLOSE = {
    "mean_counts": 1e-12,
    "pct_dropout_by_counts": 1e-12,
    "mean_cp10k": 1e-9,
    "var_cp10k": 1e-9,
    "mean_log1p_cp10k": 1e-9,
    "var_log1p_cp10k": 1e-9,
}
# Fixed-point sums and symmetric cells: beside a zero there is no relative error.
NEAR_ZERO = 1e-12

many = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
few = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def assert_close(found: dict[str, Any], expected: dict[str, Any], tolerances: dict[str, float]) -> None:
    for name, value in found.items():
        if name not in tolerances or value is None or expected[name] is None:
            assert value == expected[name], (name, value, expected[name])
        else:
            assert math.isclose(value, expected[name], rel_tol=tolerances[name], abs_tol=NEAR_ZERO), (
                name,
                value,
                expected[name],
            )


def assert_equals_oracle(table: pa.Table, layout: strategies.Layout, stats: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = layout.write(table, Path(folder) / "train-00000-of-00001.parquet")
        scanned = scan(path, stats=stats)
        found = pl.read_parquet(scanned.cells).to_dicts()
        expected = oracle.summarize_cells(table, strategies.TABLES, shard=path.name.removesuffix(".parquet"))
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert set(one) == set(oracle.SUMMARY_COLUMNS if stats == "summary" else other)
            assert_close(one, other, CLOSE)
        receipt = scanned.receipt
        assert (receipt["rows_in"], receipt["kept"]) == (table.num_rows, table.num_rows)
        assert receipt["rejected"] == {}
        assert receipt["warnings"] == expected_warnings(table, stats)
        if stats == "all":
            genes = merge([scanned])
            cells = [oracle.drop_marker(row["genes"], row["expressions"]) for row in table.to_pylist()]
            for i, row in enumerate(oracle.summarize_genes(cells, strategies.TABLES)):
                assert_close({name: genes[name][i] for name in row if name != "gene"}, row, GENES_CLOSE)


def expected_warnings(table: pa.Table, stats: str) -> dict[str, int]:
    # `summary` reads one of the two lists: it sees values, and no tokens.
    del stats
    return oracle.count_warnings(table)


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
    plates = data.draw(st.none() | st.just(["plate12"]))
    min_genes = data.draw(st.sampled_from([0, 1, 10]))
    with tempfile.TemporaryDirectory() as folder:
        path = layout.write(table, Path(folder) / "shard.parquet")
        filters: dict[str, Any] = {"cell_lines": wanted, "plates": plates, "min_genes": min_genes}
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
