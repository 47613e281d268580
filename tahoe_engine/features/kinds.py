"""One kind of fit, for all columns of a level that need it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tahoe_engine.daskml import choose_scales, fit_means, fit_scales, list_powers
from tahoe_engine.errors import BadDataError, ConfigError
from tahoe_engine.features.blocks import Polynomial
from tahoe_engine.features.chains import Fitted
from tahoe_engine.features.medians import fit_medians
from tahoe_engine.features.steps import name_powers, require_few
from tahoe_engine.features.svd import Triangulate, decompose_triangle, stack_triangles
from tahoe_engine.workers import stack_slices

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tahoe_engine.features.blocks import Step
    from tahoe_engine.features.chains import FittedChain
    from tahoe_engine.features.loading import LoadLevel, Pieces
    from tahoe_engine.features.svd import Decomposition
    from tahoe_engine.workers import Computing

    FloatArray = NDArray[np.float64]


def make_step(step: Step, chain: FittedChain) -> Fitted:
    """Make a step that learns nothing: log1p or a polynomial.

    Parameters
    ----------
    step : Step
        Which.
    chain : FittedChain
        With the steps before it.

    Returns
    -------
    Fitted
        With the powers of a polynomial.

    Raises
    ------
    ConfigError
        If a polynomial would have too many columns.
    """
    columns = chain.names
    if isinstance(step, Polynomial):
        require_few(len(columns), step.degree, chain.chain.name)
        powers = list_powers(len(columns), step.degree)
        return Fitted("polynomial", columns, name_powers(columns, powers), {"powers": powers})
    return Fitted("log1p", columns, tuple(f"log1p({name})" for name in columns))


def fit_imputes(strategy: str, level: LoadLevel, slices: Pieces, computing: Computing) -> list[Fitted]:
    """Find what stands for missing values.

    Parameters
    ----------
    strategy : {"mean", "median"}
        Of the values that are there.
    level, slices : LoadLevel, list
        What to fit on.
    computing : Computing
        Who computes.

    Returns
    -------
    list of Fitted
        One for each chain of the level.

    Raises
    ------
    ConfigError
        If a column has no value at all.
    """
    n_rows, n_columns = sum(rows for _, rows in slices), _count_columns(level)
    if strategy == "median":
        fills, n_values = fit_medians(level, [piece for piece, _ in slices], n_columns, computing)
        n_missing = n_rows - n_values
    else:
        means = fit_means(stack_slices(replace(level, marks=True), slices, 2 * n_columns))
        fills, n_missing = means[:n_columns], _count(means[n_columns:], n_rows)
    return [
        Fitted(
            "impute",
            columns,
            columns,
            {"fill": fills[where]},
            {"strategy": strategy, "n_imputed": n_missing[where].tolist(), "n_rows": n_rows},
        )
        for columns, where in _share_out(level, n_missing, n_rows, fills)
    ]


def fit_standardizes(level: LoadLevel, slices: Pieces) -> list[Fitted]:
    """Find means and standard deviations.

    Parameters
    ----------
    level, slices : LoadLevel, list
        What to fit on.

    Returns
    -------
    list of Fitted
        One for each chain of the level.

    Raises
    ------
    ConfigError
        If a column has no value at all.
    """
    import numpy as np

    n_rows, n_columns = sum(rows for _, rows in slices), _count_columns(level)
    # After an impute nothing is missing, and wide blocks are not made twice as wide.
    marks = not all(any(step.do == "impute" for step in chain.steps) for chain in level.chains)
    width = 2 * n_columns if marks else n_columns
    means, variances = fit_scales(stack_slices(replace(level, marks=marks), slices, width))
    n_missing = _count(means[n_columns:], n_rows) if marks else np.zeros(n_columns, np.int64)
    means, variances = means[:n_columns], variances[:n_columns]
    scales = choose_scales(means, variances, (n_rows - n_missing).astype(np.float64))
    return [
        Fitted("standardize", columns, columns, {"mean": means[where], "scale": scales[where]}, {"n_rows": n_rows})
        for columns, where in _share_out(level, n_missing, n_rows, scales)
    ]


def fit_svds(wanted: list[int], level: LoadLevel, slices: Pieces, computing: Computing) -> list[Fitted]:
    """Find right singular vectors.

    Parameters
    ----------
    wanted : list of int
        How many, for each chain.
    level, slices : LoadLevel, list
        What to fit on.
    computing : Computing
        Who computes.

    Returns
    -------
    list of Fitted
        One for each chain of the level.

    Raises
    ------
    ConfigError
        If there are fewer rows or columns than components, or values are missing.
    """
    n_rows = sum(rows for _, rows in slices)
    groups = tuple((chain.chain.name, chain.names) for chain in level.chains)
    for (block, columns), n_components in zip(groups, wanted, strict=True):
        if n_components > min(n_rows, len(columns)):
            raise ConfigError(
                f"block {block!r}: svd of {len(columns)} columns and {n_rows} training rows has no {n_components} "
                "components; ask for fewer"
            )
    factors = computing.reduce(Triangulate(level, groups), stack_triangles, [piece for piece, _ in slices])
    return [
        tell_svd("svd", columns, decompose_triangle(factor, n_rows, n_components), n_rows)
        for factor, (_, columns), n_components in zip(factors, groups, wanted, strict=True)
    ]


def tell_svd(do: str, columns: tuple[str, ...], found: Decomposition, n_rows: int) -> Fitted:
    """Make a step of a decomposition.

    Parameters
    ----------
    do : {"svd", "codes_svd"}
        How it is applied.
    columns : tuple of str
        That go in.
    found : Decomposition
        What was found.
    n_rows : int
        How many rows it was fitted on.

    Returns
    -------
    Fitted
        Its columns are ``svd1``, ``svd2``, ...
    """
    return Fitted(
        do,
        columns,
        tuple(f"svd{number + 1}" for number in range(len(found.components))),
        {"components": found.components},
        {
            "singular_values": found.singular_values.tolist(),
            "explained_variance_ratio": found.explained.tolist(),
            "rank": int((found.singular_values > 0).sum()),
            "n_rows": n_rows,
        },
    )


def _count_columns(level: LoadLevel) -> int:
    return sum(len(chain.names) for chain in level.chains)


def _count(shares: FloatArray, n_rows: int) -> NDArray[np.int64]:
    """Give back the counts that dask-ml made means of; they are whole numbers, so rounding makes them exact."""
    import numpy as np

    return np.rint(shares * n_rows).astype(np.int64)


def _share_out(
    level: LoadLevel, n_missing: NDArray[np.int64], n_rows: int, learnt: FloatArray
) -> list[tuple[tuple[str, ...], slice]]:
    """Tell which columns of a level are whose; each must have a value, and nothing learnt of it is too large."""
    import numpy as np

    found, start = [], 0
    for chain in level.chains:
        columns, where = chain.names, slice(start, start + len(chain.names))
        for name, missing, number in zip(columns, n_missing[where], learnt[where], strict=True):
            if missing == n_rows:
                raise ConfigError(
                    f"block {chain.chain.name!r}: column {name!r} has no value in any of the {n_rows} training rows; "
                    "leave it out"
                )
            if not np.isfinite(number):
                raise BadDataError(
                    f"block {chain.chain.name!r}: the values of column {name!r} are too large to be added up or "
                    "squared; derive a smaller one, its logarithm perhaps"
                )
        found.append((columns, where))
        start = where.stop
    return found
