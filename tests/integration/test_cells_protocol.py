"""Exactly once: a run that starts anew, takes changed inputs, loses its journal, or is taken over by another launch."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import tahoe_engine as te
from runs import published, quarantined, scan
from tahoe_engine.cells.unit import scan_unit
from tahoe_engine.errors import ConfigError, HeldError, StageError, StoppedError
from tahoe_engine.run import collect_garbage, verify_run
from tahoe_engine.run.epoch import begin_epoch
from tahoe_engine.run.layout import Layout

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from tahoe_engine.cells.report import Progress

pytest.importorskip("tahoe_engine._rust", reason="the core is not built: make build")


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    """A finished run of one's own."""
    return Path(shutil.copytree(run, tmp_path / "copy"))


@pytest.fixture
def own(atlas: Path, tmp_path: Path) -> Path:
    """An atlas of one's own."""
    return Path(shutil.copytree(atlas, tmp_path / "own"))


CHANGES: list[dict[str, Any]] = [
    {"stats": "qc"},
    {"min_genes": 10},
    {"plates": [4]},
    {"rows": "0:100"},
    {"bad_rows": "reject"},
    {"settings": te.load_settings(overrides=["limits.list_length=200000"])},
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: next(iter(change)))
def test_other_settings_are_refused_and_change_nothing_until_the_run_starts_anew(
    atlas: Path, copy: Path, tmp_path: Path, change: dict[str, Any]
) -> None:
    before = published(copy)
    with pytest.raises(StageError, match=r" before, .* now"):
        scan(atlas, copy, **change)
    assert published(copy) == before
    assert verify_run(copy, deep=True)[1] == []
    scan(atlas, copy, new=True, **change)
    scan(atlas, tmp_path / "fresh", **change)
    assert published(copy) == published(tmp_path / "fresh")
    assert verify_run(copy, deep=True)[1] == []
    # Nothing is lost until it is said so.
    assert len(list(copy.glob(".tahoe/old/*/cells/*.parquet"))) == 6
    assert scan(atlas, copy, **change).units_done == 0


def test_what_was_set_aside_goes_when_it_is_said_so(atlas: Path, copy: Path) -> None:
    scan(atlas, copy, new=True, stats="qc")
    before = published(copy)
    listed = collect_garbage(copy, dry_run=True)
    assert {Path(item.file).parts[1] for item in listed} == {"old"}
    assert collect_garbage(copy) == listed
    assert collect_garbage(copy) == []
    assert not (copy / ".tahoe/old").exists()
    assert published(copy) == before
    assert verify_run(copy, deep=True)[1] == []


def test_changed_lost_and_new_shards_are_refused_or_accepted(own: Path, copy: Path, tmp_path: Path) -> None:
    first, second, third, *_ = sorted((own / "data").glob("*.parquet"))
    second.write_bytes(third.read_bytes())
    first.rename(first.with_name("another.parquet"))
    with pytest.raises(StageError) as refused:
        scan(own, copy)
    text = str(refused.value)
    assert "input another: was not there before" in text
    assert f"input {first.stem}: not there any more" in text
    assert f"input {second.stem}: E_INPUT_CHANGED" in text
    assert "--accept-changed-inputs" in text
    report = scan(own, copy, accept_changed_inputs=True)
    assert (report.units_done, report.units_found_done) == (2, 4)
    scan(own, tmp_path / "fresh")
    assert published(copy) == published(tmp_path / "fresh")
    assert verify_run(copy, deep=True)[1] == []


