"""Deltas are what cells are beyond the control cells of their stratum."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from tahoe_engine.errors import BadDataError, ConfigError
from tahoe_engine.features.recipe import ColumnTarget, DeltaTarget
from tahoe_engine.features.sums import merge_sums
from tahoe_engine.features.targets import add_targets, collect_baselines, collect_scale, decide_baselines


def delta(**options: Any) -> DeltaTarget:
    return DeltaTarget(kind="delta", name="delta", value="x", **{"by": ("plate", "line"), **options})


def rows_of(rows: list[tuple[str | None, str, float | None, bool, int]]) -> pl.DataFrame:
    schema = {"plate": pl.String, "line": pl.String, "x": pl.Float64, "is_control": pl.Boolean, "split": pl.UInt8}
    return pl.DataFrame(rows, schema=schema, orient="row")


SMALL = rows_of(
    [
        ("4", "A", 1.0, True, 0),
        ("4", "A", 2.0, True, 0),
        ("4", "A", 9.0, True, 2),  # a control cell that is tested
        ("4", "A", 5.0, False, 0),
        ("4", "A", None, False, 0),
        ("5", "A", 7.0, True, 2),  # the only control of its stratum is tested
        ("5", "A", 8.0, False, 0),
        (None, "A", 3.0, True, 0),
        (None, "A", 4.0, False, 2),
    ]
)


def made(n: int = 4_000) -> pl.DataFrame:
    random = np.random.default_rng(8)
    return pl.DataFrame(
        {
            "plate": random.choice(["4", "5", "6"], n),
            "line": random.choice(["A", "B"], n),
            "x": random.normal(1.4, 0.3, n),
            "is_control": random.random(n) < 0.3,
            "split": random.choice(3, n, p=[0.7, 0.1, 0.2]).astype(np.uint8),
        }
    )


def subtract(rows: pl.DataFrame, target: DeltaTarget) -> pl.Series:
    baselines = decide_baselines(target, collect_baselines(rows, target))
    return add_targets(rows, [target], {"delta": baselines})["delta"]


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({}, [-0.5, 0.5, 7.5, 3.5, None, None, None, 0.0, 1.0]),
        ({"missing": "zero"}, [-0.5, 0.5, 7.5, 3.5, None, 7.0, 8.0, 0.0, 1.0]),
        ({"baseline": "all"}, [-3.0, -2.0, 5.0, 1.0, None, 0.0, 1.0, 0.0, 1.0]),
        ({"by": ()}, [-1.0, 0.0, 7.0, 3.0, None, 5.0, 6.0, 1.0, 2.0]),
    ],
)
def test_a_delta_is_the_value_less_the_mean_of_the_controls(
    options: dict[str, Any], wanted: list[float | None]
) -> None:
    assert subtract(SMALL, delta(**options)).to_list() == wanted


def test_deltas_of_training_controls_add_up_to_nothing() -> None:
    rows = made()
    rows = rows.with_columns(subtract(rows, delta()))
    sums = rows.filter(pl.col("is_control") & (pl.col("split") == 0)).group_by("plate", "line").agg(pl.sum("delta"))
    assert sums.height == 6
    assert sums["delta"].abs().max() < 1e-9  # type: ignore[operator]


def test_order_and_parts_do_not_change_a_bit_of_the_baselines() -> None:
    rows, target = made(), delta()
    whole = decide_baselines(target, collect_baselines(rows, target)).table
    mixed = rows.sample(fraction=1, shuffle=True, seed=1)
    parts = [collect_baselines(mixed[first : first + 313], target) for first in range(0, mixed.height, 313)]
    assert decide_baselines(target, merge_sums(parts[::-1])).table.equals(whole)


@pytest.mark.parametrize("change", [pl.col("x") * 3 + 1, pl.lit(None, pl.Float64)])
def test_what_a_test_row_says_changes_no_baseline(change: pl.Expr) -> None:
    rows, target = made(), delta()
    other = rows.with_columns(pl.when(pl.col("split") == 0).then("x").otherwise(change).alias("x"))
    one, two = (decide_baselines(target, collect_baselines(some, target)).table for some in (rows, other))
    assert one.equals(two)
    all_rows = delta(baseline="all")
    one, two = (decide_baselines(all_rows, collect_baselines(some, all_rows)).table for some in (rows, other))
    assert not one.equals(two)


def test_a_standardized_delta_is_that_of_numpy() -> None:
    rows, target = made(), delta(standardize=True)
    baselines = decide_baselines(target, collect_baselines(rows, target))
    plain = add_targets(rows, [target], {"delta": baselines})["delta"].to_numpy()
    trains = (rows["split"] == 0).to_numpy()
    for _ in ("mean", "deviation"):
        deltas = add_targets(rows, [target], {"delta": baselines})["delta"].filter(trains)
        parts = [collect_scale(deltas[first : first + 99], baselines) for first in range(0, len(deltas), 99)]
        baselines = baselines.add_scale(merge_sums(parts))
    found = add_targets(rows, [target], {"delta": baselines})["delta"].to_numpy()
    np.testing.assert_allclose(found, (plain - plain[trains].mean()) / plain[trains].std(), rtol=0, atol=1e-12)


def test_a_constant_delta_is_not_divided_by_nothing() -> None:
    target = delta(standardize=True)
    baselines = decide_baselines(target, collect_baselines(SMALL, target))
    for _ in ("mean", "deviation"):
        deltas = add_targets(SMALL[3:4], [target], {"delta": baselines})["delta"]
        baselines = baselines.add_scale(collect_scale(deltas, baselines))
    assert (baselines.mean, baselines.deviation) == (3.5, 1.0)


def test_a_column_is_a_target_as_it_is() -> None:
    target = ColumnTarget(name="class", column="line")
    assert add_targets(SMALL, [target], {}).equals(SMALL.select(pl.col("line").alias("class")))


def test_what_has_no_numbers_has_no_delta() -> None:
    with pytest.raises(ConfigError, match="'line' has no numbers"):
        collect_baselines(SMALL, DeltaTarget(kind="delta", name="delta", value="line", by=("plate",)))
    with pytest.raises(BadDataError, match="'x' has an infinite"):
        collect_baselines(rows_of([("4", "A", float("inf"), True, 0)]), delta())
