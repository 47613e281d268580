"""The main job disturbed: killed, interrupted, out of disk, started twice. Resumed, it equals an undisturbed one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from runs import published, scan
from tahoe_engine.errors import HeldError, StoppedError
from tahoe_engine.run import hold_run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytest.importorskip("tahoe_engine._rust", reason="the core is not built: make build")


def test_a_held_run_is_refused(atlas: Path, tmp_path: Path) -> None:
    with hold_run(tmp_path / "run"), pytest.raises(HeldError, match="process"):
        scan(atlas, tmp_path / "run")


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


def launch(atlas: Path, into: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tahoe_engine", "cells", str(atlas), "--into", str(into), *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def wait_for(into: Path, pattern: str, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 60
    while not list(into.glob(pattern)) and process.poll() is None and time.monotonic() < end:
        time.sleep(0.005)


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["0", "2"])
def test_killed_and_resumed_equals_undisturbed(atlas: Path, run: Path, tmp_path: Path, workers: str) -> None:
    into = tmp_path / "run"
    process = launch(atlas, into, "--workers", workers)
    wait_for(into, "cells/*.parquet", process)
    process.kill()
    process.communicate(timeout=60)
    # Workers outlive their launch for a moment; the lock does not wait for them, and their parts are the same bytes.
    scan(atlas, into)
    assert published(into) == published(run)
    assert not list((into / ".tahoe/tmp").iterdir())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("workers", "moment"),
    [("0", "cells/*.parquet"), ("2", "cells/*.parquet"), ("2", ".tahoe/plan-cells.json")],
    ids=["in this process", "on workers", "while workers start"],
)
def test_an_interrupt_ends_with_130_and_few_words(
    atlas: Path, run: Path, tmp_path: Path, workers: str, moment: str
) -> None:
    into = tmp_path / "run"
    process = launch(atlas, into, "--workers", workers)
    wait_for(into, moment, process)
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


@pytest.mark.slow
def test_a_polite_kill_is_an_interrupt_too(atlas: Path, run: Path, tmp_path: Path) -> None:
    into = tmp_path / "run"
    process = launch(atlas, into, "--workers", "1")
    wait_for(into, "cells/*.parquet", process)
    process.terminate()
    _, errors = process.communicate(timeout=60)
    if process.returncode == 0:
        pytest.skip("it was done before the signal came")
    assert process.returncode == 130, errors
    assert len(errors.splitlines()) <= 3, errors
    scan(atlas, into)
    assert published(into) == published(run)


@pytest.mark.slow
def test_a_shard_that_takes_the_process_along_is_set_aside_by_the_next_launch(atlas: Path, tmp_path: Path) -> None:
    poison = tmp_path / "poison"
    poison.mkdir()
    # Python runs this in every process that starts; the engine has no door for it.
    (poison / "sitecustomize.py").write_text(
        "import importlib.abc, os, sys\n"
        "class Finder(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name != 'tahoe_engine.cells.unit': return None\n"
        "        sys.meta_path.remove(self)\n"
        "        from tahoe_engine import _rust\n"
        "        real = _rust.scan_cells\n"
        "        def scan(*a, shard, **k):\n"
        "            if '00002' in shard: os.abort()\n"
        "            return real(*a, shard=shard, **k)\n"
        "        _rust.scan_cells = scan\n"
        "        return None\n"
        "sys.meta_path.insert(0, Finder())\n"
    )
    into = tmp_path / "run"
    command = [sys.executable, "-m", "tahoe_engine", "cells", str(atlas), "--into", str(into), "--workers", "0"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(poison), os.environ.get("PYTHONPATH", "")])}
    launches = [
        subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
        for _ in range(3)
    ]
    # The first launch dies; from the second on it is known under what.
    assert [done.returncode for done in launches] == [-signal.SIGABRT, 2, 2], launches[-1].stderr
    assert "E_WORKER_CRASH" in launches[-1].stdout
    assert "SIGABRT" in launches[-1].stdout
    assert scan(atlas, into).units_done == 1
