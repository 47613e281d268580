"""Adjusted P values: those of Benjamini and Hochberg, and of scipy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control

from tahoe_engine.contrasts.adjust import adjust_bh

PVALS = st.lists(st.floats(0, 1) | st.sampled_from([0.0, 0.01, 0.5, 1.0]), min_size=1, max_size=30)


def test_four_values_by_hand() -> None:
    # 0.01 * 4/1 = 0.04; 0.04 * 4/2 = 0.08 but 0.05 * 4/3 = 0.0667 comes after it; 0.9 * 4/4.
    adjusted = adjust_bh([0.9, 0.04, 0.01, 0.05])
    np.testing.assert_allclose(adjusted, [0.9, 0.2 / 3, 0.04, 0.2 / 3])


@given(PVALS)
def test_values_are_those_of_scipy(pvals: list[float]) -> None:
    np.testing.assert_allclose(adjust_bh(pvals), false_discovery_control(pvals), rtol=1e-12)


@given(PVALS, st.randoms(use_true_random=False))
def test_untested_genes_change_nothing_and_stay_untested(pvals: list[float], random: Any) -> None:
    mixed = [*pvals, *([float("nan")] * 3)]
    random.shuffle(mixed)
    tested = ~np.isnan(mixed)
    adjusted = adjust_bh(mixed)
    assert np.isnan(adjusted[~tested]).all()
    np.testing.assert_array_equal(adjusted[tested], adjust_bh(np.array(mixed)[tested]))


@given(PVALS)
def test_adjusting_keeps_the_order_and_makes_nothing_smaller(pvals: list[float]) -> None:
    adjusted = adjust_bh(pvals)
    assert (adjusted >= np.array(pvals) * (1 - 1e-15)).all()
    assert adjusted.max() <= 1
    assert (np.diff(adjusted[np.argsort(pvals)]) >= 0).all()


def test_every_contrast_of_a_block_is_a_family() -> None:
    block = np.random.default_rng(1).uniform(size=(3, 2, 50))
    block[1, 0, 7] = np.nan
    by_rows = adjust_bh(block)
    assert by_rows.shape == block.shape
    for place in np.ndindex(3, 2):
        np.testing.assert_array_equal(by_rows[place], adjust_bh(block[place]))
    np.testing.assert_array_equal(adjust_bh(np.moveaxis(block, -1, 0), axis=0), np.moveaxis(by_rows, -1, 0))


@pytest.mark.parametrize("shape", [(0,), (4, 0), (0, 4)])
def test_nothing_to_adjust_is_fine(shape: tuple[int, ...]) -> None:
    assert adjust_bh(np.zeros(shape)).shape == shape


@pytest.mark.parametrize("wrong", [-0.1, 1.5, np.inf])
def test_scores_are_no_p_values(wrong: float) -> None:
    with pytest.raises(ValueError, match="outside 0 to 1"):
        adjust_bh([0.5, wrong, np.nan])


def test_no_gene_tested_is_fine() -> None:
    assert np.isnan(adjust_bh([np.nan, np.nan])).all()
