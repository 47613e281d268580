"""What is asked of the disk itself."""

from __future__ import annotations

import hashlib
import os
import shutil
from typing import TYPE_CHECKING

from tahoe_engine.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


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


def require_room(place: Path, output: int, remedy: str = "free some, or use another disk") -> None:
    """Refuse to begin what the disk has no room for.

    Parameters
    ----------
    place : Path
        Where it would be written; it need not exist yet.
    output : int
        Bytes.
    remedy : str
        What to do, for the message.

    Raises
    ------
    ConfigError
        If there is less room.
    """
    there = place.absolute()
    free = shutil.disk_usage(next(path for path in (there, *there.parents) if path.exists())).free
    if output > free:
        raise ConfigError(f"about {output >> 20} MiB will be written and {place} has room for {free >> 20}; {remedy}")
