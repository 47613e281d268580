"""The stage contrasts disturbed: on workers, killed, out of disk. Resumed, it equals an undisturbed one."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

import tahoe_engine as te
from made_groups import draw_groups, make_wells, write_groups
from runs import published
from tahoe_engine.errors import StoppedError

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("tahoe_engine._rust", reason="the core is not built: make build")

PLATES = ("plate2", "plate4", "plate10")


@pytest.fixture
def grouped(tmp_path: Path) -> Path:
    into = tmp_path / "run"
    write_groups(into, list(draw_groups(make_wells(PLATES))))
    return into


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    into = tmp_path_factory.mktemp("undisturbed") / "run"
    write_groups(into, list(draw_groups(make_wells(PLATES))))
    te.compute_contrasts(into, workers=0)
    return published(into)


def test_a_full_disk_stops_the_stage_and_it_goes_on_later(
    grouped: Path, undisturbed: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tahoe_engine.contrasts import unit
    from tahoe_engine.run import commit_part

    calls: list[Any] = []

    def full(*args: Any) -> None:
        calls.append(args)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")
        commit_part(*args)

    monkeypatch.setattr(unit, "commit_part", full)
    with pytest.raises(StoppedError, match="No space left"):
        te.compute_contrasts(grouped, workers=0)
    assert not (grouped / "contrasts/_MANIFEST.json").exists()
    assert not list((grouped / ".tahoe/tmp").iterdir())
    monkeypatch.undo()
    again = te.compute_contrasts(grouped, workers=0)
    assert (again.parts_found_done, again.parts_done) == (2, 4)
    assert published(grouped) == undisturbed


def test_a_part_whose_journal_line_was_lost_is_taken_over(grouped: Path, undisturbed: dict[str, bytes]) -> None:
    te.compute_contrasts(grouped, workers=0)
    for journal in (grouped / ".tahoe/journal").glob("contrasts-*"):
        journal.unlink()
    assert te.compute_contrasts(grouped, workers=0).parts_done == 0
    assert published(grouped) == undisturbed


def test_a_part_that_is_gone_is_made_again(grouped: Path, undisturbed: dict[str, bytes]) -> None:
    te.compute_contrasts(grouped, workers=0)
    next((grouped / "contrasts/results/plate=plate4").glob("*.parquet")).unlink()
    assert te.compute_contrasts(grouped, workers=0).parts_done == 1
    assert published(grouped) == undisturbed


def test_two_workers_give_the_same_bytes_as_none(grouped: Path, undisturbed: dict[str, bytes]) -> None:
    assert te.compute_contrasts(grouped, workers=2).parts_done == 6
    assert published(grouped) == undisturbed


@pytest.mark.slow
def test_killed_and_resumed_equals_undisturbed(grouped: Path, undisturbed: dict[str, bytes]) -> None:
    command = [sys.executable, "-m", "tahoe_engine", "contrasts", "--into", str(grouped), "--workers", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + 60
    while not list(grouped.glob("contrasts/results/*/*.parquet")) and process.poll() is None and time.monotonic() < end:
        time.sleep(0.002)
    process.kill()
    process.communicate(timeout=60)
    if (grouped / "contrasts/_MANIFEST.json").exists():
        pytest.skip("it was done before the signal came")
    te.compute_contrasts(grouped, workers=0)
    assert published(grouped) == undisturbed
    assert not list((grouped / ".tahoe/tmp").iterdir())
