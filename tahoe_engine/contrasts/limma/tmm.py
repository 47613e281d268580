"""Composition of libraries: trimmed mean of M-values (Robinson & Oshlack 2010, Genome Biology 11:R25)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.stats import rankdata

from tahoe_engine.contrasts.limma.checks import check_counts, check_lib_sizes

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

TRIM_RATIO: Final = 0.30  # share of the genes cut off at either end of the log ratios M, as in the paper
TRIM_LEVEL: Final = 0.05  # likewise of the mean log levels A
SAME: Final = 1e-12  # two distances this close are a tie
NO_RATIO: Final = 1e-6  # all |M| below this: the two samples are one


def norm_factors(counts: ArrayLike, lib_sizes: ArrayLike | None = None) -> NDArray[np.float64]:
    """Compute factors that make library sizes comparable, by TMM.

    The reference is the sample whose upper quartile (of counts by library size) is nearest to the mean of the upper
    quartiles. Of each other sample the log ratios M to it are trimmed by 30 % and the mean log levels A by 5 % at
    either end, and M is averaged with the inverse of its asymptotic variance. Genes that are zero in either sample take
    no part.

    Parameters
    ----------
    counts : array_like of float, shape (genes, samples)
        Raw counts.
    lib_sizes : array_like of float, shape (samples,), optional
        Library sizes; the sums of `counts` if not given.

    Returns
    -------
    numpy.ndarray of float64, shape (samples,)
        Factors with a geometric mean of 1; effective library sizes are ``lib_sizes * factors``.

    Raises
    ------
    ConfigError
        If a count is negative or not finite, or a sample has no counts.

    Examples
    --------
    Twice the depth is no other composition:

    >>> [float(factor) for factor in norm_factors([[5, 10], [20, 40], [7, 14]])]
    [1.0, 1.0]
    """
    table = check_counts(counts)
    sizes = check_lib_sizes(lib_sizes, table)
    table = table[table.any(axis=1)]
    quartiles = np.quantile(table / sizes, 0.75, axis=0)
    distances = np.abs(quartiles - quartiles.mean())
    nearest = distances <= distances.min() + SAME * quartiles.mean()
    # Of a tie (all quartiles are zero where data are sparse) the deepest, which shares most genes with the others.
    reference = int(np.argmax(np.where(nearest, sizes, -1.0)))
    logs = np.array(
        [_log_factor(table[:, j], table[:, reference], sizes[j], sizes[reference]) for j in range(sizes.size)]
    )
    factors: NDArray[np.float64] = np.exp2(logs - logs.mean())
    return factors


def _log_factor(
    sample: NDArray[np.float64], reference: NDArray[np.float64], size: float, reference_size: float
) -> float:
    """Average the log2 ratios of a sample to the reference that are left after trimming."""
    both = (sample > 0) & (reference > 0)
    own, other = sample[both], reference[both]
    if not own.size:
        return 0.0
    own_share, other_share = own / size, other / reference_size
    # The paper's own order of operations: it decides which genes of equal ratios share a rank when rounded.
    ratio = np.log2(own_share / other_share)
    level = (np.log2(own_share) + np.log2(other_share)) / 2
    if np.abs(ratio).max() < NO_RATIO:
        return 0.0
    variance = (size - own) / size / own + (reference_size - other) / reference_size / other
    kept = _within(ratio, TRIM_RATIO) & _within(level, TRIM_LEVEL) & (variance > 0)
    if not kept.any():
        return 0.0
    return float(np.average(ratio[kept], weights=1 / variance[kept]))


def _within(values: NDArray[np.float64], trim: float) -> NDArray[np.bool_]:
    """Tell which values are left when a share is cut off at either end; equal values share a rank."""
    ranks = rankdata(values)
    lowest = int(values.size * trim) + 1
    kept: NDArray[np.bool_] = (ranks >= lowest) & (ranks <= values.size + 1 - lowest)
    return kept
