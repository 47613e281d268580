"""Lowess against the one of statsmodels."""

from __future__ import annotations

import numpy as np
import pytest

from tahoe_engine.contrasts.limma.lowess import smooth_lowess


@pytest.mark.parametrize("n", [2, 3, 10, 333, 4_000])
@pytest.mark.parametrize("iterations", [0, 3])
def test_the_smooth_is_that_of_statsmodels(n: int, iterations: int) -> None:
    lowess = pytest.importorskip("statsmodels.nonparametric.smoothers_lowess").lowess
    rng = np.random.default_rng(n)
    x = np.sort(rng.gamma(2.0, 3.0, n))
    y = np.sin(x / 3) + rng.standard_t(2, n) / 4  # with outliers
    delta = 0.01 * (x[-1] - x[0])
    with np.errstate(all="ignore"):
        expected = lowess(y, x, frac=0.5, it=iterations, delta=delta, is_sorted=True, return_sorted=False)
    if np.isfinite(expected).all():  # statsmodels gives up where a window of two points has no spread
        assert smooth_lowess(x, y, iterations=iterations) == pytest.approx(expected, abs=1e-7)
    assert np.isfinite(smooth_lowess(x, y, iterations=iterations)).all()


def test_an_outlier_does_not_bend_the_line() -> None:
    x = np.arange(50.0)
    y = 2 * x + 1 + 0.01 * (-1) ** np.arange(50)
    y[20] = 500.0
    smooth = smooth_lowess(x, y)
    assert smooth == pytest.approx(2 * x + 1, abs=0.05)
    assert abs(smooth_lowess(x, y, iterations=0)[20] - 41) > 1  # so it would without robustness


def test_equal_x_have_one_smooth() -> None:
    x = np.array([0, 0, 0, 1, 1, 2, 3, 3, 3, 4.0])
    smooth = smooth_lowess(x, np.array([1, 2, 3, 2, 4, 3, 5, 4, 3, 6.0]))
    assert all(np.ptp(smooth[x == at]) == 0 for at in x)


def test_all_x_equal_gives_the_mean() -> None:
    assert smooth_lowess([2, 2, 2], [1, 2, 3], span=1, iterations=0) == pytest.approx([2, 2, 2])


@pytest.mark.parametrize("y", [[], [7.0]], ids=str)
def test_a_point_is_its_own_smooth(y: list[float]) -> None:
    assert smooth_lowess(np.zeros(len(y)), y).tolist() == y
