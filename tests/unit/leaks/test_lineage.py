"""What a column was made of tells whether it may stand beside a target."""

from __future__ import annotations

from typing import Any

import pytest

from tahoe_engine.errors import StageError
from tahoe_engine.leaks import find_lineage_leaks


def make(**column: Any) -> dict[str, Any]:
    told = {"block": "b", "sources": [], "steps": [], "ancestor_targets": [], **column}
    targets = {"delta": {"value_columns": ["mean"], "key_columns": ["plate", "line"]}}
    return {"targets": targets, "columns": {"out": told}, "derived": {"log_mean": ["mean"], "ratio": ["log_mean", "n"]}}


@pytest.mark.parametrize(
    ("column", "leaks"),
    [
        ({"sources": ["mean"]}, True),
        ({"sources": ["length", "mean"], "steps": ["polynomial"]}, True),
        ({"sources": ["log_mean"]}, True),
        ({"sources": ["ratio"]}, True),
        ({"sources": ["n"]}, False),
        ({"sources": ["plate", "line"]}, False),
        ({"sources": ["drug"], "ancestor_targets": ["delta"]}, True),
        ({"sources": ["drug"], "ancestor_targets": ["delta"], "out_of_fold": True}, False),
        ({"sources": ["drug"], "ancestor_targets": ["delta"], "steps": ["folds"]}, False),
        ({"sources": ["drug"], "ancestor_targets": ["other"]}, False),
    ],
)
def test_a_column_leaks_by_its_lineage(column: dict[str, Any], leaks: bool) -> None:  # noqa: FBT001
    assert [(leak.column, leak.kind) for leak in find_lineage_leaks(make(**column), "delta")] == [
        ("out", "lineage")
    ] * leaks


def test_a_target_made_of_a_formula_has_the_columns_of_the_formula() -> None:
    lineage = make(sources=["n"])
    lineage["targets"]["delta"]["value_columns"] = ["ratio"]
    (leak,) = find_lineage_leaks(lineage, "delta")
    assert "out is made of n, and so is the target delta" in leak.evidence


def test_a_target_that_nobody_knows_is_refused() -> None:
    with pytest.raises(StageError, match="the lineage knows no target 'gamma'; it has delta"):
        find_lineage_leaks(make(), "gamma")
