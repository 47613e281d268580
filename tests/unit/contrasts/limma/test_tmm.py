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


def test_of_mostly_empty_samples_the_deepest_is_the_reference() -> None:
    counts = np.zeros((50, 6))  # none has more than 11 of 50 genes: all upper quartiles are zero
    counts[:10, 0], counts[10, 0], counts[:10, 1] = 10, 300, 100
    for sample in range(2, 6):  # these share no gene with any other
        counts[10 * sample - 9 : 10 * sample - 1, sample] = 5
    # Shares of the first ten genes are 10 / 400 and 100 / 1,000: M is -2.
    assert norm_factors(counts) == pytest.approx([2 ** (1 / 3 - 2)] + [2 ** (1 / 3)] * 5, rel=1e-14)


def test_given_library_sizes_are_used() -> None:
    counts = np.array([[10.0, 40.0], [30.0, 60.0], [5.0, 5.0]])
    assert not np.allclose(norm_factors(counts, [1e3, 1e3]), norm_factors(counts))


@pytest.mark.parametrize("counts", [[[1, 0], [2, 0]], [[-1, 2]], [[np.nan, 2]], [1, 2]], ids=str)
def test_what_are_no_counts_is_refused(counts: list[list[float]]) -> None:
    with pytest.raises(ConfigError):
        norm_factors(counts)
