"""One launch at a time may write a run folder."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tahoe_engine.errors import ConfigError, HeldError, escape_controls
from tahoe_engine.run.layout import Layout

if TYPE_CHECKING:
    from collections.abc import Iterator
    from os import PathLike


@contextmanager
def hold_run(root: str | PathLike[str]) -> Iterator[Layout]:
    """Hold a run folder for writing, making it if need be.

    Parameters
    ----------
    root : str or path-like
        The run folder.

    Yields
    ------
    Layout
        Its paths.

    Raises
    ------
    HeldError
        If another launch holds it; its pid and host are named. The kernel frees the lock of a process that dies.
    ConfigError
        If the folder cannot be made or written.
    """
    layout = Layout(Path(root))
    try:
        layout.make_state()
        file = os.open(layout.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise ConfigError(f"{root}: cannot be a run folder ({error.strerror}); name one that can be written") from error
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise HeldError(f"{root} is held by {_holder(file)}; wait for it to end, or stop it") from None
        holder = json.dumps({"pid": os.getpid(), "host": socket.gethostname()})
        os.ftruncate(file, 0)
        os.pwrite(file, holder.encode(), 0)
        yield layout
        os.ftruncate(file, 0)
    finally:
        # Closing frees the lock; the file stays: removing it would let two launches lock two different files.
        os.close(file)


def _holder(file: int) -> str:
    try:
        holder = json.loads(os.pread(file, 4096, 0))
        return escape_controls(f"process {holder['pid']} on host {holder['host']}")
    except (ValueError, KeyError, TypeError):
        # Between taking the lock and writing the name there is a moment.
        return "another launch"
