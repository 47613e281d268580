"""Sums of doubles keep every bit, in any order and any parts."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tahoe_engine.errors import BadDataError
from tahoe_engine.features.sums import merge_sums, read_sums, sum_exactly, sum_squares

numbers = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([5e-324, -5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, -0.0, 0.1]),
)


def sums_of(values: list[float | None], keys: list[str | None] | None = None) -> pl.DataFrame:
    table = pl.DataFrame({"key": pl.Series(keys or ["a"] * len(values), dtype=pl.String)})
    return sum_exactly(table, pl.Series("x", values, dtype=pl.Float64))


@settings(max_examples=100, deadline=None)
@given(st.lists(numbers, min_size=1, max_size=30))
def test_the_sum_is_that_of_fractions(values: list[float]) -> None:
    assert read_sums(sums_of(list(values))) == {("a",): (len(values), sum(map(Fraction, values)))}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-1e100, 1e100).filter(lambda x: not 0 < abs(x) < 1e-100), min_size=1, max_size=20))
def test_the_sum_of_squares_is_that_of_fractions(values: list[float]) -> None:
    found = sum_squares(pl.DataFrame({"key": ["a"] * len(values)}), pl.Series("x", values))
    assert read_sums(found)["a",][1] == sum(Fraction(value) ** 2 for value in values)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["a", "b", None]), numbers), min_size=1, max_size=30), st.data())
def test_order_and_parts_change_nothing(rows: list[tuple[str | None, float]], data: st.DataObject) -> None:
    def add(some: list[tuple[str | None, float]]) -> pl.DataFrame:
        return sums_of([value for _, value in some], [key for key, _ in some])

    mixed = data.draw(st.permutations(rows))
    cut, later = sorted(data.draw(st.tuples(*[st.integers(0, len(rows))] * 2)))
    a, b, c = (add(part) for part in (mixed[:cut], mixed[cut:later], mixed[later:]))
    whole = merge_sums([add(rows)])
    assert merge_sums([merge_sums([c, a]), b]).equals(whole)
    assert merge_sums([a, merge_sums([b, c])]).equals(whole)


def test_the_mean_is_rounded_once() -> None:
    values = np.random.default_rng(3).normal(1.4, 3, 10_001)
    ((n, total),) = read_sums(sums_of(values.tolist())).values()
    assert (n, float(total)) == (10_001, math.fsum(values))
    assert float(total) != values.cumsum()[-1], "a plain sum is another one here, or the test shows nothing"


def test_what_is_missing_counts_for_nothing() -> None:
    found = read_sums(sums_of([1.0, None, float("nan"), 2.5], ["a", "a", None, None]))
    assert found == {("a",): (1, Fraction(1)), (None,): (1, Fraction(5, 2))}


def test_keys_may_have_any_name() -> None:
    keys = pl.DataFrame({"n": ["a", "b"], "high": ["x", "x"], "low": ["y", "y"], "exponent": ["z", "z"]})
    found = read_sums(merge_sums([sum_exactly(keys, pl.Series("v", [1.0, 2.0]))] * 2))
    assert found == {("a", "x", "y", "z"): (2, Fraction(2)), ("b", "x", "y", "z"): (2, Fraction(4))}


@pytest.mark.parametrize("value", [math.inf, -math.inf])
def test_an_infinite_number_is_refused_by_the_name_of_its_column(value: float) -> None:
    with pytest.raises(BadDataError, match="'x' has an infinite"):
        sums_of([1.0, value])
    with pytest.raises(BadDataError, match="'x' has a number too large"):
        sum_squares(pl.DataFrame({"key": ["a"]}), pl.Series("x", [value]))
