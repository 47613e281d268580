"""Run a command to its end and say what it cost: seconds, CPU seconds and peak memory, its children's included.

The command is started from a small process of its own: on Linux a child inherits the peak memory of the process
that forked it, so measured straight from pytest every command would seem to need what pytest needs.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MIB = 2**20


@dataclass(frozen=True)
class Finished:
    """How a command ended and what it took. `code` is negative for a signal, as in `subprocess`."""

    code: int
    stdout: str
    stderr: str
    seconds: float
    cpu_seconds: float
    peak_mib: float


def run(command: Sequence[str | Path], *, env: Mapping[str, str] | None = None, timeout: float = 600) -> Finished:
    """Run a command with nothing on its standard input."""
    with tempfile.NamedTemporaryFile("r", suffix=".json") as report:
        launcher = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__, report.name, *map(str, command)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env=os.environ | dict(env or {}),
            start_new_session=True,
        )
        try:
            stdout, stderr = launcher.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(launcher.pid, signal.SIGKILL)  # the command too, not only its launcher
            launcher.communicate()
            raise
        used = json.load(report)
    return Finished(stdout=stdout, stderr=stderr, **used)


def run_tahoe(*arguments: str | Path, env: Mapping[str, str] | None = None, timeout: float = 600) -> Finished:
    """Run `tahoe` with this interpreter, as a user would."""
    return run([sys.executable, "-m", "tahoe_engine", *arguments], env=env, timeout=timeout)


def _launch(report: str, command: list[str]) -> None:
    started = time.monotonic()
    pid = os.posix_spawnp(command[0], command, os.environ)
    _, status, usage = os.wait4(pid, 0)
    used = {
        "code": os.waitstatus_to_exitcode(status),
        "seconds": time.monotonic() - started,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_mib": usage.ru_maxrss * 1024 / MIB,
    }
    Path(report).write_text(json.dumps(used), encoding="ascii")


if __name__ == "__main__":
    _launch(sys.argv[1], sys.argv[2:])
