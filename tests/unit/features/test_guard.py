"""The guard of the stage: what it looks at, what a recipe may allow, and how a refusal reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from made_tables import DELTA, SUMMARIES, make, make_cells, make_recipe
from runs import published
from tahoe_engine.errors import LeakError
from tahoe_engine.features import guard
from tahoe_engine.features.guard import SHOWN, refuse_leaks
from tahoe_engine.leaks import Leak

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl

VALUE = {"kind": "numeric", "name": "value", "columns": ["value"], "steps": ["standardize"]}


@pytest.fixture(scope="module")
def cells() -> pl.DataFrame:
    return make_cells(8)


def kinds_of(error: LeakError) -> set[tuple[str, str]]:
    """Give columns and kinds of a refusal, line by line."""
    found = [line.strip().split(": ")[:2] for line in str(error).splitlines()[1:-1]]
    return {(column, kind) for column, kind in found}


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({"features": [VALUE]}, {("value", "lineage"), ("value", "affine")}),
        ({"derive": {"twice": "value * 2 + n"}, "features": [VALUE | {"columns": ["twice"]}]}, {("twice", "lineage")}),
        (
            {"features": [VALUE | {"columns": ["delta"], "prefix": "p "}]},
            {("p delta", "lineage"), ("p delta", "affine")},
        ),
        ({"fitted_on": "all"}, {("summaries", "fitted_on_test")}),
        ({"split": {}}, {("sample", "straddle")}),
        ({"split": {"method": "sklearn"}}, {("sample", "straddle")}),
        ({"split": {"stratify": ["drug"]}}, {("sample", "straddle")}),
        ({"features": [SUMMARIES, VALUE | {"columns": ["b"], "prefix": "p "}]}, {("p b", "duplicate")}),
    ],
    ids=["the value", "of the value", "the target", "fitted on all", "rows", "sklearn", "strata", "twice"],
)
def test_what_gives_a_target_or_test_rows_away_is_refused_by_name(
    cells: pl.DataFrame, tmp_path: Path, parts: dict[str, Any], expected: set[tuple[str, str]]
) -> None:
    with pytest.raises(LeakError) as caught:
        make(tmp_path / "run", cells, make_recipe(**parts))
    assert kinds_of(caught.value) >= expected
    assert caught.value.exit_code == 4
    assert not published(tmp_path / "run")


def test_what_a_recipe_allows_is_not_said(cells: pl.DataFrame, tmp_path: Path) -> None:
    report = make(tmp_path / "run", cells, make_recipe(split={}, allow=["sample"]))
    assert report.manifest["leaks"] == []
    assert not report.manifest["leaks_allowed"]
    with pytest.raises(LeakError, match="straddle"):
        make(tmp_path / "other", cells, make_recipe(split={}, allow=["plate"]))


def test_what_goes_without_a_block_is_not_asked_about_it(cells: pl.DataFrame, tmp_path: Path) -> None:
    both = [DELTA | {"without": ["value"]}, {"kind": "column", "name": "moa", "column": "moa-fine"}]
    report = make(tmp_path / "run", cells, make_recipe(targets=both, features=[SUMMARIES, VALUE]))
    assert report.manifest["leaks"] == []
    with pytest.raises(LeakError, match=r"value: lineage.*target 'delta'"):
        make(tmp_path / "other", cells, make_recipe(targets=[DELTA, both[1]], features=[SUMMARIES, VALUE]))


def test_a_class_that_a_level_tells_is_refused(cells: pl.DataFrame, tmp_path: Path) -> None:
    target = {"kind": "column", "name": "moa", "column": "moa-fine"}
    blocks = [SUMMARIES, {"kind": "one_hot", "name": "moas", "column": "moa-fine", "levels": "seen"}]
    with pytest.raises(LeakError, match=r"moa-fine_code: lineage"):
        make(tmp_path / "run", cells, make_recipe(targets=[target], features=blocks))


def test_a_refused_set_comes_back_when_it_is_allowed_without_being_made_again(
    cells: pl.DataFrame, tmp_path: Path
) -> None:
    recipe = make_recipe(split={})
    with pytest.raises(LeakError):
        make(tmp_path / "run", cells, recipe)
    assert not list((tmp_path / "run/features").rglob("*.parquet"))
    report = make(tmp_path / "run", cells, recipe, allow_leaks=True)
    assert (report.parts_done, report.manifest["leaks_allowed"]) == (0, True)
    before = published(tmp_path / "run")
    assert before
    # Without leave it is refused again, and what was published with leave is what it was, or gone.
    with pytest.raises(LeakError):
        make(tmp_path / "run", cells, recipe)
    assert published(tmp_path / "run") in ({}, before)


def test_a_sample_of_many_rows_is_the_same_each_time(
    cells: pl.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples: list[pl.DataFrame] = []
    whole = guard.read_sample

    def spy(*args: Any) -> pl.DataFrame:
        samples.append(whole(*args))
        return samples[-1]

    monkeypatch.setattr(guard, "read_sample", spy)
    monkeypatch.setattr(guard, "SAMPLED_ROWS", 120)
    for name in ("one", "other"):
        make(tmp_path / name, cells)
    assert samples[0].equals(samples[1])
    assert 60 < samples[0].height < 180
    assert set(samples[0]["split"]) == {0, 2}


def test_a_refusal_tells_each_finding_on_a_line_and_counts_the_rest() -> None:
    leaks = [("y", Leak(f"x{at}\x1b[1m", "affine", "y = x\nand more")) for at in range(SHOWN + 3)]
    with pytest.raises(LeakError) as caught:
        refuse_leaks("mine", leaks)
    lines = str(caught.value).splitlines()
    assert len(lines) == 1 + SHOWN + 1 + 1
    assert lines[0] == "mine: refused by the leak guard, nothing is published:"
    assert lines[SHOWN + 1] == "  and 3 more"
    assert "\x1b" not in str(caught.value)