def test_changed_inputs_that_are_accepted_withdraw_what_was_published_first(
    own: Path, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, *_ = sorted((own / "data").glob("*.parquet"))
    first.write_bytes(second.read_bytes())

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tahoe_engine.cells.unit.commit_part", full)
    with pytest.raises(StoppedError):
        scan(own, copy, accept_changed_inputs=True)
    monkeypatch.undo()
    # Not a table that is half of this and half of that.
    with pytest.raises(StageError, match="not finished"):
        te.Run(copy).table("cells")
    assert scan(own, copy).units_done == 1


def test_a_run_whose_journal_was_lost_takes_its_parts_over(atlas: Path, run: Path, copy: Path) -> None:
    shutil.rmtree(copy / ".tahoe/journal")
    report = scan(atlas, copy)
    assert (report.units_done, report.units_found_done, report.units_taken_over) == (0, 6, 6)
    assert published(copy) == published(run)
    assert verify_run(copy, deep=True)[1] == []


def test_parts_of_unknown_origin_are_not_taken_over(atlas: Path, run: Path, copy: Path) -> None:
    shutil.rmtree(copy / ".tahoe")
    with pytest.raises(StageError, match="no plan of this engine"):
        scan(atlas, copy)
    assert published(copy) == published(run)
    scan(atlas, copy, new=True)
    assert published(copy) == published(run)


def test_a_launch_that_was_taken_over_ends_and_changes_nothing(atlas: Path, run: Path, tmp_path: Path) -> None:
    into = tmp_path / "run"
    left: list[dict[str, bytes]] = []

    def take_over(progress: Progress) -> None:
        if (progress.doing, progress.done) == ("cells", 2):
            (into / ".tahoe/lock").unlink()
            scan(atlas, into)
            left.append(published(into))

    with pytest.raises(HeldError, match=f"taken over by process {os.getpid()}"):
        scan(atlas, into, on_progress=take_over)
    assert published(into) == left[0] == published(run)
    assert verify_run(into, deep=True)[1] == []


def test_a_worker_that_comes_back_too_late_gives_no_part_its_name(
    atlas: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    units: list[Any] = []

    def remember(unit: Any) -> Any:
        units.append(unit)
        return scan_unit(unit)

    monkeypatch.setattr("tahoe_engine.cells.missing.scan_unit", remember)
    scan(atlas, tmp_path / "run")
    late = units[0]
    layout = Layout(tmp_path / "run", late.work.epoch)
    layout.part("cells", late.shard.name).unlink()
    layout.temporary.mkdir()
    begin_epoch(layout)
    with pytest.raises(HeldError):
        scan_unit(late)
    assert not layout.part("cells", late.shard.name).exists()
    # Its folder is gone as well, once the next launch has cleared up.
    shutil.rmtree(layout.temporary)
    with pytest.raises(HeldError):
        scan_unit(late)
    with pytest.raises(StageError, match="disk that all workers share"):
        scan_unit(replace(late, work=replace(late.work, root=str(tmp_path / "elsewhere"), epoch=0)))


def test_a_second_launch_is_refused_before_it_reads_a_footer(atlas: Path, tmp_path: Path) -> None:
    told: list[str] = []
    into = tmp_path / "run"

    def second(progress: Progress) -> None:
        if progress.doing == "cells" and not told:
            with pytest.raises(HeldError):
                scan(atlas, into, on_progress=lambda inner: told.append(inner.doing))
            assert told == []
            told.append("tried")

    scan(atlas, into, on_progress=second)
    assert told == ["tried"]


def test_starting_anew_needs_a_source_that_is_right(atlas: Path, run: Path, copy: Path) -> None:
    with pytest.raises(ConfigError, match="outside the source"):
        scan(atlas, copy, rows="5000:", new=True)
    assert published(copy) == published(run)


def test_a_run_folder_is_no_address(atlas: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="name a path"):
        te.scan_cells(atlas, "s3://bucket/run", workers=0)
    assert list(tmp_path.iterdir()) == []


def test_a_launch_whose_files_were_cleared_by_another_is_told_so(atlas: Path, run: Path, tmp_path: Path) -> None:
    into = tmp_path / "run"

    def take_over(progress: Progress) -> None:
        if (progress.doing, progress.done) == ("cells", 2):
            begin_epoch(Layout(into))
            shutil.rmtree(into / ".tahoe/tmp")
            raise FileNotFoundError(2, "No such file or directory", "a temporary file")

    with pytest.raises(HeldError, match="taken over"):
        scan(atlas, into, on_progress=take_over)
    scan(atlas, into)
    assert published(into) == published(run)


def test_anything_that_is_no_ordinary_error_is_a_panic_with_a_name(
    atlas: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Panic(BaseException):
        """As one of another extension may be."""

    def stop(*_: object, **__: object) -> None:
        raise Panic("at the disco")

    monkeypatch.setattr("tahoe_engine._rust.scan_cells", stop)
    report = scan(atlas, tmp_path / "run")
    assert set(quarantined(report).values()) == {"E_PANIC"}


def test_a_torn_journal_is_told(
    atlas: Path, run: Path, copy: Path, tahoe: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    (journal,) = (copy / ".tahoe/journal").iterdir()
    os.truncate(journal, journal.stat().st_size - 20)
    done = tahoe("cells", atlas, "--into", copy, "--workers", 0)
    assert "6 were done before, 1 of them without a journal line, the end of the journal was torn" in done.stdout
    assert published(copy) == published(run)
    assert verify_run(copy, deep=True)[1] == []
