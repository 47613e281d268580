"""From the keys of all rows to the split: counted slice by slice, decided once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from tahoe_engine.errors import ConfigError
from tahoe_engine.features.split import (
    FOLD,
    SPLIT,
    TEST,
    TRAIN,
    VALIDATION,
    Split,
    hash_groups,
    hash_rows,
    permute_places,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from tahoe_engine.features.recipe import SplitRule

BITS: Final = 12  # of a hash that are counted first: 4,096 bins a stratum
MANY_STRATA: Final = 2_000  # of which counts are held at once, 64 MiB
MANY_GROUPS: Final = 5_000_000
FAR_OFF: Final = 0.05  # of the rows, beyond which the share that came out is told

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
    """

    n_rows: int = 0
    groups: pl.DataFrame | None = None
    bins: dict[Stratum, NDArray[np.int64]] = field(default_factory=dict)


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
    """
    import numpy as np
    import polars as pl

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
    return KeyCounts(frame.height, bins=bins)


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

    merged = KeyCounts(sum(part.n_rows for part in parts))
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


Refine = "Callable[[tuple[Window, ...]], dict[Window, NDArray[np.uint64]]]"


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


def decide_split(rule: SplitRule, counts: KeyCounts, refine: Any) -> Split:  # noqa: ANN401 - `Refine`
    """Decide who trains.

    Parameters
    ----------
    rule : SplitRule
        What was asked for.
    counts : KeyCounts
        Of all rows.
    refine : callable
        Gives the sorted hashes of all rows in some windows, by window; asked once at most.

    Returns
    -------
    Split
        Groups: those of the smallest hashes are tested, round(test·n) of them and one at least, the next validate.
        Only which groups there are counts, not how large they are. Rows: of each stratum those of the smallest hashes.

    Raises
    ------
    ConfigError
        If there are too few groups or rows to train and test on.
    """
    if counts.groups is not None:
        return _decide_groups(rule, counts.groups)
    if rule.method == "sklearn":
        permute_places(rule, counts.n_rows)  # refuses what is too few or too many
        return Split(rule, n_rows=counts.n_rows)
    return _decide_rows(rule, counts, refine)


def _decide_groups(rule: SplitRule, groups: pl.DataFrame) -> Split:
    import numpy as np
    import polars as pl

    hashes = pl.Series("hash", hash_groups(groups, rule.by, rule.seed), dtype=pl.UInt64)
    # Values break ties of hashes, which do not happen.
    ranked = groups.with_columns(hashes).sort("hash", *rule.by)
    kept = ranked["control"] if rule.keeps_controls else pl.repeat(False, ranked.height, eager=True)  # noqa: FBT003 - a value
    free = np.flatnonzero(~kept.to_numpy())
    n_test, n_validation = (_count_share(share, free.size) for share in (rule.test, rule.validation))
    split = np.zeros(ranked.height, np.uint8)
    split[free[:n_test]] = TEST
    split[free[n_test : n_test + n_validation]] = VALIDATION
    trains = np.flatnonzero(split == TRAIN)
    if free.size < n_test + n_validation + 1 or (rule.test and not n_test):
        named = " x ".join(rule.by)
        raise ConfigError(
            f"there are {free.size} groups of {named}{' besides those of controls' if kept.any() else ''}: too few to "
            "train and test on; split by something of which there are more"
        )
    fold = pl.Series(FOLD, [None] * ranked.height, dtype=pl.UInt8)
    if rule.folds:
        fold = fold.scatter(trains, (np.arange(trains.size) % rule.folds).astype(np.uint8))
    placed = ranked.with_columns(pl.Series(SPLIT, split, dtype=pl.UInt8), fold.alias(FOLD))
    warnings = _tell_shares(rule, placed)
    if rule.folds > trains.size:
        warnings.append(f"{trains.size} groups train: fewer than the {rule.folds} folds, of which some are empty")
    table = placed.select(*rule.by, SPLIT, FOLD).sort(*rule.by, nulls_last=False)
    return Split(rule, groups=table, n_rows=int(placed["rows"].sum()), warnings=tuple(warnings))


def _tell_shares(rule: SplitRule, placed: pl.DataFrame) -> list[str]:
    total = int(placed["rows"].sum())
    told = []
    for code, name, asked in ((TEST, "test", rule.test), (VALIDATION, "validation", rule.validation)):
        share = int(placed.filter(placed[SPLIT] == code)["rows"].sum()) / max(1, total)
        if abs(share - asked) > FAR_OFF:
            told.append(f"{name}: {share:.1%} of the rows where {asked:.0%} was asked for; groups are not torn apart")
    return told


def _decide_rows(rule: SplitRule, counts: KeyCounts, refine: Any) -> Split:  # noqa: ANN401 - `Refine`
    import numpy as np
    import polars as pl

    strata = sorted(counts.bins, key=lambda stratum: [(value is not None, value or "") for value in stratum])
    ends: dict[tuple[Stratum, str], tuple[Window, int]] = {}
    for stratum in strata:
        bins = counts.bins[stratum]
        total = int(bins.sum())
        n_test = _count_share(rule.test, total, least=0)
        n_validation = _count_share(rule.validation, total, least=0)
        before = np.concatenate([[0], np.cumsum(bins)])
        for name, n in (("test", n_test), ("validation", n_test + n_validation)):
            if n and (name == "test" or n_validation):
                place = int(np.searchsorted(before, n, side="left")) - 1
                ends[stratum, name] = Window(stratum, place), n - int(before[place])
    hashes = refine(tuple(dict.fromkeys(window for window, _ in ends.values()))) if ends else {}
    limits = {end: int(hashes[window][n - 1]) for end, (window, n) in ends.items()}
    if rule.test and not any(name == "test" for _, name in limits):
        raise ConfigError(f"{counts.n_rows} rows are too few to test on; raise split.test")
    schema: dict[str, Any] = dict.fromkeys(rule.stratify, pl.String)
    schema |= {"n_rows": pl.UInt64, "test": pl.UInt64, "validation": pl.UInt64}
    table = pl.DataFrame(
        [
            (
                *stratum,
                int(counts.bins[stratum].sum()),
                limits.get((stratum, "test")),
                limits.get((stratum, "validation")),
            )
            for stratum in strata
        ],
        schema=schema,
        orient="row",
    )
    alone = [stratum for stratum in strata if (stratum, "test") not in ends]
    warnings = (f"{len(alone)} strata have too few rows to be tested, first {alone[0]}",) if alone and rule.test else ()
    return Split(rule, strata=table, n_rows=counts.n_rows, warnings=warnings)


def _count_share(share: float, n: int, *, least: int = 1) -> int:
    """Round a share of n; of groups at least one."""
    rounded = int(share * n + 0.5)
    return max(least, rounded) if share and n > 1 else 0


def _list_strata(frame: pl.DataFrame, rule: SplitRule) -> list[tuple[Stratum, NDArray[np.int64]]]:
    """Give the rows of each stratum."""
    import numpy as np
    import polars as pl

    if not rule.stratify:
        return [((), np.arange(frame.height))]
    keys = [pl.col(name).cast(pl.String) for name in rule.stratify]
    grouped = frame.select(keys).with_row_index("row").group_by(list(rule.stratify)).agg("row")
    return [(tuple(stratum), np.asarray(rows, np.int64)) for *stratum, rows in grouped.iter_rows()]
