"""One shard, rewritten by other writers and in other layouts, gives the same bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from grouping import add_rows, make_sums, read_rows
from scan import scan
from strategies import COLUMNS, Layout, build_table

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

N_ROWS = 150


@pytest.fixture(scope="module")
def table() -> pa.Table:
    """Rows of all lengths, so that pages end inside rows; row i holds genes 3, 4, ... and counts 1, 2, 1, 2, ..."""
    rows = [([1, *range(3, 3 + i)], [-2.0, *(float(j % 2 + 1) for j in range(i))]) for i in range(N_ROWS)]
    texts = {name: [f"{name} {i // 40}" for i in range(N_ROWS)] for name in COLUMNS[2:] if "BARCODE" not in name}
    return build_table(rows, texts)


def write_polars(table: pa.Table, path: Path) -> None:
    pl.from_arrow(table).write_parquet(path, compression="zstd", row_group_size=64, data_page_size=500)  # type: ignore[union-attr]


def write_duckdb(table: pa.Table, path: Path) -> None:
    with duckdb.connect() as connection:
        connection.register("shard", table)
        connection.execute(f"copy shard to '{path}' (format parquet, parquet_version v2, row_group_size 2048)")


def write_wide(table: pa.Table, path: Path) -> None:
    """Other types of the same values, more columns, and a dictionary type for texts."""
    wide = table.append_column("n", pa.array(range(len(table)))).append_column("note", pa.array([None] * len(table)))
    text = pa.dictionary(pa.int32(), pa.string())
    types = {
        "genes": pa.large_list(pa.int32()),
        "expressions": pa.large_list(pa.float64()),
        "drug": text,
        "plate": text,
    }
    schema = pa.schema([(field.name, types.get(field.name, field.type)) for field in wide.schema])
    pq.write_table(wide.cast(schema), path)


def write_layout(**options: object) -> Callable[[pa.Table, Path], object]:
    return Layout(options=options).write


WRITERS = {
    "polars": write_polars,
    "duckdb": write_duckdb,
    "other types": write_wide,
    "rows of one group each": write_layout(row_group_size=1),
    "tiny pages": write_layout(data_page_size=1, write_batch_size=1),
    "tiny v2 pages": write_layout(data_page_size=16, write_batch_size=3, data_page_version="2.0"),
    "dictionaries that overflow": write_layout(dictionary_pagesize_limit=8, data_page_size=100, write_batch_size=10),
    "no dictionaries": write_layout(use_dictionary=False),
    "checksums of pages": write_layout(write_page_checksum=True, compression="snappy"),
}


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("stats", ["summary", "all"])
def test_the_writer_leaves_no_trace(writer: str, stats: str, table: pa.Table, tmp_path: Path) -> None:
    for name, write in (("reference", write_layout()), ("rewritten", WRITERS[writer])):
        (tmp_path / name).mkdir()
        write(table, tmp_path / name / "shard.parquet")
    scanned = [scan(tmp_path / name / "shard.parquet", stats=stats) for name in ("reference", "rewritten")]
    assert scanned[0].cells.read_bytes() == scanned[1].cells.read_bytes()
    assert scanned[0].receipt["cells"] == scanned[1].receipt["cells"]
    assert scanned[0].receipt["genes"] == scanned[1].receipt["genes"]
    assert scanned[0].receipt["kept"] == N_ROWS


def test_lists_of_a_fixed_size_are_lists(tmp_path: Path) -> None:
    rows = [([1, *range(3 + i, 13 + i)], [-2.0, *(float(j % 3 + 1) for j in range(10))]) for i in range(50)]
    texts = {name: ["x"] * len(rows) for name in COLUMNS[2:] if "BARCODE" not in name}
    table = build_table(rows, texts)
    fixed = {"genes": pa.list_(pa.int64(), 11), "expressions": pa.list_(pa.float32(), 11)}
    schema = pa.schema([(field.name, fixed.get(field.name, field.type)) for field in table.schema])
    for name, one in (("reference", table), ("fixed", table.cast(schema))):
        (tmp_path / name).mkdir()
        pq.write_table(one, tmp_path / name / "shard.parquet")
    scanned = [scan(tmp_path / name / "shard.parquet", stats="all") for name in ("reference", "fixed")]
    assert scanned[0].cells.read_bytes() == scanned[1].cells.read_bytes()
    assert scanned[0].receipt["genes"] == scanned[1].receipt["genes"]


@pytest.mark.parametrize("writer", WRITERS)
def test_the_writer_leaves_no_trace_in_groups(writer: str, table: pa.Table, tmp_path: Path) -> None:
    rows = [row for row in range(N_ROWS) if row % 5 != 1]
    totals = [sum(j % 2 + 1 for j in range(row)) for row in rows]
    found = []
    for name, write in (("reference", write_layout()), ("rewritten", WRITERS[writer])):
        (tmp_path / name).mkdir()
        path = tmp_path / name / "shard.parquet"
        write(table, path)
        sums = make_sums(tmp_path / name / "spill", 3)
        add_rows(sums, path, rows, [row % 3 for row in rows], totals)
        part = tmp_path / name / "part"
        sums.write_part(str(part), [(0, 0), (1, 1), (2, 2)])
        found.append((part.read_bytes(), read_rows(path, rows)[1]))
    assert found[0] == found[1]
