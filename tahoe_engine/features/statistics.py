"""What the target was for other rows of the same level: a feature that never sees the row it is of."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from tahoe_engine.features.keys import mix
from tahoe_engine.features.levelsums import (
    NONE,
    LevelSums,
    read_folds,
    read_target,
)
from tahoe_engine.features.sums import read_sums
from tahoe_engine.schema import FOLD, ROW_KEY, SPLIT

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from tahoe_engine.features.blocks import TargetStatistics

Level = tuple[str | None, ...]
HIDING = 10.0  # times what a row moves its level by: a row's own target explains 1 % of its statistic at most


def decide_statistics(told: LevelSums, block: TargetStatistics) -> FittedStatistics:
    """Give the statistics of each level, as each fold may see them.

    Parameters
    ----------
    told : LevelSums
        Of all rows fitted on.
    block : TargetStatistics
        What is asked for.

    Returns
    -------
    FittedStatistics
        Ready to be applied.
    """
    import polars as pl

    sums = _by_fold(read_sums(told.sums))
    squares = _by_fold(read_sums(told.squares)) if told.squares is not None else {}
    # Test rows are among them where everything is fitted on all rows; nobody's fold is theirs.
    folds = sorted({fold for by_fold in sums.values() for fold in by_fold} - {NONE})
    seen, alone = [NONE, *folds], block.method == "leave_one_out"
    overall = {fold: _leave_out(_add_up(sums), fold) for fold in seen}
    overall_squares = {fold: _leave_out(_add_up(squares), fold) for fold in seen}
    levels = sorted(sums, key=lambda level: [(value is not None, value or "") for value in level])
    rows: list[tuple[Any, ...]] = []
    for fold in seen:
        # What stands for a level that was not there: the overall value.
        for level in [None, *([] if alone and fold != NONE else levels)]:
            own = overall[fold] if level is None else _leave_out(sums[level], fold)
            own_squares = overall_squares[fold] if level is None else _leave_out(squares.get(level, {}), fold)
            told_of = _tell(own, own_squares, overall[fold], overall_squares[fold], block)
            key = (None,) * len(block.by) if level is None else level
            # Of all rows: what the noise of leave_one_out is measured by.
            spread = _deviation(own, own_squares) if level is None and squares else None
            deviation = None if spread is None else float(spread)
            rows.append((level is None, *key, fold, own[0], float(own[1]), deviation, *told_of))
    statistics = [name for name in block.statistics if name != "quantile"]
    keys = dict.fromkeys(block.by, pl.String)
    schema: dict[str, Any] = {"overall": pl.Boolean, **keys, FOLD: pl.Int32, "n": pl.Int64}
    schema |= {"sum": pl.Float64, "deviation": pl.Float64}
    schema.update(dict.fromkeys(statistics, pl.Float64))
    table = pl.DataFrame(rows, schema=schema, orient="row")
    if told.values is not None:
        table = _add_quantiles(table, told.values, block, seen)
    return FittedStatistics(block, table)


@dataclass(frozen=True)
class FittedStatistics:
    """Statistics of the target by level, as they were on the rows fitted on.

    Parameters
    ----------
    block : TargetStatistics
        What was asked for.
    table : polars.DataFrame
        A row a level and fold that must not be seen (-1: none): rows it is of, their sum, the statistics. A row
        ``overall`` a fold stands for levels that were not there.
    """

    block: TargetStatistics
    table: pl.DataFrame = field(repr=False)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns that come out."""
        return tuple(f"{self.block.name}_{name}" for name in self.block.statistics)

    def apply(self, rows: pl.DataFrame, placed: pl.DataFrame) -> pl.DataFrame:
        """Tell each row what its level was for others.

        Parameters
        ----------
        rows, placed : polars.DataFrame
            As in `collect_statistics`.

        Returns
        -------
        polars.DataFrame
            `columns`; a training row is told of other folds (or all other rows), any other of all training rows.
        """
        import polars as pl

        block = self.block
        alone = block.method == "leave_one_out"
        folds = pl.Series(FOLD, [NONE] * rows.height, dtype=pl.Int32) if alone else read_folds(placed)
        keys = rows.select(pl.col(name).cast(pl.String) for name in block.by).with_columns(folds)
        known = self.table.filter(~pl.col("overall")).drop("overall")
        rest = (
            self.table.filter("overall")
            .drop("overall", *block.by)
            .rename(lambda name: name if name == FOLD else f"_{name}")
        )
        found = keys.join(known, on=[*block.by, FOLD], how="left", nulls_equal=True, maintain_order="left")
        found = found.join(rest, on=FOLD, how="left", maintain_order="left")
        told = found.select(pl.coalesce(name, f"_{name}").alias(f"{block.name}_{name}") for name in block.statistics)
        if not alone:
            return told
        return pl.DataFrame([self._leave_out(rows, placed, found, told.to_series())])

    def _leave_out(self, rows: pl.DataFrame, placed: pl.DataFrame, found: pl.DataFrame, plain: pl.Series) -> pl.Series:
        """Tell training rows of all others of their level, with noise."""
        import numpy as np
        import polars as pl

        m = self.block.smoothing
        y = read_target(placed, self.block)
        n, total = found["n"].fill_null(0), found["sum"].fill_null(0.0)
        overall = (found["_sum"] - y) / (found["_n"] - 1).clip(1, None)
        count = (n - 1).cast(pl.Float64)
        level = (total - y + m * overall) / (count + m)
        level = pl.select(pl.when(count + m > 0).then(level).otherwise(overall)).to_series()
        # Leaving a row out moves the level by y/(n - 1 + m): noise that is not ten times that would tell y.
        spread = self.table.filter("overall").select(FOLD, "deviation")
        # That of the other folds: it must not tell y either.
        deviation = read_folds(placed).to_frame().join(spread, on=FOLD, how="left", maintain_order="left")["deviation"]
        least = (HIDING / (count + m).clip(1.0, None)).clip(self.block.noise, None)
        noisy = level + deviation * least * pl.Series(draw_normal(rows[ROW_KEY].to_numpy()))
        trains = pl.Series(np.asarray((placed[SPLIT] == 0).to_numpy())) & y.is_not_null()
        return pl.select(pl.when(trains).then(noisy).otherwise(plain)).to_series().alias(self.columns[0])


