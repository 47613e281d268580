from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tahoe_engine.config import WorkersSettings
from tahoe_engine.errors import ConfigError, ShardError, StageError
from tahoe_engine.outcomes import Outcome, run_here
from tahoe_engine.workers import WorkerDiedError, count_workers, run_units

if TYPE_CHECKING:
    from pathlib import Path

HERE = WorkersSettings(count=0)
TWO = WorkersSettings(count=2)


class PanicError(BaseException):
    """Like pyo3's: no Exception, and it does not pickle."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(first + second)


def work(unit: tuple[str, str]) -> str:
    kind, value = unit
    if kind == "shard":
        raise ShardError(value, None, 3, "E_TYPE", "why")
    if kind == "panic":
        raise PanicError("boom", value)
    if kind == "bug":
        raise KeyError(value)
    if kind == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "threads":
        return os.environ["POLARS_MAX_THREADS"] + os.environ["RAYON_NUM_THREADS"]
    return value


def test_the_default_is_the_cores_and_none_is_this_process() -> None:
    assert count_workers(WorkersSettings()) == len(os.sched_getaffinity(0))
    assert count_workers(HERE) == 0


@pytest.mark.parametrize("settings", [HERE, TWO], ids=["here", "cluster"])
def test_every_unit_comes_back_with_a_receipt_or_an_error(settings: WorkersSettings) -> None:
    units = [*(("ok", str(n)) for n in range(20)), ("shard", "s"), ("panic", "!"), ("bug", "b")]
    found = dict(run_units(work, units, settings))
    assert {unit for unit, outcome in found.items() if outcome.error is None} == set(units[:20])
    assert all(found["ok", str(n)].receipt == str(n) for n in range(20))
    shard = found["shard", "s"].error
    assert isinstance(shard, ShardError)
    assert (shard.code, shard.row) == ("E_TYPE", 3)
    panic = found["panic", "!"].error
    assert isinstance(panic, RuntimeError)
    assert str(panic) == "PanicError: boom!"
    bug = found["bug", "b"].error
    assert isinstance(bug, KeyError)
    assert "raised by a worker" in bug.__notes__[0]


@pytest.mark.slow
def test_a_unit_that_kills_its_worker_takes_no_other_with_it() -> None:
    units = (
        [("ok", str(n)) for n in range(6)] + [("die", "")] + [("threads", "")] + [("ok", str(n)) for n in range(6, 12)]
    )
    found = dict(run_units(work, units, TWO))
    assert isinstance(found["die", ""].error, WorkerDiedError)
    assert [unit for unit, outcome in found.items() if outcome.error is not None] == [("die", "")]
    assert found["threads", ""].receipt == "11"


def test_an_outcome_always_pickles() -> None:
    for unit in (("panic", "!"), ("bug", "b"), ("ok", "1")):
        assert isinstance(pickle.loads(pickle.dumps(run_here(work, unit))), Outcome)  # noqa: S301


def test_no_units_start_no_cluster() -> None:
    code = (
        "import sys; from tahoe_engine.config import WorkersSettings; from tahoe_engine.workers import run_units\n"
        "assert list(run_units(print, [], WorkersSettings(count=2))) == []\n"
        "assert list(run_units(len, ['ab'], WorkersSettings(count=0)))[0][1].receipt == 2\n"
        "assert 'distributed' not in sys.modules and 'dask' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_scheduler_that_is_not_there_is_a_config_error() -> None:
    settings = WorkersSettings(scheduler="tcp://127.0.0.1:9", wait_s=1)
    with pytest.raises(ConfigError, match="no scheduler at"):
        list(run_units(work, [("ok", "1")], settings))


def gate_here() -> str:
    return f"{os.getpid()}"


def test_a_running_scheduler_is_used_and_its_versions_are_compared(tmp_path: Path) -> None:
    del tmp_path
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address="127.0.0.1:0"
    ) as cluster:
        settings = WorkersSettings(scheduler=cluster.scheduler_address)
        found = dict(run_units(work, [("ok", "1")], settings, gate=os.getcwd))
        assert found["ok", "1"].receipt == "1"
        with pytest.raises(StageError, match="install the same version"):
            list(run_units(work, [("ok", "1")], settings, gate=gate_here))
