"""Each kind of identity is found where it was planted, and the honest neighbours of each are left alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from tahoe_engine.errors import ConfigError
from tahoe_engine.leaks import KINDS, Leak, find_leaks

ROWS = 2_000


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(5)


@pytest.fixture
def noise(random: np.random.Generator) -> pl.DataFrame:
    return pl.DataFrame(random.normal(size=(ROWS, 6)), schema=[f"x{place}" for place in range(6)])


def tell(leaks: list[Leak]) -> set[tuple[str, str]]:
    assert all(leak.kind in KINDS and leak.evidence and leak.column in leak.columns for leak in leaks)
    return {(leak.column, leak.kind) for leak in leaks}


@pytest.mark.parametrize(
    ("copy", "kind"),
    [
        (lambda y: y, "affine"),
        (lambda y: -3 * y + 7, "affine"),
        (lambda y: (1000 + y).astype(np.float32), "affine"),
        (lambda y: np.where(np.arange(ROWS) % 100 == 0, np.nan, y), "affine"),
        (lambda y: [f"{value:.12f}" for value in y], "affine"),
        (lambda y: [f" {value:.12f} " for value in y], "affine"),
        (np.exp, "monotone"),
        (lambda y: -(y**3), "monotone"),
        (lambda y: np.round(y, 1), "monotone"),
        (lambda y: y > 0.2, "monotone"),
        (np.argsort, None),
        (lambda y: np.argsort(np.argsort(y)), "monotone"),
        (np.square, "function"),
        (lambda y: np.sin(2 * y), "function"),
    ],
)
def test_an_image_of_the_target_is_told(noise: pl.DataFrame, random: Any, copy: Any, kind: str | None) -> None:
    y = random.normal(size=ROWS)
    table = noise.with_columns(pl.Series("image", copy(y)), pl.Series("y", y))
    assert tell(find_leaks(table, "y")) == ({("image", kind)} if kind else set())


def test_the_line_is_told_with_its_numbers(noise: pl.DataFrame) -> None:
    (leak,) = find_leaks(noise.with_columns(y=2 * pl.col("x3") - 5), "y")
    assert leak.facts["slope"] == pytest.approx(2)
    assert leak.facts["offset"] == pytest.approx(-5)
    assert leak.facts["rows"] == ROWS
    assert "2·x3 - 5" in leak.evidence


@pytest.mark.parametrize(
    ("formula", "columns"),
    [
        (pl.col("x0") - pl.col("x1"), {"x0", "x1"}),
        (pl.col("x0") + 2 * pl.col("x2") - pl.col("x5") + 1, {"x0", "x2", "x5"}),
        (pl.col("x0") * pl.col("x1"), {"x0", "x1"}),
        (pl.col("x0") / pl.col("x1"), {"x0", "x1"}),
        ((pl.col("x0") / pl.col("x1")).abs().log(), {"x0", "x1"}),
    ],
)
@pytest.mark.parametrize("missing", [0.0, 0.01])
def test_a_combination_names_its_columns(
    noise: pl.DataFrame, random: Any, formula: Any, columns: Any, missing: float
) -> None:
    table = noise.with_columns(y=formula)
    holes = random.random((ROWS, 6)) < missing
    table = table.with_columns(
        pl.when(pl.Series(holes[:, place])).then(None).otherwise(pl.col(f"x{place}")).alias(f"x{place}")
        for place in range(6)
    )
    assert tell(find_leaks(table, "y")) == {(name, "affine_combination") for name in columns}


def test_a_difference_is_found_among_many_columns_with_gaps(random: np.random.Generator) -> None:
    values = random.normal(size=(ROWS, 200))
    y = values[:, 11] - values[:, 150]
    values[random.random(values.shape) < 0.02] = np.nan  # hardly a row is complete
    table = pl.DataFrame(values, schema=[f"x{place}" for place in range(200)]).with_columns(pl.Series("y", y))
    assert tell(find_leaks(table, "y")) == {("x11", "affine_combination"), ("x150", "affine_combination")}


def test_a_line_with_other_slopes_in_each_group_is_told(noise: pl.DataFrame, random: np.random.Generator) -> None:
    group = random.integers(0, 30, ROWS)
    slopes, offsets = random.normal(size=30), random.normal(size=30)
    y = slopes[group] * noise["x2"].to_numpy() + offsets[group]
    table = noise.with_columns(pl.Series("plate", [f"plate{one}" for one in group]), pl.Series("y", y))
    (leak,) = find_leaks(table, "y")
    assert (leak.column, leak.kind) == ("x2", "affine")
    order = sorted(range(30), key=str)
    assert leak.facts["slopes"] == pytest.approx(slopes[order])
    assert leak.facts["offsets"] == pytest.approx(offsets[order])


def test_a_value_gives_its_delta_away_within_two_columns(noise: pl.DataFrame, random: np.random.Generator) -> None:
    line, plate = random.choice(list("abcdefgh"), ROWS), random.choice(["p1", "p2", "p3"], ROWS)
    table = noise.with_columns(pl.Series("line", line), pl.Series("plate", plate), value=pl.col("x0") + 5)
    table = table.with_columns(delta=pl.col("value") - pl.col("value").head(7).mean().over("line", "plate"))
    assert ("value", "affine") in tell(find_leaks(table.drop("x0"), "delta"))
    assert find_leaks(table.drop("x0", "value"), "delta") == []


def test_the_lines_of_one_hot_columns_are_groups_too(noise: pl.DataFrame, random: np.random.Generator) -> None:
    group = random.integers(0, 5, ROWS)
    slopes = np.array([1.0, -2.0, 0.5, 3.0, -1.0])
    table = noise.with_columns(
        *(pl.Series(f"g{one}", (group == one).astype(float)) for one in range(5)),
        pl.Series("y", slopes[group] * noise["x4"].to_numpy() + group),
    )
    assert tell(find_leaks(table, "y")) == {("x4", "affine")}


def test_an_order_within_groups_is_told(noise: pl.DataFrame, random: np.random.Generator) -> None:
    group = random.integers(0, 20, ROWS)
    signs = np.where(np.arange(20) % 3 == 0, -1, 1)
    y = np.exp(signs[group] * noise["x1"].to_numpy()) + 5 * random.normal(size=20)[group]
    table = noise.with_columns(pl.Series("plate", group).cast(pl.String), pl.Series("y", y))
    (leak,) = find_leaks(table, "y")
    assert (leak.column, leak.kind) == ("x1", "monotone")
    assert leak.facts["falling"] == 7  # groups 0, 3, ..., 18


def test_a_column_that_tells_the_target_by_its_levels_is_a_tautology(noise: pl.DataFrame, random: Any) -> None:
    drug = random.integers(0, 60, ROWS)
    table = noise.with_columns(
        pl.Series("drug", [f"d{one}" for one in drug]), pl.Series("moa", [f"m{one % 7}" for one in drug])
    )
    assert tell(find_leaks(table, "moa")) == {("drug", "function")}
    assert find_leaks(table.drop("drug"), "moa") == []
    dose = table.with_columns(pl.Series("y", random.normal(size=60)[drug]))
    assert tell(find_leaks(dose, "y")) == {("drug", "function")}


@pytest.mark.parametrize("image", [lambda x: x, lambda x: 5 - 2 * x, lambda x: x.astype(np.float32)])
def test_a_feature_that_is_there_twice_is_told(noise: pl.DataFrame, random: Any, image: Any) -> None:
    table = noise.with_columns(
        pl.Series("again", image(noise["x2"].to_numpy())), pl.Series("y", random.normal(size=ROWS))
    )
    (leak,) = find_leaks(table, "y")
    assert (leak.kind, leak.columns) == ("duplicate", ("again", "x2"))


def test_equal_texts_are_told_and_other_names_of_the_same_levels_are_not(noise: pl.DataFrame, random: Any) -> None:
    line = random.choice(["A", "B", "C"], ROWS)
    table = noise.with_columns(
        pl.Series("line", line),
        pl.Series("again", line),
        pl.Series("name", [f"line {one}" for one in line]),
        pl.Series("y", random.normal(size=ROWS)),
    )
    assert tell(find_leaks(table, "y")) == {("again", "duplicate")}


def test_a_missing_column_is_named_with_the_nearest(noise: pl.DataFrame) -> None:
    with pytest.raises(ConfigError, match="no column 'x55' for the target; did you mean 'x5'"):
        find_leaks(noise, "x55")


def test_a_list_is_no_frame() -> None:
    with pytest.raises(ConfigError, match="this is a list"):
        find_leaks([1, 2], "y")


def test_a_long_table_is_looked_at_by_a_sample_that_is_said(random: np.random.Generator) -> None:
    x = random.normal(size=30_000)
    table = pl.DataFrame({"x": x, "y": 2 * x})
    (leak,) = find_leaks(table, "y", max_rows=5_000)
    assert leak.facts["rows"] == 5_000
    assert "5,000 of 30,000 rows" in leak.evidence
    assert find_leaks(table, "y", max_rows=5_000)[0].evidence == leak.evidence


@pytest.mark.parametrize("empty", [pl.DataFrame({"x": [], "y": []}), pl.DataFrame({"x": [1.0], "y": [None]})])
def test_a_table_without_rows_has_no_leaks(empty: pl.DataFrame) -> None:
    assert find_leaks(empty, "y") == []


def test_a_copy_without_the_large_values_is_a_duplicate(noise: pl.DataFrame, random: np.random.Generator) -> None:
    table = noise.with_columns(
        pl.Series("y", random.normal(size=ROWS)), cut=pl.when(pl.col("x1") < 0).then(pl.col("x1"))
    )
    assert tell(find_leaks(table, "y")) == {("cut", "duplicate")}


def test_the_target_in_bins_is_told_and_a_strong_effect_is_not(
    noise: pl.DataFrame, random: np.random.Generator
) -> None:
    y = random.normal(size=ROWS)
    bins = np.digitize(y, [-1.0, 0.0, 1.0])
    table = noise.with_columns(
        *(pl.Series(f"bin{one}", (bins == one).astype(float)) for one in range(4)), pl.Series("y", y)
    )
    assert tell(find_leaks(table, "y")) == {("bin0", "monotone")}
    drug = random.integers(0, 4, ROWS)
    table = noise.with_columns(
        *(pl.Series(f"drug{one}", (drug == one).astype(float)) for one in range(4)), pl.Series("y", y + 20 * drug)
    )
    assert find_leaks(table, "y") == []


def test_a_treatment_that_moves_every_row_is_honest(noise: pl.DataFrame, random: np.random.Generator) -> None:
    treated = random.random(ROWS) < 0.3
    table = noise.with_columns(pl.Series("treated", treated), pl.Series("y", random.normal(size=ROWS) + 12 * treated))
    assert find_leaks(table, "y") == []


@pytest.mark.parametrize("dtype", [pl.List(pl.Int64), pl.Object])
def test_a_target_that_is_no_value_is_refused(noise: pl.DataFrame, dtype: Any) -> None:
    with pytest.raises(ConfigError, match="give numbers, text or truth values"):
        find_leaks(noise.with_columns(pl.Series("y", [[1]] * ROWS, dtype=dtype)), "y")


@pytest.mark.parametrize("write", [repr, lambda value: f" {value:.12f}", lambda value: f"{round(1000 * value)}"])
def test_a_target_of_numbers_may_be_given_as_text(noise: pl.DataFrame, random: Any, write: Any) -> None:
    text = [write(float(value)) for value in random.normal(size=ROWS)]
    table = noise.with_columns(pl.Series("y", text), pl.Series("copy", [3 * float(value) for value in text]))
    assert ("copy", "affine") in tell(find_leaks(table, "y"))
    assert find_leaks(table.drop("copy"), "y") == []


@pytest.mark.parametrize(("of_target", "of_copy"), [(1e200, 1.0), (1e160, 1.0), (1.0, 1e200), (1e200, 1e250)])
def test_values_too_large_to_be_squared_are_told_in_units(
    noise: pl.DataFrame, random: Any, of_target: float, of_copy: float
) -> None:
    y = random.normal(size=ROWS)
    table = noise.with_columns(pl.Series("y", of_target * y), pl.Series("copy", of_copy * y))
    (leak,) = find_leaks(table, "y")
    assert (leak.column, leak.kind) == ("copy", "affine")
    assert "in units of 1e+" in leak.evidence
