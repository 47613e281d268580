"""Weighted least squares of all genes at once: one design, weights of each gene's own.

With S samples and a design of rank K the systems to solve have the smaller of K and S - K unknowns. Few residual
degrees of freedom (a well a treatment: 96 samples, rank 95) are solved for the residuals, which lie in the space the
design does not reach; many for the coefficients. Both start from an orthonormal basis, so that only the weights can
make a system ill-conditioned, and both are right for any design.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from tahoe_engine.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

TOLERANCE: Final = 1e-9  # of singular values: what is below is no dimension of its own
UNKNOWN: Final = 1e-6  # of what a contrast has outside the design's reach
SHOWN: Final = 5  # names in a message
ROUNDING: Final = 1e-12  # of a value: residuals below this are none
ZERO: Final = 1e-12  # entries of a basis below this are zeros that rounding filled
CHUNK_VALUES: Final = 8_000_000  # numbers in the largest array of a chunk of genes: 64 MB


@dataclass(frozen=True)
class Design:
    """A design matrix taken apart.

    Attributes
    ----------
    names : list of str
        Of its K columns.
    reached, missed : numpy.ndarray, shapes (samples, rank) and (samples, samples - rank)
        Orthonormal bases of what its columns span and of what they do not.
    lengths : numpy.ndarray, shape (K,)
        Of the columns, which are scaled to 1 for what follows.
    inverse : numpy.ndarray, shape (K, samples)
        Pseudoinverse: fitted values to coefficients of scaled columns.
    known : numpy.ndarray, shape (K, K)
        Projection of such coefficients onto what can be estimated.
    """

    names: list[str]
    reached: NDArray[np.float64]
    missed: NDArray[np.float64]
    lengths: NDArray[np.float64]
    inverse: NDArray[np.float64]
    known: NDArray[np.float64]

    @property
    def df_residual(self) -> int:
        """Samples that are left when the design is fitted."""
        return int(self.missed.shape[1])


def read_design(matrix: NDArray[np.float64], names: Sequence[str]) -> Design:
    """Take a design of any rank apart.

    Raises
    ------
    ConfigError
        If it is zero everywhere.
    """
    lengths = np.linalg.norm(matrix, axis=0)
    lengths[lengths == 0] = 1.0
    left, values, right = np.linalg.svd(matrix / lengths)
    rank = int((values > TOLERANCE * values[0]).sum()) if values[0] > 0 else 0
    if not rank:
        raise ConfigError("the design is zero everywhere: give it at least one column that is not")
    return Design(
        names=list(names),
        reached=_tidy(left[:, :rank]),
        missed=_tidy(left[:, rank:]),
        lengths=lengths,
        inverse=(right[:rank].T / values[:rank]) @ left[:, :rank].T,
        known=right[:rank].T @ right[:rank],
    )


def read_contrasts(design: Design, contrasts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn contrasts of coefficients (K, C) into weights of fitted values (samples, C).

    Raises
    ------
    ConfigError
        If a contrast cannot be estimated; the message names coefficients.
    """
    if contrasts.ndim != 2 or contrasts.shape[0] != len(design.names):  # noqa: PLR2004 -- coefficients x contrasts
        raise ConfigError(
            f"contrasts must be a matrix of {len(design.names)} coefficients x contrasts, found {contrasts.shape}"
        )
    if not np.isfinite(contrasts).all():
        raise ConfigError("contrasts must have finite weights only")
    empty = np.flatnonzero(~contrasts.any(axis=0))
    if empty.size:
        raise ConfigError(f"contrast {int(empty[0])} (from 0) has no weight that is not zero: name what it compares")
    scaled = contrasts / design.lengths[:, None]
    lost = np.abs(scaled - design.known @ scaled).max(axis=0)
    bad = np.flatnonzero(lost > UNKNOWN * np.abs(scaled).max(axis=0))
    if bad.size:
        used = contrasts[:, bad[0]] != 0
        # A coefficient that cannot be told alone is to blame; all of them where only their sum cannot.
        vague = 1 - np.diag(design.known) > UNKNOWN**2
        guilty = [name for name, use, loose in zip(design.names, used, vague, strict=True) if use and loose]
        raise ConfigError(
            f"the contrast cannot be estimated: the design does not tell {', '.join(guilty[:SHOWN])} from its other "
            "columns; leave out columns that say the same, or compare what shares a block"
        )
    return _tidy(design.inverse.T @ scaled)


