"""A few cells of every group, the same ones however the source is cut into shards."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

from tahoe_engine.errors import ConfigError
from tahoe_engine.schema import BARCODE, GROUP_KEYS, GROUPABLE

if TYPE_CHECKING:
    from collections.abc import Iterable

    import polars as pl

SCORE = "_score"
ORDER = (SCORE, "shard", "row")
SPARE = 1_000_000  # rows that may pile up before the groups are cut down to their N


@dataclass(frozen=True)
class Sample:
    """How many cells of which groups.

    Parameters
    ----------
    n : int
        Cells of each group; all of a smaller one.
    by : tuple of str
        Columns of the cells table.
    seed : int
        Another seed takes other cells.

    Raises
    ------
    ConfigError
        If a number or a key is wrong.
    """

    n: int
    by: tuple[str, ...] = GROUP_KEYS
    seed: int = 0

    def __post_init__(self) -> None:
        if self.n < 1:
            raise ConfigError(f"--per-group {self.n}: at least one cell")
        if not 0 <= self.seed < 1 << 64:
            raise ConfigError(f"--seed {self.seed}: from 0 to 2^64 - 1")
        wrong = [key for key in self.by if key not in GROUPABLE]
        if wrong or not self.by or len(set(self.by)) < len(self.by):
            named = f"{wrong[0]!r} is no key" if wrong else "name each key once"
            raise ConfigError(f"--by {','.join(self.by)}: {named}; there are {', '.join(GROUPABLE)}")

    @property
    def columns(self) -> list[str]:
        """What must be known of each cell."""
        return list(dict.fromkeys([*self.by, BARCODE, "shard", "row"]))


@dataclass(frozen=True)
class Picked:
    """The cells that were taken.

    Parameters
    ----------
    by_shard : dict
        Rows of each shard, ascending.
    n_groups, short : int
        Groups, and those of them that have fewer cells than were asked for.
    """

    by_shard: dict[str, pl.Series]
    n_groups: int
    short: int

    def rows(self, shard: str) -> pl.Series:
        """Give the rows of a shard."""
        import polars as pl

        return self.by_shard.get(shard, pl.Series("row", [], dtype=pl.Int64))


def pick_cells(frames: Iterable[pl.DataFrame], sample: Sample) -> Picked:
    """Take N cells of every group: those whose barcodes have the smallest hashes.

    Parameters
    ----------
    frames : iterable of polars.DataFrame
        Cells, in any order, with the columns of `sample`.
    sample : Sample
        How many.

    Returns
    -------
    Picked
        Independent of the order of the frames, and, but for barcodes that stand there more than once, of how the source
        was cut into shards.

    Notes
    -----
    A cell's hash is BLAKE2b of its barcode with the seed as key: it is the same on every machine and in every version,
    which the hash of a data-frame library does not promise. About 1 us a cell.

    Examples
    --------
    >>> import polars as pl
    >>> from tahoe_engine.schema import BARCODE
    >>> cells = pl.DataFrame({"drug": ["a", "a", "b"], BARCODE: ["x", "y", "z"], "shard": ["s"] * 3, "row": [0, 1, 2]})
    >>> pick_cells([cells], Sample(1, ("drug",))).rows("s").to_list()
    [0, 2]
    """
    import polars as pl

    key = sample.seed.to_bytes(8, "little")
    held: list[pl.DataFrame] = []
    kept, spare = 0, 0
    for frame in frames:
        scores = [
            int.from_bytes(blake2b(name.encode(), digest_size=8, key=key).digest(), "little")
            for name in frame[BARCODE].to_list()
        ]
        held.append(
            frame.select(*sample.by, *(name for name in ORDER[1:] if name not in sample.by)).with_columns(
                pl.Series(SCORE, scores, dtype=pl.UInt64)
            )
        )
        spare += frame.height
        if spare > max(SPARE, kept):
            held, spare = [_cut_down(held, sample)], 0
            kept = held[0].height
    best = _cut_down(held, sample)
    sizes = best.group_by(sample.by).len()["len"]
    return Picked(
        {part["shard"][0]: part["row"].sort() for part in best.select("shard", "row").partition_by("shard")},
        len(sizes),
        int((sizes < sample.n).sum()),
    )


def _cut_down(frames: list[pl.DataFrame], sample: Sample) -> pl.DataFrame:
    import polars as pl

    return pl.concat(frames).sort(ORDER).group_by(sample.by, maintain_order=True).head(sample.n)
