"""One launch at a time may write a run folder."""

from __future__ import annotations

import errno
import fcntl
import json
import os
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tahoe_engine.errors import ConfigError, HeldError, StoppedError
from tahoe_engine.run.epoch import begin_epoch, describe_self, name_launch
from tahoe_engine.run.layout import Layout

if TYPE_CHECKING:
    from collections.abc import Iterator
    from os import PathLike

# Not a wrong path: the same command may go on later.
PASSING = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE, errno.ENOLCK}


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
        Its paths, with the epoch of this launch.

    Raises
    ------
    HeldError
        If another launch holds it; its pid and host are named. The kernel frees the lock of a process that dies.
    ConfigError
        If the folder cannot be made or written.
    StoppedError
        If it cannot for now: no room, a failing disk.
    """
    layout = Layout(Path(root))
    file = None
    try:
        try:
            layout.state.mkdir(parents=True, exist_ok=True)
            file = os.open(layout.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            _take(file, layout, fcntl.LOCK_EX)
            os.ftruncate(file, 0)
            os.pwrite(file, json.dumps(describe_self()).encode(), 0)
            layout = replace(layout, epoch=begin_epoch(layout))
            layout.make_state()
        except OSError as error:
            if error.errno in PASSING:
                raise StoppedError(
                    f"{root}: {error.strerror}; mend that, then run the same command again to resume"
                ) from error
            reason = error.strerror or str(error)
            raise ConfigError(f"{root}: cannot be a run folder ({reason}); name one that can be written") from error
        yield layout
        os.ftruncate(file, 0)
    finally:
        # Closing frees the lock; the file stays: removing it would let two launches lock two different files.
        if file is not None:
            os.close(file)


def require_free(root: str | PathLike[str]) -> None:
    """Make sure that nobody holds a run folder right now; changes nothing.

    Parameters
    ----------
    root : str or path-like
        The run folder; it need not exist.

    Raises
    ------
    HeldError
        If another launch holds it.
    """
    layout = Layout(Path(root))
    try:
        file = os.open(layout.lock, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        # Shared: two that only look do not see each other.
        _take(file, layout, fcntl.LOCK_SH)
    finally:
        os.close(file)


def _take(file: int, layout: Layout, kind: int) -> None:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = name_launch(os.pread(file, 4096, 0))
        raise HeldError(f"{layout.root} is held by {holder}; wait for it to end, or stop it") from None
