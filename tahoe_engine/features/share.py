"""From the keys of all rows to the split: decided once, on counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tahoe_engine.errors import ConfigError
from tahoe_engine.features.keycounts import KeyCounts, Stratum, Window
from tahoe_engine.features.places import permute_places
from tahoe_engine.features.split import Split, hash_groups
from tahoe_engine.schema import FOLD, SPLIT, TEST, TRAIN, VALIDATION

if TYPE_CHECKING:
    import polars as pl

    from tahoe_engine.features.recipe import SplitRule

FAR_OFF: Final = 0.05  # of the rows, beyond which the share that came out is told
Refine = "Callable[[tuple[Window, ...]], dict[Window, NDArray[np.uint64]]]"


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
        Only which groups there are counts, not how large they are. Rows: of each stratum those of the smallest hashes;
        where there are strata, the training rows of each are shared out among the folds, too.

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
        trained = "1 group trains" if trains.size == 1 else f"{trains.size} groups train"
        warnings.append(f"{trained}: fewer than the {rule.folds} folds, of which some are empty")
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

    n_trains = 0
    strata = sorted(counts.bins, key=lambda stratum: [(value is not None, value or "") for value in stratum])
    ends: dict[tuple[Stratum, str], tuple[Window, int]] = {}
    for stratum in strata:
        bins = counts.bins[stratum]
        total = int(bins.sum())
        n_test = _count_share(rule.test, total, least=0)
        n_validation = _count_share(rule.validation, total, least=0)
        n_trains += total - n_test - n_validation
        before = np.concatenate([[0], np.cumsum(bins)])
        held = n_test + n_validation
        wanted = {"test": n_test, "validation": held if n_validation else 0}
        if rule.stratify and rule.folds:
            for fold in range(1, rule.folds):
                wanted[f"fold-{fold}"] = held + (total - held) * fold // rule.folds
        for name, n in wanted.items():
            if n:
                place = int(np.searchsorted(before, n, side="left")) - 1
                ends[stratum, name] = Window(stratum, place), n - int(before[place])
    if counts.n_rows and not n_trains:
        raise ConfigError(f"{counts.n_rows} rows leave none to train on; lower split.test or split.validation")
    hashes = refine(tuple(dict.fromkeys(window for window, _ in ends.values()))) if ends else {}
    limits = {end: int(hashes[window][n - 1]) for end, (window, n) in ends.items()}
    if rule.test and not any(name == "test" for _, name in limits):
        raise ConfigError(f"{counts.n_rows} rows are too few to test on; raise split.test")
    schema: dict[str, Any] = dict.fromkeys(rule.stratify, pl.String)
    schema |= {"n_rows": pl.UInt64, "test": pl.UInt64, "validation": pl.UInt64}
    rows = [
        (
            *stratum,
            int(counts.bins[stratum].sum()),
            limits.get((stratum, "test")),
            limits.get((stratum, "validation")),
        )
        for stratum in strata
    ]
    table = pl.DataFrame(rows, schema=schema, orient="row")
    if rule.stratify and rule.folds:
        folds = [[limits.get((stratum, f"fold-{fold}"), 0) for fold in range(1, rule.folds)] for stratum in strata]
        table = table.with_columns(pl.Series("folds", folds, dtype=pl.List(pl.UInt64)))
    alone = [stratum for stratum in strata if (stratum, "test") not in ends]
    warnings = (f"{len(alone)} strata have too few rows to be tested, first {alone[0]}",) if alone and rule.test else ()
    return Split(rule, strata=table, n_rows=counts.n_rows, keys=counts.keys, warnings=warnings)


def _count_share(share: float, n: int, *, least: int = 1) -> int:
    """Round a share of n; of groups at least one."""
    rounded = int(share * n + 0.5)
    return max(least, rounded) if share and n > 1 else 0
