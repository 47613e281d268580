"""A class that is a threshold on a sum of columns is told; clouds that lie apart and noisy thresholds are honest."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from tahoe_engine.leaks import find_leaks

ROWS = 3_000


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(8)


@pytest.fixture
def noise(random: np.random.Generator) -> pl.DataFrame:
    return pl.DataFrame(random.normal(size=(ROWS, 6)), schema=[f"x{place}" for place in range(6)])


def tell(table: pl.DataFrame) -> set[tuple[str, str]]:
    return {(leak.column, leak.kind) for leak in find_leaks(table, "y")}


@pytest.mark.parametrize(
    ("score", "names"),
    [
        (pl.col("x0") + pl.col("x1"), ["x0", "x1"]),
        (pl.col("x3") - pl.col("x2"), ["x2", "x3"]),
        (pl.col("x3") * 2 - pl.col("x2") + pl.col("x5") / 2 + 0.7, ["x2", "x3", "x5"]),
    ],
)
@pytest.mark.parametrize("n_more", [0, 34])
def test_a_threshold_on_a_sum_names_its_columns(
    noise: pl.DataFrame, random: np.random.Generator, score: pl.Expr, names: list[str], n_more: int
) -> None:
    more = {f"more{place}": random.normal(size=ROWS) for place in range(n_more)}
    assert tell(noise.with_columns(**more, y=score > 0)) == {(name, "separation") for name in names}


def test_the_weights_are_told(noise: pl.DataFrame) -> None:
    leak, _ = find_leaks(
        noise.with_columns(x0=10 * pl.col("x0") + 3).with_columns(y=pl.col("x0") + 5 * pl.col("x1") > 2), "y"
    )
    weights = dict(zip(sorted(leak.columns), leak.facts["weights"], strict=True))
    assert weights["x0"] / weights["x1"] == pytest.approx(1 / 5, rel=0.02)
    assert leak.facts["threshold"] / weights["x0"] == pytest.approx(2, abs=0.2)
    assert leak.facts["class"] == "true"


def test_one_class_of_three_is_enough(noise: pl.DataFrame, random: np.random.Generator) -> None:
    other = pl.Series(random.choice(["b", "c"], ROWS))
    table = noise.with_columns(y=pl.when(pl.col("x0") + pl.col("x4") > 1).then(pl.lit("a")).otherwise(other))
    assert tell(table) == {("x0", "separation"), ("x4", "separation")}


def test_one_row_on_the_wrong_side_makes_it_honest(noise: pl.DataFrame) -> None:
    score = pl.col("x0") + pl.col("x1")
    assert tell(noise.with_columns(y=(score > 0) & (score < score.max()))) == set()


def test_a_threshold_with_noise_is_honest(noise: pl.DataFrame, random: np.random.Generator) -> None:
    score = pl.col("x0") + pl.col("x1") + pl.Series(0.05 * random.normal(size=ROWS))
    assert tell(noise.with_columns(y=score > 0)) == set()


@pytest.mark.parametrize("apart", [3.0, 5.0, 6.0, 7.0, 8.0, 9.0])
def test_clouds_that_lie_apart_are_honest(random: np.random.Generator, apart: float) -> None:
    label = random.integers(0, 2, ROWS)
    values = random.normal(size=(ROWS, 3)) + apart / np.sqrt(3) * label[:, None]
    table = pl.DataFrame(values, schema=["pc1", "pc2", "pc3"]).with_columns(pl.Series("y", label).cast(pl.String))
    assert tell(table) == set()


@pytest.mark.parametrize("rows", [10, 40, 60, 200])
def test_few_rows_among_many_columns_are_separated_by_luck(random: np.random.Generator, rows: int) -> None:
    table = pl.DataFrame(random.normal(size=(rows, 40)), schema=[f"x{place}" for place in range(40)])
    assert tell(table.with_columns(pl.Series("y", random.random(rows) < 0.5))) == set()
