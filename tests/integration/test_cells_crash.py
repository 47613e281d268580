"""The main job disturbed: killed, interrupted, out of disk, started twice. Resumed, it equals an undisturbed one."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from runs import published, scan
from tahoe_engine.errors import HeldError, SourceError, StageError, StoppedError
from tahoe_engine.run import hold_run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytest.importorskip("tahoe_engine._rust", reason="the core is not built: make build")


def test_other_settings_in_the_same_run_are_refused_with_the_difference(atlas: Path, run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    for options, said in (
        ({"min_genes": 10}, r"min_genes: 0 before, 10 now"),
        ({"plates": [4]}, r'plates: \[\] before, \["plate4"\] now'),
        ({"stats": "qc"}, r'stats: "all" before, "qc" now'),
    ):
        with pytest.raises(StageError, match=said):
            scan(atlas, copy, **options)
    assert published(copy) == published(run)


def test_a_held_run_is_refused(atlas: Path, tmp_path: Path) -> None:
    with hold_run(tmp_path / "run"), pytest.raises(HeldError, match="process"):
        scan(atlas, tmp_path / "run")


def test_a_missing_source_leaves_no_run_behind(tmp_path: Path) -> None:
    with pytest.raises(SourceError):
        scan(tmp_path / "none", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_full_disk_stops_the_run_and_it_goes_on_later(
    atlas: Path, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tahoe_engine.cells import unit
    from tahoe_engine.run import commit_part

    calls: list[Any] = []

    def full(*args: Any) -> None:
        calls.append(args)
        if len(calls) == 5:
            raise OSError(28, "No space left on device")
        commit_part(*args)

    monkeypatch.setattr(unit, "commit_part", full)
    with pytest.raises(StoppedError, match="No space left"):
        scan(atlas, tmp_path / "run")
    assert not list((tmp_path / "run/.tahoe/tmp").iterdir())
    monkeypatch.undo()
    assert scan(atlas, tmp_path / "run").units_found_done == 2
    assert published(tmp_path / "run") == published(run)


def test_a_part_cut_short_is_made_again(atlas: Path, run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    part = min(copy.glob("cells/*.parquet"))
    part.write_bytes(part.read_bytes()[:-1])
    assert scan(atlas, copy).units_done == 1
    assert published(copy) == published(run)


def launch(atlas: Path, into: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tahoe_engine", "cells", str(atlas), "--into", str(into), *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


@pytest.mark.parametrize(
    "gone", ["cells/*00001*", ".tahoe/genes/*00002*", ".tahoe/journal-cells.jsonl", "*/_MANIFEST.json"]
)
def test_what_is_gone_is_made_again_and_only_that(atlas: Path, run: Path, tmp_path: Path, gone: str) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    for path in copy.glob(gone):
        path.unlink()
    report = scan(atlas, copy)
    expected = {".tahoe/journal-cells.jsonl": 6, "*/_MANIFEST.json": 0}.get(gone, 1)
    assert report.units_done == expected
    assert published(copy) == published(run)


def wait_for_a_part(into: Path, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 60
    while not list(into.glob("cells/*.parquet")) and process.poll() is None and time.monotonic() < end:
        time.sleep(0.005)


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["0", "2"])
def test_killed_and_resumed_equals_undisturbed(atlas: Path, run: Path, tmp_path: Path, workers: str) -> None:
    into = tmp_path / "run"
    process = launch(atlas, into, "--workers", workers)
    wait_for_a_part(into, process)
    process.kill()
    process.communicate(timeout=60)
    # Workers outlive their launch for a moment; the lock does not wait for them, and their parts are the same bytes.
    scan(atlas, into)
    assert published(into) == published(run)
    assert not list((into / ".tahoe/tmp").iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["0", "2"])
def test_an_interrupt_ends_with_130_and_few_words(atlas: Path, run: Path, tmp_path: Path, workers: str) -> None:
    into = tmp_path / "run"
    process = launch(atlas, into, "--workers", workers)
    wait_for_a_part(into, process)
    # As a terminal does it: to the whole group, workers included.
    subprocess.run(["kill", "-INT", "--", f"-{process.pid}"], check=False)  # noqa: S607
    _, errors = process.communicate(timeout=60)
    if process.returncode == 0:
        pytest.skip("it was done before the signal came")
    assert process.returncode == 130
    assert len(errors.splitlines()) <= 3, errors
    assert "run the same command again" in errors
    assert not list((into / ".tahoe/tmp").iterdir())
    scan(atlas, into)
    assert published(into) == published(run)


@pytest.mark.slow
def test_a_second_launch_ends_with_73_and_names_the_first(
    atlas: Path, tmp_path: Path, tahoe: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    with hold_run(tmp_path / "run"):
        done = tahoe("cells", atlas, "--into", tmp_path / "run", "--workers", 0)
    assert done.returncode == 73
    assert "held by process" in done.stderr
