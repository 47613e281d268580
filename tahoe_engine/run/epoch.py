"""Which launch may write: the newest. One that was taken for dead and wakes up finds that it is not, and stops.

The lock keeps two launches apart on one machine. It does not where the file system forgets locks, where its file was
removed, or for workers that outlive their launch; they all look here before they make anything visible.
"""

from __future__ import annotations

import json
import os
import socket
from contextlib import suppress
from typing import TYPE_CHECKING
from uuid import uuid4

from tahoe_engine.errors import HeldError, escape_controls
from tahoe_engine.run.disk import sync_folder

if TYPE_CHECKING:
    from pathlib import Path

    from tahoe_engine.run.layout import Layout


def begin_epoch(layout: Layout) -> int:
    """Become the newest launch of a run.

    Parameters
    ----------
    layout : Layout
        The run, whose lock is held.

    Returns
    -------
    int
        Number of the epoch.

    Raises
    ------
    HeldError
        If another launch became it at the same moment.
    """
    layout.epochs.mkdir(parents=True, exist_ok=True)
    older = _list_epochs(layout.epochs)
    number = max(map(int, older), default=0) + 1
    path = layout.epochs / f"{number:06}"
    holder = {"run": uuid4().hex, **describe_self()}
    try:
        # Exclusive, where the lock may not be.
        with path.open("x", encoding="utf-8") as file:
            file.write(json.dumps(holder))
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        raise HeldError(f"{layout.root} is held by {_name_holder(path)}; wait for it to end, or stop it") from None
    sync_folder(layout.epochs)
    for name in older:
        # Only to keep the folder short; whatever cannot be removed is older all the same.
        with suppress(OSError):
            (layout.epochs / name).unlink()
    return number


def require_newest(layout: Layout) -> None:
    """Make sure that no newer launch has taken over; call it before anything becomes visible.

    Parameters
    ----------
    layout : Layout
        The run, with the epoch of the caller; a reader (epoch 0) may always go on.

    Raises
    ------
    HeldError
        If one has, or the run folder is gone.
    """
    if layout.epoch == 0:
        return
    try:
        newest = max(map(int, _list_epochs(layout.epochs)), default=0)
    except FileNotFoundError:
        newest = 0
    if newest == layout.epoch:
        return
    if newest == 0:
        raise HeldError(f"{layout.root}: its folder .tahoe was removed while this launch was writing; nothing is lost")
    holder = _name_holder(layout.epochs / f"{newest:06}")
    raise HeldError(f"{layout.root} was taken over by {holder}; this launch ends and has changed nothing since")


def describe_self() -> dict[str, str | int]:
    """Give what a message needs to name this launch.

    Returns
    -------
    dict
        pid and host.
    """
    return {"pid": os.getpid(), "host": socket.gethostname()}


def name_launch(content: bytes) -> str:
    """Name a launch for a message.

    Parameters
    ----------
    content : bytes
        What it wrote of itself.

    Returns
    -------
    str
        Its process and host; ``"another launch"`` where it has not written them yet.
    """
    try:
        holder = json.loads(content)
        return escape_controls(f"process {holder['pid']} on host {holder['host']}")
    except (ValueError, KeyError, TypeError):
        return "another launch"


def _name_holder(path: Path) -> str:
    try:
        return name_launch(path.read_bytes())
    except OSError:
        return "another launch"


def _list_epochs(folder: Path) -> list[str]:
    return [name for name in os.listdir(folder) if name.isascii() and name.isdigit()]  # noqa: PTH208 - looked at before every commit: no Path objects
