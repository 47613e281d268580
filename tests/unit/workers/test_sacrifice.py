"""The process of its own in which a suspect unit is tried once more."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from mishaps import act, children, is_alive
from tahoe_engine.errors import ShardError
from tahoe_engine.workers import WorkerDiedError
from tahoe_engine.workers.attempt import Attempt, Order
from tahoe_engine.workers.sacrifice import run_sacrificed

ROOT = Path(__file__).resolve().parents[3]


def sacrifice(kind: str, value: float | str = "", limit_s: float = 30.0, memory_mib: int = 256) -> Attempt:
    return run_sacrificed(Order(act, (kind, value), limit_s, memory_mib))


def test_an_innocent_unit_gives_its_receipt_from_a_process_of_its_own() -> None:
    for kind in ("sleep", "print"):
        attempt = sacrifice(kind, 0.0)
        assert attempt.outcome.error is None
        assert attempt.outcome.receipt not in (None, os.getpid())
        assert attempt.seconds > 0


@pytest.mark.parametrize(
    ("kind", "value", "words"),
    [
        ("abort", "", "died with signal SIGABRT"),
        ("exit", 3.0, "ended with exit status 3"),
        ("kill", "", "died with signal SIGKILL, each time it was tried; perhaps out of memory"),
        ("allocate", float(8 << 30), "ran out of memory"),
    ],
)
def test_the_message_says_how_the_process_died(kind: str, value: float | str, words: str) -> None:
    error = sacrifice(kind, value).outcome.error
    assert isinstance(error, WorkerDiedError)
    assert str(error) == f"its process died twice: first its worker, then a process of its own {words}"


@pytest.mark.parametrize("unit", [("sleep", 100.0), ("hold the lock", "")], ids=lambda unit: unit[0])
def test_a_unit_without_end_is_ended(unit: tuple[str, float | str]) -> None:
    error = sacrifice(*unit, limit_s=1.0).outcome.error
    assert isinstance(error, WorkerDiedError)
    assert str(error).startswith("it took longer than 1 s")


def fail(unit: str) -> None:
    raise ShardError(unit, None, 3, "E_TYPE", "why")


def test_what_the_unit_raises_comes_back_as_it_is() -> None:
    error = run_sacrificed(Order(fail, "s", 30.0, 256)).outcome.error
    assert isinstance(error, ShardError)
    assert (error.code, error.row) == ("E_TYPE", 3)


def kill_when_there(seen: list[int], n_kills: int) -> None:
    while len(seen) < n_kills:
        for child in children(os.getpid(), deep=False):
            if child not in seen:
                seen.append(child)
                os.kill(child, signal.SIGKILL)
        time.sleep(0.01)


def test_one_kill_from_outside_is_no_proof() -> None:
    seen = [child for child in children(os.getpid(), deep=False) if is_alive(child)]
    killer = threading.Thread(target=kill_when_there, args=(seen, len(seen) + 2))
    killer.start()
    attempt = sacrifice("sleep", 0.5)
    killer.join()
    assert attempt.outcome.error is None


def test_the_process_dies_with_its_parent(tmp_path: Path) -> None:
    program = (
        "from mishaps import act\nfrom tahoe_engine.workers.attempt import Order\n"
        "from tahoe_engine.workers.sacrifice import run_sacrificed\n"
        "run_sacrificed(Order(act, ('sleep', 60.0), 90.0, 256))\n"
    )
    path: Any = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    parent = subprocess.Popen([sys.executable, "-c", program], cwd=tmp_path, env={**os.environ, "PYTHONPATH": path})
    try:
        end = time.monotonic() + 30
        while not (below := children(parent.pid)) and time.monotonic() < end:
            time.sleep(0.02)
        time.sleep(1.5)
        assert len(below) == 1
        assert is_alive(below[0])
    finally:
        parent.kill()
        parent.wait()
    end = time.monotonic() + 5
    while is_alive(below[0]) and time.monotonic() < end:
        time.sleep(0.02)
    assert not is_alive(below[0])
