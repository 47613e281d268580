"""A scheduler of somebody else that goes away, loses its workers or has the wrong ones: an error, never a hang."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from clusters import Foreign
from mishaps import act
from tahoe_engine.config import WorkersSettings
from tahoe_engine.errors import ConfigError, StageError, StoppedError
from tahoe_engine.workers import WorkerDiedError, run_units, window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.slow

Unit = tuple[str, float | str]
SHORT = 3  # seconds; one minute by default


@pytest.fixture
def foreign(tmp_path: Path) -> Iterator[Foreign]:
    with Foreign(tmp_path) as cluster:
        yield cluster


def many() -> list[Unit]:
    return [("sleep", 0.05 + n / 10_000) for n in range(400)]


def run_until(cluster: Foreign, accident: Callable[[], object], **options: Any) -> float:
    """Run units, let something happen after the fifth, and give the seconds until the run has ended."""
    settings = WorkersSettings(scheduler=cluster.address, wait_s=SHORT, **options)
    start = None
    try:
        for n, _ in enumerate(run_units(act, many(), settings)):
            if n == 5:
                accident()
                start = time.monotonic()
    finally:
        seconds = time.monotonic() - (start or time.monotonic())
    return seconds


def test_a_scheduler_that_is_killed_ends_the_run(foreign: Foreign) -> None:
    foreign.add_worker("one")
    start = time.monotonic()
    with pytest.raises(StoppedError, match="run the same command again"):
        run_until(foreign, foreign.scheduler.kill)
    assert time.monotonic() - start < 30


def test_a_scheduler_that_is_stopped_ends_the_run(foreign: Foreign) -> None:
    foreign.add_worker("one")
    start = time.monotonic()
    with pytest.raises(StoppedError, match="has not answered for 3 s"):
        run_until(foreign, lambda: foreign.scheduler.send_signal(signal.SIGSTOP))
    assert time.monotonic() - start < 40


def test_workers_that_are_all_gone_end_the_run(foreign: Foreign) -> None:
    worker = foreign.add_worker("one")
    start = time.monotonic()
    with pytest.raises(StoppedError, match="no worker for 3 s"):
        run_until(foreign, worker.kill)
    assert time.monotonic() - start < 30


def test_workers_that_are_all_stopped_end_the_run(foreign: Foreign, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("START_SECONDS", "STALL_SECONDS", "SAMPLE_SECONDS"):
        monkeypatch.setattr(window, name, 2.0)
    worker = foreign.add_worker("one")
    start = time.monotonic()
    with pytest.raises(StoppedError, match="nothing is heard of tcp://127"):
        run_until(foreign, lambda: worker.send_signal(signal.SIGSTOP), unit_s=1.0)
    assert time.monotonic() - start < 60


def test_a_scheduler_without_workers_is_not_waited_for(foreign: Foreign) -> None:
    with pytest.raises(StoppedError, match="no worker after 3 s"):
        run_until(foreign, lambda: None)


def test_a_poisonous_unit_is_named_there_too(foreign: Foreign) -> None:
    foreign.add_worker("one", nanny=True)
    units: list[Unit] = [("sleep", 0.01), ("abort", ""), ("sleep", 0.02)]
    found = dict(run_units(act, units, WorkersSettings(scheduler=foreign.address)))
    assert isinstance(found["abort", ""].error, WorkerDiedError)
    assert [found[unit].error for unit in (units[0], units[2])] == [None, None]


def test_a_unit_that_hangs_there_is_not_handed_from_worker_to_worker(foreign: Foreign) -> None:
    for name in ("one", "two"):
        foreign.add_worker(name, nanny=True)
    start = time.monotonic()
    ((_, outcome),) = run_units(act, [("sleep", 100.0)], WorkersSettings(scheduler=foreign.address, unit_s=6.0))
    assert isinstance(outcome.error, WorkerDiedError)
    assert "longer than 6 s" in str(outcome.error)
    # Twice the limit; its scheduler alone would have tried it four times, and then came the process of its own.
    assert time.monotonic() - start < 4 * 6.0


def place() -> str:
    return Path.cwd().name


def refuse_to_tell() -> str:
    if Path.cwd().name == "elsewhere":
        raise LookupError("nothing installed here")
    return "same"


@pytest.mark.parametrize(
    ("gate", "words"), [(place, "has 'elsewhere'"), (refuse_to_tell, "LookupError: nothing installed here")]
)
@pytest.mark.parametrize("when", ["at first", "later"])
def test_a_worker_that_differs_is_named_and_gets_no_unit(
    foreign: Foreign, tmp_path: Path, gate: Callable[[], str], words: str, when: str
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    foreign.add_worker("one")
    others = [foreign.add_worker("other", elsewhere)] if when == "at first" else []
    settings = WorkersSettings(scheduler=foreign.address, wait_s=30)
    receipts = []

    def run() -> None:
        for _, outcome in run_units(act, many(), settings, gate=gate):
            receipts.append(outcome.receipt)
            if len(receipts) == 5 and not others:
                others.append(foreign.add_worker("other", elsewhere))

    with pytest.raises(StageError, match=words):
        run()
    assert others[0].pid not in receipts


def test_a_gate_that_cannot_be_loaded_there_is_an_error(foreign: Foreign, tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "only_here.py").write_text("def gate():\n    return 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import only_here  # type: ignore[import-not-found]

    foreign.add_worker("one")
    with pytest.raises(StageError, match="only_here"):
        list(run_units(act, many(), WorkersSettings(scheduler=foreign.address), gate=only_here.gate))
    with pytest.raises(StageError, match="only_here"):
        list(run_units(only_here.gate, many(), WorkersSettings(scheduler=foreign.address)))


def test_a_strangers_scheduler_is_refused() -> None:
    for address in ("tcp://10.255.255.1:8786", "0.0.0.0:8786", "tcp://[::]:1"):
        with pytest.raises(ConfigError, match="--insecure-cluster"):
            list(run_units(act, many(), WorkersSettings(scheduler=address, wait_s=1)))
    assert os.getpid()
