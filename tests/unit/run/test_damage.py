"""Files of a run that are valid JSON and yet not what was written: named, with what to do, and never a traceback."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tahoe_engine.errors import StageError, StoppedError
from tahoe_engine.run import Journal, Layout, Run, describe_run, list_stages, read_manifest, verify_run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PART = {"name": "a.parquet", "rows": 1, "size": 2, "sha256": "s", "digest": "d"}
WHOLE: dict[str, Any] = {
    "format_version": 1,
    "digest": "d",
    "parts": [PART],
    "settings": {"cells": {"stats": "all"}},
    "rows": {"in": 1},
    "quarantined": [{"shard": "b", "row": None, "row_group": None, "code": "E_FOOTER", "reason": "no", "rows": None}],
}
DEEP = "[" * 100_000 + "]" * 100_000


def without(*path: str | int) -> str:
    """The whole manifest without one thing in it."""
    manifest = json.loads(json.dumps(WHOLE))
    inner = manifest
    for step in path[:-1]:
        inner = inner[step]
    del inner[path[-1]]
    return json.dumps(manifest)


def changed(value: object, *path: str | int) -> str:
    """The whole manifest with one thing in it changed."""
    manifest = json.loads(json.dumps(WHOLE))
    inner = manifest
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    return json.dumps(manifest)


DAMAGES = {
    "empty": "{}",
    "a list": "[1]",
    "a number": "7",
    "null": "null",
    "deep": DEEP,
    "deep inside": changed("HERE", "settings", "cells", "stats").replace('"HERE"', "[" * 500 + "]" * 500),
    "a long number": changed("HERE", "parts", 0, "rows").replace('"HERE"', "9" * 5000),
    "no parts": without("parts"),
    "no digest": without("digest"),
    **{f"a part without {key}": without("parts", 0, key) for key in PART},
    **{f"a part with null for {key}": changed(None, "parts", 0, key) for key in PART},
    "a part's rows in text": changed("1", "parts", 0, "rows"),
    "a part's rows a truth": changed("HERE", "parts", 0, "rows").replace('"HERE"', "true"),
    "fewer rows than none": changed(-1, "parts", 0, "rows"),
    "a part that is elsewhere": changed("../../a.parquet", "parts", 0, "name"),
    "a part at the root": changed("/a.parquet", "parts", 0, "name"),
    "a part with a NUL": changed("a\0.parquet", "parts", 0, "name"),
    "a part that is text": changed("a", "parts", 0),
    "parts by name": changed({"a": PART}, "parts"),
    "settings in text": changed("all", "settings"),
    "settings of the stage in a list": changed([], "settings", "cells"),
    "rows in a list": changed([1], "rows"),
    "quarantined by name": changed({"b": {}}, "quarantined"),
    "quarantined in text": changed("b", "quarantined", 0),
    **{f"quarantined without {key}": without("quarantined", 0, key) for key in ("shard", "row", "code", "reason")},
}


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path)
    layout.make_state()
    layout.stage("cells").mkdir()
    layout.stage_manifest("cells").write_text(json.dumps(WHOLE))
    layout.manifest.write_text(json.dumps({"format_version": 1, "stages": {"cells": {"manifest": "m"}}}))
    return layout


def test_a_manifest_that_is_whole_is_read(layout: Layout) -> None:
    assert read_manifest(layout, "cells") == WHOLE
    assert describe_run(layout.root)["stages"]["cells"]["table_rows"] == 1


@pytest.mark.parametrize(
    "read",
    [
        describe_run,
        lambda root: Run(root).table("cells"),
        lambda root: Run(root).manifest,
        lambda root: Run(root).settings,
    ],
    ids=["inspect", "table", "manifest", "settings"],
)
@pytest.mark.parametrize("text", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_manifest_of_a_stage_is_named(layout: Layout, text: str, read: Callable[[Path], object]) -> None:
    layout.stage_manifest("cells").write_text(text)
    with pytest.raises(StageError) as caught:
        read(layout.root)
    assert str(caught.value) == f"{layout.stage_manifest('cells')}: damaged; run the stage again"
    assert "cells/_MANIFEST.json" in [found.file for found in verify_run(layout.root)[1]]


@pytest.mark.parametrize(
    "text",
    [
        DEEP,
        "null",
        '{"format_version": 1, "stages": []}',
        '{"format_version": 1, "stages": {"cells": {}}}',
        '{"format_version": 1, "stages": {"cells": {"manifest": 1}}}',
        '{"format_version": 1, "stages": {"../cells": {"manifest": "m"}}}',
        '{"format_version": 1, "stages": {"": {"manifest": "m"}}}',
        '{"format_version": 1, "stages": {"a\\u0000": {"manifest": "m"}}}',
    ],
)
def test_a_damaged_manifest_of_the_run_is_named(layout: Layout, text: str) -> None:
    layout.manifest.write_text(text)
    for read in (describe_run, Run, lambda root: list_stages(Layout(root))):
        with pytest.raises(StageError, match=r"^\S+/_MANIFEST\.json: damaged; run the stage again$"):
            read(layout.root)


@pytest.mark.parametrize("text", [DEEP, "{", "7", "{}", '{"inputs": 7}', '{"inputs": ["a"]}', '{"inputs": null}'])
def test_a_damaged_plan_is_named(tmp_path: Path, text: str) -> None:
    layout = Layout(tmp_path)
    layout.make_state()
    layout.plan("cells").write_text(text)
    with pytest.raises(StageError, match=r"plan-cells\.json: damaged; start anew with --new, or "):
        describe_run(tmp_path)


@pytest.mark.parametrize("text", [DEEP, "{", "7"])
def test_a_damaged_plan_is_not_handed_out(layout: Layout, text: str) -> None:
    layout.plan("cells").write_text(text)
    with pytest.raises(StageError, match=r"plan-cells\.json: damaged"):
        Run(layout.root).plan("cells")
    layout.plan("cells").unlink()
    with pytest.raises(StageError, match="no plan is recorded for 'cells'"):
        Run(layout.root).plan("cells")


def test_a_run_that_was_begun_says_why_shards_were_set_aside(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.make_state()
    layout.plan("cells").write_text(json.dumps({"semantic": {}, "inputs": {name: {} for name in "abcd"}}))
    bad = {"code": "E_NONFINITE", "reason": "expression is NaN", "row": 7, "row_group": 0, "rows": 9}
    with Journal(layout, "cells") as journal:
        journal.append({"shard": "d", **bad})
        journal.append({"shard": "b", **bad})
        journal.append({"shard": "c", "code": "E_FOOTER"})
        journal.append({"shard": "a", "key": "k", "receipt": {}})
        journal.append({"shard": "d", "key": "k", "receipt": {}})
    assert describe_run(tmp_path)["unfinished"] == {
        "cells": {
            "shards": 4,
            "done": 2,
            "quarantined": [
                {"shard": "b", "row": 7, "code": "E_NONFINITE", "reason": "expression is NaN"},
                {"shard": "c", "row": None, "code": "E_FOOTER", "reason": None},
            ],
        }
    }


@pytest.mark.parametrize("content", ['{"format_version": 1}', "{", '{"format_version": 1, "stAges": {}}'])
def test_verify_takes_a_damaged_list_of_stages_for_a_mismatch(layout: Layout, content: str) -> None:
    layout.manifest.write_text(content)
    assert [item.file for item in verify_run(layout.root)[1]] == ["_MANIFEST.json"]


@pytest.mark.parametrize("name", ["manifest", "plan"])
def test_what_cannot_be_read_is_not_called_damaged(layout: Layout, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    layout.plan("cells").write_text("{}")

    def fail(_: Path) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("pathlib.Path.read_bytes", fail)
    with pytest.raises(StoppedError, match="cannot be read"):
        read_manifest(layout, "cells") if name == "manifest" else Run(layout.root).plan("cells")
