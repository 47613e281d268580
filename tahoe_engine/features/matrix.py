"""The matrix of stored rows: numbers as they are, and for codes a one in the column of their level."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import polars as pl
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

CHUNK = 1 << 15  # entries that are put together at once: they fit into the cache, which is twice as fast


@dataclass(frozen=True)
class Spread:
    """Where the values of a stored column stand in the matrix.

    Parameters
    ----------
    name : str
        Of the stored column.
    places : ndarray of int32
        Column of the matrix of each level, -1 for a level that is left out; of numbers one column alone.
    codes : bool
        Whether codes of levels are stored.
    """

    name: str
    places: NDArray[np.int32]
    codes: bool


def plan_spreads(columns: Sequence[tuple[str, Sequence[str] | None, frozenset[str] | None]]) -> list[Spread]:
    """Give every stored column its place.

    Parameters
    ----------
    columns : sequence of (str, sequence of str or None, frozenset of str or None)
        A stored column, the names of its levels (None for numbers), and those that are wanted (None: all).

    Returns
    -------
    list of Spread
        In the same order, from column 0 on.

    Examples
    --------
    >>> found = plan_spreads([("a", None, None), ("b_code", ["b=x", "b=y", "b=z"], frozenset({"b=x", "b=z"}))])
    >>> [(one.name, one.places.tolist()) for one in found]
    [('a', [0]), ('b_code', [1, -1, 2])]
    """
    import numpy as np

    found, start = [], 0
    for name, levels, wanted in columns:
        kept = np.array([wanted is None or level in wanted for level in ([name] if levels is None else levels)], bool)
        places = np.where(kept, start + np.cumsum(kept) - 1, -1).astype(np.int32)
        found.append(Spread(name, places, levels is not None))
        start += int(kept.sum())
    return found


def build_matrix(rows: pl.DataFrame, spreads: Sequence[Spread], n_columns: int) -> csr_array:
    """Give the matrix of rows.

    Parameters
    ----------
    rows : polars.DataFrame
        With the stored columns.
    spreads : sequence of Spread
        Where they go, in order.
    n_columns : int
        Of the matrix.

    Returns
    -------
    scipy.sparse.csr_array of float64
        Without stored zeros, indices in order. NaN where a number is missing; nothing for a level that is not known.

    Notes
    -----
    A row has at most one entry a stored column, and they come in order: the three arrays are written as they are, which
    is four times as fast as to stack a matrix a column.

    Examples
    --------
    >>> import polars as pl
    >>> rows = pl.DataFrame({"a": [0.5, 0.0], "b_code": [1, -1]})
    >>> build_matrix(rows, plan_spreads([("a", None, None), ("b_code", ["b=x", "b=y"], None)]), 3).toarray().tolist()
    [[0.5, 0.0, 1.0], [0.0, 0.0, 0.0]]
    """
    import numpy as np
    from scipy.sparse import csr_array

    if not rows.height or not spreads:
        return csr_array((rows.height, n_columns))
    taken = [_take(rows[spread.name], spread) for spread in spreads]
    step = max(1, CHUNK // len(spreads))
    data, indices, counts = [], [], []
    for start in range(0, rows.height, step):
        stop = min(start + step, rows.height)
        values = np.ones((stop - start, len(spreads)))
        places = np.empty((stop - start, len(spreads)), np.int32)
        for at, (place, value) in enumerate(taken):
            places[:, at] = place if isinstance(place, int) else place[start:stop]
            if value is not None:
                values[:, at] = value[start:stop]
        there = (places >= 0) & (values != 0)
        counts.append(there.sum(axis=1))
        full = bool(there.all())
        data.append(values.ravel() if full else values[there])
        indices.append(places.ravel() if full else places[there])
    starts = np.concatenate([[0], np.cumsum(np.concatenate(counts))])
    fits = starts[-1] <= np.iinfo(np.int32).max
    starts = starts.astype(np.int32 if fits else np.int64)
    columns = np.concatenate(indices) if len(indices) > 1 else indices[0]
    columns = columns if fits else columns.astype(np.int64)
    matrix = csr_array(
        (np.concatenate(data) if len(data) > 1 else data[0], columns, starts), shape=(rows.height, n_columns)
    )
    matrix.has_sorted_indices = True
    return matrix


def _take(column: pl.Series, spread: Spread) -> tuple[int | NDArray[np.int32], NDArray[np.float64] | None]:
    """Give the places of a column's values, and the values where they are not ones."""
    import numpy as np

    if not spread.codes:
        return int(spread.places[0]), column.cast(float).fill_null(float("nan")).to_numpy()
    # Code -1, a level that is not known, takes the last place of all.
    return np.append(spread.places, np.int32(-1))[column.to_numpy()], None
