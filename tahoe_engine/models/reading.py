"""Parts of features are read only as they were published."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tahoe_engine.models.columns import open_features
from tahoe_engine.run import Layout, require_whole
from tahoe_engine.schema import FEATURES

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl

_CHECKED: dict[tuple[str, str], tuple[int, ...]] = {}  # files of which this process saw every byte


def read_part(root: str, name: str, manifest: str, part: str, columns: tuple[str, ...]) -> pl.DataFrame:
    """Read columns of a part; every byte of it is checked first.

    Parameters
    ----------
    root, name, manifest : str
        As in `tahoe_engine.models.columns.open_features`.
    part : str
        Name of the part.
    columns : tuple of str
        As they are stored.

    Returns
    -------
    polars.DataFrame
        All rows.

    Raises
    ------
    StageError
        If the part is gone or has other bytes.
    """
    import polars as pl

    features = open_features(root, name, manifest)
    path = Layout(Path(root)).stage(features.stage) / part
    _require_part(path, _list_parts(root, name, manifest)[part])
    return pl.read_parquet(path, columns=list(columns), glob=False, hive_partitioning=False)


def _require_part(path: Path, part: Mapping[str, Any]) -> None:
    """Check a file, once a process as long as nobody writes to it: a model passes over it again and again."""
    key = (str(path), part["sha256"])
    if path.is_file() and _CHECKED.get(key) == _look(path):
        return
    before = _look(path) if path.is_file() else ()
    require_whole(path, part, FEATURES)
    _CHECKED[key] = before


def _look(path: Path) -> tuple[int, ...]:
    told = path.stat()
    return told.st_size, told.st_mtime_ns, told.st_ctime_ns, told.st_ino


@lru_cache(maxsize=4)
def _list_parts(root: str, name: str, manifest: str) -> dict[str, dict[str, Any]]:
    return {part["name"]: part for part in open_features(root, name, manifest).manifest["parts"]}
