"""The guard fires on the references' own tables (REFERENCE.md, rows A10, A17 and C2), for what leaks in them alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tahoe_engine.leaks import find_leaks

ROWS = 20_000
SLOPE, OFFSETS = 1.029003, {"CVCL_0131": -0.1095, "CVCL_1239": 0.3906}
TOP_TABLE = Path(__file__).parents[4] / "shared" / "reference" / "dge_top_table" / "gene_expression_data.csv"


@pytest.fixture(scope="module")
def seed_table() -> pl.DataFrame:
    """The table of A17: noise in place of expression, and the identity that was found in the published rows."""
    random = np.random.default_rng(17)
    line = np.where(random.random(ROWS) < 0.7818, "CVCL_0131", "CVCL_1239")
    mean = random.normal(size=ROWS)
    drug = random.integers(0, 11, ROWS)
    return pl.DataFrame(
        {f"drug_{one}": (drug == one).astype(float) for one in range(11)}
        | {
            "mean_expression": mean,
            "delta_mean": SLOPE * mean + np.array([OFFSETS[name] for name in line]),
            "expressions_length": random.integers(463, 3658, ROWS),
            "line": line,
        }
    )


@pytest.mark.parametrize("decimals", [None, 6])
def test_the_identity_of_the_line_classifier_is_found(seed_table: pl.DataFrame, decimals: int | None) -> None:
    if decimals is not None:
        seed_table = seed_table.with_columns(pl.col("mean_expression", "delta_mean").round(decimals))
    (leak,) = find_leaks(seed_table, "line")
    assert (leak.column, leak.kind) == ("delta_mean", "affine_within_classes")
    assert leak.columns == ("delta_mean", "mean_expression")
    assert leak.facts["slope"] == pytest.approx(SLOPE, abs=1e-6)
    assert leak.facts["offsets"] == pytest.approx(OFFSETS, abs=1e-6)
    assert leak.facts["residual"] < 1e-6
    for told in ("mean_expression", "1.029003", "CVCL_0131: -0.1095", "CVCL_1239: +0.3906"):
        assert told in leak.evidence


def test_without_delta_there_is_nothing_to_find(seed_table: pl.DataFrame) -> None:
    assert find_leaks(seed_table.drop("delta_mean"), "line") == []


def test_the_mean_gives_delta_away_within_the_lines(seed_table: pl.DataFrame) -> None:
    (leak,) = find_leaks(seed_table, "delta_mean")
    assert (leak.column, leak.kind) == ("mean_expression", "affine")
    assert leak.facts["slopes"] == pytest.approx([SLOPE, SLOPE], abs=1e-9)


def test_the_published_columns_are_told_as_duplicates_and_as_the_target(seed_table: pl.DataFrame) -> None:
    mean, delta = seed_table["mean_expression"].to_numpy(), seed_table["delta_mean"].to_numpy()
    powers = [mean, delta, mean**2, mean * delta, delta**2]  # PolynomialFeatures(2, include_bias=False)
    lines = {f"line_{name}": (seed_table["line"] == name).cast(pl.Float64) for name in OFFSETS}
    table = seed_table.drop("line").with_columns(
        **{f"poly_{place}": pl.Series(power) for place, power in enumerate(powers)},
        **lines,
        target=pl.col("delta_mean"),
    )
    assert table.width == 21 + 1  # 3 + 11 + 2 + 5 columns, and the target
    told = {(leak.column, leak.kind) for leak in find_leaks(table, "target")}
    assert {("delta_mean", "affine"), ("poly_1", "affine")} <= told  # the target itself, twice
    assert {("poly_0", "duplicate"), ("poly_1", "duplicate")} <= told
    assert ("poly_4", "function") in told  # its square
    assert not {column for column, _ in told if column.startswith(("drug_", "line_", "expressions_"))}


@pytest.fixture(scope="module")
def top_table() -> pl.DataFrame:
    if not TOP_TABLE.exists():
        pytest.skip(f"{TOP_TABLE} is not here")
    return pl.read_csv(TOP_TABLE).with_columns(up=(pl.col("logFC") > 0).cast(pl.Int64))


def test_a_label_that_is_a_threshold_on_a_column_is_told(top_table: pl.DataFrame) -> None:
    leaks = find_leaks(top_table, "up")
    assert [(leak.column, leak.kind) for leak in leaks] == [("logFC", "auc"), ("target", "auc")]
    assert "19 rows" in leaks[0].evidence
    assert "281" in leaks[0].evidence


def test_a_top_table_without_them_is_honest(top_table: pl.DataFrame) -> None:
    assert find_leaks(top_table.drop("logFC", "target"), "up") == []
