"""A file of a run appears whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
from typing import TYPE_CHECKING
from uuid import uuid4

from tahoe_engine.errors import StageError

if TYPE_CHECKING:
    from pathlib import Path

# Some file systems (exFAT, a few FUSE ones) have no hard links; there the check and the rename are two steps.
NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


def commit_part(temporary: Path, final: Path, sha256: str) -> None:
    """Give a finished, synced temporary file its final name, never replacing another.

    Parameters
    ----------
    temporary : Path
        Written completely and synced by its writer, on the file system of `final`. It is gone afterwards.
    final : Path
        The part's name; its folder exists.
    sha256 : str
        Hash of the file, as its writer found it.

    Raises
    ------
    StageError
        If the name is taken by a file of other bytes.
    OSError
        If the file system refuses.

    Notes
    -----
    ``link()`` fails where the name exists, unlike ``rename()``: of two attempts at one unit the first wins, and the
    second must have produced the same bytes. Without the sync of the folder the name may be lost in a power failure
    (measured on ext4, RELIABILITY.md, fact 5).
    """
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


def replace_file(final: Path, content: bytes, temporary_folder: Path) -> None:
    """Write a small file atomically, replacing an older one.

    Parameters
    ----------
    final : Path
        Its name; the folder exists.
    content : bytes
        All of it.
    temporary_folder : Path
        Folder for the unfinished file, on the same file system.
    """
    temporary = temporary_folder / f"{final.name}.{uuid4().hex}"
    with temporary.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(final)
    sync_folder(final.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power failure.

    Parameters
    ----------
    folder : Path
        An existing folder.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def hash_file(path: Path) -> str:
    """Give the sha256 of a file.

    Parameters
    ----------
    path : Path
        Any file.

    Returns
    -------
    str
        Hexadecimal.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _require_equal(final: Path, sha256: str) -> None:
    if hash_file(final) != sha256:
        raise StageError(
            f"{final} exists with other content than this run computes; it was changed, or written by other means: "
            "remove it, or use another run folder"
        )
