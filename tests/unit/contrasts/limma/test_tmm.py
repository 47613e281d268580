"""TMM against factors counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tahoe_engine.contrasts.limma import norm_factors
from tahoe_engine.errors import ConfigError


def test_one_gene_that_fills_a_library_does_not_dilute_the_others() -> None:
    # Nine genes of 100 counts in either sample; the tenth takes 1,100 of the second library's 2,000.
    counts = np.full((10, 2), 100.0)
    counts[9, 1] = 1_100.0
    # Shares of the nine are .1 and .05, M = 1; the tenth is trimmed. So the factors are 2^(1/2) and 2^(-1/2).
    assert norm_factors(counts) == pytest.approx([2**0.5, 2**-0.5], rel=1e-14)


def test_ratios_are_averaged_with_the_inverse_of_their_variance() -> None:
    # Too few genes to trim any. The reference is the second sample: its quartile is as near, its size larger.
    counts = np.array([[10.0, 40.0], [30.0, 60.0]])
    ratios = np.log2([(10 / 40) / (40 / 100), (30 / 40) / (60 / 100)])
    variances = np.array([30 / 40 / 10 + 60 / 100 / 40, 10 / 40 / 30 + 40 / 100 / 60])
    log_factor = (ratios / variances).sum() / (1 / variances).sum()
    assert norm_factors(counts) == pytest.approx([2 ** (log_factor / 2), 2 ** (-log_factor / 2)], rel=1e-14)


def test_depth_alone_is_no_composition() -> None:
    assert norm_factors([[5, 10, 50], [20, 40, 200], [7, 14, 70]]) == pytest.approx([1, 1, 1], abs=1e-15)


def test_samples_that_share_no_gene_are_left_as_they_are() -> None:
    assert norm_factors([[5, 0], [0, 7]]) == pytest.approx([1, 1], abs=1e-15)


def test_mostly_empty_samples_have_factors() -> None:
    counts = np.zeros((100, 3))
    counts[:10] = np.arange(30).reshape(10, 3) + 1
    counts[:60, 0] += 1  # no upper quartile is above zero in the other two
    factors = norm_factors(counts)
    assert np.isfinite(factors).all()
    assert np.log(factors).sum() == pytest.approx(0, abs=1e-12)


def test_given_library_sizes_are_used() -> None:
    counts = np.array([[10.0, 40.0], [30.0, 60.0], [5.0, 5.0]])
    assert not np.allclose(norm_factors(counts, [1e3, 1e3]), norm_factors(counts))


@pytest.mark.parametrize("counts", [[[1, 0], [2, 0]], [[-1, 2]], [[np.nan, 2]], [1, 2]], ids=str)
def test_what_are_no_counts_is_refused(counts: list[list[float]]) -> None:
    with pytest.raises(ConfigError):
        norm_factors(counts)
