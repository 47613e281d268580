"""A stage holds its run while it works, and tells what the disk refuses in words that say what to do."""

from __future__ import annotations

import errno
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tahoe_engine.errors import StageError, StoppedError
from tahoe_engine.run.epoch import require_newest
from tahoe_engine.run.lock import hold_run

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from tahoe_engine.run.layout import Layout

# No run goes on by waiting where a folder should be a file, or the other way round.
WRONG_KIND = {errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ELOOP}


@contextmanager
def translate_disk_errors() -> Iterator[None]:
    """Turn what the file system refuses into an error that says what to do.

    Raises
    ------
    StageError
        If something stands where a file or folder of the run belongs.
    StoppedError
        If the disk is full, gone or not ours to write to.
    """
    try:
        yield
    except OSError as error:
        if error.errno in WRONG_KIND:
            raise StageError(f"{error}: something stands where a file or folder of the run belongs; move it") from error
        raise StoppedError(f"{error}; mend that, then run the same command again to resume") from error


@contextmanager
def open_run(into: str | os.PathLike[str]) -> Iterator[Layout]:
    """Hold a run for a stage; its unfinished files go in the end.

    Parameters
    ----------
    into : str or path-like
        The run folder.

    Yields
    ------
    Layout
        Held by this launch.

    Raises
    ------
    HeldError
        If another launch holds the run, or a newer one has taken over.
    StageError, StoppedError
        As `translate_disk_errors` has them.
    """
    with translate_disk_errors(), hold_run(into) as layout:
        layout.clear_temporary()
        try:
            yield layout
        except OSError:
            # A launch that was taken over misses its files: that is no trouble with the disk.
            require_newest(layout)
            raise
        finally:
            shutil.rmtree(layout.temporary, ignore_errors=True)
