"""A file of a run appears whole or not at all."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING
from uuid import uuid4

from tahoe_engine.errors import ConflictError
from tahoe_engine.run.disk import hash_file, sync_folder
from tahoe_engine.run.epoch import require_newest

if TYPE_CHECKING:
    from pathlib import Path

    from tahoe_engine.run.layout import Layout

# Some file systems (exFAT, a few FUSE ones) have no hard links; there the check and the rename are two steps.
NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


def commit_part(layout: Layout, temporary: Path, final: Path, sha256: str) -> None:
    """Give a finished, synced temporary file its final name, never replacing another.

    Parameters
    ----------
    layout : Layout
        The run, with the epoch of the launch that asked for the part.
    temporary : Path
        Written completely and synced by its writer, on the file system of `final`. It is gone afterwards.
    final : Path
        The part's name; its folder exists.
    sha256 : str
        Hash of the file, as its writer found it.

    Raises
    ------
    ConflictError
        If the name is taken by a file of other bytes.
    HeldError
        If a newer launch has taken over.
    OSError
        If the file system refuses, or what was written does not read back.

    Notes
    -----
    ``link()`` fails where the name exists, unlike ``rename()``: of two attempts at one unit the first wins, and the
    second must have produced the same bytes. Without the sync of the folder the name may be lost in a power failure
    (measured on ext4, RELIABILITY.md, fact 5).
    """
    if hash_file(temporary) != sha256:
        raise OSError(errno.EIO, "what was written reads back as something else; the disk or the memory fails", final)
    require_newest(layout)
    try:
        os.link(temporary, final, follow_symlinks=False)
    except FileExistsError:
        _require_equal(final, sha256)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        if final.exists():
            _require_equal(final, sha256)
        else:
            temporary.rename(final)
    temporary.unlink(missing_ok=True)
    sync_folder(final.parent)


def replace_file(layout: Layout, final: Path, content: bytes) -> None:
    """Write a small file atomically, replacing an older one.

    Parameters
    ----------
    layout : Layout
        The run, held by this launch.
    final : Path
        Its name; the folder exists.
    content : bytes
        All of it.

    Raises
    ------
    HeldError
        If a newer launch has taken over.
    OSError
        If the file system refuses; the older file is as it was.
    """
    temporary = layout.temporary / f"{final.name}.{uuid4().hex}"
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        require_newest(layout)
        temporary.replace(final)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(final.parent)


def move_aside(layout: Layout, path: Path) -> None:
    """Take a file or folder out of the way, without losing it.

    Parameters
    ----------
    layout : Layout
        The run, held by this launch.
    path : Path
        Under the run folder; it need not exist.
    """
    if not os.path.lexists(path):
        return
    require_newest(layout)
    place = layout.set_aside / path.relative_to(layout.root)
    place.parent.mkdir(parents=True, exist_ok=True)
    if os.path.lexists(place):
        # Set aside twice by one launch: both are kept.
        place = place.with_name(f"{place.name}.{uuid4().hex[:8]}")
    path.rename(place)
    sync_folder(place.parent)
    sync_folder(path.parent)


def _require_equal(final: Path, sha256: str) -> None:
    if hash_file(final) != sha256:
        raise ConflictError(
            f"E_NONDETERMINISM: {final} exists with other bytes than this run computes for the same unit: its input or "
            "one of the two files changed, or a machine computes wrongly. Nothing was replaced; check the inputs with "
            "--verify-inputs and the run with `tahoe verify --deep`"
        )
