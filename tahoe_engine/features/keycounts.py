"""What passes over the rows tell of who could train: counts that add up in any order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tahoe_engine.errors import ConfigError
from tahoe_engine.features.split import hash_rows
from tahoe_engine.schema import FOLD, ROW_KEY, ROW_NUMBER, SPLIT

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from tahoe_engine.features.recipe import SplitRule

BITS: Final = 12  # of a hash that are counted first: 4,096 bins a stratum
MANY_STRATA: Final = 2_000  # of which counts are held at once, 64 MiB
MANY_GROUPS: Final = 5_000_000
OWN_COLUMNS: Final = frozenset(
    {
        SPLIT,
        FOLD,
        ROW_KEY,
        ROW_NUMBER,
        "control",
        "rows",
        "row",
        "hash",
        "n_rows",
        "test",
        "validation",
        "folds",
        "first",
    }
)

Stratum = tuple[str | None, ...]


@dataclass
class KeyCounts:
    """What one pass over the rows tells of who could train.

    Parameters
    ----------
    n_rows : int
        Rows.
    groups : polars.DataFrame, optional
        Each group there is, whether control cells are in it, and its rows.
    bins : dict
        Of each stratum, how many hashes begin with which bits.
    keys : int
        Sum of the keys of rows modulo 2^64, where rows are shared out.
    """

    n_rows: int = 0
    groups: pl.DataFrame | None = None
    bins: dict[Stratum, NDArray[np.int64]] = field(default_factory=dict)
    keys: int = 0


def count_keys(frame: pl.DataFrame, rule: SplitRule, control: str) -> KeyCounts:
    """Count who could train.

    Parameters
    ----------
    frame : polars.DataFrame
        Rows with the columns of the rule, `control`, and ``row_key`` where rows are shared out one by one.
    rule : SplitRule
        How they are shared out.
    control : str
        Column that is true for control cells.

    Returns
    -------
    KeyCounts
        Of these rows.

    Raises
    ------
    ConfigError
        If a column is called like one of the table of the split.
    """
    import numpy as np
    import polars as pl

    if taken := sorted(OWN_COLUMNS & {*rule.by, *rule.stratify}):
        raise ConfigError(
            f"[split]: the table of the split has a column {taken[0]!r} itself; derive another to split by"
        )

    if rule.by:
        keys = [pl.col(name).cast(pl.String) for name in rule.by]
        groups = frame.group_by(keys).agg(
            pl.col(control).any().alias("control"), pl.len().cast(pl.UInt64).alias("rows")
        )
        return KeyCounts(frame.height, groups)
    if rule.method == "sklearn":
        return KeyCounts(frame.height)
    first = (hash_rows(frame, rule.seed) >> np.uint64(64 - BITS)).astype(np.int64)
    n_bins = 1 << BITS
    bins = {}
    for stratum, rows in _list_strata(frame, rule):
        bins[stratum] = np.bincount(first[rows], minlength=n_bins)
    total = int(frame[ROW_KEY].to_numpy().sum(dtype=np.uint64))  # modulo 2^64
    return KeyCounts(frame.height, bins=bins, keys=total)


def merge_counts(parts: Sequence[KeyCounts]) -> KeyCounts:
    """Put counts together.

    Parameters
    ----------
    parts : sequence of KeyCounts
        In any order.

    Returns
    -------
    KeyCounts
        Of all rows.

    Raises
    ------
    ConfigError
        If there are too many strata or groups.
    """
    import polars as pl

    merged = KeyCounts(sum(part.n_rows for part in parts), keys=sum(part.keys for part in parts) % 2**64)
    groups = [part.groups for part in parts if part.groups is not None]
    if groups:
        table = pl.concat(groups)
        keys = [name for name in table.columns if name not in {"control", "rows"}]
        merged.groups = table.group_by(keys).agg(pl.col("control").any(), pl.col("rows").sum())
        if merged.groups.height > MANY_GROUPS:
            raise ConfigError(f"split.by makes more than {MANY_GROUPS:,} groups; leave it out to split row by row")
    for part in parts:
        for stratum, bins in part.bins.items():
            merged.bins[stratum] = merged.bins[stratum] + bins if stratum in merged.bins else bins
    if len(merged.bins) > MANY_STRATA:
        raise ConfigError(f"split.stratify makes more than {MANY_STRATA:,} strata; choose a column of fewer values")
    return merged


@dataclass(frozen=True)
class Window:
    """A bin of hashes in which a share ends.

    Parameters
    ----------
    stratum : tuple of str
        Of which.
    place : int
        The bin.
    """

    stratum: Stratum
    place: int


def look_into(frame: pl.DataFrame, rule: SplitRule, windows: Sequence[Window]) -> dict[Window, NDArray[np.uint64]]:
    """Give the hashes in some bins.

    Parameters
    ----------
    frame : polars.DataFrame
        As for `count_keys`.
    rule : SplitRule
        How rows are shared out.
    windows : sequence of Window
        Which bins.

    Returns
    -------
    dict
        The hashes of these rows in each, sorted.
    """
    import numpy as np

    hashes = hash_rows(frame, rule.seed)
    first = (hashes >> np.uint64(64 - BITS)).astype(np.int64)
    rows_of = dict(_list_strata(frame, rule))
    found = {}
    for window in windows:
        rows = rows_of.get(window.stratum, np.empty(0, np.int64))
        found[window] = np.sort(hashes[rows[first[rows] == window.place]])
    return found


def _list_strata(frame: pl.DataFrame, rule: SplitRule) -> list[tuple[Stratum, NDArray[np.int64]]]:
    """Give the rows of each stratum."""
    import numpy as np
    import polars as pl

    if not rule.stratify:
        return [((), np.arange(frame.height))]
    keys = [pl.col(name).cast(pl.String) for name in rule.stratify]
    grouped = frame.select(keys).with_row_index("row").group_by(list(rule.stratify)).agg("row")
    return [(tuple(stratum), np.asarray(rows, np.int64)) for *stratum, rows in grouped.iter_rows()]
