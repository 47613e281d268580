"""Which genes are kept, counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tahoe_engine.contrasts.limma import filter_by_expr

PAIRS = np.eye(3)[[0, 0, 1, 1, 1, 2, 2]]  # groups of 2, 3 and 2


def _fill(rows: list[list[float]]) -> np.ndarray:
    """Add a gene that brings each library to 1,000,000: counts are then counts per million."""
    counts = np.array(rows, dtype=float)
    return np.vstack([counts, 1e6 - counts.sum(axis=0)])


def test_as_many_samples_as_the_smallest_group_must_express_a_gene() -> None:
    counts = _fill([[10, 0, 0, 0, 10, 0, 0], [90, 9, 9, 9, 9, 9, 9], [10, 10, 0, 0, 0, 0, 0], [0] * 7])
    assert filter_by_expr(counts, PAIRS).tolist() == [True, False, True, False, True]


def test_all_samples_together_must_have_enough_counts() -> None:
    counts = _fill([[6, 6, 0, 0, 0, 0, 0], [9, 6, 0, 0, 0, 0, 0]])
    assert filter_by_expr(counts, PAIRS, min_count=6).tolist() == [False, True, True]
    assert filter_by_expr(counts, PAIRS, min_count=6, min_total_count=12).tolist() == [True, True, True]


def test_a_well_a_treatment_asks_for_one_sample() -> None:
    counts = _fill([[0, 0, 16, 0], [9, 9, 9, 9]])
    assert filter_by_expr(counts, np.eye(3)[[0, 0, 1, 2]]).tolist() == [True, False, True]


@pytest.mark.parametrize(("expressing", "kept"), [(16, False), (17, True)])
def test_of_a_large_group_a_part_is_enough(expressing: int, kept: bool) -> None:  # noqa: FBT001 -- a parameter
    # 20 samples: 10 and 70 % of the other 10
    counts = _fill([[10.0] * expressing + [0.0] * (20 - expressing)])
    assert filter_by_expr(counts, np.ones((20, 1))).tolist()[0] is kept


def test_the_median_library_counts() -> None:
    # Counts per million are asked for: 10 in the median library of 1,000,000 are 20 in one of twice the size.
    counts = np.array([[20.0, 10, 10], [19.0, 10, 9], [1e6, 1e6, 1e6]])
    sizes = [2e6, 1e6, 1e6]
    assert filter_by_expr(counts, np.ones((3, 1)), lib_sizes=sizes).tolist() == [True, False, True]
