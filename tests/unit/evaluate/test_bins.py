"""Bins of scores: nothing that the area under a curve knows is lost where they suffice."""

from __future__ import annotations

import numpy as np
import pytest

from tahoe_engine.evaluate.bins import bin_scores, bin_values
from tahoe_engine.evaluate.ranking import measure_area


def test_scores_of_one_side_are_joined_and_those_of_both_stay_alone() -> None:
    positive = np.array([0.0, 0, 2, 3, 1, 1, 0])
    negative = np.array([1.0, 4, 1, 1, 0, 0, 2])
    bins = bin_scores(positive, negative, 6)
    assert bins.tolist() == [0, 0, 1, 2, 3, 3, 4]
    joined = [np.bincount(bins, weights=side).astype(np.float64) for side in (positive, negative)]
    assert float(measure_area(joined[0], joined[1])) == pytest.approx(float(measure_area(positive, negative)))


def test_many_scores_fill_few_bins_in_order() -> None:
    random = np.random.default_rng(0)
    positive, negative = random.integers(0, 3, 500).astype(float), random.integers(0, 3, 500).astype(float)
    bins = bin_scores(positive, negative, 20)
    assert (np.diff(bins) >= 0).all()
    held = np.bincount(bins, weights=positive / positive.sum() + negative / negative.sum()) / 2
    assert held.size == 20
    assert held.max() < 0.07  # 1 / 20, and a run more


def test_equal_values_are_in_one_bin() -> None:
    values = np.repeat(np.arange(50.0), 7)
    levels, bins = bin_values(values, 10)
    np.testing.assert_array_equal(levels, values)
    assert np.bincount(bins[levels]).tolist() == [35] * 10
