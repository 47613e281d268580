"""Which genes have counts enough to be tested (Chen, Lun & Smyth 2016, F1000Research 5:1438)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from tahoe_engine.contrasts.limma.checks import check_counts, check_design, check_lib_sizes
from tahoe_engine.contrasts.limma.linear import read_design

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

LARGE_GROUP: Final = 10  # of more samples than this only a part must express a gene
LARGE_SHARE: Final = 0.7  # of the samples beyond
SLACK: Final = 1e-9  # of comparisons that rounding must not decide


def filter_by_expr(
    counts: ArrayLike,
    design: ArrayLike,
    *,
    min_count: float = 10.0,
    min_total_count: float = 15.0,
    lib_sizes: ArrayLike | None = None,
) -> NDArray[np.bool_]:
    """Keep genes that are expressed in as many samples as the smallest group has.

    A gene is expressed in a sample whose counts per million reach those of `min_count` counts in a library of median
    size. The size of the smallest group is the inverse of the largest leverage of a sample, so that any design has one;
    of groups above 10 samples 70 % of those beyond are asked for.

    Parameters
    ----------
    counts : array_like of float, shape (genes, samples)
        Raw counts.
    design : array_like of float, shape (samples, K)
        Design matrix.
    min_count : float
        Counts in a library of median size.
    min_total_count : float
        Counts in all samples together.
    lib_sizes : array_like of float, shape (samples,), optional
        Library sizes; sums of `counts` if not given.

    Returns
    -------
    numpy.ndarray of bool, shape (genes,)
        True for genes to keep.

    Raises
    ------
    ConfigError
        If the counts or the design cannot be used.

    Examples
    --------
    >>> counts = [[90, 80, 0, 0], [9, 9, 9, 9], [901, 911, 991, 991]]
    >>> [bool(kept) for kept in filter_by_expr(counts, [[1, 0], [1, 0], [0, 1], [0, 1]])]
    [True, False, True]
    """
    table = check_counts(counts)
    sizes = check_lib_sizes(lib_sizes, table)
    matrix, names = check_design(design, table.shape[1], None)
    leverage = (read_design(matrix, names).reached ** 2).sum(axis=1)
    smallest = 1 / float(leverage.max())
    if smallest > LARGE_GROUP:
        smallest = LARGE_GROUP + (smallest - LARGE_GROUP) * LARGE_SHARE
    share = min_count / float(np.median(sizes))
    expressed = (table / sizes >= share * (1 - SLACK)).sum(axis=1)
    kept: NDArray[np.bool_] = (expressed >= smallest - SLACK) & (table.sum(axis=1) >= min_total_count)
    return kept
