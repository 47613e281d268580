"""Moments of some groups, read from the parts of the stage `groups`: only the files and rows that have them."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tahoe_engine.errors import StageError
from tahoe_engine.run import hash_file, read_published, require_whole
from tahoe_engine.run.layout import PARTITIONED

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    import polars as pl

    from tahoe_engine.run import Layout

GROUP: Final = "group_id"
INDEX: Final = "index.parquet"


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

    def read_each(self, groups: Sequence[int], columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        """Read the rows of some groups part by part: all of them need not fit the memory.

        Parameters
        ----------
        groups : sequence of int
            Ids.
        columns : sequence of str
            As of `read`.

        Yields
        ------
        polars.DataFrame
            As `read` gives it, sorted by group and gene, of each part that has any; by the first group that each has,
            whatever the parts are called and whatever other groups there are.

        Raises
        ------
        StageError
            As `read`.
        """
        wanted = sorted(set(groups))
        found = []
        for name, sha256 in self.parts:
            ranges = read_ranges(str(Path(self.folder) / name), sha256)
            if ranges and _has_any(ranges, wanted):
                start = bisect_left(wanted, min(low for low, _ in ranges))
                end = bisect_right(wanted, max(high for _, high in ranges))
                found.append((start, end, (name, sha256)))
        for start, end, part in sorted(found):
            yield MomentParts(self.folder, (part,)).read(wanted[start:end], columns).sort(GROUP, "gene")


def list_moments(layout: Layout) -> MomentParts:
    """List the parts of the moments of a run.

    Parameters
    ----------
    layout : Layout
        The run.

    Returns
    -------
    MomentParts
        Those with rows, by name.

    Raises
    ------
    StageError
        If the stage is not finished or stale.
    """
    inner = f"{PARTITIONED['groups']}/"
    parts = [part for part in read_published(layout, "groups")["parts"] if part["name"].startswith(inner)]
    named = sorted((part["name"], part["sha256"]) for part in parts if part["rows"])
    return MomentParts(str(layout.stage("groups").absolute()), tuple(named))


def read_index(layout: Layout) -> pl.DataFrame:
    """Read the index of the groups of a run, once its bytes are those of the manifest.

    Parameters
    ----------
    layout : Layout
        The run.

    Returns
    -------
    polars.DataFrame
        As `tahoe_engine.schema.groups_index` has it.

    Raises
    ------
    StageError
        If the stage is not finished, or the index is gone or damaged.
    """
    import polars as pl

    parts = {part["name"]: part for part in read_published(layout, "groups")["parts"]}
    path = layout.stage("groups") / INDEX
    if INDEX not in parts:
        raise StageError(f"{path}: the manifest does not name it; run `tahoe groups` again with the same settings")
    require_whole(path, parts[INDEX], "groups")
    return pl.read_parquet(path, glob=False)


def find_genes(tokens: np.ndarray, genes: np.ndarray) -> np.ndarray:
    """Give the column of each gene.

    Parameters
    ----------
    tokens : ndarray of int
        Of the vocabulary, ascending.
    genes : ndarray of int
        Token ids.

    Returns
    -------
    ndarray of int64
        Places among `tokens`.

    Raises
    ------
    StageError
        If one is not of the vocabulary.

    Examples
    --------
    >>> import numpy as np
    >>> find_genes(np.array([3, 4, 9]), np.array([9, 3])).tolist()
    [2, 0]
    """
    import numpy as np

    columns = np.searchsorted(tokens, genes)
    if len(genes) and not np.array_equal(tokens[np.minimum(columns, len(tokens) - 1)], genes):
        raise StageError("the moments have a gene that the run's vocabulary has not; run `tahoe groups` again")
    return columns


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
    for low, high in ranges:
        place = bisect_left(wanted, low)
        if place < len(wanted) and wanted[place] <= high:
            return True
    return False
