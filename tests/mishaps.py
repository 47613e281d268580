"""Units that misbehave, for workers in tests; and what a test needs to do to their processes."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path


class Deadly:
    """A receipt that kills the process that sends it, after the unit has finished."""

    def __init__(self, mark: str) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[type[Deadly], tuple[str]]:
        if not self.mark or _first(Path(self.mark)):
            os.kill(os.getpid(), signal.SIGKILL)
        return Deadly, (self.mark,)


def send(unit: tuple[str, str]) -> Deadly:
    """Give a receipt that is lost: each time, or once where a mark can be left."""
    return Deadly(unit[1])


def act(unit: tuple[str, float | str]) -> int:
    """Do what the first word says; give the process that did it."""
    kind, value = unit
    if kind == "sleep":
        time.sleep(float(value))
    elif kind == "hold the lock":
        # One call that never lets another thread in.
        re.match(r"(a|a)*b", "a" * 60)
    elif kind == "abort":
        os.abort()
    elif kind == "exit":
        os._exit(int(value))
    elif kind == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif kind == "allocate":
        bytearray(int(value))
    elif kind == "abort once" and _first(Path(str(value))):
        os.abort()
    elif kind == "print":
        # More than a pipe holds, and nothing of it may get between the bytes of an answer.
        print("x" * 100_000)  # noqa: T201
    return os.getpid()


def _first(mark: Path) -> bool:
    try:
        mark.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def children(pid: int, *, deep: bool = True) -> list[int]:
    """Give the processes under a process."""
    found: list[int] = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text()
        except OSError:
            continue
        state, parent = text.rpartition(")")[2].split()[:2]
        if int(parent) == pid and state != "Z":
            found.append(int(stat.parent.name))
    return found + [below for child in found if deep for below in children(child)]


def workers_of(pid: int) -> list[int]:
    """Give the worker processes that a process started: those of its children that run tasks."""
    return [child for child in children(pid, deep=False) if b"spawn_main" in command_of(child)]


def command_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def listeners(pids: list[int]) -> set[str]:
    """Give the addresses, as the kernel writes them, at which processes wait for connections."""
    sockets = {}
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A":
                sockets[fields[9]] = fields[1].partition(":")[0]
    found = set()
    for pid in pids:
        for link in Path(f"/proc/{pid}/fd").glob("*"):
            try:
                name = str(link.readlink())
            except OSError:
                continue
            if name.startswith("socket:[") and name[8:-1] in sockets:
                found.add(sockets[name[8:-1]])
    return found
