"""Whatever the predictions are, a tally tells what scikit-learn tells, in any parts, and intervals are in order."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as oracle

from tahoe_engine.evaluate.metrics import compute_metrics
from tahoe_engine.evaluate.tally import Tally, collect_tally, merge_tallies
from tahoe_engine.evaluate.ties import rank_scores

SEEDS = st.integers(0, 2**31)
EDGES = st.lists(st.integers(0, 80), max_size=4).map(sorted)


def collect_parts(rows: dict[str, Any], edges: list[int], **options: Any) -> Tally:
    n_rows = len(rows["y"])
    parts = np.split(np.arange(n_rows), [min(edge, n_rows) for edge in edges])
    return merge_tallies(
        [collect_tally(**{name: values[at] for name, values in rows.items()}, **options) for at in parts]
    )


def value_of(frame: pl.DataFrame, metric: str) -> float:
    values: list[float] = frame.filter(pl.col("metric") == metric, pl.col("group").is_null())["value"].to_list()
    return values[0]


def are_in_order(frame: pl.DataFrame) -> bool:
    known = frame.drop_nulls("low")
    return bool((known["low"] <= known["high"]).all())


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.integers(2, 80), EDGES, st.sampled_from([0.0, 1e3, -1e7]), st.sampled_from([1e-3, 1.0, 1e4]))
def test_numbers(seed: int, n_rows: int, edges: list[int], mean: float, scale: float) -> None:
    random = np.random.default_rng(seed)
    y = mean + scale * random.normal(size=n_rows)
    rows = {
        "y": y,
        "y_pred": y + scale * random.normal(size=n_rows),
        "clusters": random.integers(0, 6, n_rows),
        "numbers": np.arange(n_rows),
    }
    found = compute_metrics(collect_parts(rows, edges, kind="regression"), n_bootstrap=20)
    guess = rows["y_pred"]
    np.testing.assert_allclose(value_of(found, "mse"), oracle.mean_squared_error(y, guess), rtol=1e-12)
    np.testing.assert_allclose(value_of(found, "mae"), oracle.mean_absolute_error(y, guess), rtol=1e-12)
    away = y - y[0]  # the same R² without the large mean, of which scikit-learn loses digits
    exact = oracle.r2_score(away, away - (y - guess))
    np.testing.assert_allclose(value_of(found, "r2"), exact, rtol=1e-11, atol=1e-12)
    assert are_in_order(found)


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.integers(1, 80), EDGES, st.integers(2, 6), st.integers(1, 6))
def test_classes(seed: int, n_rows: int, edges: list[int], n_classes: int, n_used: int) -> None:
    random = np.random.default_rng(seed)
    p = random.dirichlet(np.ones(n_classes), n_rows)
    rows = {
        "y": random.integers(0, min(n_used, n_classes), n_rows),
        "y_pred": random.integers(0, n_classes, n_rows),
        "probabilities": p,
        "clusters": random.integers(0, 6, n_rows),
        "numbers": np.arange(n_rows),
    }
    found = compute_metrics(collect_parts(rows, edges, kind="classification", n_classes=n_classes), n_bootstrap=20)
    y, said = rows["y"], rows["y_pred"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes that are missing on a side
        expected = {
            "accuracy": oracle.accuracy_score(y, said),
            "balanced_accuracy": oracle.balanced_accuracy_score(y, said),
            "f1_macro": oracle.f1_score(y, said, average="macro"),
            "mcc": oracle.matthews_corrcoef(y, said),
            "log_loss": oracle.log_loss(y, p, labels=range(n_classes)),
            "brier": oracle.brier_score_loss(y, p, labels=range(n_classes)),
        }
    for name, value in expected.items():
        np.testing.assert_allclose(value_of(found, name), value, rtol=1e-12, atol=1e-13, err_msg=name)
    assert are_in_order(found)


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.integers(2, 80), EDGES)
def test_ranks_do_not_know_the_parts(seed: int, n_rows: int, edges: list[int]) -> None:
    random = np.random.default_rng(seed)
    p = random.dirichlet(np.ones(3), n_rows)
    rows = {
        "y": random.integers(0, 3, n_rows),
        "y_pred": p.argmax(axis=1),
        "probabilities": p,
        "clusters": random.integers(0, 6, n_rows),
        "numbers": np.arange(n_rows),
    }
    options: dict[str, Any] = {"kind": "classification", "n_classes": 3, "rank_rows": 30}
    ranked = ["roc_auc", "average_precision", "ece"]
    parts, whole = (
        compute_metrics(collect_parts(rows, at, **options), n_bootstrap=20, only=ranked) for at in (edges, [])
    )
    assert parts.equals(whole)  # the same rows in the same order: the same bits


@given(st.lists(st.floats(-1e6, 1e6) | st.none(), max_size=20), st.booleans())
def test_ranks_are_small_numbers_in_order(scores: list[float | None], larger: bool) -> None:  # noqa: FBT001
    ranks, tied = rank_scores(scores, larger=larger)
    for place, rank in enumerate(sorted(ranks.tolist()), start=1):
        assert 1 <= rank <= place
    for one, (rank, shares) in enumerate(zip(ranks, tied, strict=True)):
        assert shares == any(other != one and rank == ranks[other] for other in range(len(scores)))
    known = [(score, rank) for score, rank in zip(scores, ranks.tolist(), strict=True) if score is not None]
    by_score = [rank for _, rank in sorted(known, key=lambda pair: pair[0], reverse=larger)]
    assert by_score == sorted(by_score)
