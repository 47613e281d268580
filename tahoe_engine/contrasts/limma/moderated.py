"""Variances moderated by a prior of all genes, t and B (Smyth 2004, Stat. Appl. Genet. Mol. Biol. 3:3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.special import betainc, digamma, polygamma, stdtrit

from tahoe_engine.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

PROPORTION: Final = 0.01  # of the genes that are taken to differ, for B
PRIOR_ODDS: Final = float(np.log(PROPORTION / (1 - PROPORTION)))  # B where nothing is known
SPREAD_LIMITS: Final = (0.1, 4.0)  # of log2 fold changes of genes that differ, for B
LOWEST_VARIANCE: Final = 1e-5  # of the median: the logarithm of a variance of 0 would outweigh all others
ALIKE: Final = 1e-12
LEAST_TAIL: Final = 1e-300  # a tail below has no quantile


@dataclass(frozen=True)
class Prior:
    """What all genes tell about the variance of one.

    Attributes
    ----------
    variance : float
        Its location, s0^2.
    df : numpy.ndarray of float64, shape (genes,)
        Prior degrees of freedom of each gene; equal unless estimated robustly.
    main_df : float
        Those of genes that are no outliers, d0; may be infinite.
    """

    variance: float
    df: NDArray[np.float64]
    main_df: float


def floor_variances(variances: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lift variances of about zero to a small share of the median, so that they have logarithms.

    Raises
    ------
    ConfigError
        If all are zero.
    """
    median = float(np.median(variances))
    if median <= 0:
        positive = variances[variances > 0]
        if not positive.size:
            raise ConfigError(
                "no gene varies between the replicates, so no test can be made: is a sample there under two names?"
            )
        median = float(np.median(positive))
    floored: NDArray[np.float64] = np.maximum(variances, LOWEST_VARIANCE * median)
    return floored


def fit_prior(variances: NDArray[np.float64], df: float) -> Prior:
    """Estimate the prior from the mean and the variance of log variances (Smyth 2004, section 6.2).

    Parameters
    ----------
    variances : numpy.ndarray of float64, shape (genes,)
        Residual variances.
    df : float
        Their degrees of freedom.

    Returns
    -------
    Prior
        With infinite degrees of freedom where the variances differ no more than by chance.

    Raises
    ------
    ConfigError
        If all variances are zero.

    Examples
    --------
    >>> import numpy as np
    >>> fit_prior(np.array([1.0, 1.1, 0.9]), 4).main_df
    inf
    """
    logs = np.log(floor_variances(variances))
    if logs.size == 1:  # one gene has no peers to learn from
        return Prior(float(variances[0]), np.zeros(1), 0.0)
    centred = logs - digamma(df / 2) + np.log(df / 2)
    mean = float(centred.mean())
    excess = float(centred.var(ddof=1) - polygamma(1, df / 2))
    if excess <= 0:
        main_df, variance = np.inf, np.exp(mean)
    else:
        main_df = 2 * invert_trigamma(excess)
        variance = np.exp(mean + digamma(main_df / 2) - np.log(main_df / 2))
    return Prior(float(variance), np.full(variances.shape, main_df), float(main_df))


def invert_trigamma(value: float) -> float:
    """Find the argument at which the trigamma function has a value, by Newton's method on its inverse.

    Examples
    --------
    >>> import math
    >>> round(invert_trigamma(math.pi**2 / 6), 12)
    1.0
    """
    if value > 1e7:  # noqa: PLR2004 -- the function is 1 / x^2 there to eight digits
        return float(value**-0.5)
    if value < 1e-6:  # noqa: PLR2004 -- and 1 / x here
        return 1 / value
    argument = 0.5 + 1 / value  # always below the root, from where Newton's steps rise to it (Smyth 2004, appendix)
    for _ in range(50):
        height = float(polygamma(1, argument))
        step = height * (1 - height / value) / float(polygamma(2, argument))
        argument += step
        if abs(step) < 1e-15 * argument:
            break
    return argument


