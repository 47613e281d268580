"""Shards that lie elsewhere: fetched in pieces, nothing that is not needed; and what a filter is counted under."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scan import build_vocabulary, scan
from strategies import COLUMNS, TABLES, build_table
from tahoe_engine import _rust
from tahoe_engine.errors import ShardError

if TYPE_CHECKING:
    from pathlib import Path

N_ROWS = 60
WANTED: dict[str, Any] = {"plates": {"plate2"}, "samples": {"smp_1783"}, "cell_lines": {"CVCL_0131"}}


@pytest.fixture(scope="module")
def table() -> pa.Table:
    """Sixty cells on two plates, three wells and two lines, one after the other."""
    rows = [([1, 3, 4 + i % 3], [-2.0, 1.0, 2.0]) for i in range(N_ROWS)]
    texts = {name: [""] * N_ROWS for name in COLUMNS[2:]} | {
        "BARCODE_SUB_LIB_ID": [f"01_{i:03}_001-lib_1" for i in range(N_ROWS)],
        "plate": [f"plate{1 + i // 35}" for i in range(N_ROWS)],
        "sample": [f"smp_{1783 + i // 20}" for i in range(N_ROWS)],
        "cell_line_id": [("CVCL_0131", "CVCL_1239")[i % 2] for i in range(N_ROWS)],
    }
    return build_table(rows, texts)


def read_ranges(path: Path, ranges: list[tuple[int, int]]) -> list[tuple[int, bytes]]:
    whole = path.read_bytes()
    return [(start, whole[start : start + length]) for start, length in ranges]


def test_the_needed_pieces_give_what_the_file_gives(table: pa.Table, tmp_path: Path) -> None:
    path = tmp_path / "shard.parquet"
    pq.write_table(table, path, row_group_size=10)
    size = path.stat().st_size
    ends = read_ranges(path, [(0, 64), (size - min(size, 1 << 16), min(size, 1 << 16))])
    needed = _rust.needed_ranges("shard", stats="summary", size=size, pieces=ends, plates={"plate2"})
    assert sum(length for _, length in needed) < size / 2
    pieces = ends[:1] + read_ranges(path, needed) + ends[1:]
    whole = scan(path, stats="summary", plates={"plate2"})
    probed = _rust.probe_shard("elsewhere", "shard", {}, size=size, pieces=ends)
    receipt = _rust.scan_cells(
        "elsewhere",
        str(tmp_path / "pieces"),
        shard="shard",
        stats="summary",
        vocabulary=build_vocabulary(TABLES),
        joins=_rust.Joins(dict(TABLES.cell_names), dict(TABLES.doses_um)),
        size=size,
        footer_digest=probed["footer_digest"],
        plates={"plate2"},
        pieces=pieces,
    )
    assert receipt == whole.receipt
    assert (tmp_path / "pieces").read_bytes() == whole.cells.read_bytes()


def test_a_piece_that_was_not_fetched_is_named(table: pa.Table, tmp_path: Path) -> None:
    path = tmp_path / "shard.parquet"
    pq.write_table(table, path)
    size = path.stat().st_size
    footer = int.from_bytes(path.read_bytes()[-8:-4], "little") + 8
    ends = read_ranges(path, [(0, 64), (size - footer, footer)])
    with pytest.raises(ShardError, match="were not fetched") as caught:
        _rust.probe_shard("elsewhere", "shard", {}, values=True, size=size, pieces=ends)
    assert caught.value.code == "E_IO"


def test_a_filter_is_counted_alike_for_any_row_groups(table: pa.Table, tmp_path: Path) -> None:
    counted = []
    for row_group_size in (1, 7, 10, N_ROWS):
        path = tmp_path / f"groups-{row_group_size}.parquet"
        pq.write_table(table, path, row_group_size=row_group_size)
        receipt = scan(path, stats="summary", **WANTED).receipt
        assert receipt["rows_in"] == receipt["kept"] + sum(receipt["filtered"].values())
        counted.append(receipt["filtered"])
    # By hand: 35 rows on the other plate; of the 25 left none is in the wanted well.
    assert counted == [{"plate": 35, "sample": 25}] * 4


@pytest.mark.parametrize("stats", ["summary", "all"])
@pytest.mark.parametrize("encoding", ["dictionary", "plain"])
@pytest.mark.parametrize("column", ["plate", "sample", "drug", "cell_line_id", "moa-fine", "BARCODE_SUB_LIB_ID"])
def test_the_text_of_a_row_that_was_not_asked_for_condemns_nothing(
    table: pa.Table, tmp_path: Path, column: str, stats: str, encoding: str
) -> None:
    texts = [text.as_py().encode() for text in table[column]]
    texts[27] = b"\xff\xfe"
    bad = pa.Array.from_buffers(pa.string(), len(texts), pa.array(texts, pa.binary()).buffers())
    table = table.set_column(table.schema.get_field_index(column), column, bad)
    path = tmp_path / "shard.parquet"
    pq.write_table(table, path, row_group_size=20, use_dictionary=encoding == "dictionary")
    for first, last in ((0, 27), (28, 60), (22, 25)):
        scanned = scan(path, stats=stats, suffix=f"-{first}", first_row=first, last_row=last)
        assert scanned.receipt["kept"] == last - first
    for first, last in ((0, 28), (27, 28), (20, 60)):
        with pytest.raises(ShardError) as caught:
            scan(path, stats=stats, first_row=first, last_row=last)
        assert caught.value.code == "E_UTF8"
