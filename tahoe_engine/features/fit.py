"""Fit chains on the training rows, level by level: the first steps of all, then the second ones, and so on.

At a level, all columns that need the same kind of fit are fitted in one pass over the slices. The order of slices is
that of the caller and the sums are trees over it, so that the bits depend neither on workers nor on their number.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tahoe_engine.errors import ConfigError
from tahoe_engine.features.blocks import Impute, Log1p, Polynomial, Standardize, Svd
from tahoe_engine.features.chains import Fitted, FittedChain
from tahoe_engine.features.codes import CountPairs, add_pairs, decompose_pairs, require_room
from tahoe_engine.features.kinds import fit_imputes, fit_standardizes, fit_svds, make_step, tell_svd
from tahoe_engine.features.loading import LoadLevel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tahoe_engine.features.blocks import Step
    from tahoe_engine.features.chains import Chain
    from tahoe_engine.features.loading import Load, Pieces
    from tahoe_engine.workers import Computing

NO_ROWS = "there is no training row to fit the features on; see rows and split of the recipe"


def fit_chains(
    chains: Sequence[Chain], slices: Sequence[tuple[Any, int]], load: Load, computing: Computing
) -> list[FittedChain]:
    """Fit blocks of numbers.

    Parameters
    ----------
    chains : sequence of Chain
        What is asked for.
    slices : sequence of (object, int)
        Picklable, each with the number of rows that `load` gives of it; in an order of their own.
    load : callable
        Gives the rows fitted on of a slice.
    computing : Computing
        Who computes.

    Returns
    -------
    list of FittedChain
        In the order of the chains.

    Raises
    ------
    ConfigError
        If there is no row to fit on, a column has no value at all, or a step cannot follow the one before.
    BadDataError
        If a value is infinite or has no log1p.
    StageError
        If a slice has another number of rows than was said.

    Examples
    --------
    >>> import numpy as np
    >>> from tahoe_engine.config import WorkersSettings
    >>> from tahoe_engine.features.chains import Chain
    >>> from tahoe_engine.workers import open_computing
    >>> chain = Chain("numbers", ("a",), (Impute(do="impute"), Standardize(do="standardize")))
    >>> slices = [([[1.0], [np.nan]], 2), ([[5.0]], 1)]
    >>> with open_computing(WorkersSettings(count=0), 1) as computing:
    ...     (fitted,) = fit_chains([chain], slices, lambda piece, columns: np.array(piece), computing)
    >>> fitted.apply(np.array([[3.0], [np.nan]])).tolist()
    [[0.0], [0.0]]
    """
    filled = [((piece, n_rows), n_rows) for piece, n_rows in slices if n_rows]
    if not filled and any(not isinstance(step, (Log1p, Polynomial)) for chain in chains for step in chain.steps):
        raise ConfigError(NO_ROWS)
    fitted = [FittedChain(chain, ()) for chain in chains]
    for level in range(max((len(chain.steps) for chain in chains), default=0)):
        kinds: dict[object, list[int]] = {}
        for number, chain in enumerate(chains):
            if level < len(chain.steps):
                kinds.setdefault(_kind_of(chain.steps[level]), []).append(number)
        for numbers in kinds.values():
            steps = [chains[number].steps[level] for number in numbers]
            found = _fit_level(steps, [fitted[number] for number in numbers], filled, load, computing)
            for number, step in zip(numbers, found, strict=True):
                fitted[number] = replace(fitted[number], steps=(*fitted[number].steps, step))
    return fitted


def _kind_of(step: Step) -> object:
    return (step.do, step.strategy) if isinstance(step, Impute) else step.do


def _fit_level(
    steps: list[Step], chains: list[FittedChain], slices: Pieces, load: Load, computing: Computing
) -> list[Fitted]:
    """Fit steps of one kind."""
    if isinstance(steps[0], (Log1p, Polynomial)):
        return [make_step(step, chain) for step, chain in zip(steps, chains, strict=True)]
    level = LoadLevel(load, tuple(chains))
    if isinstance(steps[0], Impute):
        return fit_imputes(steps[0].strategy, level, slices, computing)
    if isinstance(steps[0], Standardize):
        return fit_standardizes(level, slices)
    return fit_svds([step.components for step in steps if isinstance(step, Svd)], level, slices, computing)


def fit_codes_svd(
    chain: Chain, sizes: Sequence[int], slices: Sequence[tuple[Any, int]], load: Load, computing: Computing
) -> FittedChain:
    """Fit the decomposition of one-hot columns that are given as codes.

    Parameters
    ----------
    chain : Chain
        Its columns are codes, its only step is an `Svd`. It is applied to codes as well.
    sizes : sequence of int
        Number of levels of each column.
    slices, load, computing
        As in `fit_chains`; `load` gives codes as float64, -1 or NaN where the level is not known.

    Returns
    -------
    FittedChain
        Of one column of codes: its most frequent levels, because one-hot columns of one text are orthogonal already.

    Raises
    ------
    ConfigError
        If there is no row to fit on, or the decomposition would be too large.

    Examples
    --------
    >>> import numpy as np
    >>> from tahoe_engine.config import WorkersSettings
    >>> from tahoe_engine.features.chains import Chain
    >>> from tahoe_engine.workers import open_computing
    >>> chain = Chain("drug", ("drug",), (Svd(do="svd", components=1),))
    >>> slices = [([[2.0], [2.0], [0.0]], 3)]
    >>> with open_computing(WorkersSettings(count=0), 1) as computing:
    ...     fitted = fit_codes_svd(chain, [3], slices, lambda piece, columns: np.array(piece), computing)
    >>> fitted.columns, fitted.apply(np.array([[2.0], [0.0], [-1.0]])).tolist()
    (('drug_svd1',), [[1.0], [0.0], [0.0]])
    """
    import numpy as np

    (step,) = chain.steps
    if not isinstance(step, Svd):
        raise ConfigError(f"block {chain.name!r}: codes can only be decomposed by svd")
    require_room(chain.name, sizes, step.components)
    pieces = [(piece, n_rows) for piece, n_rows in slices if n_rows]
    if not pieces:
        raise ConfigError(NO_ROWS)
    n_rows = sum(rows for _, rows in pieces)
    level = LoadLevel(load, (FittedChain(chain, ()),))
    pairs = computing.reduce(CountPairs(level, tuple(sizes)), add_pairs, pieces)
    fitted = tell_svd("codes_svd", chain.columns, decompose_pairs(pairs, n_rows, step.components), n_rows)
    fitted.arrays["sizes"] = np.array(sizes, np.int64)
    return FittedChain(chain, (fitted,))
