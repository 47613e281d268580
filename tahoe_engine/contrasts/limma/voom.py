"""Precision weights from the mean-variance trend of log counts (Law et al. 2014, Genome Biology 15:R29)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from tahoe_engine.contrasts.limma.linear import fit_variances
from tahoe_engine.contrasts.limma.lowess import smooth_lowess

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tahoe_engine.contrasts.limma.linear import Design

HALF: Final = 0.5  # added to each count, and 1 to each library size: no logarithm of zero
MILLION: Final = 1e6
LOWEST_TREND: Final = 1e-3  # of the trend's median: the line may cross zero where points are few, a spread cannot


def log_counts(counts: NDArray[np.float64], lib_sizes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute log2 counts per million.

    Parameters
    ----------
    counts : numpy.ndarray of float64, shape (genes, samples)
        Raw counts.
    lib_sizes : numpy.ndarray of float64, shape (samples,)
        Effective library sizes.

    Returns
    -------
    numpy.ndarray of float64, shape (genes, samples)
        log2((count + 0.5) / (library size + 1) * 1e6).
    """
    logs: NDArray[np.float64] = np.log2((counts + HALF) / (lib_sizes + 1) * MILLION)
    return logs


def weigh_counts(
    counts: NDArray[np.float64], logs: NDArray[np.float64], lib_sizes: NDArray[np.float64], design: Design
) -> NDArray[np.float64]:
    """Read the precision of each log count from the trend of the genes' standard deviations.

    The square root of each gene's residual standard deviation is smoothed along its mean log2 count by lowess; the
    trend at a sample's fitted log2 count, to the power of -4, is its weight. Genes that are zero everywhere make no
    trend.

    Parameters
    ----------
    counts, logs : numpy.ndarray of float64, shape (genes, samples)
        Raw counts, and what `log_counts` made of them.
    lib_sizes : numpy.ndarray of float64, shape (samples,)
        Effective library sizes.
    design : Design
        With residual degrees of freedom.

    Returns
    -------
    numpy.ndarray of float64, shape (genes, samples)
        Weights, positive and finite.
    """
    fitted, variances = fit_variances(design, logs, None)
    depth = np.log2(lib_sizes + 1) - np.log2(MILLION)
    seen = counts.any(axis=1)
    level = logs.mean(axis=1)[seen] + depth.mean()
    spread = variances[seen] ** 0.25
    order = np.lexsort((spread, level))  # by both, so that the order of the genes does not matter
    level, spread = level[order], spread[order]
    trend = smooth_lowess(level, spread)
    usual = float(np.median(trend[trend > 0])) if (trend > 0).any() else 1.0
    trend = np.maximum(trend, LOWEST_TREND * usual)
    kept = np.append(True, np.diff(level) > 0)  # equal levels have equal trends
    weights: NDArray[np.float64] = np.interp(fitted + depth, level[kept], trend[kept]) ** -4
    return weights
