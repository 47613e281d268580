"""Who trains is a matter of groups and keys, never of order, parts or sizes."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.model_selection import train_test_split

from tahoe_engine.errors import ConfigError, StageError
from tahoe_engine.features.keycounts import count_keys, look_into, merge_counts
from tahoe_engine.features.keys import hash_texts
from tahoe_engine.features.places import list_places, permute_places
from tahoe_engine.features.recipe import SplitRule
from tahoe_engine.features.share import decide_split
from tahoe_engine.features.split import Split

CONTROL = "is_control"


def cells(n: int = 3_000, samples: int = 40, seed: int = 5) -> pl.DataFrame:
    """Cells of samples; every fifth sample is of control cells."""
    random = np.random.default_rng(seed)
    sample = random.integers(samples, size=n)
    return pl.DataFrame(
        {
            "sample": [f"smp_{one}" for one in sample],
            "drug": ["DMSO_TF" if one % 5 == 0 else f"drug {one % 7}" for one in sample],
            "line": random.choice(["A", "B", "C"], n, p=[0.6, 0.3, 0.1]),
            "row_key": hash_texts([pl.Series([f"cell {one}" for one in range(n)])], 0),
            "row_number": np.arange(n, dtype=np.uint64),
            CONTROL: sample % 5 == 0,
        }
    )


def decide(rule: SplitRule, *parts: pl.DataFrame) -> Split:
    def refine(windows: Any) -> Any:
        found = [look_into(part, rule, windows) for part in parts]
        return {window: np.sort(np.concatenate([one[window] for one in found])) for window in windows}

    return decide_split(rule, merge_counts([count_keys(part, rule, CONTROL) for part in parts]), refine)


RULES = [
    SplitRule(by=("sample",)),
    SplitRule(by=("drug", "line"), validation=0.1, folds=3),
    SplitRule(by=("line",), test=0.3, folds=0),
    SplitRule(by=("sample",), controls="share", seed=7),
    SplitRule(),
    SplitRule(stratify=("line", "drug"), validation=0.15, seed=3),
    SplitRule(folds=0),
]


@pytest.mark.parametrize("rule", RULES)
def test_order_and_parts_change_nothing(rule: SplitRule) -> None:
    rows = cells()
    whole = decide(rule, rows)
    mixed = rows.sample(fraction=1, shuffle=True, seed=1)
    parts = [mixed[first : first + 211] for first in range(0, mixed.height, 211)]
    other = decide(rule, *parts[::-1], mixed.clear())
    assert other.describe() == whole.describe()
    assert other.hash == whole.hash
    placed = pl.concat([part.hstack(other.assign(part)) for part in parts]).sort("row_number")
    assert placed.select("split", "fold").equals(whole.assign(rows))


@pytest.mark.parametrize("rule", RULES)
def test_a_split_comes_back_from_json(rule: SplitRule) -> None:
    rows = cells()
    split = decide(rule, rows)
    back = Split.from_json(json.loads(json.dumps(split.describe())))
    assert back.hash == split.hash
    assert back.assign(rows).equals(split.assign(rows))


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule.by])
def test_groups_stay_together(rule: SplitRule) -> None:
    rows = cells()
    placed = rows.hstack(decide(rule, rows).assign(rows))
    places = placed.group_by(list(rule.by)).agg(pl.struct("split", "fold").n_unique())
    assert places["split"].max() == 1
    assert set(placed["split"]) == ({0, 1, 2} if rule.validation else {0, 2})


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize(("n", "test", "validation", "wanted"), [(35, 0.2, 0.1, (7, 4)), (6, 0.01, 0.0, (1, 0))])
def test_groups_are_shared_out_exactly(
    n: int, test: float, validation: float, wanted: tuple[int, int], seed: int
) -> None:
    rows = pl.DataFrame({"sample": [f"s{one}" for one in range(n)], CONTROL: False})
    groups = decide(SplitRule(by=("sample",), test=test, validation=validation, seed=seed, folds=4), rows).groups
    assert groups is not None
    assert ((groups["split"] == 2).sum(), (groups["split"] == 1).sum()) == wanted
    sizes = groups.filter(groups["split"] == 0)["fold"].value_counts()["count"]
    assert len(sizes) == 4
    assert max(sizes) - min(sizes) <= 1
    assert (groups["fold"].is_null() == (groups["split"] != 0)).all()


def test_the_groups_of_the_smallest_hashes_are_tested() -> None:
    names = pl.Series([f"s{one}" for one in range(10)])
    rows = pl.DataFrame({"sample": names, CONTROL: False})
    split = decide(SplitRule(by=("sample",), test=0.3, seed=9), rows)
    ranks = np.argsort(np.argsort(hash_texts([names], 9)))
    assert [one == 2 for one in split.assign(rows)["split"]] == [rank < 3 for rank in ranks]


def test_control_cells_are_kept_in_training_and_out_of_the_quota() -> None:
    rows = cells()  # 8 samples of controls, 32 others
    placed = rows.hstack(decide(SplitRule(by=("sample",), test=0.25), rows).assign(rows))
    assert set(placed.filter(CONTROL)["split"]) == {0}
    assert placed.filter(CONTROL)["fold"].null_count() == 0
    assert placed.filter(placed["split"] == 2)["sample"].n_unique() == 8
    shared = rows.hstack(decide(SplitRule(by=("sample",), test=0.5, controls="share"), rows).assign(rows))
    assert set(shared.filter(CONTROL)["split"]) == {0, 2}


def test_how_large_a_group_is_does_not_matter() -> None:
    rows, rule = cells(), SplitRule(by=("sample",))
    few = rows.group_by("sample", maintain_order=True).head(2)
    assert decide(rule, few).hash == decide(rule, rows).hash
    assert decide(rule, few).assign(rows).equals(decide(rule, rows).assign(rows))


def test_null_is_a_group_of_its_own() -> None:
    rows = pl.DataFrame({"moa": [None, "", "a", "b", None], CONTROL: False})
    split = decide(SplitRule(by=("moa",), folds=0), rows)
    assert split.groups is not None
    assert split.groups["moa"].to_list() == [None, "", "a", "b"]
    placed = split.assign(rows)["split"]
    assert placed[0] == placed[4]


def test_numbers_are_groups_by_what_they_read() -> None:
    rows = pl.DataFrame({"dose": [0.05, 0.5, 5.0] * 4, CONTROL: False})
    placed = rows.hstack(decide(SplitRule(by=("dose",)), rows).assign(rows))
    assert placed.group_by("dose").agg(pl.col("split").n_unique())["split"].to_list() == [1, 1, 1]


@pytest.mark.parametrize("n", [5, 100, 2_501])
@pytest.mark.parametrize(("test", "validation"), [(0.2, 0.0), (0.33, 0.1), (0.5, 0.25)])
def test_of_each_stratum_exactly_the_share_is_tested(n: int, test: float, validation: float) -> None:
    rows = cells(n)
    rule = SplitRule(stratify=("line",), test=test, validation=validation)
    placed = rows.hstack(decide(rule, rows[: n // 3], rows[n // 3 :]).assign(rows))
    for _, stratum in placed.group_by("line"):
        wanted = [int(share * stratum.height + 0.5) if stratum.height > 1 else 0 for share in (test, validation)]
        assert [(stratum["split"] == code).sum() for code in (2, 1)] == wanted


def test_the_rows_of_the_smallest_numbers_are_tested() -> None:
    rows = cells()
    split = decide(SplitRule(test=0.2, seed=11), rows)
    assert split.strata is not None
    placed = split.assign(rows)
    again = cells(6_000)  # with as many other cells
    kept = split.assign(again[:3_000])
    assert kept.equals(placed), "where a row is depends on the row and the limit alone"
    assert (placed["split"] == 2).sum() == 600


def test_rows_of_one_key_stay_together() -> None:
    rows = cells(400)
    twice = pl.concat([rows, rows[::-1]])
    for rule in (SplitRule(), SplitRule(stratify=("line",), validation=0.1)):
        placed = decide(rule, twice).assign(twice)
        assert placed[:400].equals(placed[400:][::-1])


def test_folds_of_rows_are_of_about_one_size_and_only_of_training() -> None:
    rows = cells(20_000)
    placed = decide(SplitRule(folds=4), rows).assign(rows)
    sizes = placed.filter(placed["split"] == 0)["fold"].value_counts()["count"].cast(pl.Int64).to_numpy()
    assert np.abs(sizes - 4_000).max() < 5 * np.sqrt(16_000 * 0.25 * 0.75)
    assert placed.filter(placed["split"] == 2)["fold"].is_null().all()


def test_folds_of_stratified_rows_have_the_same_share_of_each_stratum() -> None:
    rng = np.random.default_rng(3)
    rows = cells(400).with_columns(up=pl.Series(rng.permutation([True] * 19 + [False] * 381)))
    rule = SplitRule(stratify=("up",), test=0.2, folds=5)
    split = decide(rule, rows)
    told = rows.select("up").with_columns(split.assign(rows))
    found = told.filter(pl.col("split") == 0).group_by("fold").agg(pl.col("up").sum(), pl.len()).sort("fold")
    assert found["fold"].to_list() == [0, 1, 2, 3, 4]
    assert found["up"].to_list() == [3, 3, 3, 3, 3]  # 19 less 4 that are tested
    assert set(found["len"]) <= {64, 61 + 3, 60 + 3}
    assert told.filter(pl.col("split") != 0)["fold"].null_count() == 80
    again = Split.from_json(json.loads(json.dumps(split.describe())))
    assert again.assign(rows).equals(split.assign(rows))


def test_strata_of_one_row_are_not_all_in_one_fold() -> None:
    rows = cells(300).with_columns(own=pl.int_range(300).cast(pl.String))
    told = decide(SplitRule(stratify=("own",), test=0.0, folds=5), rows).assign(rows)
    assert min(told["fold"].value_counts()["count"]) > 30  # 60 a fold, standard deviation 7


@pytest.mark.parametrize("rule", RULES)
def test_another_seed_is_another_split(rule: SplitRule) -> None:
    rows = cells()
    seeds = {decide(rule.model_copy(update={"seed": seed}), rows).hash for seed in range(5)}
    assert len(seeds) == 5


def test_other_rows_are_another_split() -> None:
    rows = cells()
    for rule in (SplitRule(), SplitRule(stratify=("line",)), SplitRule(method="sklearn")):
        assert decide(rule, rows).hash != decide(rule, rows[:-1]).hash


def test_another_training_row_is_another_split_though_the_same_rows_are_tested() -> None:
    rows, others = cells(), cells(6_000)[3_000:]
    split = decide(SplitRule(), rows)
    at = split.assign(rows)["split"].index_of(0)
    key = others.filter(split.assign(others)["split"] == 0)["row_key"][0]
    swapped = rows.with_columns(pl.when(pl.col("row_number") == at).then(key).otherwise("row_key").alias("row_key"))
    other = decide(SplitRule(), swapped)
    assert other.assign(rows).equals(split.assign(rows))
    assert other.hash != split.hash


@pytest.mark.parametrize("n", [5, 300, 5_000])
@pytest.mark.parametrize(("test", "seed"), [(0.2, 42), (0.33, 0)])
def test_in_scikit_learns_way_the_same_rows_are_tested(n: int, test: float, seed: int) -> None:
    rows = cells(n)
    split = decide(SplitRule(method="sklearn", test=test, seed=seed), rows)
    placed = pl.concat([split.assign(rows[: n // 2]), split.assign(rows[n // 2 :])])
    train, tested = train_test_split(np.arange(n), test_size=test, random_state=seed)
    assert np.flatnonzero(placed["split"] == 2).tolist() == sorted(tested)
    assert np.flatnonzero(placed["split"] == 0).tolist() == sorted(train)


@pytest.mark.parametrize(
    ("rule", "rows", "message"),
    [
        (SplitRule(by=("sample",)), cells(samples=1), "there are 0 groups of sample besides those of controls"),
        (SplitRule(by=("sample",), controls="share"), cells(samples=1), "there are 1 groups of sample: too few"),
        (SplitRule(by=("drug", "sample"), test=0.4, validation=0.4), cells(samples=3), "2 groups of drug x sample"),
        (SplitRule(), cells(1), "1 rows are too few to test on"),
        (SplitRule(test=0.5, validation=0.4), cells(2), "2 rows leave none to train on"),
        (SplitRule(method="sklearn", test=0.9), cells(2), "2 rows are too few to be split"),
        (SplitRule(by=("rows",)), cells(9).rename({"sample": "rows"}), "has a column 'rows' itself"),
    ],
)
def test_what_cannot_be_split_is_refused(rule: SplitRule, rows: pl.DataFrame, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        decide(rule, rows)


def test_too_many_rows_are_not_permuted() -> None:
    with pytest.raises(ConfigError, match="up to 20,000,000 rows"):
        permute_places(SplitRule(method="sklearn"), 20_000_001)


def test_a_share_that_is_far_off_is_told() -> None:
    rows = pl.DataFrame({"line": ["A"] * 90 + ["B"] * 5 + ["C"] * 5, CONTROL: False})
    warnings = decide(SplitRule(by=("line",), test=0.33, folds=3), rows).warnings
    assert warnings[0].startswith("test: ")
    assert "33% was asked for" in warnings[0]
    assert warnings[1].startswith("2 groups train: fewer than the 3 folds")
    tiny = decide(
        SplitRule(stratify=("line",), test=0.05), rows.with_columns(row_key=pl.int_range(100).cast(pl.UInt64))
    )
    assert tiny.warnings == ("2 strata have too few rows to be tested, first ('B',)",)


@pytest.mark.parametrize("rule", [SplitRule(by=("sample",)), SplitRule(stratify=("line",))])
def test_a_group_that_was_not_there_is_refused(rule: SplitRule) -> None:
    rows = cells()
    with pytest.raises(StageError, match="was not there when the split was made"):
        decide(rule, rows).assign(rows.with_columns(sample=pl.lit("new"), line=pl.lit("new")))


@pytest.mark.parametrize(
    "change",
    [
        {"groups": None},
        {"rule": {}},
        {"groups": {"sample": ["a"], "split": [300], "fold": [0]}},
        {"groups": {"sample": ["a"], "split": [3], "fold": [0]}},
        {"groups": {"sample": ["a"], "split": [0]}},
    ],
)
def test_a_damaged_split_is_told_from_a_whole_one(change: dict[str, Any]) -> None:
    told = decide(SplitRule(by=("sample",)), cells()).describe()
    with pytest.raises(StageError, match="damaged"):
        Split.from_json({**told, **change})
    rows = decide(SplitRule(), cells()).describe()
    with pytest.raises(StageError, match="damaged"):
        Split.from_json({**rows, "strata": None})
    with pytest.raises(StageError, match="damaged"):
        Split.from_json({name: part for name, part in told.items() if name != "strata"})


def test_rows_of_a_split_are_listed_in_the_order_in_which_scikit_learn_gives_them() -> None:
    rule = SplitRule(method="sklearn", test=0.2, folds=0)
    train, test = train_test_split(np.arange(301), test_size=0.2, random_state=42)
    assert list_places(rule, 301, 0).tolist() == train.tolist()
    assert list_places(rule, 301, 2).tolist() == test.tolist()
    assert list_places(rule, 301, 1).size == 0
