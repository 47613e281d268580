"""Clusters of doubt: what they add, and how many degrees of freedom a mean over classes has."""

from __future__ import annotations

import numpy as np
import pytest

from tahoe_engine.evaluate import doubt
from tahoe_engine.evaluate.metrics import list_judges
from tahoe_engine.evaluate.tally import collect_tally

Y = np.array([0, 0, 0, 0, 1, 1])
GUESS = np.array([0, 0, 0, 1, 1, 1])
P = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.4, 0.6], [0.2, 0.8], [0.1, 0.9]])


def judge_of(metric: str, clusters: np.ndarray) -> object:
    tally = collect_tally(Y, GUESS, clusters, kind="classification", n_classes=2, probabilities=P)
    return next(one for one in list_judges(tally, tally.clusters, 0, [metric]) if metric in one.names)


@pytest.mark.parametrize(
    ("metric", "alone", "doubted"),
    [
        # 3 of 4 and 2 of 2; with one more row of each class that is wrong, 3 of 5 and 2 of 3.
        ("balanced_accuracy", 7 / 8, (3 / 5 + 2 / 3) / 2),
        # All 8 pairs are in order; of the 15 with a positive below all and a negative above all, those 8.
        ("roc_auc", 1.0, 8 / 15),
    ],
)
def test_one_more_row_of_each_class_is_wrong(metric: str, alone: float, doubted: float) -> None:
    judge = judge_of(metric, np.arange(6))
    assert judge.score(np.ones((1, 6)))[metric][0] == pytest.approx(alone)  # type: ignore[attr-defined]
    wrong = doubt.add_doubt(judge, 6, wrong=True)  # type: ignore[arg-type]
    assert wrong.score(np.ones((1, 8)))[metric][0] == pytest.approx(doubted)
    empty = doubt.add_doubt(judge, 6, wrong=False)  # type: ignore[arg-type]
    assert empty.score(np.ones((1, 8)))[metric][0] == pytest.approx(alone)


@pytest.mark.parametrize("metric", ["balanced_accuracy", "roc_auc"])
def test_without_the_rows_of_doubt_all_is_as_it_was(metric: str) -> None:
    judge = judge_of(metric, np.arange(6))
    wrong = doubt.add_doubt(judge, 6, wrong=True)  # type: ignore[arg-type]
    weights = np.array([[1.0, 1, 1, 1, 1, 1, 0, 0], [1.0, 1, 0, 1, 0, 1, 0, 0]])
    expected = judge.score(weights[:, :6])[metric]  # type: ignore[attr-defined]
    assert wrong.score(weights)[metric] == pytest.approx(expected)


def test_a_cluster_of_doubt_is_as_large_as_those_of_its_class() -> None:
    judge = judge_of("balanced_accuracy", np.array([0, 0, 1, 1, 2, 2]))
    wrong = doubt.add_doubt(judge, 3, wrong=True)  # type: ignore[arg-type]
    assert doubt.count_by_class(wrong).tolist() == [[2, 0], [2, 0], [0, 2], [2, 0], [0, 2]]


def test_rows_are_counted_by_class_for_ranks_as_for_classes() -> None:
    clusters = np.array([0, 0, 1, 1, 2, 2])
    for metric in ("balanced_accuracy", "roc_auc"):
        found = doubt.count_by_class(judge_of(metric, clusters))  # type: ignore[arg-type]
        assert found.tolist() == [[2, 0], [2, 0], [0, 2]]


def test_the_degrees_of_freedom_of_equal_classes_add_up() -> None:
    """Of c classes of k clusters, and the one of doubt: c k."""
    assert doubt.count_freedom(np.ones((7, 3))) == pytest.approx(21)
    assert doubt.count_freedom(np.empty((7, 0))) == float("inf")


def test_who_makes_no_mistake_has_the_best_of_each_metric() -> None:
    for metric, best in (("balanced_accuracy", 1.0), ("mcc", 1.0), ("roc_auc", 1.0), ("log_loss", 0.0)):
        perfect = doubt.imagine_perfect(judge_of(metric, np.arange(6)))  # type: ignore[arg-type]
        assert perfect.score(np.ones((1, 6)))[metric][0] == pytest.approx(best)
    y = np.array([1.0, 2.0, 4.0])
    tally = collect_tally(y, y[::-1].copy(), np.arange(3), kind="regression")
    (judge,) = list_judges(tally, tally.clusters, 0, ["mse"])
    scores = doubt.imagine_perfect(judge).score(np.ones((1, 3)))
    assert [scores[name][0] for name in ("mse", "mae", "r2", "pearson")] == pytest.approx([0, 0, 1, 1])
