"""Rows and their targets, block by block, as two arrays of dask's whose blocks are loaded by whoever trains on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

from tahoe_engine.workers.parcels import Parcel, call_safely

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Pair:
    """A block that is not loaded yet.

    Parameters
    ----------
    load : callable
        Gives the matrix of a piece and its targets.
    piece : Parcel
        Which.
    """

    __slots__ = ("_load", "_piece")

    def __init__(self, load: Callable[[Any], tuple[Any, Any]], piece: Parcel) -> None:
        self._load, self._piece = load, piece

    def __reduce__(self) -> tuple[type[Pair], tuple[Any, Parcel]]:
        return Pair, (self._load, self._piece)

    def __call__(self) -> tuple[Any, Any]:
        """Load it."""
        return call_safely(self._load, self._piece)


def stack_pairs(load: Callable[[Any], tuple[Any, Any]], pieces: Sequence[tuple[Any, int]], n_columns: int) -> Any:  # noqa: ANN401 - dask has no types
    """Make two dask arrays of pieces, for `tahoe_engine.daskml.train_blocks`.

    A block goes to whoever trains as a `Pair`, and is loaded there: an estimator waits for the one before it anyway,
    and blocks that were loaded ahead on another worker had to be sent, which took more time than loading them.

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
        One block a piece; those of `x` are of `Pair`, and give the rows of `y`, too.

    Examples
    --------
    >>> import dask, numpy as np
    >>> x, y = stack_pairs(lambda n: (np.ones((n, 2)), np.arange(n)), [(3, 3), (1, 1)], 2)
    >>> pair = dask.get(dict(x.dask), (x.name, 0, 0))
    >>> x.shape, pair()[1].tolist()
    ((4, 2), [0, 1, 2])
    """
    import dask.array as da
    from dask._task_spec import DataNode, Task, TaskRef

    name = uuid4().hex
    # What loads stands once in the graph, not in every task.
    layer: dict[Any, Any] = {f"load-{name}": DataNode(f"load-{name}", load)}
    for number, (piece, _) in enumerate(pieces):
        keys = (f"x-{name}", number, 0), (f"y-{name}", number)
        layer[keys[0]] = Task(keys[0], Pair, TaskRef(f"load-{name}"), Parcel(piece))
        layer[keys[1]] = DataNode(keys[1], None)
    rows = tuple(n_rows for _, n_rows in pieces)
    x = da.Array(layer, f"x-{name}", (rows, (n_columns,)), dtype=float)  # type: ignore[no-untyped-call]
    y = da.Array(layer, f"y-{name}", (rows,), dtype=float)  # type: ignore[no-untyped-call]
    return x, y