def draw_normal(keys: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Draw a normal number for each key, always the same.

    Parameters
    ----------
    keys : ndarray of uint64
        Of rows.

    Returns
    -------
    ndarray of float64
        Mean 0 and variance 1 (G. E. P. Box and M. E. Muller, A note on the generation of random normal deviates, 1958).
    """
    import numpy as np

    first, second = mix(keys ^ np.uint64(0xA5A5A5A5)), mix(mix(keys ^ np.uint64(0x5A5A5A5A)))
    radius = ((first >> np.uint64(11)).astype(np.float64) + 1) * 2.0**-53
    angle = (second >> np.uint64(11)).astype(np.float64) * 2.0**-53
    normal: NDArray[np.float64] = np.sqrt(-2 * np.log(radius)) * np.cos(2 * np.pi * angle)
    return normal


Sums = dict[int, tuple[int, Fraction]]


def _by_fold(found: dict[Any, tuple[int, Fraction]]) -> dict[Level, Sums]:
    by_level: dict[Level, Sums] = {}
    for (*level, fold), told in found.items():
        by_level.setdefault(tuple(level), {})[fold] = told
    return by_level


def _add_up(by_level: dict[Level, Sums]) -> Sums:
    total: Sums = {}
    for sums in by_level.values():
        for fold, (n, value) in sums.items():
            before = total.get(fold, (0, Fraction(0)))
            total[fold] = (before[0] + n, before[1] + value)
    return total


def _leave_out(sums: Sums, fold: int) -> tuple[int, Fraction]:
    others = [told for one, told in sums.items() if fold == NONE or one != fold]
    return sum(n for n, _ in others), sum((value for _, value in others), Fraction(0))


def _tell(
    own: tuple[int, Fraction],
    squares: tuple[int, Fraction],
    overall: tuple[int, Fraction],
    overall_squares: tuple[int, Fraction],
    block: TargetStatistics,
) -> Iterator[float | None]:
    """Give mean and standard deviation of a level, drawn to the overall ones."""
    m = Fraction(block.smoothing)
    for name in block.statistics:
        if name == "mean":
            yield _draw(own[0], _mean(own), _mean(overall), m)
        elif name == "std":
            yield _draw(own[0], _deviation(own, squares), _deviation(overall, overall_squares), m)


def _draw(n: int, level: Fraction | None, overall: Fraction | None, m: Fraction) -> float | None:
    if level is None or overall is None:
        return None if overall is None else float(overall)
    return float((n * level + m * overall) / (n + m))


def _mean(told: tuple[int, Fraction]) -> Fraction | None:
    return told[1] / told[0] if told[0] else None


def _deviation(told: tuple[int, Fraction], squares: tuple[int, Fraction]) -> Fraction | None:
    n, total = told
    if not n:
        return None
    variance = squares[1] / n - (total / n) ** 2
    return Fraction(float(max(variance, Fraction(0))) ** 0.5)


def _add_quantiles(table: pl.DataFrame, values: pl.DataFrame, block: TargetStatistics, seen: list[int]) -> pl.DataFrame:
    import polars as pl

    told = pl.col("value").quantile(block.quantile, interpolation="linear").alias("quantile")
    parts = []
    for fold in seen:
        others = values.filter(pl.col(FOLD) != fold) if fold != NONE else values
        of_levels = others.group_by(list(block.by)).agg(told).with_columns(pl.lit(value=False).alias("overall"))
        nothing = [pl.lit(None, dtype=pl.String).alias(name) for name in block.by]
        of_all = others.select(told).select(*nothing, "quantile", pl.lit(value=True).alias("overall"))
        part = pl.concat([of_levels, of_all], how="diagonal").with_columns(pl.lit(fold, dtype=pl.Int32).alias(FOLD))
        parts.append(part)
    found = pl.concat(parts, how="diagonal")
    return table.join(found, on=["overall", *block.by, FOLD], how="left", nulls_equal=True, maintain_order="left")
