"""Control wells against control wells: nothing differs, and nothing is to be found."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl


@pytest.fixture(scope="module")
def controls(tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    pytest.importorskip("tahoe_engine._rust", reason="the core is not built: make build")
    from bench.null_splits import make_controls

    folder: Path = tmp_path_factory.mktemp("null") / "atlas"
    return make_controls(folder, cells=6_000).gather_every(4)  # of 9,000 genes that are tested 2,000 are enough


@pytest.mark.parametrize("paired", [True, False], ids=["within plates", "free"])
def test_random_splits_of_control_wells_find_nothing(controls: pl.DataFrame, paired: bool) -> None:  # noqa: FBT001 -- a parameter
    from bench.null_splits import is_calibrated, judge_splits

    row = judge_splits(controls, splits=40, paired=paired, robust=True)
    assert row["wells"] == 28
    assert row["genes"] > 1_000
    assert is_calibrated(row), row
