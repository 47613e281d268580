"""The stage features disturbed: killed, out of disk, its files damaged. Resumed, it equals an undisturbed one."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

import tahoe_engine as te
from made_tables import make, make_cells, make_recipe, read_parts, write_parts
from runs import published
from tahoe_engine.errors import StageError, StoppedError, TahoeError
from tahoe_engine.run.verify import verify_run

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl

RECIPE = """table = "cells"
[split]
by = ["sample"]
[[targets]]
kind = "delta"
name = "delta"
value = "value"
[[features]]
kind = "numeric"
name = "summaries"
columns = ["a", "b"]
steps = ["impute", "polynomial", "standardize"]
[[features]]
kind = "one_hot"
name = "drug"
column = "drug"
levels = "seen"
"""
N_PARTS = 24


@pytest.fixture(scope="module")
def cells() -> pl.DataFrame:
    return make_cells()


@pytest.fixture(scope="module")
def given(cells: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a table in many parts, and a recipe; read it, never write it."""
    folder = tmp_path_factory.mktemp("given")
    write_parts(cells, folder / "table", N_PARTS)
    (folder / "mine.toml").write_text(RECIPE)
    return folder


@pytest.fixture(scope="module")
def undisturbed(given: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    into = tmp_path_factory.mktemp("undisturbed") / "run"
    launch(into, given)
    return published(into)


def launch(into: Path, given: Path, **options: Any) -> Any:
    return make(into, given / "table", str(given / "mine.toml"), **options)


def command(into: Path, given: Path, *more: object) -> list[str]:
    verb = [sys.executable, "-m", "tahoe_engine", "features", "--into", into, "--recipe", given / "mine.toml"]
    return [str(one) for one in (*verb, "--table", given / "table", *more)]


def test_a_full_disk_stops_the_stage_and_it_goes_on_later(
    given: Path, undisturbed: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tahoe_engine.features import unit
    from tahoe_engine.run import commit_part

    calls: list[Any] = []

    def full(*args: Any) -> None:
        calls.append(args)
        if len(calls) == 5:
            raise OSError(28, "No space left on device")
        commit_part(*args)

    monkeypatch.setattr(unit, "commit_part", full)
    with pytest.raises(StoppedError, match="No space left"):
        launch(tmp_path / "run", given)
    assert not (tmp_path / "run/features/mine/_MANIFEST.json").exists()
    assert not (tmp_path / "run/_MANIFEST.json").exists()
    monkeypatch.undo()
    again = launch(tmp_path / "run", given)
    assert again.parts_found_done == 4
    assert again.parts_done > 20
    assert published(tmp_path / "run") == undisturbed


def test_the_same_again_does_nothing(given: Path, undisturbed: dict[str, bytes], tmp_path: Path) -> None:
    into = tmp_path / "run"
    first = launch(into, given)
    times = {path: path.stat().st_mtime_ns for path in into.rglob("*.parquet")}
    again = launch(into, given)
    assert (again.parts_done, again.parts_found_done) == (0, first.parts_done)
    assert times == {path: path.stat().st_mtime_ns for path in into.rglob("*.parquet")}
    assert published(into) == undisturbed


def test_a_part_whose_journal_line_was_lost_is_taken_over(
    given: Path, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    into = tmp_path / "run"
    launch(into, given)
    journals = list((into / ".tahoe/journal").glob("features*"))
    assert journals
    for journal in journals:
        journal.unlink()
    assert launch(into, given).parts_done == 0
    assert published(into) == undisturbed


@pytest.mark.parametrize("name", ["train/part-3.parquet", "split.json", "lineage.json", "_MANIFEST.json"])
def test_a_file_that_is_gone_is_made_again(
    given: Path, undisturbed: dict[str, bytes], tmp_path: Path, name: str
) -> None:
    into = tmp_path / "run"
    launch(into, given)
    (into / "features/mine" / name).unlink()
    assert verify_run(into)[1]
    with pytest.raises(StageError):
        _ = [rows for rows, _ in te.load_features(into, "mine").blocks("train")]
    launch(into, given)
    assert published(into) == undisturbed
    assert not verify_run(into, deep=True)[1]


@pytest.mark.slow
def test_every_changed_byte_is_found_refused_and_mended(
    given: Path, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    into = tmp_path / "run"
    launch(into, given)
    small = [name for name in undisturbed if name.startswith("features/mine/") and "/part-" not in name]
    parts = [
        max(name for name in undisturbed if name.startswith(f"features/mine/{split}/")) for split in ("train", "test")
    ]
    for name in [*small, *parts]:
        path = into / name
        whole = path.read_bytes()
        path.write_bytes(whole[:-40] + bytes([whole[-40] ^ 1]) + whole[-39:])
        assert [found.file for found in verify_run(into, deep=True)[1] if found.file == name], name
        if name in parts:
            # Its size is right: that it is another one is noticed where it is read.
            with pytest.raises(StageError, match="not what the manifest says, or gone: remove it"):
                launch(into, given)
            path.unlink()
        launch(into, given)
        assert published(into) == undisturbed, name


def test_a_table_that_changes_is_told_by_its_file(cells: pl.DataFrame, tmp_path: Path) -> None:
    folder = write_parts(cells, tmp_path / "table")
    make(tmp_path / "run", folder)
    cells.head(192).with_columns(b=cells["b"].head(192) + 1).write_parquet(folder / "part-0.parquet")
    with pytest.raises(StageError, match="input test/part-0: E_INPUT_CHANGED"):
        make(tmp_path / "run", folder)
    assert make(tmp_path / "run", folder, new=True).parts_done == 5


def test_another_recipe_under_the_same_name_is_refused_with_the_difference(cells: pl.DataFrame, tmp_path: Path) -> None:
    into = tmp_path / "run"
    folder = write_parts(cells, tmp_path / "table")
    make(into, folder)
    before = published(into)
    other = make_recipe(split={"by": ["sample"], "seed": 7})
    with pytest.raises(StageError, match=r"settings.features.recipe.split.seed: 42 before, 7 now.*--new"):
        make(into, folder, other)
    assert published(into) == before
    tests = set(read_parts(into).filter(split="test")["sample"])
    make(into, folder, other, new=True)
    assert set(read_parts(into).filter(split="test")["sample"]) != tests
    make(into, folder, new=True)
    assert published(into) == before


def test_a_damaged_table_is_no_traceback(cells: pl.DataFrame, tmp_path: Path) -> None:
    folder = write_parts(cells, tmp_path / "table", 1)
    whole = (folder / "part-0.parquet").read_bytes()
    told = 0
    for at in range(4, len(whole), len(whole) // 16):
        (folder / "part-0.parquet").write_bytes(whole[:at] + bytes([whole[at] ^ 0x5A]) + whole[at + 1 :])
        try:
            make(tmp_path / f"run{at}", folder)
        except TahoeError:
            # Not every byte matters; what does not is no matter for a table without a manifest.
            told += 1
    assert told > 2


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "moments"), [(0, (0, 1, 9)), (2, (5,))])
def test_killed_and_resumed_equals_undisturbed(
    given: Path, undisturbed: dict[str, bytes], tmp_path: Path, workers: int, moments: tuple[int, ...]
) -> None:
    into = tmp_path / "run"
    n_killed = 0
    for n_parts in moments:
        process = subprocess.Popen(
            command(into, given, "--workers", workers), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        end = time.monotonic() + 60
        # Before there is a part, it is fitting.
        places = "features/mine/*/*.parquet" if n_parts else ".tahoe/journal/*"
        while len(list(into.glob(places))) < max(1, n_parts) and process.poll() is None:
            assert time.monotonic() < end
            time.sleep(0.001)
        process.kill()
        process.communicate(timeout=60)
        n_killed += not (into / "features/mine/_MANIFEST.json").exists()
    if not n_killed:
        pytest.skip("it was done before the signal came")
    launch(into, given)
    assert published(into) == undisturbed
    assert not list((into / ".tahoe/tmp").iterdir())
    assert not verify_run(into, deep=True)[1]
