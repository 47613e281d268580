"""Groups on both sides of the split, counted over all rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tahoe_engine.leaks.leak import Leak

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

NAMED: Final = 5


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