def fit_variances(
    design: Design, values: NDArray[np.float64], weights: NDArray[np.float64] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fit all genes.

    Parameters
    ----------
    design : Design
        With residual degrees of freedom.
    values : numpy.ndarray of float64, shape (genes, samples)
        What is fitted.
    weights : numpy.ndarray of float64, shape (genes, samples), optional
        Precisions, positive; all 1 if not given.

    Returns
    -------
    fitted : numpy.ndarray of float64, shape (genes, samples)
        Fitted values.
    variances : numpy.ndarray of float64, shape (genes,)
        Weighted residual sums of squares by residual degrees of freedom; NaN if there are none.
    """
    df = design.df_residual
    if not df:
        return values.copy(), np.full(values.shape[0], np.nan)
    if weights is None:
        residuals = (values @ design.missed) @ design.missed.T
        return values - residuals, _drop_rounding((residuals**2).sum(axis=1) / df, values, 1.0)
    fitted, variances = np.empty_like(values), np.empty(values.shape[0])
    for part, y, w, system, basis in _walk(design, values, weights, 0):
        if _is_dual(design):
            solved = np.linalg.solve(system, (y @ basis)[:, :, None])[:, :, 0]
            fitted[part] = y - (solved @ basis.T) / w
            variances[part] = np.einsum("gr,gr->g", y @ basis, solved) / df
        else:
            solved = np.linalg.solve(system, ((w * y) @ basis)[:, :, None])[:, :, 0]
            fitted[part] = solved @ basis.T
            variances[part] = (w * (y - fitted[part]) ** 2).sum(axis=1) / df
    return fitted, _drop_rounding(variances, values, weights.mean(axis=1))


def scale_contrasts(design: Design, weights: NDArray[np.float64], readers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute variances of contrasts as multiples of a gene's residual variance.

    Parameters
    ----------
    design : Design
        The design.
    weights : numpy.ndarray of float64, shape (genes, samples)
        Precisions, positive.
    readers : numpy.ndarray of float64, shape (samples, contrasts)
        From `read_contrasts`.

    Returns
    -------
    numpy.ndarray of float64, shape (genes, contrasts)
        The c' (X'WX)^-1 c of each gene and contrast.
    """
    scales = np.empty((weights.shape[0], readers.shape[1]))
    rank, df, n_contrasts = design.reached.shape[1], design.df_residual, readers.shape[1]
    dual = _is_dual(design)
    if dual and not df:
        return (1 / weights) @ readers**2
    projected = design.reached.T @ readers
    width = (df if dual else rank) * n_contrasts
    for part, _, w, system, basis in _walk(design, weights, weights, width):
        if dual:
            # What all samples together would add up to, less what the residuals take away.
            crossed = ((1 / w) @ _spread_out(basis, readers)).reshape(-1, df, n_contrasts)
            solved = np.linalg.solve(system, crossed)
            scales[part] = (1 / w) @ readers**2 - np.einsum("grc,grc->gc", crossed, solved)
        else:
            solved = np.linalg.solve(system, np.broadcast_to(projected, (w.shape[0], rank, n_contrasts)))
            scales[part] = np.einsum("kc,gkc->gc", projected, solved)
    return np.maximum(scales, 0.0)


def _walk(
    design: Design, values: NDArray[np.float64], weights: NDArray[np.float64], width: int
) -> Iterator[tuple[slice, NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]]:
    """Walk over the genes in chunks of bounded memory, with the system of each gene."""
    basis = design.missed if _is_dual(design) else design.reached
    rows, columns = np.triu_indices(basis.shape[1])
    pairs = basis[:, rows] * basis[:, columns]
    step = max(1, CHUNK_VALUES // max(basis.shape[1] ** 2, width, values.shape[1]))
    for start in range(0, values.shape[0], step):
        part = slice(start, start + step)
        w = weights[part]
        packed = (1 / w if _is_dual(design) else w) @ pairs
        system = np.empty((w.shape[0], basis.shape[1], basis.shape[1]))
        system[:, rows, columns] = packed
        system[:, columns, rows] = packed
        yield part, values[part], w, system, basis


def _is_dual(design: Design) -> bool:
    """Tell whether the residuals are the smaller problem."""
    return design.df_residual <= int(design.reached.shape[1])


def _spread_out(basis: NDArray[np.float64], readers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Multiply every column of one matrix with every column of another, sample by sample."""
    return (basis[:, :, None] * readers[:, None, :]).reshape(basis.shape[0], -1)


def _drop_rounding(
    variances: NDArray[np.float64], values: NDArray[np.float64], weights: NDArray[np.float64] | float
) -> NDArray[np.float64]:
    """Make variances zero that are nothing but rounding: twins differ by nothing."""
    noise = (ROUNDING * np.abs(values).max(axis=1)) ** 2 * weights
    return np.where(variances > noise, variances, 0.0)


def _tidy(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Put zeros where rounding left specks, so that samples that are fitted exactly have residuals of exactly 0."""
    return np.where(np.abs(matrix) < ZERO * np.abs(matrix).max(axis=0, initial=0.0), 0.0, matrix)
