"""A part is read only if it is what its manifest says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tahoe_engine.errors import StageError
from tahoe_engine.run.disk import hash_file
from tahoe_engine.run.layout import name_verb

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def require_whole(path: Path, part: Mapping[str, Any], stage: str) -> None:
    """Make sure of every byte of a part before numbers are made of it.

    Parameters
    ----------
    path : Path
        Where it is.
    part : mapping
        Its entry in the manifest.
    stage : str
        Whose it is.

    Raises
    ------
    StageError
        If it is gone or has other bytes; the message says how it is restored.
    """
    if path.is_file() and path.stat().st_size == part["size"] and hash_file(path) == part["sha256"]:
        return
    raise StageError(
        f"{path} is not what the manifest says, or gone: remove it, then run `{name_verb(stage)}` again with the same "
        "settings to restore it"
    )
