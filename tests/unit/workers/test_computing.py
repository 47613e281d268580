"""Dask on our workers: results, errors, deaths, interrupts."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import TYPE_CHECKING

import pytest
from dask.delayed import delayed

from clusters import Foreign
from mishaps import act
from tahoe_engine.config import WorkersSettings
from tahoe_engine.errors import BadDataError, ConfigError, StageError, StoppedError
from tahoe_engine.workers import open_computing

if TYPE_CHECKING:
    from pathlib import Path

HERE = WorkersSettings(count=0)
TWO = WorkersSettings(count=2)


class PanicError(BaseException):
    """Like pyo3's: no Exception."""


def work(item: tuple[str, str]) -> str:
    kind, value = item
    if kind == "bad":
        raise BadDataError(value)
    if kind == "io":
        raise FileNotFoundError(value)
    if kind == "panic":
        raise PanicError(value)
    if kind == "attribute":
        raise AttributeError(value)
    if kind == "process":
        return str(os.getpid())
    return f"({value})"


def glue(parts: list[str]) -> str:
    return f"[{''.join(parts)}]"


def join(parts: list[str]) -> str:
    return " ".join(parts)


def items_of(*items: tuple[str, float | str]) -> list[tuple[str, float | str]]:
    return list(items)


@pytest.mark.parametrize("settings", [HERE, TWO], ids=["here", "cluster"])
def test_results_come_in_order_and_errors_as_they_were_raised(settings: WorkersSettings) -> None:
    with open_computing(settings, 4) as computing:
        assert computing.compute([delayed(abs)(-number) for number in range(20)]) == list(range(20))
        assert computing.compute([]) == []
        # A tree in the order of the items, eight at a time, whatever the items look like.
        items = [("ok", str(number)) for number in range(10)]
        assert computing.reduce(work, glue, items) == "[[(0)(1)(2)(3)(4)(5)(6)(7)][(8)(9)]]"
        assert computing.reduce(work, glue, items[:1]) == "[(0)]"
        for kind, error in (("bad", BadDataError), ("io", FileNotFoundError), ("attribute", AttributeError)):
            with pytest.raises(error, match="why"):
                computing.reduce(work, glue, [*items, (kind, "why")])
        with pytest.raises(RuntimeError, match="PanicError: why"):
            computing.reduce(work, glue, [("panic", "why")])
        # What went wrong leaves nothing behind.
        assert computing.reduce(work, glue, items[:2]) == "[(0)(1)]"
        processes = set(computing.reduce(work, join, [("process", "")] * 8).split())
        assert (str(os.getpid()) in processes) == (settings is HERE)


def test_what_computes_by_itself_does_so_on_the_workers_and_nothing_is_left_behind() -> None:
    import dask

    with open_computing(WorkersSettings(count=1), 9):
        assert delayed(os.getpid)().compute() != os.getpid()
    assert dask.config.get("scheduler", None) is None


@pytest.mark.slow
def test_a_task_that_kills_its_workers_stops_with_what_to_do() -> None:
    items = items_of(("sleep", 0.0), ("kill", ""), ("sleep", 0.01))
    with (
        pytest.raises(StoppedError, match=r"3 workers died .*workers.memory_mib=2048.* run the same command again"),
        open_computing(TWO, 2) as computing,
    ):
        computing.reduce(act, max, items)


@pytest.mark.slow
def test_a_worker_that_dies_once_costs_nothing_but_time(tmp_path: Path) -> None:
    with open_computing(TWO, 2) as computing:
        found = computing.reduce(act, len, items_of(("sleep", 0.0), ("abort once", str(tmp_path / "mark"))))
    assert found == 2


def test_an_interrupt_ends_it_at_once() -> None:
    timer = threading.Timer(2.5, os.kill, (os.getpid(), signal.SIGINT))
    start = time.monotonic()
    timer.start()
    with pytest.raises(KeyboardInterrupt), open_computing(WorkersSettings(count=1), 1) as computing:
        computing.reduce(act, max, [("sleep", 60.0)])
    timer.join()
    assert time.monotonic() - start < 15


def gate_here() -> str:
    return str(os.getpid())


@pytest.mark.slow
def test_a_foreign_scheduler_is_used_its_versions_compared_and_its_end_noticed(tmp_path: Path) -> None:
    with Foreign(tmp_path) as cluster:
        cluster.add_worker("one")
        settings = WorkersSettings(scheduler=cluster.address, wait_s=5)
        with open_computing(settings, 1, gate=os.getcwd) as computing:
            assert computing.reduce(act, max, [("sleep", 0.0)]) != os.getpid()
        with pytest.raises(StageError, match="install the same version"), open_computing(settings, 1, gate=gate_here):
            pass
        with open_computing(settings, 1) as computing:
            threading.Timer(1.0, cluster.scheduler.kill).start()
            with pytest.raises(StoppedError, match="run the same command again"):
                computing.reduce(act, max, [("sleep", 60.0)])


def test_a_scheduler_that_is_not_there_is_a_config_error() -> None:
    settings = WorkersSettings(scheduler="tcp://127.0.0.1:9", wait_s=1)
    with pytest.raises(ConfigError, match="no scheduler at"), open_computing(settings, 1):
        pass


def slow_square(number: int) -> int:
    time.sleep(0.05)
    return number * number


@pytest.mark.parametrize("settings", [HERE, TWO], ids=["here", "cluster"])
def test_joblib_works_on_the_workers_while_the_block_runs(settings: WorkersSettings) -> None:
    from joblib import Parallel
    from joblib import delayed as later

    with open_computing(settings, 4) as computing:
        with computing.joblib():
            found = Parallel(n_jobs=-1)(later(slow_square)(number) for number in range(6))
            processes = set(Parallel(n_jobs=-1)(later(os.getpid)() for _ in range(4)))
            with pytest.raises(ZeroDivisionError):
                Parallel(n_jobs=-1)(later(divmod)(1, 0) for _ in range(2))
        assert found == [0, 1, 4, 9, 16, 25]
        assert (os.getpid() in processes) == (settings is HERE)
        assert computing.compute(computing.defer(str.split, "a b", n_results=2)) == ["a", "b"]


def test_joblib_does_not_wait_for_a_worker_that_is_lost() -> None:
    from joblib import Parallel
    from joblib import delayed as later

    with open_computing(TWO, 2) as computing:
        started = time.monotonic()
        with computing.joblib(), pytest.raises(StoppedError, match="a worker was lost"):
            Parallel(n_jobs=-1)(later(die_or_wait)(at) for at in range(4))
        assert time.monotonic() - started < 20
        # Whoever takes its place can be used.
        with computing.joblib():
            assert Parallel(n_jobs=-1)(later(abs)(-at) for at in range(4)) == [0, 1, 2, 3]


def die_or_wait(at: int) -> None:
    time.sleep(0.5)
    if at == 0:
        os.kill(os.getpid(), signal.SIGKILL)
