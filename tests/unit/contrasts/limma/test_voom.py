"""Precision weights: the published recipe step by step, and where the trend cannot be trusted."""

from __future__ import annotations

import numpy as np
import pytest

from tahoe_engine.contrasts.limma.linear import read_design
from tahoe_engine.contrasts.limma.voom import log_counts, weigh_counts

GROUPS = np.eye(2)[[0, 0, 0, 1, 1, 1]]


def _weigh(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    sizes = counts.sum(axis=0)
    logs = log_counts(counts, sizes)
    return sizes, logs, weigh_counts(counts, logs, sizes, read_design(GROUPS, ["a", "b"]))


def test_log_counts_are_of_a_half_more_and_a_million() -> None:
    assert log_counts(np.array([[0.0, 7.5]]), np.array([999_999.0, 1_999_999.0])).tolist() == [[-1.0, 2.0]]


def test_weights_are_those_of_the_recipe() -> None:
    lowess = pytest.importorskip("statsmodels.nonparametric.smoothers_lowess").lowess
    rng = np.random.default_rng(2)
    counts = rng.poisson(rng.lognormal(4, 1.5, 800)[:, None] * rng.gamma(5, 1 / 5, (800, 6))).astype(float)
    counts[:3] = 0  # make no trend
    sizes, logs, weights = _weigh(counts)
    fitted = np.column_stack([logs[:, :3].mean(axis=1)] * 3 + [logs[:, 3:].mean(axis=1)] * 3)
    deviation = np.sqrt(((logs - fitted) ** 2).sum(axis=1) / 4)
    level = logs.mean(axis=1) + np.log2(sizes + 1).mean() - np.log2(1e6)
    seen = counts.sum(axis=1) > 0
    order = np.argsort(level[seen])
    x, y = level[seen][order], np.sqrt(deviation[seen][order])
    trend = lowess(y, x, frac=0.5, it=3, delta=0.01 * (x[-1] - x[0]), is_sorted=True, return_sorted=False)
    expected = np.interp(fitted + np.log2(sizes + 1) - np.log2(1e6), x, trend) ** -4
    assert weights == pytest.approx(expected, rel=1e-5)


def test_counts_that_only_chance_moves_weigh_as_chance_has_it() -> None:
    rng = np.random.default_rng(4)
    means = np.append(rng.lognormal(4, 1.0, 5_000), [3e4, 1e5, 3e5])
    _, _, weights = _weigh(rng.poisson(np.tile(means[:, None], 6)).astype(float))
    # 1 / variance of log2 of a Poisson count; without the bound the line is off by thousands at the highest counts
    assert weights[-3:] == pytest.approx(np.tile(means[-3:, None] * np.log(2) ** 2, 6), rel=0.5)


def test_genes_that_never_vary_have_finite_weights() -> None:
    counts = np.tile(np.arange(1.0, 31.0)[:, None], 6)
    _, _, weights = _weigh(counts)
    assert np.isfinite(weights).all()
    assert (weights > 0).all()
