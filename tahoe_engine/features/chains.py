"""A block of numbers and the steps it goes through, before and after they are fitted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tahoe_engine.features.steps import (
    fill_missing,
    multiply_columns,
    pick_codes,
    project,
    require_finite,
    take_log1p,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tahoe_engine.features.blocks import Step

    FloatArray = NDArray[np.float64]

# Steps that make columns of their own of all that go in.
MIXING = ("svd", "codes_svd")


@dataclass(frozen=True)
class Chain:
    """A block before it is fitted.

    Parameters
    ----------
    name : str
        Of the block.
    columns : tuple of str
        That go in.
    steps : tuple of Step
        In order.
    prefix : str
        Set before the names of the columns that come out; the name of the block and ``_``, where there is an svd
        among the steps and the prefix is empty.
    """

    name: str
    columns: tuple[str, ...]
    steps: tuple[Step, ...]
    prefix: str = ""


@dataclass(frozen=True, eq=False)
class Fitted:
    """One step as it was fitted.

    Parameters
    ----------
    do : str
        Which: as in the recipe, or ``codes_svd``.
    columns_in, columns_out : tuple of str
        Without the prefix.
    arrays : dict
        What was learnt, float64 or int64: ``fill``; ``mean`` and ``scale``; ``powers``; ``components``; ``sizes``.
    facts : dict
        For reports: nothing that `apply_step` needs.
    """

    do: str
    columns_in: tuple[str, ...]
    columns_out: tuple[str, ...]
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)


def apply_step(step: Fitted, matrix: FloatArray, where: str) -> FloatArray:
    """Do what was learnt to a matrix.

    Parameters
    ----------
    step : Fitted
        Which.
    matrix : numpy.ndarray
        Its columns; NaN is missing, and stays so but for impute.
    where : str
        Block of features, for messages.

    Returns
    -------
    numpy.ndarray
        The columns that come out.

    Raises
    ------
    BadDataError
        If log1p meets -1 or less, or a value grows beyond the largest number.

    Examples
    --------
    >>> import numpy as np
    >>> apply_step(Fitted("log1p", ("a",), ("log1p(a)",)), np.array([[0.0]]), "numbers").tolist()
    [[0.0]]
    """
    import numpy as np

    arrays = step.arrays
    # What grows too large is found below, and named.
    with np.errstate(over="ignore", invalid="ignore"):
        if step.do == "impute":
            out = fill_missing(matrix, arrays["fill"])
        elif step.do == "log1p":
            out = take_log1p(matrix, step.columns_in, where)
        elif step.do == "standardize":
            out = (matrix - arrays["mean"]) / arrays["scale"]
        elif step.do == "polynomial":
            out = multiply_columns(matrix, arrays["powers"])
        elif step.do == "svd":
            out = project(matrix, arrays["components"])
        else:
            out = pick_codes(matrix, arrays["sizes"], arrays["components"])
    require_finite(out, step.columns_out, where)
    return out


@dataclass(frozen=True, eq=False)
class FittedChain:
    """A block as it was fitted.

    Parameters
    ----------
    chain : Chain
        What was asked for.
    steps : tuple of Fitted
        One for each step.

    Examples
    --------
    >>> import numpy as np
    >>> step = Fitted("standardize", ("a",), ("a",), {"mean": np.array([2.0]), "scale": np.array([4.0])})
    >>> fitted = FittedChain(Chain("numbers", ("a",), (), "z_"), (step,))
    >>> fitted.columns, fitted.sources(), fitted.apply(np.array([[6.0], [np.nan]])).tolist()
    (('z_a',), (('a',),), [[1.0], [nan]])
    """

    chain: Chain
    steps: tuple[Fitted, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns that come out, without the prefix."""
        return self.steps[-1].columns_out if self.steps else self.chain.columns

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns that come out."""
        prefix = self.chain.prefix
        if not prefix and any(step.do in MIXING for step in self.steps):
            prefix = f"{self.chain.name}_"
        return tuple(f"{prefix}{name}" for name in self.names)

    def apply(self, matrix: FloatArray) -> FloatArray:
        """Bring rows to the form that models get.

        Parameters
        ----------
        matrix : numpy.ndarray
            A column for each of the chain; float64, NaN is missing.

        Returns
        -------
        numpy.ndarray
            A row's result does not depend on the other rows, bit for bit. What is missing and is not imputed makes
            all missing that is computed of it.

        Raises
        ------
        BadDataError
            If a value is infinite, becomes it, or has no log1p; the column is named.
        """
        require_finite(matrix, self.chain.columns, self.chain.name)
        for step in self.steps:
            matrix = apply_step(step, matrix, self.chain.name)
        return matrix

    def sources(self) -> tuple[tuple[str, ...], ...]:
        """Tell where columns come from.

        Returns
        -------
        tuple of tuple of str
            For each column that comes out, those of the chain that it was computed of.
        """
        found: tuple[frozenset[int], ...] = tuple(frozenset({place}) for place in range(len(self.chain.columns)))
        for step in self.steps:
            if step.do in MIXING:
                found = (frozenset().union(*found),) * len(step.columns_out)
            elif step.do == "polynomial":
                found = tuple(
                    frozenset().union(*(found[place] for place in row.nonzero()[0].tolist()))
                    for row in step.arrays["powers"]
                )
        return tuple(tuple(self.chain.columns[place] for place in sorted(places)) for places in found)
