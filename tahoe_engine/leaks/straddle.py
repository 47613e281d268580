"""Groups on both sides of the split, counted over all rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tahoe_engine.leaks.leak import Leak

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    Codes = NDArray[np.int64]

NAMED: Final = 5
FOLLOWS: Final = 0.99  # rank correlation from which on a column follows another
ENOUGH: Final = 3


def find_straddling(counts: pl.DataFrame, by: Sequence[str]) -> list[Leak]:
    """Find groups that are both in training and held out.

    Parameters
    ----------
    counts : polars.DataFrame
        Columns `by`, ``split`` (0 = train, 1 = validation, 2 = test; others and null are neither) and ``n_rows``; a
        group may have several rows of one split.
    by : sequence of str
        Columns that make a group together. A group with a null belongs to none.

    Returns
    -------
    list of Leak
        None or one, of kind straddle, that tells how many and names some.

    Examples
    --------
    >>> import polars as pl
    >>> counts = pl.DataFrame({"sample": ["a", "a", "b"], "split": [0, 2, 0], "n_rows": [4, 1, 5]})
    >>> print(*find_straddling(counts, ["sample"]))
    sample: straddle: 1 of 2 groups of sample are in training and held out, with 1 held-out row: a
    """
    import polars as pl

    names = list(by)
    if not names or not counts.height:
        return []
    trains = (pl.col("split") == 0).fill_null(value=False)
    held = pl.col("split").is_in([1, 2]).fill_null(value=False)
    told = (
        counts.drop_nulls(names)
        .group_by(names)
        .agg(
            pl.col("n_rows").filter(trains).sum().alias("__train"), pl.col("n_rows").filter(held).sum().alias("__held")
        )
    )
    told = told.filter((pl.col("__train") + pl.col("__held")) > 0)
    both = told.filter((pl.col("__train") > 0) & (pl.col("__held") > 0)).sort(names)
    if not both.height:
        return []
    labels = [" x ".join(str(value) for value in row) for row in both.select(names).head(NAMED).iter_rows()]
    n_held = int(both["__held"].sum())
    what = " x ".join(names)
    more = f" and {both.height - NAMED:,} more" if both.height > NAMED else ""
    says = (
        f"{both.height:,} of {told.height:,} groups of {what} are in training and held out, with {n_held:,} held-out "
        f"{'row' if n_held == 1 else 'rows'}: {', '.join(labels)}{more}"
    )
    facts = {"groups": told.height, "straddling": both.height, "held_out_rows": n_held, "named": labels}
    return [Leak(what, "straddle", says, tuple(names), facts)]


def find_repeated_rows(frame: pl.DataFrame, side: Codes, names: Sequence[str]) -> list[Leak]:
    """Find held-out rows that stand in training, too, value for value.

    Parameters
    ----------
    frame : polars.DataFrame
        All rows.
    side : numpy.ndarray
        0 = train, 1 and 2 = held out, -1 = neither.
    names : sequence of str
        Columns to compare: those of numbers are.

    Returns
    -------
    list of Leak
        None or one, of kind straddle, with the column ``(rows)``: five rows and one held-out row in a hundred at
        least, equal in three and more columns of which each nearly tells the rows apart and none follows another.
    """
    import numpy as np
    import polars as pl

    numbers = [name for name in names if frame[name].dtype.is_numeric()]
    telling = [name for name in numbers if frame[name].n_unique() > frame.height / 2]
    some = frame[: 10 * NAMED * NAMED]
    kept: list[str] = []
    for name in telling:
        alike = (some.select(pl.corr(name, other, method="spearman")).item() for other in kept)
        if all(value is not None and abs(value) < FOLLOWS for value in alike):
            kept.append(name)
        if len(kept) == ENOUGH:
            break
    else:
        return []
    rows = frame.select(numbers).hash_rows(seed=0).to_numpy()
    held = np.isin(side, (1, 2))
    again = int(np.isin(rows[held], rows[side == 0]).sum())
    if again < max(NAMED, held.sum() / 100):
        return []
    says = f"{again:,} of {int(held.sum()):,} held-out rows stand in training, too, equal in all {len(numbers)} numbers"
    return [Leak("(rows)", "straddle", says, tuple(numbers), {"rows": again, "held_out": int(held.sum())})]
