"""JSONL and folders saved by `datasets`: the same tables as from Parquet, and errors that name rows of the file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tahoe_engine as te
from runs import quarantined, scan
from tahoe_engine.config import load_settings
from tahoe_engine.errors import SourceError, StageError

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl

    from tahoe_engine.cells import Progress

pytest.importorskip("tahoe_engine._rust", reason="the core is not built: make build")


@pytest.fixture(scope="module")
def table(atlas: Path) -> pa.Table:
    """The first 450 cells of the atlas."""
    return pa.concat_tables([pq.read_table(path) for path in sorted((atlas / "data").iterdir())[:3]])[:450]


def write_lines(path: Path, table: pa.Table, *, whole: bool = True) -> list[str]:
    lines = []
    for number, row in enumerate(table.to_pylist()):
        # Numbers as whole ones, or with a point, both in one file.
        if whole and number % 2:
            row["expressions"] = [int(value) for value in row["expressions"]]
        elif number % 3 == 0:
            row["genes"] = [float(token) for token in row["genes"]]
        lines.append(json.dumps(row))
    path.write_text("\n".join(lines) + "\n\n")
    return lines


def write_saved(folder: Path, table: pa.Table, files: int = 2) -> None:
    """What `datasets` leaves, as far as it is read."""
    folder.mkdir()
    names = [f"data-{i:05}-of-{files:05}.arrow" for i in range(files)]
    rows = -(-table.num_rows // files)
    for number, name in enumerate(names):
        with pa.OSFile(str(folder / name), "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
            stream.write_table(table[number * rows : (number + 1) * rows], max_chunksize=70)
    state = {"_data_files": [{"filename": name} for name in names], "_fingerprint": "f", "_split": "train"}
    (folder / "state.json").write_text(json.dumps(state))
    (folder / "dataset_info.json").write_text("{}")


def numbers(run: Path, table: str = "cells") -> pl.DataFrame:
    """Without the columns that say where a row was."""
    frame = te.Run(run).table(table).collect()
    return frame.drop(name for name in ("shard", "row") if name in frame.columns)


def parquet_run(table: pa.Table, folder: Path, **options: Any) -> Path:
    folder.mkdir()
    pq.write_table(table, folder / "a.parquet", row_group_size=100)
    scan(folder / "a.parquet", folder / "run", **options)
    return folder / "run"


@pytest.mark.parametrize("rows_a_unit", [16_384, 130])
def test_lines_give_what_parquet_gives(table: pa.Table, tmp_path: Path, rows_a_unit: int) -> None:
    write_lines(tmp_path / "cells.jsonl", table)
    settings = load_settings(overrides=[f"source.rows_a_unit={rows_a_unit}"])
    scan(tmp_path / "cells.jsonl", tmp_path / "run", settings=settings)
    expected = parquet_run(table, tmp_path / "parquet")
    for name in ("cells", "genes"):
        assert numbers(tmp_path / "run", name).equals(numbers(expected, name))
    if rows_a_unit > table.num_rows:
        assert te.Run(tmp_path / "run").table("cells").collect()["shard"].unique().to_list() == ["cells"]


@pytest.mark.parametrize("rows_a_unit", [16_384, 100])
def test_a_saved_folder_gives_what_parquet_gives(table: pa.Table, tmp_path: Path, rows_a_unit: int) -> None:
    write_saved(tmp_path / "saved", table)
    settings = load_settings(overrides=[f"source.rows_a_unit={rows_a_unit}"])
    scan(tmp_path / "saved", tmp_path / "run", settings=settings)
    expected = parquet_run(table, tmp_path / "parquet")
    for name in ("cells", "genes"):
        assert numbers(tmp_path / "run", name).equals(numbers(expected, name))


def test_what_datasets_really_saves_is_read(table: pa.Table, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="the extra `hub` is not installed")
    whole = datasets.Dataset(table.replace_schema_metadata())
    whole.save_to_disk(str(tmp_path / "saved"), num_shards=2)
    datasets.DatasetDict({"train": whole}).save_to_disk(str(tmp_path / "splits"))
    expected = numbers(parquet_run(table, tmp_path / "parquet"))
    for name in ("saved", "splits"):
        scan(tmp_path / name, tmp_path / f"run-{name}")
        assert numbers(tmp_path / f"run-{name}").equals(expected)


def test_rows_and_filters_are_those_of_the_source(table: pa.Table, tmp_path: Path) -> None:
    write_lines(tmp_path / "cells.jsonl", table)
    well = table["sample"][0].as_py()
    options: dict[str, Any] = {"rows": "95:333", "samples": [well]}
    settings = load_settings(overrides=["source.rows_a_unit=90"])
    scan(tmp_path / "cells.jsonl", tmp_path / "run", settings=settings, **options)
    expected = parquet_run(table, tmp_path / "parquet", **options)
    assert numbers(tmp_path / "run").equals(numbers(expected))


BROKEN = {
    '{"genes": [1, 3': ("E_JSON_LINE", "not JSON at column 16"),
    "[1, 2]": ("E_JSON_LINE", "a list where a cell"),
    "": ("E_JSON_LINE", "blank"),
    "genes=3.5": ("E_TYPE", "'genes' holds what is no list"),
    "genes=true": ("E_TYPE", "'genes' holds bool, expected numbers"),
    "genes='3'": ("E_TYPE", "'genes' is a str, expected a list of numbers"),
    "drug=7": ("E_TYPE", "'drug' is a int, expected a text"),
    "plate=": ("E_MISSING_COLUMN", "'plate' is not in it"),
    "expressions=NaN": ("E_NONFINITE", ""),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_line_is_named_by_its_number(table: pa.Table, tmp_path: Path, kind: str) -> None:
    lines = write_lines(tmp_path / "cells.jsonl", table[:120])
    row = json.loads(lines[77])
    if kind == "plate=":
        del row["plate"]
    elif kind == "drug=7":
        row["drug"] = 7
    elif kind == "genes='3'":
        row["genes"] = "3"
    elif kind.startswith("genes="):
        row["genes"][1] = json.loads(kind.partition("=")[2])
    elif kind.startswith("expressions="):
        row["expressions"][1] = float("nan")
    else:
        row = None
    lines[77] = kind if row is None else json.dumps(row)
    (tmp_path / "cells.jsonl").write_text("\n".join(lines))
    settings = load_settings(overrides=["source.rows_a_unit=50"])
    report = scan(tmp_path / "cells.jsonl", tmp_path / "run", settings=settings, stats="qc")
    (record,) = report.manifest["quarantined"]
    code, said = BROKEN[kind]
    assert (record["code"], record["row"], record["rows"]) == (code, 77, 50)
    assert record["reason"].startswith("line 78: ")
    assert said in record["reason"]
    assert report.manifest["rows"] == {"in": 120, "kept": 70, "filtered": 0, "rejected": 0, "quarantined": 50}


def test_a_defective_row_of_a_saved_folder_is_named_by_its_number(table: pa.Table, tmp_path: Path) -> None:
    rows = table.slice(0, 120).to_pylist()
    rows[77]["expressions"][1] = float("inf")
    write_saved(tmp_path / "saved", pa.Table.from_pylist(rows, schema=table.schema), files=1)
    settings = load_settings(overrides=["source.rows_a_unit=50"])
    report = scan(tmp_path / "saved", tmp_path / "run", settings=settings)
    (record,) = report.manifest["quarantined"]
    assert (record["code"], record["row"], record["row_group"]) == ("E_NONFINITE", 77, None)


def test_a_file_that_grew_is_refused(table: pa.Table, tmp_path: Path) -> None:
    lines = write_lines(tmp_path / "cells.jsonl", table[:20])
    scan(tmp_path / "cells.jsonl", tmp_path / "run", stats="summary")
    assert scan(tmp_path / "cells.jsonl", tmp_path / "run", stats="summary").units_found_done == 1
    (tmp_path / "cells.jsonl").write_text("\n".join([*lines, lines[0]]))
    with pytest.raises(StageError, match="E_INPUT_CHANGED"):
        scan(tmp_path / "cells.jsonl", tmp_path / "run", stats="summary")


def test_a_file_that_changes_after_the_plan_is_named(table: pa.Table, tmp_path: Path) -> None:
    write_saved(tmp_path / "saved", table[:40], files=1)
    lines = write_lines(tmp_path / "cells.jsonl", table[:40])

    def change(progress: Progress) -> None:
        if progress.doing == "footers":
            (tmp_path / "cells.jsonl").write_text("\n".join([*lines[1:], lines[0]]) + "\n\n")
            (arrow,) = (tmp_path / "saved").glob("*.arrow")
            arrow.write_bytes(arrow.read_bytes().replace(b"plate4", b"plate5"))

    source = [str(tmp_path / "cells.jsonl"), str(tmp_path / "saved")]
    report = scan(source, tmp_path / "run", on_progress=change)
    assert set(quarantined(report).values()) == {"E_INPUT_CHANGED"}
    assert report.n_quarantined == 2


def test_a_folder_that_cannot_be_read_says_why(table: pa.Table, tmp_path: Path) -> None:
    saved = tmp_path / "saved"
    write_saved(saved, table[:40])
    state = json.loads((saved / "state.json").read_text())
    for change, said in (
        ({"_data_files": [{"filename": "../../etc/passwd"}]}, "is not a file in this folder"),
        ({"_data_files": [{"filename": "gone.arrow"}]}, "1 of its 1 files are missing"),
        ({"_data_files": []}, "names no Arrow file"),
        ({"_indices_data_files": [{"filename": "i.arrow"}]}, "flatten_indices"),
    ):
        (saved / "state.json").write_text(json.dumps(state | change))
        with pytest.raises(SourceError, match=said):
            scan(saved, tmp_path / "run")
    (saved / "state.json").write_text(json.dumps(state))
    whole = (saved / "data-00000-of-00002.arrow").read_bytes()
    (saved / "data-00000-of-00002.arrow").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SourceError, match="not a whole Arrow stream"):
        scan(saved, tmp_path / "run")


def test_an_empty_file_is_no_source(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("\n \n")
    with pytest.raises(SourceError, match="holds no line"):
        scan(tmp_path / "a.jsonl", tmp_path / "run")


def test_codes_of_a_run_are_by_shard(table: pa.Table, tmp_path: Path) -> None:
    lines = write_lines(tmp_path / "cells.jsonl", table[:20])
    (tmp_path / "cells.jsonl").write_text("\n".join([*lines[:5], "{", *lines[5:]]))
    assert quarantined(scan(tmp_path / "cells.jsonl", tmp_path / "run")) == {"cells": "E_JSON_LINE"}
