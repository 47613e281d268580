"""Classes that columns give away: alone, by what is missing, by their means, or tied to each other."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import polars as pl
import pytest

from tahoe_engine.leaks import find_leaks

ROWS = 2_000


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(6)


@pytest.fixture
def noise(random: np.random.Generator) -> pl.DataFrame:
    return pl.DataFrame(random.normal(size=(ROWS, 6)), schema=[f"x{place}" for place in range(6)])


def tell(table: pl.DataFrame, target: str, **options: Any) -> list[tuple[str, str]]:
    return [(leak.column, leak.kind) for leak in find_leaks(table, target, **options)]


@pytest.mark.parametrize("kind", [pl.Boolean, pl.Int8, pl.Float64, pl.String])
def test_a_column_that_separates_two_classes_is_told(noise: pl.DataFrame, kind: Any) -> None:
    table = noise.with_columns(y=(pl.col("x3") > 0.4).cast(kind))
    assert tell(table, "y") == [("x3", "auc")]
    assert tell(table.with_columns(-pl.col("x3")), "y") == [("x3", "auc")]


def test_one_row_on_the_wrong_side_makes_it_honest(noise: pl.DataFrame) -> None:
    wrong = pl.col("x3") == pl.col("x3").max()
    table = noise.with_columns(y=(pl.col("x3") > 0.4) & ~wrong)
    assert tell(table, "y") == []


def test_one_class_against_the_rest_is_enough(noise: pl.DataFrame, random: np.random.Generator) -> None:
    label = random.choice(["a", "b", "c"], ROWS)
    table = noise.with_columns(pl.Series("y", label), x1=pl.col("x1") + pl.Series(20.0 * (label == "b")))
    (leak,) = find_leaks(table, "y")
    assert (leak.column, leak.kind, leak.facts["classes"]) == ("x1", "auc", ["b"])


def test_that_a_value_is_missing_may_tell_the_class(noise: pl.DataFrame) -> None:
    table = noise.with_columns(y=pl.col("x0") > 0).drop("x0")
    table = table.with_columns(gaps=pl.when("y").then(None).otherwise(pl.col("x1") ** 2))
    (leak,) = find_leaks(table, "y")
    assert (leak.column, leak.kind) == ("gaps", "auc")
    assert "whether gaps is missing" in leak.evidence


def test_a_few_rows_at_the_end_of_a_column_are_no_leak(noise: pl.DataFrame) -> None:
    top = noise["x2"].top_k(5)[4]
    assert tell(noise.with_columns(y=pl.col("x2") >= top), "y") == []


def test_the_label_in_other_words_is_told(noise: pl.DataFrame) -> None:
    table = noise.with_columns(y=pl.col("x0") > 0).drop("x0")
    table = table.with_columns(word=pl.when("y").then(pl.lit("up")).otherwise(pl.lit("down")))
    assert tell(table, "y") == [("word", "function")]


def test_three_columns_may_be_tied_by_the_class(noise: pl.DataFrame, random: np.random.Generator) -> None:
    label = random.integers(0, 3, ROWS)
    table = noise.with_columns(
        z=pl.col("x0") + pl.col("x1") - 2 * pl.col("x2") + pl.Series(np.array([0.0, 0.3, -0.2])[label]),
        y=pl.Series(label).cast(pl.String),
    )
    (leak,) = find_leaks(table, "y")
    assert (leak.column, leak.kind) == ("z", "affine_within_classes")
    assert set(leak.columns) == {"x0", "x1", "x2", "z"}


def test_columns_that_are_tied_the_same_way_in_all_classes_are_duplicates_only(
    noise: pl.DataFrame, random: Any
) -> None:
    table = noise.with_columns(pl.Series("y", random.choice(["a", "b"], ROWS)), z=2 * pl.col("x0") + 1)
    assert tell(table, "y") == [("z", "duplicate")]
    table = table.with_columns(z=pl.col("x0") + pl.col("x1"))
    assert tell(table, "y") == []


def test_a_column_of_the_class_is_told(noise: pl.DataFrame, random: np.random.Generator) -> None:
    label = random.integers(0, 6, ROWS)
    table = noise.with_columns(
        pl.Series("y", [f"c{one}" for one in label]), pl.Series("age", np.array([4, 7, 7, 5, 4, 5])[label])
    )
    assert tell(table, "y") == [("age", "affine_within_classes")]


@pytest.mark.parametrize("smoothing", [0.0, 12.0])
@pytest.mark.parametrize("numeric", [True, False])
def test_the_mean_of_the_target_by_a_level_is_told(
    noise: pl.DataFrame,
    random: np.random.Generator,
    smoothing: float,
    numeric: bool,  # noqa: FBT001
) -> None:
    line = random.integers(0, 9, ROWS)
    y = random.normal(size=ROWS) + line / 5
    value = y if numeric else (y > 1).astype(float)
    sums, sizes = np.bincount(line, value), np.bincount(line)
    means = (sums + smoothing * value.mean()) / (sizes + smoothing)
    table = noise.with_columns(
        pl.Series("line", [f"l{one}" for one in line]),
        pl.Series("encoded", means[line]),
        pl.Series("y", y if numeric else y > 1),
    )
    assert tell(table, "y") == [("encoded", "target_statistics")]


@pytest.mark.parametrize("rows", [600, 3_000])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_smoothed_mean_of_a_class_is_told(random: np.random.Generator, rows: int, n_classes: int) -> None:
    line, label = random.integers(0, 6, rows), random.integers(0, n_classes, rows)
    one = label == n_classes - 1
    means = (np.bincount(line, one) + 5 * one.mean()) / (np.bincount(line) + 5)
    table = pl.DataFrame(
        {"line": [f"l{place}" for place in line], "encoded": means[line], "other": random.random(rows)}
    )
    words = pl.Series("y", one if n_classes == 2 else [f"class {place}" for place in label])
    (leak,) = find_leaks(table.with_columns(words), "y")
    assert (leak.column, leak.kind) == ("encoded", "target_statistics")
    assert leak.facts["smoothing"] == pytest.approx(5)
    shuffled = table.with_columns(words.shuffle(seed=1))
    assert tell(shuffled, "y") == []


@pytest.mark.parametrize(
    ("how", "role", "numeric"),
    [
        *product(["mean", "smoothed", "median"], ["text", "number", "groups", "gone"], [True]),
        # A median of classes is a class, and four means that are not said of what are too few to be no luck.
        *product(["mean", "smoothed"], ["text", "number", "groups"], [False]),
    ],
)
def test_levels_of_three_rows_are_enough(
    noise: pl.DataFrame,
    random: np.random.Generator,
    how: str,
    role: str,
    numeric: bool,  # noqa: FBT001
) -> None:
    level = random.permutation(np.arange(ROWS) % (ROWS // 3))
    y = random.normal(size=ROWS)
    table = noise.with_columns(pl.Series("y", y if numeric else y > 0.3), level=level)
    if role == "text":
        table = table.with_columns("well " + pl.col("level").cast(pl.String))
    value, size = pl.col("y").cast(float), pl.len().over("level")
    encoded = {
        "mean": value.mean().over("level"),
        "smoothed": (value.sum().over("level") + 5 * value.mean()) / (size + 5),
        "median": value.median().over("level"),
    }
    table = table.with_columns(encoded=encoded[how])
    leaks = find_leaks(
        table.drop("level") if role == "gone" else table, "y", groups="level" if role == "groups" else None
    )
    assert [(leak.column, leak.kind) for leak in leaks] == [("encoded", "target_statistics")]
    of_others = table.with_columns(pl.col("y").shuffle(seed=2))
    assert tell(of_others, "y", groups="level" if role == "groups" else None) == []


def test_means_out_of_fold_are_honest(noise: pl.DataFrame, random: np.random.Generator) -> None:
    line, fold = random.integers(0, 9, ROWS), random.integers(0, 5, ROWS)
    y = random.normal(size=ROWS) + line / 5
    encoded = np.zeros(ROWS)
    for one in range(5):
        others = fold != one
        means = np.bincount(line[others], y[others]) / np.bincount(line[others])
        encoded[fold == one] = means[line[fold == one]]
    table = noise.with_columns(
        pl.Series("line", line).cast(pl.String), pl.Series("encoded", encoded), pl.Series("y", y)
    )
    assert tell(table, "y") == []


def test_leaving_only_the_row_itself_out_gives_it_away(noise: pl.DataFrame, random: np.random.Generator) -> None:
    line = random.integers(0, 9, ROWS)
    y = random.normal(size=ROWS)
    others = (np.bincount(line, y)[line] - y) / (np.bincount(line)[line] - 1)
    table = noise.with_columns(pl.Series("line", line).cast(pl.String), pl.Series("encoded", others), pl.Series("y", y))
    assert tell(table, "y") == [("encoded", "affine")]


@pytest.mark.parametrize("numeric", [True, False])
def test_leaving_only_the_row_itself_out_of_few_gives_it_away(
    noise: pl.DataFrame,
    random: np.random.Generator,
    numeric: bool,  # noqa: FBT001
) -> None:
    level = random.integers(0, ROWS // 3, ROWS)
    y = random.normal(size=ROWS)
    value = y if numeric else (y > 0).astype(float)
    size = np.bincount(level)[level]
    others = np.where(size > 1, (np.bincount(level, value)[level] - value) / np.maximum(size - 1, 1), np.nan)
    table = noise.with_columns(
        pl.Series("well", level).cast(pl.String),
        pl.Series("encoded", others).fill_nan(value.mean()),
        pl.Series("y", y if numeric else y > 0),
    )
    assert tell(table, "y") == [("encoded", "target_statistics")]
    assert tell(table.with_columns(pl.col("y").shuffle(seed=3)), "y") == []
