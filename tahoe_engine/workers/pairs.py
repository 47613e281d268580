"""Rows and their targets, block by block, as two arrays of dask's that are loaded where they are needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

from tahoe_engine.workers.parcels import Parcel, call_safely

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def stack_pairs(load: Callable[[Any], tuple[Any, Any]], pieces: Sequence[tuple[Any, int]], n_columns: int) -> Any:  # noqa: ANN401 - dask has no types
    """Make two dask arrays of pieces that are loaded when they are needed, one chunk each.

    Parameters
    ----------
    load : callable
        Picklable; gives the matrix of a piece, also a sparse one, and its targets.
    pieces : sequence of (object, int)
        Each with its number of rows.
    n_columns : int
        Of the matrices.

    Returns
    -------
    x, y : dask.array.Array
        Nothing is loaded yet; a piece is loaded once for both.

    Examples
    --------
    >>> import numpy as np
    >>> x, y = stack_pairs(lambda n: (np.ones((n, 2)), np.arange(n)), [(3, 3), (1, 1)], 2)
    >>> x.shape, y.compute(scheduler="synchronous").tolist()
    ((4, 2), [0, 1, 2, 0])
    """
    import dask.array as da
    from dask._task_spec import DataNode, Task, TaskRef

    name = uuid4().hex
    # What loads stands once in the graph, not in every task.
    layer: dict[Any, Any] = {f"load-{name}": DataNode(f"load-{name}", load)}
    for number, (piece, _) in enumerate(pieces):
        pair = (f"pair-{name}", number)
        layer[pair] = Task(pair, call_safely, TaskRef(f"load-{name}"), Parcel(piece))
        for at, key in enumerate([(f"x-{name}", number, 0), (f"y-{name}", number)]):
            layer[key] = Task(key, _take, TaskRef(pair), at)
    rows = tuple(n_rows for _, n_rows in pieces)
    x = da.Array(layer, f"x-{name}", (rows, (n_columns,)), dtype=float)  # type: ignore[no-untyped-call]
    y = da.Array(layer, f"y-{name}", (rows,), dtype=float)  # type: ignore[no-untyped-call]
    return x, y


def _take(pair: tuple[Any, Any], at: int) -> Any:  # noqa: ANN401 - either
    return pair[at]
