"""Whose gene, sample, drug and cell-line tables are joined: said where not the source's own, refused where unclear."""

from __future__ import annotations

import json
import shutil
import warnings
from typing import TYPE_CHECKING

import pytest

from runs import scan
from tahoe_engine.cells import plan_cells
from tahoe_engine.cli import main
from tahoe_engine.config import load_settings
from tahoe_engine.errors import SourceError, TahoeWarning

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("tahoe_engine._rust", reason="the core is not built: make build")

FORMS = ["{}/data/*.parquet", "{}/data", "{}/list.txt", "{}/data/one.parquet"]


@pytest.fixture
def source(atlas: Path, tmp_path: Path) -> Path:
    """One shard of the atlas with its tables, and a list of it."""
    folder = tmp_path / "source"
    (folder / "data").mkdir(parents=True)
    shutil.copy(min((atlas / "data").iterdir()), folder / "data/one.parquet")
    shutil.copytree(atlas / "metadata", folder / "metadata")
    (folder / "list.txt").write_text("data/one.parquet\n")
    return folder


def test_a_folder_with_its_own_tables_needs_no_words(source: Path, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scan(source, tmp_path / "run")
        assert plan_cells(source).describe()["metadata"] == str(source / "metadata")


@pytest.mark.parametrize("form", FORMS)
def test_tables_that_are_not_used_are_named(source: Path, tmp_path: Path, form: str) -> None:
    given = form.format(source)
    with pytest.warns(TahoeWarning, match="packaged tables of Tahoe-100M") as told:
        scan(given, tmp_path / "run")
    assert len(told) == 1
    assert f"{source}/metadata is not used" in str(told[0].message)
    assert "--set source.metadata=" in str(told[0].message)
    named = load_settings(overrides=[f"source.metadata={source}/metadata"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scan(given, tmp_path / "named", settings=named)


def test_a_source_without_tables_anywhere_is_told_so(source: Path, tmp_path: Path) -> None:
    shutil.rmtree(source / "metadata")
    with pytest.warns(TahoeWarning, match="brings no metadata/ of its own") as told:
        scan(source, tmp_path / "run")
    assert "is not used" not in str(told[0].message)


def test_some_of_the_four_tables_are_refused_with_those_that_are_missing(source: Path, tmp_path: Path) -> None:
    for name in ("drug", "sample"):
        (source / f"metadata/{name}_metadata.parquet").unlink()
    with pytest.raises(SourceError) as caught:
        scan(source, tmp_path / "run")
    assert f"{source}/metadata lacks sample_metadata.parquet, drug_metadata.parquet" in str(caught.value)
    assert not (tmp_path / "run").exists()
    for verb in (["plan", "cells", source], ["check", source], ["cells", source, "--into", tmp_path / "run"]):
        assert main([str(word) for word in verb]) == 66


def test_a_metadata_folder_with_other_files_only_is_none(source: Path, tmp_path: Path) -> None:
    for table in (source / "metadata").iterdir():
        table.unlink()
    (source / "metadata/obs_metadata.parquet").touch()
    with pytest.warns(TahoeWarning, match="brings no metadata/ of its own"):
        scan(source, tmp_path / "run")


def test_the_command_line_says_it_in_one_line_and_in_its_facts(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = tmp_path / "job.toml"
    job.write_text(f"[job]\nsource = '{source}/data'\ninto = '{tmp_path}/job'\n[workers]\ncount = 0\n")
    for verb in (
        ["check", source / "data"],
        ["plan", "cells", source / "data"],
        ["cells", source / "data", "--into", tmp_path / "run", "--workers", 0],
        ["run", job],
    ):
        assert main([*map(str, verb), "--json", "--quiet"]) == 0
        found = capsys.readouterr()
        assert found.err.count("packaged tables of Tahoe-100M") == 1, verb
        assert found.err.startswith("tahoe: ")
        assert len(found.err.splitlines()) == 1
        if verb[0] in {"check", "plan"}:
            assert json.loads(found.out)["metadata"] == "packaged"
    for verb in (["check", source], ["plan", "cells", source]):
        assert main([*map(str, verb), "--quiet"]) == 0
        found = capsys.readouterr()
        assert found.err == ""
        assert str(source / "metadata") in found.out
