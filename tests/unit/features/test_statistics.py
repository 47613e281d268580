"""Statistics of the target tell a training row of others alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from tahoe_engine.errors import ConfigError
from tahoe_engine.features.blocks import TargetStatistics
from tahoe_engine.features.levelsums import collect_statistics, merge_statistics
from tahoe_engine.features.statistics import FittedStatistics, decide_statistics


def block_of(**options: Any) -> TargetStatistics:
    return TargetStatistics(kind="target_statistics", name="s", **{"by": ("drug",), "of": "y", **options})


def made(n: int = 3_000, levels: int = 150, seed: int = 4) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows with a drug and a key, and the same rows with their place and a target that has nothing to do with it."""
    random = np.random.default_rng(seed)
    drugs = [None if drug == 0 else f"drug {drug}" for drug in random.integers(levels, size=n)]
    split = random.choice(3, n, p=[0.7, 0.1, 0.2]).astype(np.uint8)
    fold = pl.Series(np.where(split == 0, random.integers(5, size=n), 255)).cast(pl.UInt8).replace(255, None)
    keys = random.integers(2**64, size=n, dtype=np.uint64)
    rows = pl.DataFrame({"drug": pl.Series(drugs, dtype=pl.String), "row_key": keys})
    return rows, pl.DataFrame({"split": split, "fold": fold, "y": random.normal(2, 3, n)})


def fit(rows: pl.DataFrame, placed: pl.DataFrame, block: TargetStatistics) -> FittedStatistics:
    trains = placed["split"] == 0
    return decide_statistics(collect_statistics(rows.filter(trains), placed.filter(trains), block), block)


def tell(name: str, values: Any, overall: Any, m: float) -> float:
    """One statistic of a level by NumPy."""
    if name == "quantile":
        return float(np.quantile(values if len(values) else overall, 0.8))
    of: Any = np.mean if name == "mean" else np.std
    if not len(values):
        return float(of(overall))
    return float((len(values) * of(values) + m * of(overall)) / (len(values) + m))


@pytest.mark.parametrize("smoothing", [0.0, 10.0])
def test_a_row_is_told_of_other_folds_and_a_test_row_of_all_training_rows(smoothing: float) -> None:
    rows, placed = made(400, 30)
    block = block_of(statistics=("mean", "std", "quantile"), smoothing=smoothing)
    found = fit(rows, placed, block).apply(rows, placed)
    assert found.columns == ["s_mean", "s_std", "s_quantile"]
    y, drug, fold = placed["y"].to_numpy(), rows["drug"].to_list(), placed["fold"].to_list()
    for at in range(rows.height):
        others = np.array([one is not None and one != fold[at] for one in fold])
        same = others & np.array([one == drug[at] for one in drug])
        wanted = [tell(name, y[same], y[others], smoothing) for name in block.statistics]
        np.testing.assert_allclose(found.row(at), wanted, rtol=1e-9, atol=1e-9)


def test_a_level_that_is_not_known_has_the_overall_values() -> None:
    rows, placed = made(400, 30)
    new = pl.DataFrame({"drug": ["new"], "row_key": pl.Series([1], dtype=pl.UInt64)})
    place = pl.DataFrame({"split": [2], "fold": [None], "y": [1e9]}, schema=placed.schema)
    found = fit(rows, placed, block_of()).apply(new, place)
    assert found.item() == pytest.approx(placed.filter(placed["split"] == 0)["y"].mean(), rel=1e-12)


def test_order_and_parts_do_not_change_a_bit() -> None:
    rows, placed = made()
    block = block_of(statistics=("mean", "std", "quantile"))
    mixed = rows.hstack(placed).filter(placed["split"] == 0).sample(fraction=1, shuffle=True, seed=2)
    parts = []
    for first in range(0, mixed.height, 501):
        part = mixed[first : first + 501]
        parts.append(collect_statistics(part.select(rows.columns), part.select(placed.columns), block))
    merged = merge_statistics([merge_statistics(parts[3:]), *parts[:3]])
    assert decide_statistics(merged, block).table.equals(fit(rows, placed, block).table)


def test_what_a_test_row_says_changes_nothing() -> None:
    rows, placed = made()
    block = block_of(statistics=("mean", "std"))
    other = placed.with_columns(pl.when(pl.col("split") == 0).then("y").otherwise(-99.0).alias("y"))
    one, two = fit(rows, placed, block), fit(rows, other, block)
    assert one.table.equals(two.table)
    assert one.apply(rows, placed).equals(two.apply(rows, other))


@pytest.mark.parametrize("method", ["folds", "leave_one_out"])
def test_a_training_row_is_not_told_its_own_target(method: str) -> None:
    rows, placed = made(500, 40)
    block = block_of(method=method, noise=0.05 if method == "leave_one_out" else 0.0)
    at = int(np.flatnonzero((placed["split"] == 0).to_numpy())[7])
    changed = placed.with_columns(pl.when(pl.int_range(pl.len()) == at).then(500.0).otherwise("y").alias("y"))
    one, two = (fit(rows, place, block).apply(rows, place).item(at, 0) for place in (placed, changed))
    assert one == pytest.approx(two, rel=1e-12)
    # Any row of the test set with that level, and other training rows, do see it.
    assert not fit(rows, placed, block).table.equals(fit(rows, changed, block).table)


