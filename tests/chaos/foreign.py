"""A scheduler and a worker that others started, as the tools of Dask do it."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chaos.campaign import BrokenError
from chaos.processes import Launched, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chaos.campaign import Trial
    from chaos.injection import Injection


@dataclass(frozen=True)
class Place:
    """Where a process runs: an address, and what is put before its command."""

    host: str = "127.0.0.1"
    prefix: tuple[str, ...] = ()


HERE = Place()


@contextmanager
def open_scheduler(
    trial: Trial, pace: Injection, *, at: Place = HERE, worker_at: Place = HERE
) -> Iterator[tuple[Launched, Launched, str]]:
    """Start a scheduler and a worker of one thread with its nanny; give both, and the scheduler's address."""
    said, file = trial.place / "said", trial.place / "scheduler.json"
    scheduling = ("-m", "distributed.cli.dask_scheduler", "--host", at.host, "--port", "0", "--no-dashboard")
    with Launched([*at.prefix, sys.executable, *scheduling, "--scheduler-file", str(file)], said) as scheduler:
        if not wait_until(lambda: file.is_file() and file.read_text().rstrip().endswith("}"), 60):
            raise BrokenError(f"no scheduler:\n{scheduler.errors()}")
        address = json.loads(file.read_text())["address"]
        working = ("-m", "distributed.cli.dask_worker", address, "--host", worker_at.host, "--nthreads", "1")
        local = ("--no-dashboard", "--local-directory", str(trial.place))
        with Launched([*worker_at.prefix, sys.executable, *working, *local], said, pace.env) as worker:
            yield scheduler, worker, address
