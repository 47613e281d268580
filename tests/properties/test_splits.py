"""For any rule and any rows: a split is of groups or keys, and nothing of a test row reaches what is fitted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tahoe_engine.errors import ConfigError
from tahoe_engine.features.blocks import TargetStatistics
from tahoe_engine.features.keycounts import count_keys, look_into, merge_counts
from tahoe_engine.features.levelsums import collect_statistics
from tahoe_engine.features.recipe import DeltaTarget, SplitRule
from tahoe_engine.features.share import decide_split
from tahoe_engine.features.statistics import decide_statistics
from tahoe_engine.features.targets import collect_baselines, decide_baselines

if TYPE_CHECKING:
    from tahoe_engine.features.split import Split

CONTROL = "is_control"
DELTA = DeltaTarget(kind="delta", name="y", value="x", by=("line",))
BLOCK = TargetStatistics(kind="target_statistics", name="s", by=("drug",), of="y", statistics=("mean", "std"))

lines = st.sampled_from(["A", "B", "", None])
drugs = st.sampled_from(["DMSO_TF", "one", "two", "three", None])
tables = st.lists(st.tuples(drugs, lines, st.floats(-1e6, 1e6)), min_size=3, max_size=60).map(
    lambda rows: pl.DataFrame(
        {
            "drug": pl.Series([drug for drug, _, _ in rows], dtype=pl.String),
            "line": pl.Series([line for _, line, _ in rows], dtype=pl.String),
            "x": [x for _, _, x in rows],
            # Some rows share a key.
            "row_key": np.arange(len(rows), dtype=np.uint64) // np.uint64(2) * np.uint64(0x9E3779B97F4A7C15),
            CONTROL: [drug == "DMSO_TF" for drug, _, _ in rows],
        }
    )
)
shares = st.sampled_from([0.05, 0.2, 0.33, 0.45])
rules = st.builds(
    SplitRule,
    by=st.sampled_from([(), ("drug",), ("line",), ("drug", "line")]),
    test=shares,
    validation=st.sampled_from([0.0, 0.1, 0.3]),
    folds=st.sampled_from([0, 2, 5]),
    seed=st.integers(0, 2**32 - 1),
    controls=st.sampled_from(["train", "share"]),
) | st.builds(SplitRule, stratify=st.sampled_from([("line",), ("drug", "line")]), test=shares)


def decide(rule: SplitRule, rows: pl.DataFrame) -> Split:
    try:
        counts = merge_counts([count_keys(rows, rule, CONTROL)])
        return decide_split(rule, counts, lambda windows: look_into(rows, rule, windows))
    except ConfigError:
        assume(condition=False)
        raise


@settings(max_examples=150, deadline=None)
@given(rules, tables)
def test_what_belongs_together_is_on_one_side(rule: SplitRule, rows: pl.DataFrame) -> None:
    placed = rows.hstack(decide(rule, rows).assign(rows))
    together = [*rule.by] if rule.by else ["row_key", *rule.stratify]
    assert placed.group_by(together).agg(pl.struct("split", "fold").n_unique())["split"].max() == 1
    assert set(placed["split"]) <= {0, 1, 2}
    assert (placed["split"] == 2).any()
    trains = placed["split"] == 0
    assert placed["fold"].is_null().to_list() == [not (rule.folds and one) for one in trains]
    if rule.by:
        assert trains.any()
    if rule.keeps_controls and "drug" in rule.by:
        assert trains.filter(rows[CONTROL]).all()


@settings(max_examples=100, deadline=None)
@given(rules, tables, st.data())
def test_order_and_parts_change_nothing(rule: SplitRule, rows: pl.DataFrame, data: st.DataObject) -> None:
    whole = decide(rule, rows)
    order = data.draw(st.permutations(range(rows.height)))
    mixed = rows[list(order)]
    cut = data.draw(st.integers(0, rows.height))
    parts = [mixed[cut:], mixed[:cut]]

    def refine(windows: object) -> object:
        found = [look_into(part, rule, windows) for part in parts]  # type: ignore[arg-type]
        return {window: np.sort(np.concatenate([one[window] for one in found])) for window in found[0]}

    other = decide_split(rule, merge_counts([count_keys(part, rule, CONTROL) for part in parts]), refine)
    assert other.describe() == whole.describe()
    assert other.assign(mixed).equals(whole.assign(rows)[list(order)])


@settings(max_examples=100, deadline=None)
@given(rules, tables, st.floats(-1e6, 1e6))
def test_no_value_of_a_test_row_reaches_what_is_fitted(rule: SplitRule, rows: pl.DataFrame, value: float) -> None:
    def fit(some: pl.DataFrame) -> tuple[str, str, str]:
        split = decide(rule, some)
        placed = some.hstack(split.assign(some))
        baselines = decide_baselines(DELTA, collect_baselines(placed, DELTA))
        trains = placed.filter(placed["split"] == 0).with_columns(pl.col("x").alias("y"))
        told = decide_statistics(collect_statistics(trains, trains, BLOCK), BLOCK)
        return split.hash, baselines.table.write_json(), told.table.write_json()

    trains = decide(rule, rows).assign(rows)["split"] == 0
    changed = rows.with_columns(pl.when(trains).then("x").otherwise(value).alias("x"))
    assert fit(changed) == fit(rows)
