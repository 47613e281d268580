"""What counts, library sizes and designs must be, and what to do where they are not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from tahoe_engine.errors import ConfigError, escape_controls

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

SHOWN: Final = 5  # names in a message


def check_counts(
    counts: ArrayLike, *, genes: Sequence[str] | None = None, samples: Sequence[str] | None = None
) -> NDArray[np.float64]:
    """Take counts as a matrix of genes by samples; `genes` and `samples` are names for messages.

    Raises
    ------
    ConfigError
        If they are no such matrix, or one is negative or not finite.
    """
    table = np.asarray(counts, dtype=np.float64)
    if table.ndim != 2 or 0 in table.shape:  # noqa: PLR2004 -- genes x samples
        raise ConfigError(f"counts must be a matrix of genes x samples with at least one of each, found {table.shape}")
    bad = ~(np.isfinite(table) & (table >= 0))
    if bad.any():
        gene, sample = (int(i) for i in np.argwhere(bad)[0])
        raise ConfigError(
            f"counts must be finite and not negative, found {table[gene, sample]:g} at gene {_name(genes, gene)}, "
            f"sample {_name(samples, sample)}: give raw counts, not logarithms or residuals"
        )
    return table


def check_lib_sizes(
    lib_sizes: ArrayLike | None, counts: NDArray[np.float64], *, samples: Sequence[str] | None = None
) -> NDArray[np.float64]:
    """Take library sizes, or sum them; none may be zero.

    Raises
    ------
    ConfigError
        If there is not one a sample, or one is not positive and finite.
    """
    with np.errstate(over="ignore"):  # an infinite sum is refused below
        sizes = counts.sum(axis=0) if lib_sizes is None else np.asarray(lib_sizes, dtype=np.float64)
    if sizes.shape != (counts.shape[1],):
        raise ConfigError(f"there must be one library size a sample ({counts.shape[1]}), found {sizes.shape}")
    bad = np.flatnonzero(~(np.isfinite(sizes) & (sizes > 0)))
    if bad.size:
        places = ", ".join(_name(samples, int(i)) for i in bad[:SHOWN])
        raise ConfigError(
            f"library sizes must be positive and finite, but sample {places} has {sizes[bad[0]]:g} counts: "
            "leave it out of the counts and of the design"
        )
    return sizes


def _name(names: Sequence[str] | None, place: int) -> str:
    """Name a gene or a sample, or tell its place."""
    return f"{place} (from 0)" if names is None else escape_controls(names[place])


def check_design(
    design: ArrayLike, n_samples: int, names: Sequence[str] | None
) -> tuple[NDArray[np.float64], list[str]]:
    """Take a design matrix and the names of its columns.

    Raises
    ------
    ConfigError
        If it has not one row a sample, no columns, values that are not finite, or not one name a column.
    """
    matrix = np.asarray(design, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != n_samples or not matrix.shape[1]:  # noqa: PLR2004 -- samples x columns
        raise ConfigError(
            f"the design must have {n_samples} rows (samples) and at least a column, found {matrix.shape}"
        )
    if not np.isfinite(matrix).all():
        raise ConfigError("the design must have finite values only")
    labels = [str(k) for k in range(matrix.shape[1])] if names is None else [str(name) for name in names]
    if len(labels) != matrix.shape[1]:
        raise ConfigError(f"the design has {matrix.shape[1]} columns and {len(labels)} names: give one name a column")
    return matrix, labels
