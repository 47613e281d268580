"""`tahoe train` is killed, broken off, launched twice: the models are the same in the end, and nothing stays behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

import tahoe_engine as te
from made_models import make_run, train, write_task
from runs import published
from tahoe_engine.models.kept import Kept
from tahoe_engine.run import collect_garbage, verify_run

if TYPE_CHECKING:
    from pathlib import Path

WAYS = """[[models]]
name = "forest"
estimator = "random_forest"
search = { n_estimators = [5, 10], max_depth = [2, 4] }
[[models]]
name = "sgd"
estimator = "sgd"
passes = { epochs = 5, window = 2, patience = 0 }
[[models]]
name = "halved"
estimator = "sgd"
how = "halving"
search = { alpha = [0.1, 0.01, 0.001] }
passes = { epochs = 3, window = 2, patience = 0 }
[[models]]
name = "ridge"
estimator = "ridge"
search = { alpha = [0.1, 10.0] }
"""
RIDGE = '[[models]]\nname = "ridge"\nestimator = "ridge"\n'


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="module")
def undisturbed(made: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes]]:
    """A task, and what it gives."""
    place = tmp_path_factory.mktemp("undisturbed")
    shutil.copytree(made, place / "run")
    task = write_task(place, WAYS, name="ways")
    train(place / "run", task)
    return task, published(place / "run")


@pytest.fixture
def into(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "run")
    return tmp_path / "run"


def launch(into: Path, task: Path, workers: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tahoe_engine", "train", "--into", into, "--task", task, "--workers", workers]
    return subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(into: Path, n_kept: int, process: subprocess.Popen[str]) -> None:
    """Wait until so many pieces of unfinished work are kept, or it has ended."""
    end = time.monotonic() + 90
    while len(list(into.glob(".tahoe/kept/*/*"))) < n_kept and process.poll() is None:
        assert time.monotonic() < end
        time.sleep(0.002)


def find_workers(pid: int) -> list[int]:
    """Give the pids of the processes that a process has spawned as workers."""
    children = [int(one) for one in open(f"/proc/{pid}/task/{pid}/children").read().split()]  # noqa: SIM115, PTH123
    found = []
    for child in children:
        with open(f"/proc/{child}/cmdline", "rb") as file:  # noqa: PTH123 - of the kernel
            if b"spawn_main" in file.read():
                found.append(child)
    return found


def test_what_a_launch_left_that_died_after_publishing_goes_at_the_next(
    into: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(_: Kept) -> None:
        raise KeyboardInterrupt

    task = write_task(tmp_path, RIDGE, name="ways")
    with monkeypatch.context() as patched:
        patched.setattr(Kept, "clear", die)
        with pytest.raises(KeyboardInterrupt):
            train(into, task)
    kept = into / ".tahoe/kept/models+ways"
    assert list(kept.iterdir())
    shutil.copytree(into, tmp_path / "copy")
    assert train(into, task).fits_done == 0
    assert not kept.exists()
    # Whoever does not train again has `tahoe gc`.
    garbage = collect_garbage(tmp_path / "copy")
    assert all(item.file.startswith(".tahoe/kept/models+ways/") for item in garbage)
    assert garbage
    assert not list((tmp_path / "copy/.tahoe/kept").rglob("*.*"))
    assert not collect_garbage(tmp_path / "copy")


def test_garbage_is_not_what_a_training_will_go_on_from(
    into: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    task = write_task(tmp_path, RIDGE, name="ways")
    with monkeypatch.context() as patched:
        patched.setattr("tahoe_engine.models.stage.publish", die)
        with pytest.raises(KeyboardInterrupt):
            train(into, task)
    assert not collect_garbage(into)
    assert train(into, task).fits_done == 0


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "n_kept"), [(0, 1), (0, 6), (0, 12), (2, 3), (2, 9)])
def test_a_training_that_is_killed_ends_with_the_same_bytes(
    into: Path, undisturbed: tuple[Path, dict[str, bytes]], workers: int, n_kept: int
) -> None:
    task, wanted = undisturbed
    process = launch(into, task, workers)
    wait_for(into, n_kept, process)
    assert process.poll() is None
    process.kill()
    process.communicate(timeout=60)
    assert not (into / "models/ways/_MANIFEST.json").exists()
    again = launch(into, task, workers)
    assert again.communicate(timeout=120)[1] is not None
    assert again.returncode == 0
    assert published(into) == wanted
    assert not (into / ".tahoe/kept/models+ways").exists()
    assert not verify_run(into, deep=True)[1]


@pytest.mark.slow
@pytest.mark.parametrize("n_kept", [1, 5, 9, 13])
def test_a_lost_worker_changes_nothing(into: Path, undisturbed: tuple[Path, dict[str, bytes]], n_kept: int) -> None:
    task, wanted = undisturbed
    process = launch(into, task, 2)
    wait_for(into, n_kept, process)
    killed = find_workers(process.pid)[:1]
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    errors = process.communicate(timeout=120)[1]
    assert killed
    # It goes on, or says that it stopped: what it has is kept.
    assert process.returncode in {0, 75}, errors
    assert "Traceback" not in errors
    if process.returncode:
        te.train_models(into, task, workers=0)
    assert published(into) == wanted


@pytest.mark.slow
def test_an_interrupt_ends_with_130_and_a_second_launch_meanwhile_with_73(
    into: Path, undisturbed: tuple[Path, dict[str, bytes]]
) -> None:
    task, wanted = undisturbed
    process = launch(into, task, 2)
    wait_for(into, 2, process)
    second = launch(into, task, 0)
    errors = second.communicate(timeout=60)[1]
    assert second.returncode == 73, errors
    workers = find_workers(process.pid)
    process.send_signal(signal.SIGINT)
    errors = process.communicate(timeout=60)[1]
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert workers
    assert not any(os.path.exists(f"/proc/{pid}") for pid in workers)  # noqa: PTH110 - of the kernel
    train(into, task)
    assert published(into) == wanted
