"""`tahoe groups` disturbed: killed, out of disk, its journal lost. Resumed, the tables are those of a quiet launch."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from runs import published
from tahoe_engine.config import load_settings
from tahoe_engine.errors import StoppedError
from tahoe_engine.groups import sum_groups

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("tahoe_engine._rust", reason="the core is not built: make build")
ONE_BY_ONE = load_settings(overrides=["workers.count=0", "groups.wells_a_block=1"])


def groups_of(run: Path) -> dict[str, bytes]:
    return {name: content for name, content in published(run).items() if name.startswith("groups/")}


@pytest.fixture(scope="module")
def quiet(run: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The tables of a launch that nothing disturbed."""
    folder = tmp_path_factory.mktemp("quiet") / "run"
    shutil.copytree(run, folder)
    sum_groups(folder, settings=ONE_BY_ONE)
    return groups_of(folder)


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "parts"), [("0", 1), ("0", 3), ("2", 2)])
def test_killed_and_resumed_equals_undisturbed(
    run: Path, quiet: dict[str, bytes], tmp_path: Path, workers: str, parts: int
) -> None:
    for attempt in range(10):
        into = tmp_path / f"run{attempt}"
        shutil.copytree(run, into)
        options = ["--workers", workers, "--wells-a-block", "1", "-q"]
        process = subprocess.Popen([sys.executable, "-m", "tahoe_engine", "groups", "--into", str(into), *options])
        end = time.monotonic() + 60
        while len(list(into.glob("groups/moments/*/*.parquet"))) < parts and process.poll() is None:
            assert time.monotonic() < end
            time.sleep(0.002)
        process.kill()
        # On a busy machine it may be through before it is killed.
        if process.wait(timeout=60) == -9 and not (into / "groups/_MANIFEST.json").exists():
            break
    else:
        pytest.fail("it was through each time before it could be killed")
    report = sum_groups(into, settings=ONE_BY_ONE)
    assert report.parts_found_done >= parts - 1
    assert groups_of(into) == quiet
    assert not list((into / ".tahoe/tmp").iterdir())


def test_a_full_disk_stops_the_stage_and_it_goes_on_later(
    run: Path, quiet: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tahoe_engine.groups import unit
    from tahoe_engine.run import commit_part

    into, calls = tmp_path / "run", list[Any]()
    shutil.copytree(run, into)

    def full(*args: Any) -> None:
        calls.append(args)
        if len(calls) == 4:
            raise OSError(28, "No space left on device")
        commit_part(*args)

    monkeypatch.setattr(unit, "commit_part", full)
    with pytest.raises(StoppedError, match="No space left"):
        sum_groups(into, settings=ONE_BY_ONE)
    assert not list((into / ".tahoe/tmp").iterdir())
    monkeypatch.undo()
    assert sum_groups(into, settings=ONE_BY_ONE).parts_found_done == 3
    assert groups_of(into) == quiet


def test_parts_whose_journal_is_lost_are_taken_over_after_a_full_check(
    run: Path, quiet: dict[str, bytes], tmp_path: Path
) -> None:
    into = tmp_path / "run"
    shutil.copytree(run, into)
    sum_groups(into, settings=ONE_BY_ONE)
    for journal in (into / ".tahoe/journal").glob("groups-*"):
        journal.unlink()
    damaged = min((into / "groups/moments").rglob("*.parquet"))
    content = bytearray(damaged.read_bytes())
    content[100] ^= 1
    damaged.write_bytes(content)
    report = sum_groups(into, settings=ONE_BY_ONE)
    assert report.parts_done == 1
    assert report.parts_found_done == len(quiet) - 3
    assert groups_of(into) == quiet


def test_a_unit_that_a_launch_died_under_gets_a_process_of_its_own(
    run: Path, quiet: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tahoe_engine.groups import plan_groups
    from tahoe_engine.run import Journal, hold_run
    from tahoe_engine.workers.sacrifice import run_sacrificed

    into, apart = tmp_path / "run", list[Any]()
    shutil.copytree(run, into)
    begun = plan_groups(into, settings=ONE_BY_ONE).anchors[2].name
    with hold_run(into) as layout, Journal(layout, "groups") as journal:
        journal.append({"begun": begun})

    def watched(order: Any) -> Any:
        apart.append(order.unit)
        return run_sacrificed(order)

    monkeypatch.setattr("tahoe_engine.workers.guarded.run_sacrificed", watched)
    sum_groups(into, settings=ONE_BY_ONE)
    assert [part.name for unit in apart for part in unit.parts] == [begun]
    assert groups_of(into) == quiet


def test_an_index_that_was_damaged_is_restored(run: Path, tmp_path: Path) -> None:
    import tahoe_engine as te

    into = tmp_path / "run"
    shutil.copytree(run, into)
    sum_groups(into, settings=ONE_BY_ONE)
    te.compute_contrasts(into, method="welch", workers=0)
    index = into / "contrasts/index.parquet"
    whole = index.read_bytes()
    index.write_bytes(whole[:60] + bytes([whole[60] ^ 1]) + whole[61:])
    te.compute_contrasts(into, method="welch", workers=0)
    assert index.read_bytes() == whole
