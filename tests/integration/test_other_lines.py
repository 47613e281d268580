"""Lines of a JSONL file as strangers write them: each defect is named, or drops its one line."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from collections import Counter
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow.parquet as pq
import pytest

import tahoe_engine as te
from runs import quarantined, scan
from tahoe_engine.config import load_settings
from tahoe_engine.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tahoe_engine.config import Settings

pytest.importorskip("tahoe_engine._rust", reason="the core is not built: make build")

CELLS, BAD = 30, 17


@pytest.fixture(scope="module")
def cells(atlas: Path) -> list[dict[str, Any]]:
    """A few cells of the atlas."""
    some: list[dict[str, Any]] = pq.read_table(min((atlas / "data").iterdir())).slice(0, CELLS).to_pylist()
    return some


def lines_of(cells: list[dict[str, Any]]) -> list[str]:
    return [json.dumps(cell) for cell in cells]


def changed(change: Callable[[dict[str, Any]], object]) -> Callable[[dict[str, Any]], str]:
    def write(cell: dict[str, Any]) -> str:
        change(cell)
        return json.dumps(cell)

    return write


def put(name: str, value: object) -> Callable[[dict[str, Any]], str]:
    return changed(lambda cell: cell.update({name: value}))


def element(name: str, text: str) -> Callable[[dict[str, Any]], str]:
    """Write a number as no Python number can be written."""
    return lambda cell: json.dumps({**cell, name: [cell[name][0], "HERE", *cell[name][2:]]}).replace('"HERE"', text)


DEFECTS: dict[str, tuple[Callable[[dict[str, Any]], str], str, str]] = {
    "cut": (lambda cell: json.dumps(cell)[:-40], "E_JSON_LINE", "not JSON at column"),
    "blank": (lambda _: "  ", "E_JSON_LINE", "blank"),
    "a list": (lambda _: "[1, 2]", "E_JSON_LINE", "a list where a cell"),
    "no columns": (lambda _: '{"error": "rate limited"}', "E_MISSING_COLUMN", "is not in it"),
    "twice": (lambda cell: '{"genes": [1], ' + json.dumps(cell)[1:], "E_JSON_LINE", "'genes' is there twice"),
    "deep": (lambda cell: json.dumps(cell)[:-1] + ', "x": ' + "[" * 100_000, "E_JSON_LINE", "nested too deep"),
    "many digits": (element("genes", "9" * 5_000), "E_JSON_LINE", "more digits"),
    "past 64 bits": (element("genes", str(2**64)), "E_TYPE", "'genes' holds what is no list"),
    "a fraction": (element("genes", "3.5"), "E_TYPE", "'genes' holds what is no list"),
    "true": (put("genes", [1, True]), "E_TYPE", "'genes' holds bool"),
    "a text": (put("expressions", "3"), "E_TYPE", "'expressions' is a str"),
    "a number": (put("drug", 7), "E_TYPE", "'drug' is a int"),
    "half a letter": (put("drug", "\ud800"), "E_TYPE", "'drug' holds what is no text"),
    "no plate": (changed(lambda cell: cell.pop("plate")), "E_MISSING_COLUMN", "'plate' is not in it"),
    "NaN": (element("expressions", "NaN"), "E_NONFINITE", ""),
    "1e400": (element("expressions", "1e400"), "E_NONFINITE", ""),
    "null": (put("expressions", None), "E_NULL_LIST", ""),
    "null inside": (element("expressions", "null"), "E_NULL_ELEMENT", ""),
}


@pytest.fixture(scope="module")
def folder(cells: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file for each defect, and one without."""
    folder = tmp_path_factory.mktemp("lines")
    good = lines_of(cells)
    (folder / "good.jsonl").write_text("\n".join(good))
    for kind, (write, _, _) in DEFECTS.items():
        lines = [*good[:BAD], write(dict(cells[BAD])), *good[BAD + 1 :]]
        (folder / f"{kind.replace(' ', '-')}.jsonl").write_text("\n".join(lines))
    return folder


def choose(rows_a_unit: int) -> Settings:
    return load_settings(overrides=[f"source.rows_a_unit={rows_a_unit}", "run.max_bad_shards=100"])


def test_a_defective_line_is_named_and_condemns_its_slice(folder: Path, tmp_path: Path) -> None:
    files = sorted(map(str, folder.iterdir()))
    report = scan(files, tmp_path / "run", stats="qc", settings=choose(10))
    found = {record["shard"]: record for record in report.manifest["quarantined"]}
    assert report.manifest["rows"]["quarantined"] == 10 * len(DEFECTS)
    assert len(found) == len(DEFECTS)
    for kind, (_, code, said) in DEFECTS.items():
        record = found[f"{kind.replace(' ', '-')}-row-0000000010"]
        assert (record["code"], record["row"], record["rows"]) == (code, BAD, 10), kind
        assert record["reason"].startswith(f"line {BAD + 1}: "), kind
        assert said in record["reason"], kind


