"""Shrunken fold changes: nearer to the truth, never larger, and never of another sign."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq

from tahoe_engine.contrasts import welch
from tahoe_engine.contrasts.moments import Moments
from tahoe_engine.contrasts.shrink import SPREADS, shrink_lfc

CHANGES = st.lists(
    st.tuples(st.floats(-30, 30, allow_subnormal=False), st.floats(1e-6, 1e3) | st.sampled_from([0.0, np.inf])),
    min_size=1,
    max_size=20,
)


@given(CHANGES)
def test_nothing_grows_or_turns(pairs: list[tuple[float, float]]) -> None:
    changes, errors = np.array(pairs).T
    shrunken = shrink_lfc(changes, errors)
    assert (np.abs(shrunken) <= np.abs(changes)).all()
    assert (shrunken * changes >= 0).all()
    assert (shrunken[np.isinf(errors)] == 0).all()
    assert (shrunken[errors == 0] == changes[errors == 0]).all()


@given(CHANGES)
def test_up_and_down_are_alike(pairs: list[tuple[float, float]]) -> None:
    changes, errors = np.array(pairs).T
    np.testing.assert_array_equal(shrink_lfc(-changes, errors), -shrink_lfc(changes, errors))


@given(st.lists(st.floats(-12, 12), min_size=3, max_size=30), st.floats(0.05, 3))
def test_of_genes_measured_equally_well_the_larger_change_stays_larger(changes: list[float], error: float) -> None:
    ordered = np.sort(changes)
    shrunken = shrink_lfc(ordered, np.full(ordered.size, error))
    assert (np.diff(shrunken) >= -1e-12 * np.abs(ordered).max()).all()


def planted(kind: str) -> tuple[Any, Any, Any]:
    random = np.random.default_rng(4)
    errors = np.exp(random.normal(-1, 0.8, 8_000))
    truth = {
        "none": np.zeros(errors.size),
        "all a little": random.normal(0, 0.5, errors.size),
        "some much": np.where(random.uniform(size=errors.size) < 0.1, random.normal(0, 1.5, errors.size), 0.0),
    }[kind]
    return truth, truth + errors * random.normal(size=errors.size), errors


def shrink_with_one_normal(changes: Any, errors: Any) -> Any:
    """Shrink with the prior N(0, v), v of greatest marginal likelihood: the score is 0 there, or v is."""

    def score(v: float) -> float:
        return float(((changes**2 - v - errors**2) / (v + errors**2) ** 2).sum())

    v = 0.0 if score(0.0) <= 0 else brentq(score, 0.0, (changes**2).max())
    return changes * v / (v + errors**2)


def error_of(shrunken: Any, truth: Any) -> float:
    return float(np.sqrt(np.mean((shrunken - truth) ** 2)))


def test_planted_changes_are_met_better_than_unshrunken_and_by_one_normal() -> None:
    truth, changes, errors = planted("some much")
    ours = error_of(shrink_lfc(changes, errors), truth)
    assert ours < 0.4 * error_of(changes, truth)
    assert ours < 0.8 * error_of(shrink_with_one_normal(changes, errors), truth)


def test_one_normal_is_met_as_well_as_by_itself() -> None:
    truth, changes, errors = planted("all a little")
    assert error_of(shrink_lfc(changes, errors), truth) < 1.02 * error_of(
        shrink_with_one_normal(changes, errors), truth
    )


def test_where_nothing_changed_nothing_is_left() -> None:
    truth, changes, errors = planted("none")
    assert error_of(shrink_lfc(changes, errors), truth) < 0.02 * error_of(changes, truth)


def test_weights_are_those_of_greatest_likelihood() -> None:
    # One gene: all weight on the spread under which its change is likeliest, t^2 nearest to x^2 - s^2 = 0.64.
    likeliest = min(SPREADS, key=lambda t: np.log(t * t + 0.01) / 2 + 0.65 / 2 / (t * t + 0.01))
    assert likeliest == pytest.approx(0.8)
    change = np.sqrt(0.65)
    shrunken = shrink_lfc(np.full(50, change), np.full(50, 0.1))
    np.testing.assert_allclose(shrunken, change * 0.64 / 0.65, rtol=0.01)


def test_exact_zeros_unknowns_and_what_is_no_number() -> None:
    changes = [0.0, 0.0, 1.0, np.nan, np.inf, 1.0, -2.0]
    errors = [np.nan, np.inf, np.nan, 1.0, 1.0, np.inf, 0.0]
    np.testing.assert_array_equal(shrink_lfc(changes, errors), [0.0, 0.0, np.nan, np.nan, np.nan, 0.0, -2.0])


def test_every_contrast_of_a_block_has_its_own_prior() -> None:
    _, much, errors = planted("some much")
    _, none, _ = planted("none")
    block = shrink_lfc(np.stack([much, none]), np.stack([errors, errors]))
    np.testing.assert_array_equal(block[0], shrink_lfc(much, errors))
    np.testing.assert_array_equal(block[1], shrink_lfc(none, errors))


@pytest.mark.parametrize("shape", [(0,), (3, 0)])
def test_nothing_to_shrink_is_fine(shape: tuple[int, ...]) -> None:
    assert shrink_lfc(np.zeros(shape), np.zeros(shape)).shape == shape


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        shrink_lfc([1.0], [-1.0])
    with pytest.raises(ValueError, match="shapes"):
        shrink_lfc([1.0, 2.0], [1.0])


def test_of_counted_cells_the_shrunken_changes_are_nearer_to_the_planted_ones() -> None:
    random = np.random.default_rng(2)
    rates = np.exp(random.normal(-2.5, 1.5, 2_000))
    truth = np.where(random.uniform(size=rates.size) < 0.1, random.normal(0, 1.5, rates.size), 0.0)

    def count(n: int, rate: Any) -> Moments:
        logs = np.log1p(random.poisson(rate, size=(n, rate.size)))
        return Moments(n, logs.mean(axis=0), logs.var(axis=0, ddof=1))

    result = welch.test_welch(count(60, rates * np.exp2(truth)), count(600, rates))
    shrunken = shrink_lfc(result.lfc_bounded, result.lfc_se)
    assert (np.abs(result.logfoldchanges).max(), np.abs(shrunken).max()) > (20, 0)
    assert np.abs(shrunken).max() < 8
    assert (np.abs(shrunken) <= np.abs(result.logfoldchanges)).all()
    assert error_of(shrunken, truth) < 0.7 * error_of(result.lfc_bounded, truth)
    assert error_of(shrunken, truth) < 0.9 * error_of(np.zeros(truth.size), truth)
