"""Moments of the groups of a stratum, read from the parts of the stage `groups`: only the files and rows it needs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tahoe_engine.errors import StageError
from tahoe_engine.run import hash_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

GROUP: Final = "group_id"


@dataclass(frozen=True)
class MomentParts:
    """Parts of ``groups/moments``.

    Parameters
    ----------
    folder : str
        ``RUN/groups``.
    parts : tuple of (str, str)
        Name of each part within it, and its sha256, as the manifest has them.
    """

    folder: str
    parts: tuple[tuple[str, str], ...]

    def read(self, groups: Sequence[int], columns: Sequence[str]) -> pl.DataFrame:
        """Read the rows of some groups.

        Parameters
        ----------
        groups : sequence of int
            Ids.
        columns : sequence of str
            Of the table of moments, ``group_id`` and ``gene`` aside.

        Returns
        -------
        polars.DataFrame
            ``group_id``, ``gene`` and these columns; the rows of a group are in order.

        Raises
        ------
        StageError
            If a part is gone, cannot be read, or is not what the manifest says.
        """
        import polars as pl

        wanted = sorted(groups)
        names = [GROUP, "gene", *columns]
        try:
            paths = [
                path
                for name, sha256 in self.parts
                for path in (Path(self.folder) / name,)
                if _has_any(read_ranges(str(path), sha256), wanted)
            ]
            if not paths:
                return pl.DataFrame(schema={GROUP: pl.Int32, "gene": pl.Int32, **dict.fromkeys(columns, pl.Float64)})
            table = pl.scan_parquet(paths, glob=False, hive_partitioning=False)
            return (
                table.filter(pl.col(GROUP).is_in(pl.Series(wanted, dtype=pl.Int32).implode())).select(names).collect()
            )
        except (pl.exceptions.PolarsError, FileNotFoundError, ValueError) as error:
            raise StageError(
                f"{self.folder}: the moments cannot be read ({error}); see `tahoe verify --deep`, remove "
                "what differs, and run `tahoe groups` again with the same settings"
            ) from error


@lru_cache(maxsize=4096)
def read_ranges(path: str, sha256: str) -> tuple[tuple[int, int], ...]:
    """Check a part, once a process, and give the least and the greatest group of each of its row groups.

    Parameters
    ----------
    path : str
        A part of the moments.
    sha256 : str
        Its hash, as the manifest has it.

    Returns
    -------
    tuple of (int, int)
        One pair a row group; one without statistics may hold anything.

    Raises
    ------
    StageError
        If it is another file.
    """
    import pyarrow.parquet as pq

    if hash_file(Path(path)) != sha256:
        raise StageError(
            f"{path} is not what the manifest says: remove it, then run `tahoe groups` again with the same settings"
        )
    metadata = pq.read_metadata(path)
    column = metadata.schema.names.index(GROUP)
    found = []
    for number in range(metadata.num_row_groups):
        told = metadata.row_group(number).column(column).statistics
        known = told is not None and told.has_min_max
        found.append((told.min, told.max) if known else (0, 2**31 - 1))
    return tuple(found)


def _has_any(ranges: Sequence[tuple[int, int]], wanted: Sequence[int]) -> bool:
    from bisect import bisect_left

    for low, high in ranges:
        place = bisect_left(wanted, low)
        if place < len(wanted) and wanted[place] <= high:
            return True
    return False