def moderate(
    variances: NDArray[np.float64], df: float, prior: Prior
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Shrink variances towards the prior.

    Returns
    -------
    posterior : numpy.ndarray of float64, shape (genes,)
        (d0 s0^2 + d s^2) / (d0 + d).
    total : numpy.ndarray of float64, shape (genes,)
        Their degrees of freedom, d0 + d, but no more than those of all genes together.
    """
    finite = np.isfinite(prior.df)
    share = np.where(finite, np.where(finite, prior.df, 0.0) / (np.where(finite, prior.df, 0.0) + df), 1.0)
    posterior = share * prior.variance + (1 - share) * variances
    return posterior, np.minimum(prior.df + df, df * variances.size)


def two_sided(t: NDArray[np.float64], df: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute P-values of t, both tails; small ones keep their digits."""
    freedom = df[:, None]
    tails: NDArray[np.float64] = betainc(freedom / 2, 0.5, freedom / (freedom + t**2))
    return tails


def log_odds(
    t: NDArray[np.float64], scales: NDArray[np.float64], df: NDArray[np.float64], prior: Prior
) -> NDArray[np.float64]:
    """Compute B, the log odds that a gene differs (Smyth 2004, sections 4 and 6.3).

    Parameters
    ----------
    t : numpy.ndarray of float64, shape (genes, contrasts)
        Moderated t.
    scales : numpy.ndarray of float64, shape (genes, contrasts)
        Variances of the contrasts as multiples of the genes' variances.
    df : numpy.ndarray of float64, shape (genes,)
        Total degrees of freedom.
    prior : Prior
        Its variance bounds the spread of the log fold changes.

    Returns
    -------
    numpy.ndarray of float64, shape (genes, contrasts)
        Natural logarithms.
    """
    odds = np.empty_like(t)
    lowest, highest = (limit**2 / prior.variance for limit in SPREAD_LIMITS)
    for j in range(t.shape[1]):
        # Bounded one by one: a single gene of enormous t does not decide the mean.
        spread = float(np.clip(_fit_spreads(t[:, j], scales[:, j], df), lowest, highest).mean())
        ratio = (scales[:, j] + spread) / scales[:, j]
        squares = t[:, j] ** 2
        kernel = (1 + df) / 2 * (np.log1p(squares / df) - np.log1p(squares / ratio / df))
        odds[:, j] = PRIOR_ODDS - np.log(ratio) / 2 + kernel
    return odds


def _fit_spreads(t: NDArray[np.float64], scales: NDArray[np.float64], df: NDArray[np.float64]) -> NDArray[np.float64]:
    """Estimate the variance of the log fold changes of genes that differ, in units of a gene's own, one a gene.

    The largest |t| are matched with the quantiles they would have if a share `PROPORTION` of the genes differed.
    """
    genes = t.size
    top = int(np.ceil(PROPORTION / 2 * genes))
    share = max(top / genes, PROPORTION)
    widest = float(df.max())
    sizes = np.abs(t)
    less = df < widest * (1 - ALIKE)
    # On the scale of the largest degrees of freedom |t| is less, so that few others can come among the largest at all.
    others = sizes[~less]
    least = np.partition(others, -top)[-top] if others.size >= top else -1.0
    rivals = np.flatnonzero(less & (sizes > least))
    tails = two_sided(sizes[rivals, None], df[rivals])[:, 0] / 2
    sizes[rivals] = np.where(tails > 0, -stdtrit(widest, np.maximum(tails, LEAST_TAIL)), sizes[rivals])
    order = np.argsort(-sizes, kind="stable")[:top]
    null = two_sided(sizes[order, None], np.full(top, widest))[:, 0]
    target = ((np.arange(1, top + 1) - 0.5) / genes - (1 - share) * null) / share
    spreads = np.zeros(top)
    above = target > null
    quantiles = stdtrit(widest, target[above] / 2)
    spreads[above] = scales[order][above] * ((sizes[order][above] / quantiles) ** 2 - 1)
    return spreads
