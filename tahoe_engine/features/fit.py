"""Fit chains on the training rows, level by level: the first steps of all, then the second ones, and so on.

At a level, all columns that need the same kind of fit are fitted in one pass over the slices. The order of slices is
that of the caller and the sums are trees over it, so that the bits depend neither on workers nor on their number.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tahoe_engine.daskml import choose_scales, fit_means, fit_scales, list_powers, stack_slices
from tahoe_engine.errors import ConfigError
from tahoe_engine.features.chains import Fitted, FittedChain
from tahoe_engine.features.recipe import Impute, Log1p, Polynomial
from tahoe_engine.features.steps import name_powers, require_few

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from tahoe_engine.features.chains import Chain
    from tahoe_engine.features.recipe import Step
    from tahoe_engine.workers import Computing

    FloatArray = NDArray[np.float64]

# The rows fitted on of a slice, float64, NaN where missing; importable by name, or an object that pickles.
Load = Callable[[Any, tuple[str, ...]], "FloatArray"]


@dataclass(frozen=True)
class LoadLevel:
    """What the steps of a level see of a slice: the columns of some chains after their steps so far.

    Parameters
    ----------
    load : callable
        See `Load`.
    chains : tuple of FittedChain
        With the steps before this level.
    marks : bool
        Whether as many columns follow that are 1 where a value is missing: their means are its share, so that
        counting takes no pass of its own.
    """

    load: Load
    chains: tuple[FittedChain, ...]
    marks: bool = False

    def __call__(self, piece: object) -> FloatArray:
        """Load a slice.

        Parameters
        ----------
        piece : object
            The slice.

        Returns
        -------
        numpy.ndarray
            The columns of the first chain, then those of the second, and so on.
        """
        import numpy as np

        wanted = tuple(dict.fromkeys(name for chain in self.chains for name in chain.chain.columns))
        place = {name: number for number, name in enumerate(wanted)}
        loaded = self.load(piece, wanted)
        blocks = [chain.apply(loaded[:, [place[name] for name in chain.chain.columns]]) for chain in self.chains]
        if self.marks:
            blocks += [np.isnan(block).astype(np.float64) for block in blocks]
        return np.hstack(blocks)


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
    """
    filled = [(piece, n_rows) for piece, n_rows in slices if n_rows]
    if not filled and any(_needs_rows(step) for chain in chains for step in chain.steps):
        raise ConfigError("there is no training row to fit the features on; see rows and split of the recipe")
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


def _needs_rows(step: Step) -> bool:
    return not isinstance(step, (Log1p, Polynomial))


def _kind_of(step: Step) -> object:
    return (step.do, step.strategy) if isinstance(step, Impute) else step.do


def _columns_of(chain: FittedChain) -> tuple[str, ...]:
    return chain.steps[-1].columns_out if chain.steps else chain.chain.columns


def _fit_level(
    steps: list[Step], chains: list[FittedChain], slices: list[tuple[Any, int]], load: Load, computing: Computing
) -> list[Fitted]:
    """Fit steps of one kind."""
    if isinstance(steps[0], (Log1p, Polynomial)):
        return [_make_step(step, chain) for step, chain in zip(steps, chains, strict=True)]
    level = LoadLevel(load, tuple(chains))
    if isinstance(steps[0], Impute):
        return _fit_imputes(steps[0].strategy, level, slices, computing)
    return _fit_standardizes(level, slices)


def _make_step(step: Step, chain: FittedChain) -> Fitted:
    """Make a step that learns nothing."""
    columns = _columns_of(chain)
    if isinstance(step, Polynomial):
        require_few(len(columns), step.degree, chain.chain.name)
        powers = list_powers(len(columns), step.degree)
        return Fitted("polynomial", columns, name_powers(columns, powers), {"powers": powers})
    return Fitted("log1p", columns, tuple(f"log1p({name})" for name in columns))


def _fit_imputes(strategy: str, level: LoadLevel, slices: list[tuple[Any, int]], computing: Computing) -> list[Fitted]:
    del computing, strategy
    n_rows = sum(rows for _, rows in slices)
    n_columns = sum(len(_columns_of(chain)) for chain in level.chains)
    means = fit_means(stack_slices(replace(level, marks=True), slices, 2 * n_columns))
    fills, n_missing = means[:n_columns], _count(means[n_columns:], n_rows)
    return [
        Fitted(
            "impute",
            columns,
            columns,
            {"fill": fills[where]},
            {"n_imputed": n_missing[where].tolist(), "n_rows": n_rows},
        )
        for columns, where in _share_out(level, n_missing, n_rows)
    ]


def _fit_standardizes(level: LoadLevel, slices: list[tuple[Any, int]]) -> list[Fitted]:
    n_rows = sum(rows for _, rows in slices)
    n_columns = sum(len(_columns_of(chain)) for chain in level.chains)
    means, variances = fit_scales(stack_slices(replace(level, marks=True), slices, 2 * n_columns))
    n_missing = _count(means[n_columns:], n_rows)
    means, variances = means[:n_columns], variances[:n_columns]
    scales = choose_scales(means, variances, (n_rows - n_missing).astype(float))
    return [
        Fitted("standardize", columns, columns, {"mean": means[where], "scale": scales[where]}, {"n_rows": n_rows})
        for columns, where in _share_out(level, n_missing, n_rows)
    ]


def _count(shares: FloatArray, n_rows: int) -> NDArray[np.int64]:
    """Give back the counts that dask-ml made means of; they are whole numbers, so rounding makes them exact."""
    import numpy as np

    return np.rint(shares * n_rows).astype(np.int64)


def _share_out(level: LoadLevel, n_missing: NDArray[np.int64], n_rows: int) -> list[tuple[tuple[str, ...], slice]]:
    """Tell which columns of a level are whose; each must have a value."""
    found, start = [], 0
    for chain in level.chains:
        columns = _columns_of(chain)
        for name, missing in zip(columns, n_missing[start : start + len(columns)].tolist(), strict=True):
            if missing == n_rows:
                raise ConfigError(
                    f"block {chain.chain.name!r}: column {name!r} has no value in any of the {n_rows} training rows; "
                    "leave it out"
                )
        found.append((columns, slice(start, start + len(columns))))
        start += len(columns)
    return found
