"""Workers that are killed, stopped or hang, and units that do it to them: real clusters, real signals."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from typing import TYPE_CHECKING

import pytest

from mishaps import Deadly, act, children, listeners, send, workers_of
from tahoe_engine.config import WorkersSettings
from tahoe_engine.workers import WorkerDiedError, run_units, supervise

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

SEED = 20_261_120
Unit = tuple[str, float | str]


def test_a_poisonous_unit_costs_one_restart_and_is_named_with_its_signal() -> None:
    units: list[Unit] = [("sleep", 0.001 * n) for n in range(30)]
    units.insert(11, ("abort", ""))
    found = dict(run_units(act, units, WorkersSettings(count=2)))
    assert len(found) == 31
    error = found.pop(("abort", "")).error
    assert isinstance(error, WorkerDiedError)
    assert str(error).endswith("a process of its own died with signal SIGABRT")
    assert all(outcome.error is None for outcome in found.values())
    assert len({outcome.receipt for outcome in found.values()}) <= 3


def test_a_unit_that_kills_its_worker_only_once_is_not_blamed(tmp_path: Path) -> None:
    units: list[Unit] = [("abort once", str(tmp_path / "mark")), ("sleep", 0.0)]
    found = dict(run_units(act, units, WorkersSettings(count=1)))
    assert [outcome.error for outcome in found.values()] == [None, None]


def test_a_lost_receipt_is_asked_for_again_but_not_for_ever(tmp_path: Path) -> None:
    units = [("always", ""), ("once", str(tmp_path / "mark"))]
    found = dict(run_units(send, units, WorkersSettings(count=1)))
    assert isinstance(found[units[0]].error, WorkerDiedError)
    assert isinstance(found[units[1]].receipt, Deadly)


def test_units_that_never_end_are_ended_and_named() -> None:
    units: list[Unit] = [("sleep", 1000.0), ("hold the lock", ""), *(("sleep", 0.01 * n) for n in range(4))]
    start = time.monotonic()
    found = dict(run_units(act, units, WorkersSettings(count=2, unit_s=1.5)))
    assert time.monotonic() - start < 60
    for unit in units[:2]:
        assert isinstance(found[unit].error, WorkerDiedError)
        assert "longer than 2 s" in str(found[unit].error)
    assert [found[unit].error for unit in units[2:]] == [None] * 4


def test_the_limit_grows_with_what_units_take_and_with_what_they_may_wait() -> None:
    """Twenty times the median, and the slack: neither of the two long ones hangs."""
    units: list[Unit] = [*(("sleep", 0.2 + n / 1000) for n in range(4)), ("sleep", 1.5)]
    settings = WorkersSettings(count=1, unit_s=0.5, window=2)
    assert [outcome.error for _, outcome in run_units(act, units, settings)] == [None] * 5
    first: list[Unit] = [("sleep", 1.5)]
    assert [outcome.error for _, outcome in run_units(act, first, settings, slack_s=5.0)] == [None]
    ((_, outcome),) = run_units(act, first, settings)
    assert isinstance(outcome.error, WorkerDiedError)


def kill_workers(seconds: float, ended: threading.Event, killed: list[int]) -> None:
    """Kill a random worker of this process every so often."""
    chance = random.Random(SEED)
    while not ended.wait(chance.uniform(0.5, 1.5) * seconds):
        workers = workers_of(os.getpid())
        if workers:
            killed.append(chance.choice(workers))
            os.kill(killed[-1], signal.SIGKILL)


def test_no_unit_is_blamed_for_kills_from_outside() -> None:
    units: list[Unit] = [("sleep", 0.1 + n / 1_000_000) for n in range(120)]
    ended, killed = threading.Event(), list[int]()
    killer = threading.Thread(target=kill_workers, args=(0.8, ended, killed))
    killer.start()
    try:
        outcomes = list(run_units(act, units, WorkersSettings(count=2)))
    finally:
        ended.set()
        killer.join()
    assert len(killed) >= 4, f"seed {SEED}"
    assert sorted(unit for unit, _ in outcomes) == units
    assert [(unit, outcome.error) for unit, outcome in outcomes if outcome.error is not None] == []


def test_a_stopped_worker_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervise, "DEAF_SECONDS", 4.0)
    units: list[Unit] = [("sleep", 0.1 + n / 1000) for n in range(20)]
    stopped: list[int] = []
    found = {}
    for unit, outcome in run_units(act, units, WorkersSettings(count=2)):
        found[unit] = outcome
        if not stopped:
            stopped = workers_of(os.getpid())[:1]
            os.kill(stopped[0], signal.SIGSTOP)
    assert set(found) == set(units)
    assert all(outcome.error is None for outcome in found.values())
    assert stopped[0] not in workers_of(os.getpid())


@pytest.mark.parametrize("dashboard", ["127.0.0.1:0", ""])
def test_nothing_listens_but_on_loopback(dashboard: str) -> None:
    units: list[Unit] = [("sleep", 0.01 * n) for n in range(4)]
    found = set()
    for _ in run_units(act, units, WorkersSettings(count=2, dashboard=dashboard)):
        found |= listeners([os.getpid(), *children(os.getpid())])
    assert found == {"0100007F"}
