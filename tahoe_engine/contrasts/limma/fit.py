"""From counts to tests: TMM, voom, weighted least squares, moderated t, for many contrasts of one fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tahoe_engine.contrasts.limma.checks import check_counts, check_design, check_lib_sizes
from tahoe_engine.contrasts.limma.linear import Design, fit_variances, read_contrasts, read_design, scale_contrasts
from tahoe_engine.contrasts.limma.moderated import PRIOR_ODDS, fit_prior, log_odds, moderate, two_sided
from tahoe_engine.contrasts.limma.robust import fit_prior_robustly
from tahoe_engine.contrasts.limma.tmm import norm_factors
from tahoe_engine.contrasts.limma.voom import log_counts, weigh_counts
from tahoe_engine.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class Tested:
    """Tests of C contrasts of G genes.

    Attributes
    ----------
    logFC : numpy.ndarray of float64, shape (G, C)
        log2 fold changes.
    t : numpy.ndarray of float64, shape (G, C)
        Moderated t.
    p_value : numpy.ndarray of float64, shape (G, C)
        Two-sided, not adjusted.
    B : numpy.ndarray of float64, shape (G, C)
        Log odds that a gene differs, if 1 % of them do.
    AveExpr : numpy.ndarray of float64, shape (G,)
        Mean log2 counts per million.
    df_residual : float
        Residual degrees of freedom.
    df_prior : float or numpy.ndarray of float64, shape (G,)
        Prior degrees of freedom, of each gene if estimated robustly.
    s2_prior : float
        Location of the genes' variances.
    """

    logFC: NDArray[np.float64]  # noqa: N815 -- the field's own word
    t: NDArray[np.float64]
    p_value: NDArray[np.float64]
    B: NDArray[np.float64]
    AveExpr: NDArray[np.float64]
    df_residual: float
    df_prior: float | NDArray[np.float64]
    s2_prior: float


@dataclass(frozen=True)
class Fit:
    """A linear model of all genes.

    Attributes
    ----------
    design : Design
        K coefficients.
    fitted : numpy.ndarray of float64, shape (genes, samples)
        Fitted log2 counts per million.
    weights : numpy.ndarray of float64, shape (genes, samples)
        Precisions.
    variances : numpy.ndarray of float64, shape (genes,)
        Residual variances; NaN without residual degrees of freedom.
    AveExpr : numpy.ndarray of float64, shape (genes,)
        Mean log2 counts per million.
    seen : numpy.ndarray of bool, shape (genes,)
        Whether a gene has a count in any sample.
    robust : bool
        How tests are made unless they are told otherwise.
    """

    design: Design
    fitted: NDArray[np.float64]
    weights: NDArray[np.float64]
    variances: NDArray[np.float64]
    AveExpr: NDArray[np.float64]
    seen: NDArray[np.bool_]
    robust: bool = True

    @property
    def df_residual(self) -> float:
        """Residual degrees of freedom."""
        return float(self.design.df_residual)

    def estimate(self, contrasts: ArrayLike) -> NDArray[np.float64]:
        """Estimate log2 fold changes; needs no residual degrees of freedom.

        Parameters
        ----------
        contrasts : array_like of float, shape (K, C)
            Weights of the coefficients.

        Returns
        -------
        numpy.ndarray of float64, shape (genes, C)
            Estimates.

        Raises
        ------
        ConfigError
            If a contrast cannot be estimated.
        """
        readers = read_contrasts(self.design, np.asarray(contrasts, dtype=np.float64))
        changes: NDArray[np.float64] = self.fitted @ readers
        return changes

    def test(self, contrasts: ArrayLike, *, robust: bool | None = None) -> Tested:
        """Test contrasts by moderated t.

        Parameters
        ----------
        contrasts : array_like of float, shape (K, C)
            Weights of the coefficients.
        robust : bool, optional
            Whether outlying variances are kept out of the prior; as the fit was told if not given.

        Returns
        -------
        Tested
            Of all genes and contrasts. It takes about 50 bytes a gene and contrast: test a thousand contrasts in parts.

        Raises
        ------
        ConfigError
            If a contrast cannot be estimated, there are no residual degrees of freedom, or no gene varies at all.

        Examples
        --------
        >>> counts = [[10, 12, 40, 44], [50, 60, 52, 61], [7, 9, 8, 10], [30, 33, 31, 38]]
        >>> tested = fit_counts(counts, [[1, 0], [1, 0], [1, 1], [1, 1]]).test([[0], [1]])
        >>> [bool(p < 0.01) for p in tested.p_value[:, 0]]
        [True, False, False, False]
        """
        readers = read_contrasts(self.design, np.asarray(contrasts, dtype=np.float64))
        if not self.design.df_residual:
            raise ConfigError(
                "the design has as many coefficients as samples, so that no residual degree of freedom tells chance "
                "from effect: add replicates, pool treatments or drop a column; `estimate` gives the fold changes alone"
            )
        df = self.df_residual
        robustly = self.robust if robust is None else robust
        seen = self.seen
        prior = (fit_prior_robustly if robustly else fit_prior)(self.variances[seen], df)
        posterior, total = moderate(self.variances[seen], df, prior)
        changes = self.fitted @ readers
        scales = scale_contrasts(self.design, self.weights[seen], readers)
        t = changes[seen] / np.sqrt(scales * posterior[:, None])
        return Tested(
            logFC=changes,
            t=_fill(seen, t, 0.0),
            p_value=_fill(seen, two_sided(t, total), 1.0),
            B=_fill(seen, log_odds(t, scales, total, prior), PRIOR_ODDS),
            AveExpr=self.AveExpr,
            df_residual=df,
            df_prior=_fill(seen, prior.df, prior.main_df) if robustly else prior.main_df,
            s2_prior=prior.variance,
        )


def _fill(seen: NDArray[np.bool_], values: NDArray[np.float64], otherwise: float) -> NDArray[np.float64]:
    """Give genes that were not seen a value."""
    filled = np.full((seen.size, *values.shape[1:]), otherwise)
    filled[seen] = values
    return filled


def fit_counts(  # noqa: PLR0913 -- what may be given by keyword
    counts: ArrayLike,
    design: ArrayLike,
    *,
    robust: bool = True,
    lib_sizes: ArrayLike | None = None,
    norm: ArrayLike | None = None,
    names: Sequence[str] | None = None,
) -> Fit:
    """Fit a linear model to counts: TMM, voom, weighted least squares.

    Parameters
    ----------
    counts : array_like of float, shape (genes, samples)
        Raw counts of the genes to test (see `filter_by_expr`).
    design : array_like of float, shape (samples, K)
        Design matrix, of any rank.
    robust : bool
        How `Fit.test` estimates the prior unless told otherwise.
    lib_sizes : array_like of float, shape (samples,), optional
        Library sizes; sums of `counts` if not given.
    norm : array_like of float, shape (samples,), optional
        Factors of the library sizes; by TMM if not given.
    names : sequence of str, optional
        Of the coefficients, for messages; their numbers from 0 if not given.

    Returns
    -------
    Fit
        To be tested.

    Raises
    ------
    ConfigError
        If counts are negative or not finite, a sample has none, or the design does not fit them.

    Notes
    -----
    Robinson & Oshlack 2010 (TMM), Law et al. 2014 (voom). The weighted fit is exact for any design, also one whose
    columns are not orthogonal. A gene without counts in all samples tells nothing: it is no part of trend and prior,
    and its fold changes are 0, its P 1 and its B what is taken for granted of any gene.

    Examples
    --------
    >>> counts = [[10, 12, 40, 44], [50, 60, 52, 61], [7, 9, 8, 10], [30, 33, 31, 38]]
    >>> fit = fit_counts(counts, [[1, 0], [1, 0], [1, 1], [1, 1]])
    >>> fit.df_residual
    2.0
    >>> [bool(change > 1) for change in fit.estimate([[0], [1]])[:, 0]]
    [True, False, False, False]
    """
    table = check_counts(counts)
    matrix, labels = check_design(design, table.shape[1], names)
    sizes = check_lib_sizes(lib_sizes, table)
    factors = norm_factors(table, sizes) if norm is None else np.asarray(norm, dtype=np.float64)
    effective = check_lib_sizes(sizes * factors, table)
    read = read_design(matrix, labels)
    logs = log_counts(table, effective)
    seen: NDArray[np.bool_] = np.asarray(table.any(axis=1))
    # Its half counts differ only as the library sizes do, which is no change of the gene.
    logs[~seen] = logs[~seen].mean(axis=1, keepdims=True)
    weights = weigh_counts(table, logs, effective, read) if read.df_residual else np.ones_like(logs)
    fitted, variances = fit_variances(read, logs, weights)
    return Fit(read, fitted, weights, variances, logs.mean(axis=1), seen, robust)
