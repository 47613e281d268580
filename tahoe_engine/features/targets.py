"""Targets: a column, or how far a cell is from the control cells of its plate and line."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

from tahoe_engine.errors import BadDataError, ConfigError
from tahoe_engine.features.sums import read_sums, sum_exactly, sum_squares
from tahoe_engine.schema import CONTROL, SPLIT, TRAIN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import polars as pl

    from tahoe_engine.features.recipe import ColumnTarget, DeltaTarget

OWN_COLUMNS: Final = frozenset({"n_control", "baseline"})
ALL: Final = "sum of"  # the one group of sums over all rows


@dataclass(frozen=True)
class Baselines:
    """What control cells are, stratum by stratum.

    Parameters
    ----------
    table : polars.DataFrame
        Columns of the stratum, ``n_control`` and ``baseline``: their number and their mean, rounded once.
    mean, deviation : float, optional
        Of the deltas, where they are standardized.
    """

    table: pl.DataFrame
    mean: float | None = None
    deviation: float | None = None

    def add_scale(self, sums: pl.DataFrame) -> Baselines:
        """Add the mean of the deltas, or their standard deviation where the mean is known.

        Parameters
        ----------
        sums : polars.DataFrame
            As `collect_scale` gives them, of all rows.

        Returns
        -------
        Baselines
            With one number more.
        """
        n, total = read_sums(sums).get((0,), (0, Fraction(0)))
        if self.mean is None:
            return replace(self, mean=float(total / n) if n else 0.0)
        # Every square was summed in two parts.
        deviation = float(2 * total / n) ** 0.5 if n else 0.0
        return replace(self, deviation=deviation or 1.0)


def collect_baselines(rows: pl.DataFrame, target: DeltaTarget) -> pl.DataFrame:
    """Sum the control cells of each stratum.

    Parameters
    ----------
    rows : polars.DataFrame
        With the columns of the target, ``is_control`` and ``split``.
    target : DeltaTarget
        Its value, its strata and whose control cells count.

    Returns
    -------
    polars.DataFrame
        Exact sums; put together by `merge_sums`.
    """
    import polars as pl

    if taken := sorted(OWN_COLUMNS & set(target.by)):
        raise ConfigError(
            f"target {target.name!r}: the table of baselines has a column {taken[0]!r} itself; derive another"
        )
    controls = rows.filter(pl.col(CONTROL) & ((pl.col(SPLIT) == TRAIN) | (target.baseline == "all")))
    one = pl.repeat(0, controls.height, dtype=pl.Int64).alias(ALL)
    keys = controls.select(one, *(pl.col(name).cast(pl.String) for name in target.by))
    return sum_exactly(keys, _read_value(controls, target))


def decide_baselines(target: DeltaTarget, sums: pl.DataFrame) -> Baselines:
    """Give the baselines.

    Parameters
    ----------
    target : DeltaTarget
        Whose.
    sums : polars.DataFrame
        As `collect_baselines` gives them, of all rows.

    Returns
    -------
    Baselines
        Sorted by stratum. The mean is that of the exact sum: it depends on the cells alone, neither on their order nor
        on how they were cut into parts.
    """
    import polars as pl

    found = read_sums(sums)
    schema: dict[str, Any] = {**dict.fromkeys(target.by, pl.String), "n_control": pl.Int64, "baseline": pl.Float64}
    rows = [(*stratum, n, float(total / n)) for (_, *stratum), (n, total) in found.items()]
    table = pl.DataFrame(rows, schema=schema, orient="row")
    return Baselines(table.sort(list(target.by)) if target.by else table)


def add_targets(
    frame: pl.DataFrame, targets: Sequence[ColumnTarget | DeltaTarget], baselines: Mapping[str, Baselines]
) -> pl.DataFrame:
    """Give rows their targets.

    Parameters
    ----------
    frame : polars.DataFrame
        With the columns of the targets.
    targets : sequence of ColumnTarget or DeltaTarget
        Which.
    baselines : mapping
        Of the delta targets, by name.

    Returns
    -------
    polars.DataFrame
        A column a target: null where the value is missing, or there is no baseline (or the value itself, where the
        target says so).
    """
    import polars as pl

    columns = []
    for target in targets:
        if target.kind == "column":
            column = frame[target.column].alias(target.name)
            if column.dtype.is_float() and column.is_infinite().any():
                raise BadDataError(f"the target {target.name!r} is infinite in a row; leave such rows out with `where`")
            columns.append(column)
        elif target.name in baselines:
            columns.append(_subtract(frame, target, baselines[target.name]).alias(target.name))
        else:
            # Not decided yet: nothing may be fitted on it.
            columns.append(pl.Series(target.name, [None] * frame.height, dtype=pl.Float64))
    return pl.DataFrame(columns)


def collect_scale(deltas: pl.Series, baselines: Baselines) -> pl.DataFrame:
    """Sum deltas, or the squares of what they are from their mean where that is known.

    Parameters
    ----------
    deltas : polars.Series of Float64
        Of the rows fitted on.
    baselines : Baselines
        With the mean, in the second pass.

    Returns
    -------
    polars.DataFrame
        Exact sums; put together by `merge_sums`.
    """
    import polars as pl

    keys = pl.select(pl.repeat(0, len(deltas), dtype=pl.Int64).alias(ALL))
    # With the mean known, deltas come without it already.
    return sum_exactly(keys, deltas) if baselines.mean is None else sum_squares(keys, deltas)


def _subtract(frame: pl.DataFrame, target: DeltaTarget, baselines: Baselines) -> pl.Series:
    import polars as pl

    value = _read_value(frame, target)
    keys = frame.select(pl.col(name).cast(pl.String) for name in target.by)
    if target.by:
        found = keys.join(baselines.table, on=list(target.by), how="left", nulls_equal=True, maintain_order="left")
        baseline = found["baseline"]
    else:
        baseline = pl.Series([baselines.table["baseline"].first()] * frame.height, dtype=pl.Float64)
    delta = value - (baseline.fill_null(0.0) if target.missing == "zero" else baseline)
    if baselines.mean is not None:
        delta = (delta - baselines.mean) / (baselines.deviation or 1.0)
    return delta


def _read_value(frame: pl.DataFrame, target: DeltaTarget) -> pl.Series:
    import polars as pl

    value = frame[target.value]
    if not value.dtype.is_numeric():
        raise ConfigError(f"target {target.name!r}: {target.value!r} has no numbers; a delta is of numbers")
    return value.cast(pl.Float64).fill_nan(None)
