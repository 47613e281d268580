"""The question of the guard, asked of any table: what gives the target away."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from tahoe_engine.errors import ConfigError
from tahoe_engine.leaks.classes import find_separating
from tahoe_engine.leaks.combinations import find_combined
from tahoe_engine.leaks.fitting import find_fitted_on_test
from tahoe_engine.leaks.frames import check_column, read_frame, read_side
from tahoe_engine.leaks.functions import find_functions
from tahoe_engine.leaks.gaps import find_filled
from tahoe_engine.leaks.identities import find_affine
from tahoe_engine.leaks.leak import KINDS, Leak
from tahoe_engine.leaks.orders import find_monotone
from tahoe_engine.leaks.pairs import find_duplicates
from tahoe_engine.leaks.separations import find_separations
from tahoe_engine.leaks.sheet import read_sheet
from tahoe_engine.leaks.statistics import find_target_statistics, list_constant
from tahoe_engine.leaks.straddle import find_repeated_rows, find_straddling
from tahoe_engine.leaks.strata import list_many_levels, list_strata
from tahoe_engine.leaks.ties import find_tied
from tahoe_engine.leaks.within import find_within

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    import polars as pl
    from numpy.typing import NDArray

    from tahoe_engine.leaks.sheet import Codes, Sheet
    from tahoe_engine.leaks.strata import Stratum

MAX_ROWS: Final = 100_000


def find_leaks(
    frame: pl.DataFrame | pd.DataFrame,
    target: str,
    *,
    split: str | Sequence[Any] | NDArray[Any] | None = None,
    groups: str | Sequence[Any] | NDArray[Any] | None = None,
    max_rows: int | None = MAX_ROWS,
) -> list[Leak]:
    """Find what in a table gives the target, or test rows, away.

    Parameters
    ----------
    frame : polars.DataFrame or pandas.DataFrame
        Features, the target, and perhaps the columns of `split` and `groups`, which are no features. Numbers, truth
        values and text; nulls and NaN are missing values, whole columns of text that reads as numbers are numbers.
    target : str
        Its column. Text and truth values are classes, and so are numbers of two values and whole numbers of no more
        than 20; the latter are looked at as numbers, too. Rows without a target are left out.
    split : str or sequence, optional
        Name of a column, or a value a row: "train", "validation", "test"; or 0, 1, 2; or True for test.
    groups : str or sequence, optional
        Columns whose values together make the groups that must not be on both sides of the split; or a value a row.
    max_rows : int or None, default 100,000
        Look for identities in a sample of so many rows, always the same (the evidence tells how many); None: in all.
        Groups and what was fitted on test rows are looked at in all rows.

    Returns
    -------
    list of Leak
        By kind, in the order of `tahoe_engine.leaks.KINDS`, then by column. Empty is good news, within what the kinds
        cover. A finding that mere luck would give with a probability above 1e-6 a table is not told.

    Raises
    ------
    ConfigError
        If a column is not there, or the split has other values.

    Examples
    --------
    >>> import numpy as np, polars as pl
    >>> x = np.random.default_rng(0).normal(size=50)
    >>> for leak in find_leaks(pl.DataFrame({"x": x, "y": 3 * x - 1}), "y"):
    ...     print(leak.column, leak.kind, round(leak.facts["slope"], 6), round(leak.facts["offset"], 6))
    x affine 3.0 -1.0
    """
    table = read_frame(frame)
    check_column(target, table, "target")
    if table[target].dtype.is_nested() or str(table[target].dtype) == "Object":
        raise ConfigError(
            f"the target {target!r} is a column of {table[target].dtype}; give numbers, text or truth values"
        )
    if max_rows is not None and max_rows < 1:
        raise ConfigError(f"max_rows is {max_rows}; look at one row at least, or write None for all")
    side = read_side(split, table)
    table, by = _name_groups(table, groups)
    import numpy as np

    with np.errstate(all="ignore"):  # what overflows or has no value compares as no finding
        found = _find(table, target, split, side, by, max_rows)
    kinds = list(KINDS)
    places = {name: place for place, name in enumerate(table.columns)}
    return sorted(found, key=lambda leak: (kinds.index(leak.kind), places.get(leak.column, -1)))


def _find(  # noqa: PLR0913, PLR0917 -- what find_leaks was asked, read
    table: pl.DataFrame,
    target: str,
    split: object,
    side: Codes | None,
    by: list[str],
    max_rows: int | None,
) -> list[Leak]:
    found: list[Leak] = []
    if side is not None and by:
        found += find_straddling(_count_groups(table, by, side), by)
    features = table.drop(split) if isinstance(split, str) and split not in (target, *by) else table
    sheet = read_sheet(features, target, side, by, max_rows)
    names = sheet.names
    if sheet.height:
        strata = list_strata(sheet)
        identities = _find_identities(sheet, strata)
        if max_rows is not None and sheet.height == max_rows < table.height:
            note = f" (in a sample of {sheet.height:,} of {table.height:,} rows)"
            identities = [replace(leak, evidence=leak.evidence + note) for leak in identities]
        found += identities
        found += _find_in_training(features, target, side, by, max_rows, {leak.column for leak in identities})
        strata += list_many_levels(sheet)
        likely = list_constant(sheet, strata, _name(found))
        if likely and sheet.height < table.height:
            # The mean of a sample is another one: all rows, of the columns that matter.
            members = {name for stratum in strata for name in stratum.members}
            wanted = {*likely, *members, *by, target}
            sheet = read_sheet(features[[n for n in features.columns if n in wanted]], target, side, by, None)
            strata = [*list_strata(sheet), *list_many_levels(sheet)]
        found += find_target_statistics(sheet, strata, _name(found))
        found = [_tell_units(leak, sheet) for leak in found]
    if side is not None:
        found += find_fitted_on_test(table, side, names)
        found += find_repeated_rows(table, side, [*names, target])
    return found


def _find_in_training(  # noqa: PLR0913, PLR0917 -- what find_leaks was asked, read
    features: pl.DataFrame,
    target: str,
    side: Codes | None,
    by: list[str],
    max_rows: int | None,
    told: set[str],
) -> list[Leak]:
    """Find what holds in all training rows and not in those held out: a model would rely on it, and fail."""
    import numpy as np

    if side is None or not (0 < int((side == 0).sum()) < side.size):
        return []
    rows = np.flatnonzero(side == 0)
    sheet = read_sheet(features[rows], target, None, by, max_rows)
    if not sheet.height:
        return []
    found = [leak for leak in _find_identities(sheet, list_strata(sheet)) if leak.column not in told]
    # Among these are columns that are alike in training by chance of a filter: no leak.
    found = [leak for leak in found if leak.kind != "duplicate"]
    return [replace(leak, evidence=f"{leak.evidence} (training rows alone)") for leak in found]


def _find_identities(sheet: Sheet, strata: Sequence[Stratum]) -> list[Leak]:
    """Look for what gives the target away: alone, within levels, then together."""
    found = [*find_affine(sheet), *find_separating(sheet)]
    found += find_monotone(sheet, _name(found))
    found += find_functions(sheet, _name(found))
    found += find_within(sheet, strata, _name(found))
    found += find_combined(sheet, _name(found))
    found += find_filled(sheet, strata, _name(found))
    found += find_tied(sheet, _name(found))
    found += find_separations(sheet, {name for leak in found for name in leak.columns})
    return found + find_duplicates(sheet)


def _tell_units(leak: Leak, sheet: Sheet) -> Leak:
    names = [name for name in (sheet.target, *leak.columns) if name in sheet.units]
    if not names or leak.kind == "straddle":
        return leak
    return replace(
        leak, evidence=f"{leak.evidence} ({', '.join(f'{n} in units of {sheet.units[n]:g}' for n in names)})"
    )


def _name(found: Sequence[Leak]) -> set[str]:
    return {leak.column for leak in found}


def _count_groups(table: pl.DataFrame, by: Sequence[str], side: Codes) -> pl.DataFrame:
    import polars as pl

    if "split" in by:
        raise ConfigError("a column of groups is called split, as is the side of each row; rename it")
    return table.select(by).with_columns(pl.Series("split", side)).group_by([*by, "split"]).len("n_rows")


def _name_groups(
    table: pl.DataFrame, groups: str | Sequence[Any] | NDArray[Any] | None
) -> tuple[pl.DataFrame, list[str]]:
    """Give the columns that make the groups; a value a row becomes a column."""
    import polars as pl

    if groups is None:
        return table, []
    if isinstance(groups, str):
        check_column(groups, table, "groups")
        return table, [groups]
    values = list(groups)
    if values and all(isinstance(value, str) and value in table.columns for value in values):
        return table, list(dict.fromkeys(values))
    if len(values) == table.height:
        name = "groups"
        while name in table.columns:
            name += "_"
        return table.with_columns(pl.Series(name, values, strict=False)), [name]
    for value in values:
        check_column(str(value), table, "groups")
    return table, []
