"""A scheduler and workers of somebody else, as the command line starts them, for tests that break them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

ROOT = Path(__file__).resolve().parent.parent


class Foreign:
    """A running scheduler; workers are added one by one, without nannies unless asked for.

    Parameters
    ----------
    folder : pathlib.Path
        For what they write.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._started: list[subprocess.Popen[bytes]] = []
        told = folder / "scheduler.json"
        self.scheduler = self._start(
            "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(told)
        )
        end = time.monotonic() + 60
        while not told.exists() or not told.read_text():
            assert time.monotonic() < end, "the scheduler did not start"
            time.sleep(0.02)
        self.address = str(json.loads(told.read_text())["address"])

    def add_worker(self, name: str, folder: Path | None = None, *, nanny: bool = False) -> subprocess.Popen[bytes]:
        """Start one worker process.

        Parameters
        ----------
        name : str
            In messages of the scheduler.
        folder : pathlib.Path, optional
            Where it stands, if not at the root of the project.
        nanny : bool
            Whether it is started again when it dies.
        """
        options = ["--name", name, "--nthreads", "1", "--host", "127.0.0.1", "--no-dashboard"]
        options += ["--local-directory", str(self._folder), "--nanny" if nanny else "--no-nanny"]
        return self._start("worker", self.address, *options, folder=folder)

    def _start(self, *command: str, folder: Path | None = None) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-m", "dask", *command],
            cwd=folder or ROOT,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._started.append(process)
        return process

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._started:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
