"""A driver that lives longer than its runs: `python -m chaos.driver` reads `ATLAS<tab>RUN` lines and runs the main job.

It is the engine as it is, in one process; only the second that Python needs to start is saved. It answers each line
with one: `done`, or the name of the error.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Self

from chaos.campaign import BrokenError
from chaos.processes import OURS

if TYPE_CHECKING:
    from pathlib import Path


class Driver:
    """The other end of it."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "chaos.driver"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd="/",  # it must not keep a file system busy that a campaign wants to unmount
            env=os.environ | {"PYTHONPATH": f"{OURS}:{OURS}/tests"},
        )

    def start(self, atlas: Path, run: Path) -> None:
        """Begin a run; do not wait."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{atlas}\t{run}\n")
        self._process.stdin.flush()

    def answer(self) -> str:
        """Wait for the end of the run."""
        assert self._process.stdout is not None
        if answer := self._process.stdout.readline():
            return answer.strip()
        raise BrokenError("the driver is gone")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()


def serve() -> None:
    """Run what is asked for until nobody asks."""
    from tahoe_engine import scan_cells

    for line in sys.stdin:
        atlas, run = line.rstrip("\n").split("\t")
        try:
            scan_cells(atlas, run, workers=0)
            answer = "done"
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told
            answer = f"{type(error).__name__}: {error}".replace("\n", " ")
        print(answer, flush=True)


if __name__ == "__main__":
    serve()
