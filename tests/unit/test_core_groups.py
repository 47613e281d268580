"""What the core says of rows that it is asked for, and what it does with sums that are many."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow.parquet as pq
import pytest

from grouping import add_rows, identify, make_sums, read_rows, to_rows
from oracle import Tables
from scan import scan
from strategies import COLUMNS, Layout, build_table
from tahoe_engine.errors import ShardError

if TYPE_CHECKING:
    from pathlib import Path

N_ROWS = 40
GROUP_ROWS = 8


def list_texts(n_rows: int) -> dict[str, list[str]]:
    return {name: [name] * n_rows for name in COLUMNS[2:] if "BARCODE" not in name}


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    """Row i holds genes 3, 4, ..., 3 + i, each with i + 1 molecules; row groups of eight rows."""
    rows = [([1, *range(3, 4 + i)], [-2.0, *[i + 1.0] * (i + 1)]) for i in range(N_ROWS)]
    layout = Layout(options={"row_group_size": GROUP_ROWS})
    return layout.write(build_table(rows, list_texts(N_ROWS)), tmp_path / "train-00007.parquet")


def total(row: int) -> int:
    return (row + 1) ** 2


def add(sums: Any, shard: Path, rows: list[int], /, **options: Any) -> Any:
    return add_rows(sums, shard, rows, [0] * len(rows), [total(row) for row in rows], **options)


def test_only_row_groups_with_a_chosen_row_are_read(shard: Path, tmp_path: Path) -> None:
    from tahoe_engine import _rust

    rows = [3, 9, 10, 39]
    known, content = identify(shard), shard.read_bytes()
    meta = pq.ParquetFile(shard).metadata
    footer = meta.serialized_size + 8
    ends = [(0, content[:48]), (len(content) - footer, content[-footer:])]
    asked = {"stats": "counts", "size": known["size"], "rows": to_rows(rows)}
    ranges = _rust.needed_ranges(known["shard"], pieces=ends, **asked)
    chunks = [
        meta.row_group(group).column(column)
        for group in (0, 1, 4)
        for column in range(meta.num_columns)
        if meta.row_group(group).column(column).path_in_schema.split(".")[0] in {"genes", "expressions"}
    ]
    assert ranges == [(chunk.dictionary_page_offset, chunk.total_compressed_size) for chunk in chunks]
    # What was fetched is enough, and nothing else is looked for.
    pieces = ends + [(start, content[start : start + length]) for start, length in ranges]
    taken = add(make_sums(tmp_path / "spill", 1), shard, rows, pieces=pieces)
    read = sum(length for _, length in ranges) + footer
    assert taken == {"rows": 4, "row_groups_read": 3, "bytes_read": read}
    found, cells = read_rows(shard, rows, pieces=pieces)
    assert (found["row_groups_read"], found["bytes_read"]) == (3, read)
    assert cells == [[(3 + gene, row + 1) for gene in range(row + 1)] for row in rows]


def test_rows_belong_to_counts_and_to_nothing_else(shard: Path) -> None:
    from tahoe_engine import _rust

    known, pieces = identify(shard), [(0, shard.read_bytes())]
    for options in ({"stats": "counts"}, {"stats": "all", "rows": to_rows([1])}):
        with pytest.raises(ValueError, match="rows belong to"):
            _rust.needed_ranges(known["shard"], size=known["size"], pieces=pieces, **options)


def test_no_rows_are_no_work(shard: Path, tmp_path: Path) -> None:
    sums = make_sums(tmp_path / "spill", 2)
    assert add(sums, shard, [])["row_groups_read"] == 0
    assert read_rows(shard, [])[1] == []
    made = sums.write_part(str(tmp_path / "part"), [(0, 4), (1, 9)])
    assert made["rows"] == pl.read_parquet(tmp_path / "part").height == 0


@pytest.mark.parametrize(
    ("rows", "reason"),
    [([0, 40], "row 40 is asked for, and the shard has 40"), ([3, 3], "do not ascend"), ([4, 1], "do not ascend")],
)
def test_rows_that_cannot_be_are_named(rows: list[int], reason: str, shard: Path, tmp_path: Path) -> None:
    for read in (partial(add, make_sums(tmp_path / "spill", 1), shard, rows), partial(read_rows, shard, rows)):
        with pytest.raises(ShardError, match=reason) as caught:
            read()
        assert caught.value.code == "E_INPUT_CHANGED"


def test_a_row_of_other_counts_is_named_and_its_sums_are_refused(shard: Path, tmp_path: Path) -> None:
    sums = make_sums(tmp_path / "spill", 1)
    rows = [2, 17, 30]
    with pytest.raises(ShardError, match="not those that the table of cells has") as caught:
        add_rows(sums, shard, rows, [0, 0, 0], [total(2), total(17) + 1, total(30)])
    error = caught.value
    assert (error.shard, error.row_group, error.row, error.code) == ("train-00007", 2, 17, "E_INPUT_CHANGED")
    for again in (partial(add, sums, shard, [1]), partial(sums.write_part, str(tmp_path / "part"), [(0, 0)])):
        with pytest.raises(ShardError, match="after an error"):
            again()
    assert not (tmp_path / "part").exists()


def test_another_file_in_place_of_the_shard_is_refused(shard: Path, tmp_path: Path) -> None:
    for changed in ({"size": 5}, {"footer_digest": "0" * 64}):
        for read in (
            partial(add, make_sums(tmp_path / "spill", 1), shard, [1], **changed),
            partial(read_rows, shard, [1], **changed),
        ):
            with pytest.raises(ShardError, match="not the one that was planned") as caught:
                read()
            assert caught.value.code == "E_INPUT_CHANGED"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"rows": b"1234567"}, "rows must be little-endian numbers of 8 bytes"),
        ({"groups": b"12345"}, "groups must be"),
        ({"rows": to_rows([-1])}, "must not be below zero"),
        ({"rows": to_rows([1, 2])}, "equally many"),
        ({"groups": b"\x02\0\0\0"}, "no group 2 of 2"),
        ({"limits": {"speed": 1}}, "no limit named"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(
    change: dict[str, Any], reason: str, shard: Path, tmp_path: Path
) -> None:
    sums = make_sums(tmp_path / "spill", 2)
    with pytest.raises(ValueError, match=reason):
        add(sums, shard, [1], **change)
    for groups, why in (([(0, 5), (1, 5)], "ascending"), ([(2, 5)], "no group 2 of 2")):
        with pytest.raises(ValueError, match=why):
            sums.write_part(str(tmp_path / "part"), groups)
    # Nothing was added yet, so the sums are still good.
    add(sums, shard, [1])


def test_a_part_can_be_written_again_and_cells_added_in_between(shard: Path, tmp_path: Path) -> None:
    sums = make_sums(tmp_path / "spill", 1, memory_bytes=0)
    add(sums, shard, [0, 1])
    sums.write_part(str(tmp_path / "one"), [(0, 7)])
    with pytest.raises(FileExistsError):
        sums.write_part(str(tmp_path / "one"), [(0, 7)])
    add(sums, shard, [2])
    sums.write_part(str(tmp_path / "two"), [(0, 7)])
    columns = ["group_id", "gene", "n_cells_by_counts", "sum_counts", "sum_sq_counts"]
    assert pl.read_parquet(tmp_path / "one").select(columns).rows() == [(7, 3, 2, 3, 5), (7, 4, 1, 2, 4)]
    two = [(7, 3, 3, 6, 14), (7, 4, 2, 5, 13), (7, 5, 1, 3, 9)]
    assert pl.read_parquet(tmp_path / "two").select(columns).rows() == two


def test_a_spill_that_cannot_be_made_says_where(shard: Path, tmp_path: Path) -> None:
    sums = make_sums(tmp_path / "nowhere" / "spill", 1, memory_bytes=0, batch_entries=1)
    with pytest.raises(FileNotFoundError) as caught:
        add(sums, shard, [1])
    assert caught.value.filename == str(tmp_path / "nowhere" / "spill")


@pytest.mark.parametrize("n_genes", [65_534, 65_535, 65_536, 140_000])
def test_a_vocabulary_of_any_length(n_genes: int, tmp_path: Path) -> None:
    tables = Tables(dict.fromkeys(range(3, 3 + n_genes), False))
    picked = sorted({3, 4, 65_536, 65_537, 65_538, 65_539, n_genes + 2} & set(tables.mitochondrial))
    rows = [([1, *picked[::-1]], [-2.0, *[float(i + 1) for i in range(len(picked))]]), ([1, picked[-1]], [-2.0, 4.0])]
    path = Layout().write(build_table(rows, list_texts(2)), tmp_path / "shard.parquet")
    sums = make_sums(tmp_path / "spill", 2, tables=tables, memory_bytes=0)
    add_rows(sums, path, [0, 1], [1, 1], [sum(range(1, len(picked) + 1)), 4])
    sums.write_part(str(tmp_path / "part"), [(1, 1)])
    found = dict(pl.read_parquet(tmp_path / "part").select("gene", "sum_counts").rows())
    expected = {gene: len(picked) - i for i, gene in enumerate(picked)}
    assert found == expected | {picked[-1]: 1 + 4}


def test_more_distinct_counts_than_half_an_entry_holds(tmp_path: Path) -> None:
    # 700 rows of 120 genes: 84,000 counts, no two of them equal, so that their codes need more than 16 bits.
    rows = [([1, *range(3, 123)], [-2.0, *(float(120 * i + j + 1) for j in range(120))]) for i in range(700)]
    path = Layout(options={"use_dictionary": False}).write(
        build_table(rows, list_texts(700)), tmp_path / "shard.parquet"
    )
    sums = make_sums(tmp_path / "spill", 1)
    add_rows(sums, path, range(700), [0] * 700, [int(sum(values[1:])) for _, values in rows])
    sums.write_part(str(tmp_path / "part"), [(0, 0)])
    found = pl.read_parquet(tmp_path / "part")
    assert found["sum_counts"].to_list() == [sum(120 * i + j + 1 for i in range(700)) for j in range(120)]
    assert found["sum_sq_counts"].to_list() == [sum((120 * i + j + 1) ** 2 for i in range(700)) for j in range(120)]


def test_receipts_tell_the_runs_of_kept_rows_and_the_lines(tmp_path: Path) -> None:
    lines, samples = ["CVCL_0131", "CVCL_1239"], ["smp_1783", "smp_1784"]
    texts = list_texts(12) | {
        "sample": [samples[row // 5 % 2] for row in range(12)],
        "cell_line_id": [lines[row % 3 == 1] for row in range(12)],
        "plate": ["plate4"] * 11 + ["plate5"],
    }
    # Row 8 has too few genes, row 2 a defect, rows 1, 4, 7 and 10 are of the other line, row 11 of another plate.
    rows = [([1, *range(3, 9)], [-2.0, *[1.0] * 6]) for _ in range(12)]
    rows[2][1][3] = 0.5
    rows[8] = ([1, 3], [-2.0, 1.0])
    path = Layout(options={"row_group_size": 3}).write(build_table(rows, texts), tmp_path / "shard.parquet")
    receipt = scan(path, stats="qc", min_genes=2, bad_rows="reject", cell_lines={"CVCL_0131"}).receipt
    assert receipt["sample_runs"] == [
        ("plate4", "smp_1783", 0, 4, 2),
        ("plate4", "smp_1784", 5, 10, 3),
        ("plate5", "smp_1783", 11, 12, 1),
    ]
    assert receipt["cell_lines"] == {"CVCL_0131": 6}
    receipt = scan(path, stats="qc", bad_rows="reject", suffix=".all").receipt
    assert receipt["sample_runs"] == [
        ("plate4", "smp_1783", 0, 5, 4),
        ("plate4", "smp_1784", 5, 10, 5),
        ("plate4", "smp_1783", 10, 11, 1),
        ("plate5", "smp_1783", 11, 12, 1),
    ]
    assert receipt["cell_lines"] == {"CVCL_0131": 7, "CVCL_1239": 4}


@pytest.mark.parametrize("n_runs", [4_096, 4_097])
def test_runs_beyond_their_number_are_not_told(n_runs: int, tmp_path: Path) -> None:
    texts = list_texts(n_runs) | {"sample": [f"smp_{row % 2}" for row in range(n_runs)]}
    path = Layout().write(build_table([([1, 3], [-2.0, 1.0])] * n_runs, texts), tmp_path / "shard.parquet")
    runs = scan(path, stats="summary").receipt["sample_runs"]
    assert (runs is None) == (n_runs > 4_096)
    assert runs is None or len(runs) == n_runs
