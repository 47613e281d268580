"""`tahoe groups` of odd sources: other formats, defects that nobody looked for, names that could lead elsewhere."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow.parquet as pq
import pytest

import tahoe_engine as te
from runs import published
from tahoe_engine.cli import main
from tahoe_engine.config import load_settings
from tahoe_engine.errors import BadDataError, StageError
from tahoe_engine.groups import sum_groups

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("tahoe_engine._rust", reason="the core is not built: make build")


def settings(*overrides: str) -> Any:
    return load_settings(overrides=["workers.count=0", *overrides])


def groups_of(run: Path) -> dict[str, bytes]:
    return {name: content for name, content in published(run).items() if name.startswith("groups/")}


def test_lines_are_summed_as_their_parquet(atlas: Path, run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    run = tmp_path / "run"
    sum_groups(run, settings=settings())
    lines = tmp_path / "cells.jsonl"
    with lines.open("w") as file:
        for path in sorted((atlas / "data").glob("*.parquet")):
            file.writelines(json.dumps(row) + "\n" for row in pq.read_table(path).to_pylist())
    other = tmp_path / "lines"
    source = load_settings(
        overrides=["workers.count=0", "source.rows_a_unit=300", f'source.metadata="{atlas}/metadata"']
    )
    te.scan_cells(lines, other, settings=source)
    sum_groups(other, settings=source)
    one, two = groups_of(run), groups_of(other)
    assert {n: b for n, b in one.items() if n.endswith(".parquet")} == {
        n: b for n, b in two.items() if n.endswith(".parquet")
    }


def test_defects_that_a_summary_did_not_see_are_named_with_what_to_do(atlas: Path, tmp_path: Path) -> None:
    source, run = tmp_path / "source", tmp_path / "run"
    (source / "data").mkdir(parents=True)
    shutil.copytree(atlas / "metadata", source / "metadata")
    table = pq.read_table(min((atlas / "data").glob("*.parquet")))
    rows = table.to_pylist()
    rows[7]["genes"][3] = rows[7]["genes"][2]
    pq.write_table(table.from_pylist(rows, schema=table.schema), source / "data/train-00000.parquet")
    te.scan_cells(source, run, stats="summary", workers=0)
    with pytest.raises(BadDataError, match=r"row 7.*E_DUPLICATE_TOKEN.*looks at no gene.*--stats qc"):
        sum_groups(run, settings=settings())


def test_a_plate_of_any_name_has_its_folder(atlas: Path, tmp_path: Path) -> None:
    source, run = tmp_path / "source", tmp_path / "run"
    source.mkdir()
    table = pl.read_parquet(min((atlas / "data").glob("*.parquet"))).head(40)
    names = ["x" * 300, "../../up", "a/b"]
    plates = pl.Series("plate", [names[at % 3] for at in range(40)])
    wells = (pl.Series("sample", [f"well {at % 3}" for at in range(40)]),)
    table.with_columns(plates, *wells).write_parquet(source / "train-00000.parquet")
    te.scan_cells(source, run, workers=0)
    sum_groups(run, settings=settings())
    assert set(te.Run(run).table("groups").collect()["plate"]) == set(names)
    assert main(["verify", str(run), "--deep"]) == 0
    assert sorted(path.name for path in run.iterdir()) == [
        *(".tahoe", "_MANIFEST.json", "cells", "genes", "groups", "metadata")
    ]
    assert (
        te.Run(run).table("groups/moments").collect()["group_id"].n_unique()
        == te.Run(run).table("groups").collect().height
    )


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_numbers_are_made_of_whole_parts_only(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    into = tmp_path / "run"
    sum_groups(into, settings=settings())
    whole = groups_of(into)
    index = into / "groups/index.parquet"
    _flip(index)
    with pytest.raises(StageError, match=r"index\.parquet is not what the manifest says"):
        te.compute_contrasts(into, settings=settings())
    with pytest.raises(StageError, match=r"index\.parquet is not what the manifest says"):
        te.export_groups(into, tmp_path / "groups.h5ad")
    # The index is small and always looked at.
    sum_groups(into, settings=settings())
    assert groups_of(into) == whole
    part = min((into / "groups/moments").rglob("*.parquet"))
    _flip(part)
    with pytest.raises(StageError, match="is not what the manifest says"):
        te.export_groups(into, tmp_path / "groups.h5ad")
    with pytest.raises(StageError, match="is not what the manifest says"):
        te.compute_contrasts(into, settings=settings())
    part.unlink()
    sum_groups(into, settings=settings())
    assert groups_of(into) == whole
