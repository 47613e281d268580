"""What a run asks of the kernel below its own folder, as strace sees it, and how one of these calls is spoilt."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chaos.campaign import SkippedError
from chaos.processes import Launched

if TYPE_CHECKING:
    from pathlib import Path

# Whatever makes, fills, names, syncs or removes a file or folder, and the opening of one to read.
WATCHED = (
    *("write", "pwrite64", "writev", "fsync", "fdatasync", "link", "linkat", "rename", "renameat", "renameat2"),
    *("open", "openat", "unlink", "unlinkat", "ftruncate", "mkdir", "mkdirat", "rmdir"),
)
CALL = re.compile(r"^(\w+)\((.*)")
FAULTS = {"KILL": "signal=KILL", "EIO": "error=EIO", "ENOSPC": "error=ENOSPC"}


@dataclass(frozen=True)
class Point:
    """The n-th call of one kind by the main thread of a run."""

    call: str
    when: int
    about: str  # the line of strace, without what differs from run to run


def require_strace(place: Path) -> None:
    """Skip where there is no strace, or where it may not trace."""
    if shutil.which("strace") is None:
        raise SkippedError("strace is not installed")
    log = place / "strace.log"
    tried = subprocess.run(["strace", "-o", log, "true"], capture_output=True, check=False, text=True)  # noqa: S607
    if tried.returncode != 0:
        raise SkippedError(f"strace may not trace here: {tried.stderr.strip()}")


def trace_scan(atlas: Path, into: Path, log: Path, *inject: str) -> Launched:
    """Start the main job in one process under strace.

    Without `-f`: strace counts the calls of each thread for itself, so that the fault of the main thread's n-th write
    would meet the n-th of every other thread, too, and those that Polars keeps wake each other by writes.
    """
    tracing = ["strace", "-y", "-s", "16", "-o", str(log), "-e", f"trace={','.join(WATCHED)}"]
    command = [sys.executable, "-m", "tahoe_engine", "cells", str(atlas), "--into", str(into), "--quiet"]
    return Launched([*tracing, *inject, *command, "--workers", "0"], into.parent / "said")


def list_points(log: Path, into: Path) -> list[Point]:
    """Give the calls of the main thread that are about the run folder; strace counts them by kind."""
    seen: Counter[str] = Counter()
    points: list[Point] = []
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        if (match := CALL.match(line)) is None:
            continue
        call, told = match.groups()
        seen[call] += 1
        if str(into) in told:
            points.append(Point(call, seen[call], shorten(told, into)))
    return points


def shorten(told: str, into: Path) -> str:
    """Leave the folder and the random names out of a line of strace."""
    told = told.replace(str(into), "RUN").split(" = ")[0]
    return re.sub(r"[0-9a-f]{32}", "…", told)[:160]


def was_hit(log: Path, point: Point, into: Path) -> bool:
    """Tell whether the fault met the call it was meant for."""
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        if "(INJECTED)" in line:
            return str(into) in line and f"{point.call}(" in line
    return False
