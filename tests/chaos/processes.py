"""Launches of the command, and what becomes of their processes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from chaos.campaign import BrokenError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Argument = str | Path | int

OURS = str(Path(__file__).resolve().parents[2])  # the folder of the package: what is tried is this tree
INJECTED = str(Path(__file__).resolve().parent / "injected")
LONGEST = 600.0


@dataclass(frozen=True)
class Ended:
    """How a launch ended; a signal is a negative code."""

    code: int
    stdout: str
    stderr: str
    seconds: float

    def require(self, *codes: int) -> Ended:
        """Insist on an exit code, and on words in place of a traceback."""
        if self.code not in codes:
            wanted = " or ".join(map(str, codes))
            raise BrokenError(f"ended with {self.code}, expected {wanted}:\n{self.stdout}{self.stderr}")
        if "Traceback (most recent call last)" in self.stderr:
            raise BrokenError(f"ended with {self.code} and a traceback:\n{self.stderr}")
        return self


class Launched:
    """A command under way, in a session of its own, so that all its processes can be found and ended by number."""

    def __init__(self, command: Sequence[str], place: Path, env: dict[str, str] | None = None) -> None:
        self._started = time.monotonic()
        number = time.monotonic_ns()
        place.mkdir(parents=True, exist_ok=True)
        self._stdout, self._stderr = (place / f"{number}.{name}" for name in ("stdout", "stderr"))
        with self._stdout.open("wb") as stdout, self._stderr.open("wb") as stderr:
            # Files, not pipes: nobody reads while a campaign does its worst.
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                env=os.environ | {"PYTHONPATH": OURS, "PYTHONDONTWRITEBYTECODE": "1"} | (env or {}),
                start_new_session=True,
            )
        self.pid = self.process.pid

    def running(self) -> bool:
        """Tell whether the driver is there."""
        return self.process.poll() is None

    def session(self) -> list[int]:
        """Give the pids of all its processes, also of those that outlived the driver."""
        return [pid for pid, (_, session, state) in list_processes() if session == self.pid and state != "Z"]

    def workers(self) -> list[int]:
        """Give the pids of its Dask workers, also of those that are just starting."""
        return [pid for pid in self.session() if pid != self.pid and "spawn_main" in command_of(pid)]

    def send(self, number: int) -> None:
        """Send the driver a signal."""
        send(self.pid, number)

    def wait(self, seconds: float = LONGEST) -> Ended:
        """Wait for the driver; one that does not end in time is broken, and is ended."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.end()
            raise BrokenError(f"did not end within {seconds:.0f} s:\n{self.errors()}") from None
        taken = time.monotonic() - self._started
        return Ended(code, self._stdout.read_text(errors="replace"), self.errors(), taken)

    def errors(self) -> str:
        """Give what it said on stderr so far."""
        return self._stderr.read_text(errors="replace")

    def end(self) -> None:
        """End all its processes, stopped ones too."""
        for pid in self.session():
            send(pid, signal.SIGKILL)
        self.process.wait(30)
        wait_until(lambda: not self.session(), 10)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()


def scan(
    atlas: Path, into: Path, *options: Argument, env: dict[str, str] | None = None, seconds: float = LONGEST
) -> Ended:
    """Run the main job to its end."""
    with launch_scan(atlas, into, *options, env=env) as launched:
        return launched.wait(seconds)


def find_said(into: Path) -> Path:
    """Give the folder for the words of a launch: beside the run, but never on a disk that a campaign fills."""
    place = into.parent
    return (place.parent if place.is_mount() else place) / "said"


def launch_scan(
    atlas: Path, into: Path, *options: Argument, env: dict[str, str] | None = None, prefix: Sequence[str] = ()
) -> Launched:
    """Start the main job as a user would; its words are kept beside the run folder."""
    given = map(str, ("cells", atlas, "--into", into, "--quiet", *options))
    return Launched([*prefix, sys.executable, "-m", "tahoe_engine", *given], find_said(into), env)


def send(pid: int, number: int) -> bool:
    """Send a signal; tell whether the process was there."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
        return True
    return False


def list_processes() -> Iterator[tuple[int, tuple[int, int, str]]]:
    """Give the parent, session and state of every process."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, ValueError):
                # The name stands in brackets and may hold anything.
                state, parent, _, session = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
                yield int(entry.name), (int(parent), int(session), state)


def command_of(pid: int) -> str:
    """Give the command line of a process; nothing if it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def wait_until(condition: Callable[[], object], seconds: float, every: float = 0.01) -> bool:
    """Wait for something; tell whether it came."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(every)
    return bool(condition())
