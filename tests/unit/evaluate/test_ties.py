"""Ranks with ties, and the directions of metrics."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import rankdata

from tahoe_engine.errors import ConfigError
from tahoe_engine.evaluate.directions import METRICS, choose_primary, find_metric, is_better, list_metrics
from tahoe_engine.evaluate.ties import rank_scores


@pytest.mark.parametrize("larger", [True, False])
def test_ranks_are_those_of_scipy(larger: bool) -> None:  # noqa: FBT001
    scores = np.random.default_rng(0).integers(0, 9, 40) / 7
    ranks, tied = rank_scores(scores, larger=larger)
    expected = rankdata(-scores if larger else scores, method="min")
    np.testing.assert_array_equal(ranks, expected)
    np.testing.assert_array_equal(tied, [(expected == one).sum() > 1 for one in expected])


def test_rounding_is_no_difference_and_more_is_one() -> None:
    ranks, tied = rank_scores([1e6, 1e6 * (1 + 5e-13), 1e6 * (1 + 1e-11)])
    assert ranks.tolist() == [2, 2, 1]
    assert tied.tolist() == [True, True, False]


def test_a_chain_of_small_steps_is_not_one_tie() -> None:
    ranks, _ = rank_scores([1.0, 1 - 0.9e-12, 1 - 1.8e-12])
    assert ranks.tolist() == [1, 1, 3]


def test_no_score_is_last_whatever_is_good() -> None:
    for larger in (True, False):
        ranks, tied = rank_scores([None, 0.5, float("nan"), float("inf") * (-1 if larger else 1)], larger=larger)
        assert ranks.tolist() == [3, 1, 3, 2]
        assert tied.tolist() == [True, False, True, False]
    assert rank_scores([])[0].tolist() == []


def test_every_metric_has_a_direction_and_the_best_value_is_the_better_one() -> None:
    for name, metric in METRICS.items():
        assert is_better(name, metric.best, 0.4)
        assert not is_better(name, 0.4, 0.4)
        assert metric.larger == (metric.best > 0)
    assert set(list_metrics("regression")) | set(list_metrics("classification")) == set(METRICS)


def test_a_wrong_metric_is_told_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'balanced_accuracy'"):
        find_metric("balanced_acuracy")
    with pytest.raises(ConfigError, match="not for regression"):
        choose_primary("regression", "accuracy")
    with pytest.raises(ConfigError, match="tells of the rows"):
        choose_primary("regression", "eta_squared")
    with pytest.raises(ConfigError, match="no kind"):
        list_metrics("ranking")
