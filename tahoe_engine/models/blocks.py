"""Pieces of the features, and their rows once they are read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tahoe_engine.errors import BadDataError, escape_controls

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import polars as pl
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

LARGEST: Final = 1e100  # of a number that is squared, and summed up


@dataclass(frozen=True)
class Piece:
    """A part of the features of one split.

    Parameters
    ----------
    split : str
        Whose.
    name : str
        Of the part, without its ending: ``train/train-00000-of-00003``.
    n_rows : int
        That have the target; at least one.
    first : int
        Number of its first such row within the split.
    missing : int
        Rows without the target.
    """

    split: str
    name: str
    n_rows: int
    first: int
    missing: int

    @property
    def slice(self) -> str:
        """Name of the slice of the table that it was made of, as were parts of the other splits."""
        return self.name.partition("/")[2]


@dataclass(frozen=True)
class Block:
    """Rows that have the target, and their matrix.

    Parameters
    ----------
    x : scipy.sparse.csr_array of float64
        Rows by columns of the material; indices in order.
    y : ndarray
        Numbers, or codes of classes.
    fold : ndarray of int64
        -1 = none.
    clusters : ndarray of int64
        Code of the split's group of each row.
    numbers : ndarray of int64
        Of each row among those with the target, within its split (or within what was gathered of several).
    rows : polars.DataFrame
        The ids, as stored.
    """

    x: csr_array
    y: NDArray[Any]
    fold: NDArray[np.int64]
    clusters: NDArray[np.int64]
    numbers: NDArray[np.int64]
    rows: pl.DataFrame

    def take(self, chosen: NDArray[Any]) -> Block:
        """Give some of the rows.

        Parameters
        ----------
        chosen : ndarray
            Places, or truth values.

        Returns
        -------
        Block
            In the order of the places.
        """
        import numpy as np

        places = np.flatnonzero(chosen) if chosen.dtype == bool else chosen
        columns = (self.y[places], self.fold[places], self.clusters[places], self.numbers[places])
        return Block(self.x[places], *columns, self.rows[places] if self.rows.width else self.rows)


def stack_blocks(blocks: Sequence[Block], n_columns: int) -> Block:
    """Put blocks one below the other.

    Parameters
    ----------
    blocks : sequence of Block
        Of one material.
    n_columns : int
        Of their matrices.

    Returns
    -------
    Block
        Of all their rows; without any where there is no block.
    """
    import numpy as np
    import polars as pl
    from scipy.sparse import csr_array, vstack

    if len(blocks) == 1:
        return blocks[0]
    if not blocks:
        none = np.zeros(0, np.int64)
        return Block(csr_array((0, n_columns)), np.zeros(0), none, none, none, pl.DataFrame())
    columns = zip(*((one.y, one.fold, one.clusters, one.numbers) for one in blocks), strict=True)
    y, fold, clusters, numbers = (np.concatenate(column) for column in columns)
    # Without columns there is nothing to stack, and scipy loses the rows.
    x = vstack([block.x for block in blocks], format="csr") if n_columns else csr_array((len(y), 0))
    return Block(csr_array(x), y, fold, clusters, numbers, pl.concat([block.rows for block in blocks]))


def require_finite(x: csr_array, columns: Sequence[str], place: str) -> None:
    """Make sure that a matrix has numbers everywhere.

    Parameters
    ----------
    x : scipy.sparse.csr_array
        Rows by columns.
    columns : sequence of str
        Their names.
    place : str
        Where the rows are, for the message.

    Raises
    ------
    BadDataError
        If a number is missing, infinite or too large to be squared.
    """
    import numpy as np

    wrong = ~(np.abs(x.data) <= LARGEST)  # NaN is not, either
    if wrong.any():
        name = columns[x.indices[wrong][0]]
        told = "has no number" if np.isnan(x.data[wrong][0]) else "is infinite, or too large to be squared,"
        raise BadDataError(
            escape_controls(
                f"{place}: {name!r} {told} in a row; impute it in the recipe, or leave the column out (without)"
            )
        )
