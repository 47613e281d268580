from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from tahoe_engine.errors import StageError
from tahoe_engine.run import Layout, Run, describe_run, verify_run, write_manifest, write_run_manifest
from tahoe_engine.run.disk import hash_file
from tahoe_engine.run.manifest import FORMAT_VERSION, digest_parts

if TYPE_CHECKING:
    from pathlib import Path


def make_run(root: Path, frames: dict[str, pl.DataFrame], stats: str = "all") -> Layout:
    from tahoe_engine import _rust

    layout = Layout(root)
    layout.make_state()
    layout.stage("cells").mkdir()
    parts = []
    for name, frame in frames.items():
        path = layout.part("cells", name)
        frame.write_parquet(path)
        parts.append(
            {
                "name": path.name,
                "rows": frame.height,
                "size": path.stat().st_size,
                "sha256": hash_file(path),
                "digest": _rust.digest_table(str(path))["digest"],
            }
        )
    manifest: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "settings": {"cells": {"stats": stats}},
        "parts": parts,
        "digest": digest_parts(parts),
    }
    write_manifest(layout, "cells", manifest)
    write_run_manifest(layout, ["cells"])
    return layout


FRAMES = {"b": pl.DataFrame({"row": [2]}), "a": pl.DataFrame({"row": [1]}), "none": pl.DataFrame({"row": [0]}).clear()}


def test_a_table_is_all_its_parts_in_the_order_of_the_manifest(tmp_path: Path) -> None:
    make_run(tmp_path, FRAMES)
    run = Run(tmp_path)
    assert run.stages == ("cells",)
    assert run.table("cells").collect()["row"].to_list() == [2, 1]
    assert run.settings == {"cells": {"cells": {"stats": "all"}}}
    assert run.manifest["cells"]["parts"][0]["name"] == "b.parquet"


def test_a_table_without_a_row_has_its_columns(tmp_path: Path) -> None:
    make_run(tmp_path, {"none": FRAMES["none"]}, stats="summary")
    frame = Run(tmp_path).table("cells").collect()
    assert frame.height == 0
    assert frame.columns[-1] == "expr_max"


def test_a_part_with_a_name_like_a_pattern_is_read_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "run[1]*").mkdir()
    make_run(tmp_path / "run[1]*", FRAMES)
    assert Run(tmp_path / "run[1]*").table("cells").collect().height == 2


def test_what_is_not_finished_or_gone_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="not a run folder"):
        Run(tmp_path)
    layout = make_run(tmp_path, FRAMES)
    with pytest.raises(StageError, match="'genes' is not finished"):
        Run(tmp_path).table("genes")
    layout.part("cells", "a").unlink()
    with pytest.raises(StageError, match=r"1 parts of 'cells' are gone, first a\.parquet"):
        Run(tmp_path).table("cells")


def test_a_damaged_or_newer_manifest_is_said_so(tmp_path: Path) -> None:
    layout = make_run(tmp_path, FRAMES)
    for text, said in (("{", "damaged"), ("[]", "damaged"), ('{"format_version": 99}', "format 99")):
        layout.stage_manifest("cells").write_text(text)
        with pytest.raises(StageError, match=said):
            _ = Run(tmp_path).manifest


def test_verify_names_every_file_that_differs(tmp_path: Path) -> None:
    layout = make_run(tmp_path, FRAMES)
    assert verify_run(tmp_path, deep=True) == (5, [])
    content = bytearray(layout.part("cells", "a").read_bytes())
    content[len(content) // 2] ^= 1
    layout.part("cells", "a").write_bytes(content)
    layout.part("cells", "b").write_bytes(b"")
    layout.part("cells", "none").unlink()
    layout.part("cells", "stranger").write_bytes(b"")
    assert {m.file for m in verify_run(tmp_path)[1]} == {
        "cells/b.parquet",
        "cells/none.parquet",
        "cells/stranger.parquet",
    }
    assert "cells/a.parquet" in {m.file for m in verify_run(tmp_path, deep=True)[1]}


@pytest.mark.parametrize("text", [None, "{", '{"format_version": 1, "parts": []}'])
def test_verify_finds_a_changed_manifest(tmp_path: Path, text: str | None) -> None:
    layout = make_run(tmp_path, FRAMES)
    if text is None:
        layout.stage_manifest("cells").unlink()
    else:
        layout.stage_manifest("cells").write_text(text)
    assert "cells/_MANIFEST.json" in {m.file for m in verify_run(tmp_path)[1]}


def test_a_run_that_was_begun_is_described(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.make_state()
    layout.plan("cells").write_text('{"semantic": {}, "inputs": {"a": {}, "b": {}}}')
    assert describe_run(tmp_path)["unfinished"] == {"cells": {"shards": 2, "done": 0, "quarantined": []}}
    with pytest.raises(StageError, match="no stage is finished yet"):
        Run(tmp_path)