@pytest.mark.parametrize("noise", [0.01, 0.5])
def test_leaving_one_out_is_the_mean_of_the_others_with_noise_that_hides_the_row(noise: float) -> None:
    rows, placed = made(2_000, 20)
    block = block_of(method="leave_one_out", noise=noise, smoothing=3)
    found = fit(rows, placed, block).apply(rows, placed)["s_mean"].to_numpy()
    again = fit(rows, placed, block).apply(rows, placed)["s_mean"].to_numpy()
    assert (found == again).all()
    y, drug, fold = placed["y"].to_numpy(), np.array(rows["drug"].to_list()), placed["fold"].fill_null(99).to_numpy()
    trains = (placed["split"] == 0).to_numpy()
    units = []
    for at in np.flatnonzero(trains):
        others = trains & (np.arange(rows.height) != at)
        same = others & (drug == drug[at])
        scale = y[trains & (fold != fold[at])].std() * max(noise, 10 / (same.sum() + 3))
        units.append((found[at] - tell("mean", y[same], y[others], 3)) / scale)
    assert abs(np.mean(units)) < 5 / np.sqrt(len(units))
    assert abs(np.std(units) - 1) < 5 / np.sqrt(2 * len(units))
    for at in np.flatnonzero(~trains)[:50]:
        same = trains & (drug == drug[at])
        assert found[at] == pytest.approx(tell("mean", y[same], y[trains], 3), rel=1e-12)


@pytest.mark.parametrize(("n_drugs", "noise"), [(4, 1e-300), (4, 0.05), (400, 0.05)])
def test_leaving_one_out_does_not_tell_the_target_within_a_level(n_drugs: int, noise: float) -> None:
    rows, placed = made(4_000, n_drugs)
    placed = placed.with_columns(y=pl.Series(np.random.default_rng(5).normal(size=4_000)))
    found = fit(rows, placed, block_of(method="leave_one_out", noise=noise)).apply(rows, placed)
    both = placed.hstack(found).with_columns(rows["drug"]).filter(split=0)
    centred = both.select((pl.col(name) - pl.col(name).mean().over("drug")) for name in ("y", "s_mean"))
    assert abs(np.corrcoef(centred["y"], centred["s_mean"])[0, 1]) < 0.2


def gain(feature: Any, target: Any) -> float:
    """Correlation in units of its standard error under independence."""
    return float(np.corrcoef(feature, target)[0, 1] * np.sqrt(len(target) - 1))


def test_a_shuffled_target_gains_nothing_out_of_fold() -> None:
    gains, in_sample = [], []
    for seed in range(40):
        rows, placed = made(2_000, 200, seed)
        trains = placed["split"] == 0
        y = placed.filter(trains)["y"].to_numpy()
        fitted = fit(rows, placed, block_of(smoothing=1))
        gains.append(gain(fitted.apply(rows, placed).filter(trains)["s_mean"].to_numpy(), y))
        blind = placed.with_columns(pl.lit(2, pl.UInt8).alias("split"), pl.lit(None, pl.UInt8).alias("fold"))
        in_sample.append(gain(fitted.apply(rows, blind).filter(trains)["s_mean"].to_numpy(), y))
    # The mean of 40 gains has a standard error of 1 / sqrt(40) of that of one.
    assert abs(np.mean(gains)) < 2 / np.sqrt(40)
    assert np.mean(in_sample) > 5, "told of themselves, rows do gain, or the test shows nothing"


def test_fitted_on_all_rows_test_rows_count_once() -> None:
    rows, placed = made(400, 30)
    block = block_of(smoothing=0)
    fitted = decide_statistics(collect_statistics(rows, placed, block), block)
    found = fitted.apply(rows, placed)
    assert found.height == rows.height
    means = rows.hstack(placed).select(pl.col("y").mean().over("drug"))["y"]
    outside = placed["split"] != 0
    np.testing.assert_allclose(found["s_mean"].filter(outside), means.filter(outside), rtol=1e-12)


def test_rows_without_a_target_count_for_nothing() -> None:
    rows, placed = made(400, 30)
    missing = placed.with_columns(pl.when(pl.int_range(pl.len()) % 3 == 0).then(None).otherwise("y").alias("y"))
    keep = missing["y"].is_not_null()
    known = fit(rows.filter(keep), missing.filter(keep), block_of())
    assert fit(rows, missing, block_of()).table.equals(known.table)


def test_a_class_has_no_mean_and_a_column_no_name_of_ours() -> None:
    rows, placed = made(50, 3)
    with pytest.raises(ConfigError, match="block 's': the target 'y' has texts"):
        collect_statistics(rows, placed.with_columns(pl.lit("A").alias("y")), block_of())
    with pytest.raises(ConfigError, match="has a column 'mean' itself"):
        collect_statistics(rows.rename({"drug": "mean"}), placed, block_of(by=("mean",)))


@pytest.mark.parametrize("name", ["n", "deviation", "overall"])
def test_a_level_that_is_called_like_a_column_of_the_table_is_refused(name: str) -> None:
    rows, placed = made(50, 3)
    with pytest.raises(ConfigError, match=name):
        fit(rows.rename({"drug": name}), placed, block_of(by=[name]))