@pytest.mark.parametrize("rows_a_unit", [16_384, 10])
def test_where_rows_are_rejected_a_defective_line_is_the_only_one_dropped(
    folder: Path, tmp_path: Path, rows_a_unit: int
) -> None:
    files = sorted(map(str, folder.iterdir()))
    report = scan(files, tmp_path / "run", stats="qc", settings=choose(rows_a_unit), bad_rows="reject")
    assert report.manifest["quarantined"] == []
    assert report.manifest["rejected"] == dict(Counter(code for _, code, _ in DEFECTS.values()))
    n_files = len(DEFECTS) + 1
    assert report.manifest["rows"] == {
        "in": CELLS * n_files,
        "kept": CELLS * n_files - len(DEFECTS),
        "filtered": 0,
        "rejected": len(DEFECTS),
        "quarantined": 0,
    }
    by_file = te.Run(tmp_path / "run").table("cells").collect().partition_by("shard", as_dict=True, include_key=False)
    tables: dict[str, pl.DataFrame] = {}
    for (shard,), table in sorted(by_file.items()):
        name = str(shard).partition("-row-")[0]
        tables[name] = tables[name].vstack(table) if name in tables else table
    good = tables.pop("good")
    assert len(good) == CELLS
    # All others stand where they stood, by their numbers too.
    without = good.with_row_index("at").filter(pl.col("at") != BAD).drop("at")
    assert len(tables) == len(DEFECTS)
    for kind, table in tables.items():
        assert table.equals(without), kind


def test_filters_come_before_what_is_wrong_with_a_line(cells: list[dict[str, Any]], tmp_path: Path) -> None:
    lines = lines_of(cells)
    lines[3] = put("genes", "3")(dict(cells[3]))
    lines[4] = "{"
    (tmp_path / "cells.jsonl").write_text("\n".join(lines))
    for samples, rejected in (([cells[3]["sample"]], {"E_TYPE": 1}), (["smp_none"], {})):
        run = tmp_path / samples[0]
        report = scan(tmp_path / "cells.jsonl", run, stats="qc", samples=samples, bad_rows="reject")
        assert report.manifest["rejected"] == rejected
    report = scan(tmp_path / "cells.jsonl", tmp_path / "cut", stats="qc", rows="4:10", bad_rows="reject")
    assert report.manifest["rejected"] == {"E_JSON_LINE": 1}


def test_a_file_of_something_else_is_condemned_though_rows_are_rejected(tmp_path: Path) -> None:
    (tmp_path / "cells.jsonl").write_text("<html>\n<body>\n{}\n")
    report = scan(tmp_path / "cells.jsonl", tmp_path / "run", bad_rows="reject")
    assert quarantined(report) == {"cells": "E_JSON_LINE"}
    assert report.manifest["quarantined"][0]["row"] == 0


def test_ends_of_lines_and_a_byte_order_mark_change_nothing(cells: list[dict[str, Any]], tmp_path: Path) -> None:
    lines = lines_of(cells)
    plain = None
    for name, content in {
        "plain": "\n".join(lines) + "\n",
        "open": "\n".join(lines),
        "blank": "\n".join(lines) + "\n\n  \n\n",
        "dos": "\r\n".join(lines) + "\r\n",
        "mark": "\ufeff" + "\n".join(lines) + "\n",
    }.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "cells.jsonl").write_bytes(content.encode())
        scan(tmp_path / name / "cells.jsonl", tmp_path / name / "run", stats="qc")
        part = (tmp_path / name / "run/cells/cells.parquet").read_bytes()
        plain = plain or part
        assert part == plain, name


def test_a_line_without_an_end_takes_little_memory(cells: list[dict[str, Any]], tmp_path: Path) -> None:
    path = tmp_path / "cells.jsonl"
    lines = lines_of(cells)
    with path.open("wb") as file:
        file.write("\n".join(lines[:10]).encode() + b'\n{"genes": [')
        file.truncate(100 << 20)
        file.seek(0, 2)
        file.write(b"\n" + "\n".join(lines[10:]).encode())
    tracemalloc.start()
    try:
        report = scan(path, tmp_path / "run", stats="qc", bad_rows="reject")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert report.manifest["rejected"] == {"E_LIMIT_MEMORY": 1}
    assert report.manifest["rows"]["kept"] == CELLS
    assert peak < 48 << 20


def test_a_packed_file_is_to_be_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "cells.jsonl.gz"
    path.write_bytes(gzip.compress(b"{}\n"))
    with pytest.raises(SourceError, match="unpack it"):
        scan(path, tmp_path / "run")
    # Also under another name.
    path.rename(tmp_path / "cells.jsonl")
    assert quarantined(scan(tmp_path / "cells.jsonl", tmp_path / "run")) == {"cells": "E_JSON_LINE"}
