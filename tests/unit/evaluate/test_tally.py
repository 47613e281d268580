"""Tallies: any partition of the rows tells the same, and what is wrong with rows is said."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

from tahoe_engine.errors import BadDataError, ConfigError
from tahoe_engine.evaluate.metrics import compute_metrics
from tahoe_engine.evaluate.sample import choose_rows, hash_numbers
from tahoe_engine.evaluate.tally import Tally, collect_tally, merge_tallies

ROWS = 600


def make_rows(kind: str, seed: int = 0) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    rows: dict[str, Any] = {
        "clusters": random.integers(0, 12, ROWS) * 7,
        "numbers": np.arange(ROWS),
        "line": random.choice(["a", "b", "c"], ROWS),
    }
    if kind == "regression":
        y = 1e6 + random.normal(size=ROWS)
        return rows | {"y": y, "y_pred": y + random.normal(size=ROWS), "strata": random.integers(0, 20, ROWS)}
    p = random.dirichlet(np.ones(4), ROWS)
    return rows | {"y": random.integers(0, 5, ROWS), "y_pred": p.argmax(axis=1), "probabilities": p}


def tally_rows(kind: str, rows: dict[str, Any], which: Any = slice(None), **options: Any) -> Tally:
    some = {name: values[which] for name, values in rows.items()}
    given = {name: some[name] for name in ("strata", "probabilities", "numbers") if name in some}
    return collect_tally(
        some["y"],
        some["y_pred"],
        some["clusters"],
        kind=kind,
        n_classes=4 if kind == "classification" else 0,
        groups={"line": some["line"]},
        **given,
        **({"rank_rows": 150, "seed": 3} | options),
    )


@pytest.mark.parametrize("kind", ["regression", "classification"])
@pytest.mark.parametrize("edges", [[300], [1, 2, 599], [0, 600], [100, 200, 300, 400, 500]])
def test_any_partition_gives_the_same_metrics(kind: str, edges: list[int]) -> None:
    rows = make_rows(kind)
    parts = [tally_rows(kind, rows, which) for which in np.split(np.arange(ROWS), edges)]
    whole = compute_metrics(tally_rows(kind, rows), n_bootstrap=50)
    # In twos from the left and from the right: merging is associative.
    for merged in (merge_tallies(parts), merge_tallies([merge_tallies(parts[:-1]), parts[-1]])):
        found = compute_metrics(merged, n_bootstrap=50)
        assert found.select("group", "metric", "n").equals(whole.select("group", "metric", "n"))
        for name in ("value", "low", "high"):
            np.testing.assert_allclose(found[name].to_numpy(), whole[name].to_numpy(), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("kind", ["regression", "classification"])
def test_the_same_order_gives_the_same_bits_also_through_pickle(kind: str) -> None:
    rows = make_rows(kind)
    halves = [tally_rows(kind, rows, slice(0, 256)), tally_rows(kind, rows, slice(256, None))]
    shipped = pickle.loads(pickle.dumps(halves))  # noqa: S301 -- our own
    one, other = (compute_metrics(merge_tallies(pair), n_bootstrap=50, seed=1) for pair in (halves, shipped))
    assert one.equals(other)


def test_the_sample_is_that_of_the_smallest_hashes_however_the_rows_came() -> None:
    rows = make_rows("classification")
    hashes = hash_numbers(rows["numbers"], 3)
    expected = np.argsort(hashes)[:150]
    shuffled = np.random.default_rng(1).permutation(ROWS)
    merged = merge_tallies([tally_rows("classification", rows, which) for which in np.array_split(shuffled, 4)])
    np.testing.assert_array_equal(merged.sample.y, rows["y"][expected])
    np.testing.assert_array_equal(merged.sample.probabilities, rows["probabilities"][expected])
    names = np.array(merged.segments)[merged.sample.segments[:, 0]]
    np.testing.assert_array_equal(names, [f"line={name}" for name in rows["line"][expected]])


def test_parts_that_know_the_whole_keep_their_share_of_the_sample_alone() -> None:
    numbers = np.arange(100_000)
    y = np.random.default_rng(0).normal(size=numbers.size)
    parts = [
        collect_tally(y[at], y[at], at % 9, kind="regression", numbers=at, rank_rows=2000, total_rows=numbers.size)
        for at in np.array_split(numbers, 10)
    ]
    assert max(part.sample.y.size for part in parts) < 320
    alone = collect_tally(y, y, numbers % 9, kind="regression", numbers=numbers, rank_rows=2000)
    np.testing.assert_array_equal(merge_tallies(parts).sample.hashes, alone.sample.hashes)


def test_another_seed_is_another_sample() -> None:
    numbers = np.arange(1000)
    chosen = [set(choose_rows(hash_numbers(numbers, seed), 100).tolist()) for seed in (1, 2)]
    assert len(chosen[0] & chosen[1]) < 30


def test_a_large_mean_costs_no_digits() -> None:
    random = np.random.default_rng(0)
    whole = random.integers(0, 1000, 4000)
    guess = whole + random.integers(-300, 300, 4000)
    # Whole numbers, so that the same with and without 2^40 added is known exactly.
    tallies = [
        merge_tallies(
            [
                collect_tally(whole[at] + add, guess[at] + add, at % 7, kind="regression", numbers=at)
                for at in np.array_split(np.arange(4000), 3)
            ]
        )
        for add in (0.0, 2.0**40)
    ]
    near, far = (compute_metrics(tally, n_bootstrap=0, only=["r2", "pearson"])["value"].to_numpy() for tally in tallies)
    np.testing.assert_allclose(far, near, rtol=1e-12)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"y_pred": np.array([1.0])}, "predictions: 1 for 2 rows"),
        ({"clusters": np.array([1, 2, 3])}, "clusters: 3 for 2 rows"),
        ({"y": np.array([1.0, np.nan])}, "true value is not finite"),
        ({"y_pred": np.array([1.0, np.inf])}, "predicted value is not finite"),
        ({"groups": {"line": ["a"]}}, "group 'line'"),
        ({"strata": np.array([1])}, "strata: 1 for 2 rows"),
        ({"numbers": np.array([1])}, "numbers: 1 for 2 rows"),
        ({"kind": "classification", "y": np.array([0, -1])}, "true class is negative"),
        ({"kind": "classification", "probabilities": np.ones((2, 3)), "n_classes": 2}, "for 2 classes"),
        ({"kind": "classification", "probabilities": np.array([[1, 0], [np.nan, 1]]), "n_classes": 2}, "not finite"),
    ],
)
def test_rows_that_cannot_be_tallied_are_named(change: dict[str, Any], says: str) -> None:
    two = np.array([1.0, 2.0])
    rows: dict[str, Any] = {"y": two, "y_pred": two, "clusters": np.array([0, 1]), "kind": "regression"} | change
    with pytest.raises(BadDataError, match=says):
        collect_tally(rows.pop("y"), rows.pop("y_pred"), rows.pop("clusters"), **rows)


def test_tallies_of_different_things_are_not_merged() -> None:
    one = tally_rows("regression", make_rows("regression"))
    with pytest.raises(ConfigError, match="different"):
        merge_tallies([one, tally_rows("regression", make_rows("regression"), seed=4)])
    with pytest.raises(ConfigError, match="no tally"):
        merge_tallies([])
    with pytest.raises(ConfigError, match="no kind of target 'ranking'"):
        collect_tally(np.zeros(1), np.zeros(1), np.zeros(1, np.int64), kind="ranking")
