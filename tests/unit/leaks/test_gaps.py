"""What gives the target away in most rows does so, whatever fills the rest; a signal with filled gaps does not."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from tahoe_engine.leaks import find_leaks

ROWS = 2_000


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(9)


@pytest.fixture
def noise(random: np.random.Generator) -> pl.DataFrame:
    return pl.DataFrame(random.normal(size=(ROWS, 5)), schema=[f"x{place}" for place in range(5)])


def tell(table: pl.DataFrame, **options: Any) -> set[tuple[str, str]]:
    return {(leak.column, leak.kind) for leak in find_leaks(table, "y", **options)}


@pytest.mark.parametrize("share", [0.01, 0.05, 1 / 3])
@pytest.mark.parametrize("value", [0.0, 0.123, -50.0])
@pytest.mark.parametrize(("image", "kind"), [(lambda y: 2 * y, "affine"), (np.exp, "monotone")])
def test_a_copy_of_which_gaps_were_filled_is_told(
    noise: pl.DataFrame, random: np.random.Generator, share: float, value: float, image: Any, kind: str
) -> None:
    y = random.normal(size=ROWS)
    holes = random.random(ROWS) < share
    table = noise.with_columns(pl.Series("copy", np.where(holes, value, image(y))), pl.Series("y", y))
    (leak,) = find_leaks(table, "y")
    assert (leak.column, leak.kind) == ("copy", kind)
    assert leak.facts["share"] == pytest.approx(1 - holes.mean())
    assert f"in the other {holes.mean():.1%} copy is {value:g}" in leak.evidence


def test_a_filled_value_gives_its_delta_away_within_groups(noise: pl.DataFrame, random: np.random.Generator) -> None:
    plate = random.integers(0, 12, ROWS)
    value = random.normal(size=ROWS)
    filled = np.where(random.random(ROWS) < 0.1, 0.0, value)
    table = noise.with_columns(
        pl.Series("plate", plate).cast(pl.String),
        pl.Series("value", filled),
        pl.Series("y", value - random.normal(size=12)[plate]),
    )
    assert tell(table) == {("value", "affine")}


def test_a_filled_difference_names_its_columns(noise: pl.DataFrame, random: np.random.Generator) -> None:
    holes = pl.Series(random.random(ROWS) < 0.1)
    table = noise.with_columns(y=pl.col("x1") - pl.col("x3"), x1=pl.when(holes).then(0.25).otherwise("x1"))
    assert tell(table) == {("x1", "affine_combination"), ("x3", "affine_combination")}


@pytest.mark.parametrize("role", ["text", "groups"])
def test_a_copy_within_half_of_the_groups_is_told(noise: pl.DataFrame, random: np.random.Generator, role: str) -> None:
    group = random.choice(list("ABCDEF"), ROWS)
    y = random.normal(size=ROWS)
    half = np.isin(group, ["A", "C", "D", "F"])
    table = noise.with_columns(
        pl.Series("group", group), pl.Series("copy", np.where(half, 2 * y, noise["x0"])), pl.Series("y", y)
    )
    (leak,) = find_leaks(table, "y", groups="group" if role == "groups" else None)
    assert (leak.column, leak.kind) == ("copy", "affine")
    assert leak.facts["share"] == pytest.approx(half.mean())
    assert f"{half.mean():.1%} of the rows" in leak.evidence


@pytest.mark.parametrize("noisy", [1e-3, 0.3])
def test_a_signal_with_filled_gaps_is_honest(noise: pl.DataFrame, random: np.random.Generator, noisy: float) -> None:
    filled = np.where(random.random(ROWS) < 0.1, 0.0, noise["x2"].to_numpy())
    table = noise.with_columns(pl.Series("x2", filled), y=pl.col("x2") + noisy * pl.Series(random.normal(size=ROWS)))
    assert tell(table) == set()


def test_zeros_of_counts_are_honest(noise: pl.DataFrame, random: np.random.Generator) -> None:
    genes = {f"g{place}": np.log1p(random.poisson(0.5, ROWS) * random.lognormal(1, 0.4, ROWS)) for place in range(8)}
    table = noise.with_columns(**genes)
    table = table.with_columns(y=pl.col("g0") + pl.col("g1") * 0.5 + pl.Series(random.normal(size=ROWS)))
    assert tell(table) == set()
    assert tell(table.with_columns(y=pl.Series(random.poisson(0.3, ROWS)))) == set()
