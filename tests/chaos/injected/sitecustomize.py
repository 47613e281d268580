"""Spoils one call of the core in every Python process that finds this folder on its path; the product has no hook.

`TAHOE_CHAOS` holds JSON: `shard` (a name, or "*"), `what` (see `SPOILED`), `seconds`, and `marks`, a file that gets a
line a call (pid, parent and shard) before anything happens.
"""

from __future__ import annotations

import ctypes
import json
import os
import time
from typing import Any


class Panic(BaseException):
    """What a panic of a Rust extension looks like to Python."""


def eat_memory() -> None:
    eaten = []
    while True:
        eaten.append(bytearray(b"x" * (64 << 20)))
        time.sleep(0.02)


def hold_the_lock() -> None:
    ctypes.PyDLL(None).sleep(1_000_000)  # PyDLL keeps the interpreter's lock


def panic() -> None:
    raise Panic("a made-up panic")


SPOILED = {
    "abort": os.abort,
    "sleep": lambda: time.sleep(1_000_000),
    "hold": hold_the_lock,
    "panic": panic,
    "memory": eat_memory,
}


def spoil(asked: dict[str, Any]) -> None:
    from tahoe_engine import _rust

    real = _rust.scan_cells

    def scan_cells(*args: Any, shard: str, **options: Any) -> Any:
        if "marks" in asked:
            with open(asked["marks"], "ab", buffering=0) as marks:  # noqa: PTH123 - one write a line
                marks.write(f"{os.getpid()} {os.getppid()} {shard}\n".encode())
        if asked.get("what") == "pace":
            time.sleep(asked["seconds"])
        elif asked["shard"] == shard:
            SPOILED[asked["what"]]()
        return real(*args, shard=shard, **options)

    _rust.scan_cells = scan_cells


if "TAHOE_CHAOS" in os.environ:
    spoil(json.loads(os.environ["TAHOE_CHAOS"]))
