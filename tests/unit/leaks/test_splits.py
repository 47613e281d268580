"""What crosses the split: groups, rows, and what was fitted on the wrong side of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from tahoe_engine.errors import ConfigError
from tahoe_engine.leaks import find_fitted_elsewhere, find_leaks, find_straddling

ROWS = 1_000


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.fixture
def table(random: np.random.Generator) -> pl.DataFrame:
    sample = random.integers(0, 40, ROWS)
    return pl.DataFrame(random.normal(size=(ROWS, 5)), schema=[f"x{place}" for place in range(5)]).with_columns(
        pl.Series("y", random.normal(size=ROWS)),
        pl.Series("sample", [f"smp_{one:02}" for one in sample]),
        pl.Series("split", np.where(sample % 5 == 0, "test", np.where(sample % 5 == 1, "validation", "train"))),
    )


def tell(table: pl.DataFrame, **options: Any) -> list[tuple[str, str]]:
    return [(leak.column, leak.kind) for leak in find_leaks(table, "y", **options)]


def test_groups_on_one_side_each_are_honest(table: pl.DataFrame) -> None:
    assert tell(table, split="split", groups="sample") == []


def test_a_group_on_both_sides_is_named_and_counted(table: pl.DataFrame) -> None:
    rows = np.flatnonzero((table["sample"] == "smp_03").to_numpy())[:4]
    split = table["split"].to_numpy().copy()
    split[rows] = "test"
    (leak,) = find_leaks(table.drop("split"), "y", split=split, groups=["sample"])
    assert (leak.column, leak.kind, leak.facts["held_out_rows"], leak.facts["named"]) == (
        "sample",
        "straddle",
        4,
        ["smp_03"],
    )
    assert "1 of 40 groups of sample" in leak.evidence


def test_one_row_in_a_million_is_enough() -> None:
    sample = np.repeat(np.arange(1_000), 1_000)
    split = sample >= 800
    split[7] = True
    table = pl.DataFrame({"y": np.random.default_rng(0).normal(size=sample.size), "sample": sample})
    (leak,) = find_leaks(table, "y", split=split, groups="sample", max_rows=100)
    assert leak.facts["named"] == ["0"]


@pytest.mark.parametrize(
    "words", [{0: "train", 2: "test"}, {0: "Train", 2: "TEST "}, {0: 0, 2: 2}, {0: 0, 2: 1}, {0: False, 2: True}]
)
def test_a_split_may_be_said_in_several_ways(table: pl.DataFrame, words: dict[int, Any]) -> None:
    sides = [words[0]] * (ROWS - 10) + [words[2]] * 10
    (leak,) = find_leaks(table.drop("split"), "y", split=sides, groups="sample")
    assert leak.facts["held_out_rows"] == 10


def test_validation_is_held_out_as_well(table: pl.DataFrame) -> None:
    counts = pl.DataFrame({"sample": ["a", "a", "b"], "split": [0, 1, 2], "n_rows": [3, 2, 4]})
    (leak,) = find_straddling(counts, ["sample"])
    assert leak.facts["held_out_rows"] == 2
    assert tell(table.with_columns(split=pl.lit("validation")), split="split", groups="sample") == []


def test_groups_of_two_columns_are_their_pairs() -> None:
    drug, line = np.repeat(np.arange(10), 20), np.tile(np.repeat(np.arange(4), 5), 10)
    table = pl.DataFrame({"drug": drug, "line": line, "y": np.random.default_rng(0).normal(size=200)})
    split = (drug + line) % 4 == 0
    assert tell(table, split=split, groups=["drug", "line"]) == []
    assert tell(table, split=split, groups="drug") == [("drug", "straddle")]
    assert tell(table.drop("drug", "line"), split=split, groups=drug * 4 + line) == []
    assert tell(table.drop("drug", "line"), split=split, groups=drug) == [("groups", "straddle")]


def test_a_group_that_is_not_known_straddles_nothing(table: pl.DataFrame) -> None:
    assert tell(table.with_columns(sample=pl.lit(None, dtype=pl.String)), split="split", groups="sample") == []


def test_rows_that_were_copied_across_are_told(table: pl.DataFrame) -> None:
    copies = table.head(50).with_columns(split=pl.lit("test"), sample=pl.lit("smp_00"))
    table = table.with_columns(split=pl.lit("train"))
    assert tell(pl.concat([table, copies]), split="split") == [("(rows)", "straddle")]
    assert tell(pl.concat([table, copies.with_columns(pl.col("x1") + 1)]), split="split") == []


@pytest.mark.parametrize("others", ["all", "train"])
@pytest.mark.parametrize("kind", ["standardized", "single", "min-max", "imputed", "centred"])
def test_what_was_fitted_on_test_rows_is_told(table: pl.DataFrame, random: Any, others: str, kind: str) -> None:
    values = random.gamma(3, 2, ROWS)
    trains = (table["split"] == "train").to_numpy()
    values[np.flatnonzero(~trains)[0]] = 60.0  # the largest, where the range ends
    base = trains if others == "train" else np.ones(ROWS, dtype=bool)
    mean, sd = values[base].mean(), values[base].std()
    if kind == "min-max":
        values = (values - values[base].min()) / np.ptp(values[base])
    elif kind == "imputed":
        holes = random.random(ROWS) < 0.1
        values[holes] = values[base & ~holes].mean()
    else:
        values = (values - mean) / (1.0 if kind == "centred" else sd)
    if kind == "single":
        values = values.astype(np.float32)
    told = tell(table.with_columns(pl.Series("z", values)), split="split")
    assert told == ([("z", "fitted_on_test")] if others == "all" else [])


def test_both_means_stand_in_the_evidence(table: pl.DataFrame) -> None:
    values = table["x0"].to_numpy()
    (leak,) = find_leaks(table.with_columns(x0=pl.Series((values - values.mean()) / values.std())), "y", split="split")
    trains = (table["split"] == "train").to_numpy()
    assert leak.facts["train_mean"] == pytest.approx(((values - values.mean()) / values.std())[trains].mean())
    assert f"{leak.facts['train_mean']:.4g}" in leak.evidence


@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize("others", ["all", "train"])
def test_singular_vectors_of_all_rows_are_told(table: pl.DataFrame, random: Any, others: str, centred: bool) -> None:  # noqa: FBT001
    genes = random.gamma(1, 1, (ROWS, 30))
    trains = (table["split"] == "train").to_numpy()
    base = trains if others == "train" else np.ones(ROWS, dtype=bool)
    genes = genes - genes[base].mean(axis=0) if centred else genes
    turns = np.linalg.svd(genes[base], full_matrices=False)[2][:4]
    table = table.with_columns(pl.Series(f"pc{place}", genes @ turns[place]) for place in range(4))
    told = [(f"pc{place}", "fitted_on_test") for place in range(4)]
    assert tell(table, split="split") == (told if others == "all" else [])


def test_a_code_that_is_balanced_by_design_is_honest(random: np.random.Generator) -> None:
    code = np.tile([-1.0, 1.0], ROWS // 2)
    table = pl.DataFrame({"code": code, "dose": np.tile([-2.0, -1, 0, 1, 2], ROWS // 5), "y": random.normal(size=ROWS)})
    assert tell(table, split=random.random(ROWS) < 0.3) == []


def test_a_transformer_that_saw_other_rows_is_told() -> None:
    train = {"rows": 8, "keys": 77}
    told = {
        "train": train,
        "transformers": {"a": {"fitted_on": train}, "b": {"fitted_on": {"rows": 8, "keys": 78}}, "c": {}},
    }
    assert [(leak.column, leak.kind) for leak in find_fitted_elsewhere(told)] == [("b", "fitted_on_test")]


def test_a_split_of_other_words_or_length_is_refused(table: pl.DataFrame) -> None:
    with pytest.raises(ConfigError, match="the split says 'smp_00'"):
        find_leaks(table, "y", split="sample")
    with pytest.raises(ConfigError, match="the split has 3 values and the table 1,000 rows"):
        find_leaks(table, "y", split=[0, 1, 2])
    with pytest.raises(ConfigError, match="no column 'samples' for the groups; did you mean 'sample'"):
        find_leaks(table, "y", split="split", groups="samples")


def test_a_frame_of_pandas_is_read_as_one_of_polars(table: pl.DataFrame) -> None:
    table = table.with_columns(x1=2 * pl.col("y"), gaps=pl.when(pl.col("x2") > 0).then(pl.col("x3")))
    leaks = find_leaks(table.to_pandas(), "y", split="split", groups="sample")
    assert leaks == find_leaks(table, "y", split="split", groups="sample")
    assert {leak.column for leak in leaks} == {"x1", "gaps"}  # gaps repeats x3


def test_what_holds_in_all_training_rows_and_no_others_is_told() -> None:
    draw = np.random.default_rng(0)
    y, other = draw.normal(size=600), draw.normal(size=600)
    split = ["test" if at % 5 == 0 else "train" for at in range(600)]
    trains = np.array(split) == "train"
    up = y > 0
    signed = np.where(trains, np.abs(y) * np.where(up, 1, -1), other)
    table = pl.DataFrame({"up": up, "x": signed, "noise": draw.normal(size=600), "split": split})
    (leak,) = find_leaks(table, "up", split="split")
    assert (leak.column, leak.kind) == ("x", "auc")
    assert leak.evidence.endswith("(training rows alone)")
    assert not find_leaks(table.with_columns(x=pl.Series(other)), "up", split="split")
