"""Medians by passes over slices."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tahoe_engine.config import WorkersSettings
from tahoe_engine.features.medians import DIGITS, fit_medians, to_bits, to_values
from tahoe_engine.workers import open_computing

HERE = WorkersSettings(count=0)
floats = st.one_of(st.just(np.nan), st.floats(min_value=-8e307, max_value=8e307))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(floats, max_size=6), min_size=1, max_size=5))
def test_the_median_is_that_of_numpy(pieces: list[list[float]]) -> None:
    values = [value for piece in pieces for value in piece if not np.isnan(value)]
    slices = [np.array(piece).reshape(-1, 1) for piece in pieces]
    with open_computing(HERE, 1) as computing:
        medians, counts = fit_medians(np.asarray, slices, 1, computing)
    assert counts.tolist() == [len(values)]
    np.testing.assert_array_equal(medians, [np.median(values)] if values else [np.nan])


@pytest.mark.parametrize(
    ("values", "median"),
    [
        ([1.0, 1 + 2**-52, 1 + 2**-51], 1 + 2**-52),
        ([-0.0, 0.0, 5e-324, -5e-324], 0.0),
        ([5e-324, 1.5e-323], 1e-323),
        ([2.0**1023, 1.5 * 2.0**1023], 1.25 * 2.0**1023),
        ([-1.7e308, 1.7e308], 0.0),
        ([3.0] * 9, 3.0),
        ([-1.0, 1.0, 2.0], 1.0),
        ([-3.0, -2.0, -1.0, 10.0], -1.5),
        ([*range(-50, 51)], 0.0),
        ([2.0], 2.0),
    ],
)
def test_neighbours_extremes_and_ties_are_told_apart(values: list[float], median: float) -> None:
    with open_computing(HERE, 1) as computing:
        medians, _ = fit_medians(np.asarray, [np.array([[value]]) for value in values], 1, computing)
    assert medians.tolist() == [median]


def test_bits_sort_as_their_values_and_come_back() -> None:
    random = np.random.default_rng(1)
    values = random.integers(0, 2**64, 2000, dtype=np.uint64).view(np.float64)
    values = values[np.isfinite(values)]
    order = np.argsort(to_bits(values))
    np.testing.assert_array_equal(values[order], np.sort(values))
    np.testing.assert_array_equal(to_values(to_bits(values)), values)


def test_the_digits_cover_all_bits_once() -> None:
    assert [bit for first, n_bits in DIGITS for bit in range(first, first + n_bits)[::-1]] == list(range(64))[::-1]


def test_more_columns_than_are_counted_at_a_time() -> None:
    matrix = np.random.default_rng(2).normal(size=(40, 700))
    matrix[::3, 650] = np.nan
    with open_computing(HERE, 1) as computing:
        medians, counts = fit_medians(np.asarray, [matrix[:13], matrix[13:]], 700, computing)
    np.testing.assert_array_equal(medians, np.nanmedian(matrix, axis=0))
    assert counts[650] == 26
