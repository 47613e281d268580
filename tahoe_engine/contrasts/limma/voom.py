"""Precision weights from the mean-variance trend of log counts (Law et al. 2014, Genome Biology 15:R29)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.special import gammaln

from tahoe_engine.contrasts.limma.linear import fit_variances
from tahoe_engine.contrasts.limma.lowess import smooth_lowess

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tahoe_engine.contrasts.limma.linear import Design

HALF: Final = 0.5  # added to each count, and 1 to each library size: no logarithm of zero
MILLION: Final = 1e6
LOWEST_TREND: Final = 0.1  # of the trend's median: the line may cross zero where points are few, a spread cannot
MANY_COUNTS: Final = 50.0  # from here on the logarithm of a Poisson count varies as the delta method says


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

    Counts vary at least as Poisson's do, so the trend does not go below that. Where biology or wells vary the bound is
    never met; without it the line, which has few points at the highest counts, falls below zero there when nothing but
    counting varies, and genes such as MALAT1 are found to differ between wells that do not.

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
    trend = np.maximum(np.maximum(trend, LOWEST_TREND * usual), _count_spread(level, design.df_residual))
    kept = np.append(True, np.diff(level) > 0)  # equal levels have equal trends
    weights: NDArray[np.float64] = np.interp(fitted + depth, level[kept], trend[kept]) ** -4
    return weights


def _count_spread(level: NDArray[np.float64], df: int) -> NDArray[np.float64]:
    """Compute the expected square root of a standard deviation of log2 Poisson counts; 0 for few counts."""
    # The mean of the fourth root of a mean square of so many degrees of freedom.
    expected = np.exp(gammaln(df / 2 + 0.25) - gammaln(df / 2)) * (df / 2) ** -0.25
    spread = expected * np.log(2) ** -0.5 * np.exp2(-level / 4)
    return np.where(level >= np.log2(MANY_COUNTS), spread, 0.0)
