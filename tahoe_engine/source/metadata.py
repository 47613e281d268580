"""Whose tables are joined: those of the source, a folder that was named, or the packaged ones of Tahoe-100M."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tahoe_engine.errors import TahoeWarning
from tahoe_engine.source.address import scheme_of
from tahoe_engine.source.shards import METADATA_TABLES, find_metadata

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from tahoe_engine.source.shard import Shard


@dataclass(frozen=True)
class Metadata:
    """The choice that was made.

    Parameters
    ----------
    folder : Path or None
        Where the tables are; None for the packaged ones.
    overlooked : Path or None
        Tables beside the shards that are not used, because the source is not named by its folder.
    """

    folder: Path | None
    overlooked: Path | None = None

    def describe(self) -> str:
        """Give the folder, or ``packaged``."""
        return "packaged" if self.folder is None else str(self.folder)

    def warn(self) -> None:
        """Say so if the packaged tables are taken: names, doses and genes are Tahoe-100M's then."""
        if self.folder is not None:
            return
        why = (
            "the source brings no metadata/ of its own; another folder"
            if self.overlooked is None
            else f"{self.overlooked} is not used, for the source is not named by its folder; to use it"
        )
        place = self.overlooked or "FOLDER"
        text = f"cells are joined with the packaged tables of Tahoe-100M: {why}: --set source.metadata={place}"
        warnings.warn(text, TahoeWarning, stacklevel=3)


def choose_metadata(
    source: str | os.PathLike[str] | Sequence[str | os.PathLike[str]], shards: Sequence[Shard], named: str
) -> Metadata:
    """Choose the tables to join.

    Parameters
    ----------
    source : str, path, or sequence of them
        As in `find_shards`.
    shards : sequence of Shard
        What `find_shards` gave.
    named : str
        The setting ``source.metadata``; it has the last word.

    Returns
    -------
    Metadata
        The folder, or the packaged tables and what was overlooked.

    Raises
    ------
    SourceError
        If the source's own folder has some of the tables and not all.
    """
    folder = Path(named) if named else find_metadata(source)
    return Metadata(folder) if folder is not None else Metadata(None, _overlooked(shards))


def _overlooked(shards: Sequence[Shard]) -> Path | None:
    local = sorted({Path(shard.path).parent for shard in shards if not scheme_of(shard.path)})
    for folder in local[:1]:
        for place in (folder, folder.parent):
            if any((place / "metadata" / f"{name}.parquet").is_file() for name in METADATA_TABLES):
                return place / "metadata"
    return None
