"""A prior that outlying variances cannot bend (Phipson et al. 2016, Ann. Appl. Stat. 10:946)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.optimize import brentq
from scipy.special import chdtrc, chdtri, fdtrc, fdtri
from scipy.stats import rankdata

from tahoe_engine.contrasts.limma.moderated import Prior, fit_prior, floor_variances

if TYPE_CHECKING:
    from numpy.typing import NDArray

LOWER_TAIL, UPPER_TAIL = 0.05, 0.10  # shares of the log variances that are pulled in to the quantile at either end
FEWEST_GENES: Final = 10  # with fewer the upper tail has no gene: nothing would be robust
LEAST_DF, MOST_DF = 0.02, 1e7  # a prior of fewer degrees of freedom is none; one of more is infinite
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(128)


def fit_prior_robustly(variances: NDArray[np.float64], df: float) -> Prior:
    """Estimate the prior from winsorized log variances, and how far each gene follows it.

    The winsorized mean and variance of the logarithms are matched with those of the F distribution. Of each gene the
    tail P-value is then compared with what its rank lets expect; their ratio estimates the probability that it is no
    outlier, which weighs d0 against the degrees of freedom of the prior of outliers.

    Parameters
    ----------
    variances : numpy.ndarray of float64, shape (genes,)
        Residual variances.
    df : float
        Their degrees of freedom.

    Returns
    -------
    Prior
        With prior degrees of freedom that fall with the tail P-value of a gene.

    Raises
    ------
    ConfigError
        If all variances are zero.

    Examples
    --------
    A gene that varies far more than its peers has less of a prior:

    >>> import numpy as np
    >>> steady = np.random.default_rng(1).chisquare(4, 200) / 4
    >>> prior = fit_prior_robustly(np.append(steady, 500.0), 4)
    >>> bool(prior.df[-1] < prior.main_df)
    True
    """
    floored = floor_variances(variances)
    if floored.size < FEWEST_GENES:
        return fit_prior(variances, df)
    logs = np.log(floored)
    pulled = np.clip(logs, *np.quantile(logs, [LOWER_TAIL, 1 - UPPER_TAIL]))
    main_df = _match_spread(float(pulled.var(ddof=1)), df)
    variance = float(np.exp(pulled.mean() - winsorized_moments(df, main_df)[0]))
    return Prior(variance, _weigh_genes(floored / variance, df, main_df), main_df)


def winsorized_moments(df: float, prior_df: float) -> tuple[float, float]:
    """Compute the mean and the variance of a winsorized log F variable.

    The integrals over the quantiles between the tails are Gauss-Legendre sums of 128 nodes.

    Parameters
    ----------
    df, prior_df : float
        Degrees of freedom; those of the prior may be infinite.

    Returns
    -------
    tuple of float
        Mean and variance.
    """
    inner = 1 - LOWER_TAIL - UPPER_TAIL
    shares = np.append(LOWER_TAIL + inner * (_NODES + 1) / 2, [LOWER_TAIL, 1 - UPPER_TAIL])
    weights = np.append(inner * _WEIGHTS / 2, [LOWER_TAIL, UPPER_TAIL])
    quantiles = fdtri(df, prior_df, shares) if np.isfinite(prior_df) else chdtri(df, 1 - shares) / df
    logs = np.log(quantiles)
    mean = float(weights @ logs)
    return mean, float(weights @ (logs - mean) ** 2)


def _match_spread(spread: float, df: float) -> float:
    """Find the prior degrees of freedom whose winsorized variance is the one found; more of them spread less."""

    def miss(log_df: float) -> float:
        return winsorized_moments(df, float(np.exp(log_df)))[1] - spread

    if winsorized_moments(df, np.inf)[1] >= spread or miss(np.log(MOST_DF)) >= 0:
        return float(np.inf)
    if miss(np.log(LEAST_DF)) <= 0:
        return LEAST_DF
    return float(np.exp(brentq(miss, np.log(LEAST_DF), np.log(MOST_DF), xtol=1e-13)))


def _weigh_genes(ratios: NDArray[np.float64], df: float, main_df: float) -> NDArray[np.float64]:
    """Give each gene prior degrees of freedom between those of an outlier and those of all others."""
    tails = fdtrc(df, main_df, ratios) if np.isfinite(main_df) else chdtrc(df, df * ratios)
    expected = (rankdata(tails) - 0.5) / tails.size
    regular = np.minimum(tails / expected, 1.0)
    order = np.argsort(tails, kind="stable")
    outlying = int(np.argmax(regular[order] >= 1)) if (regular >= 1).any() else tails.size
    if not outlying:  # the largest variance is no larger than it should be, so none is
        return np.full(ratios.shape, main_df)
    # No posterior has more degrees of freedom than all genes together, so no more can be shared out.
    most = min(main_df, df * ratios.size)
    freedom = regular * most + (1 - regular) * min(_fit_outlier_df(float(ratios.max()), df), most)
    # The first ranks are chancy: the leading genes share their lowest mean. From there on it only rises.
    ordered = freedom[order]
    means = np.cumsum(ordered[:outlying]) / np.arange(1, outlying + 1)
    leading = int(np.argmin(means)) + 1
    ordered[:leading] = means[leading - 1]
    spread = np.empty_like(freedom)
    spread[order] = np.maximum.accumulate(ordered)
    return np.where(spread >= most, main_df, spread)


def _fit_outlier_df(ratio: float, df: float) -> float:
    """Find the prior degrees of freedom under which the largest variance is the median one."""

    def miss(log_df: float) -> float:
        return float(fdtrc(df, np.exp(log_df), ratio)) - 0.5

    if miss(np.log(MOST_DF)) >= 0:
        return float(np.inf)
    if miss(np.log(LEAST_DF)) <= 0:
        return LEAST_DF
    return float(np.exp(brentq(miss, np.log(LEAST_DF), np.log(MOST_DF), xtol=1e-12)))
