"""The design matrix of a stratum: a mean for every level of the treatment, and the blocks as covariates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

    from tahoe_engine.contrasts.design import Stratum

DEPENDENT: Final = 1e-9  # share of a column's length that is left outside the others, below which nothing is


@dataclass(frozen=True)
class Matrix:
    """What a linear model of a stratum is fitted with.

    Parameters
    ----------
    groups : tuple of int
        Ids of the groups that take part, ascending: the samples of the fit, S of them.
    design : ndarray of float64, (S, K)
        Of full rank: the control, the levels, then all but one of the levels of each block, without those that the
        columns before them determine.
    contrasts : ndarray of float64, (K, C)
        Each level minus the control; 0 where `estimable` is False.
    control : ndarray of float64, (K,)
        Weights that give the mean of the controls, with the blocks in the shares they have among the samples.
    estimable : ndarray of bool, (C,)
        False where no sample is left of a side, or no block ties it to a control.
    """

    groups: tuple[int, ...]
    design: NDArray[np.float64]
    contrasts: NDArray[np.float64]
    control: NDArray[np.float64]
    estimable: NDArray[np.bool_]


def build_matrix(stratum: Stratum, empty: Collection[int] = ()) -> Matrix:
    """Build the design of a stratum.

    Parameters
    ----------
    stratum : Stratum
        With its blocks.
    empty : collection of int
        Groups without any count: there is nothing to fit.

    Returns
    -------
    Matrix
        Its contrasts in the order of the stratum's.

    Examples
    --------
    >>> from tahoe_engine.contrasts.design import Contrast, Side, Stratum
    >>> talc = Contrast(0, "Talc", 0.5, None, "plate4", Side((2,), 30, 1))
    >>> build_matrix(Stratum("plate4", None, Side((0, 1), 90, 2), (talc,), {}, {})).design
    array([[1., 0.],
           [1., 0.],
           [0., 1.]])
    """
    groups = tuple(group for group in stratum.groups if group not in empty)
    sides = [stratum.control, *(contrast.treated for contrast in stratum.contrasts)]
    level_of = {group: place for place, side in enumerate(sides) for group in side.groups}
    levels = np.array([level_of[group] for group in groups], np.int64)
    columns = [(levels == place).astype(np.float64) for place in range(len(sides))]
    mean = [1.0, *(0.0 for _ in stratum.contrasts)]
    for factor in range(len(next(iter(stratum.blocks.values()), ()))):
        values: list[Any] = [stratum.blocks[group][factor] for group in groups]
        for value in sorted(set(values))[1:]:
            columns.append(np.array([other == value for other in values], np.float64))
            mean.append(float(columns[-1].mean()))
    full = np.column_stack(columns)
    kept, ties = _split_columns(full)
    weights = np.zeros((full.shape[1], len(stratum.contrasts)))
    weights[0] = -1.0
    weights[np.arange(1, len(sides)), np.arange(len(sides) - 1)] = 1.0
    estimable = np.ones(len(stratum.contrasts), np.bool_)
    for column, tie in ties.items():
        # Equal fits differ by multiples of this tie; what they all agree on can be estimated.
        estimable &= np.abs(weights[column] - tie @ weights[kept]) < np.sqrt(DEPENDENT)
    weights[:, ~estimable] = 0.0
    return Matrix(groups, full[:, kept], weights[kept], np.array(mean)[kept], estimable)


def _split_columns(full: NDArray[np.float64]) -> tuple[list[int], dict[int, NDArray[np.float64]]]:
    """Give the columns that are not determined by those before them, and for the rest how they are."""
    kept: list[int] = []
    dependent: list[int] = []
    basis = np.zeros_like(full)
    for column in range(full.shape[1]):
        rest = full[:, column].copy()
        for _ in range(2):  # twice is enough (Giraud, Langou & Rozloznik 2005)
            rest -= basis[:, : len(kept)] @ (rest @ basis[:, : len(kept)])
        length = float(np.sqrt(rest @ rest))
        if length > DEPENDENT * max(1.0, float(np.sqrt(full[:, column] @ full[:, column]))):
            basis[:, len(kept)] = rest / length
            kept.append(column)
        else:
            dependent.append(column)
    ties = np.zeros((len(kept), len(dependent)))
    if kept and dependent:
        ties[:] = np.linalg.lstsq(full[:, kept], full[:, dependent], rcond=None)[0]
    return kept, {column: ties[:, place] for place, column in enumerate(dependent)}
