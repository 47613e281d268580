"""A table that is read slice by slice, as an array of dask's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

from tahoe_engine.workers.parcels import Parcel, call_safely

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]


def stack_slices(load: Callable[[Any], FloatArray], slices: Sequence[tuple[Any, int]], n_columns: int) -> Any:  # noqa: ANN401 - dask has no types
    """Make one dask array of slices that are loaded when they are needed, one chunk each.

    Parameters
    ----------
    load : callable
        Picklable; gives the rows of a slice, float64.
    slices : sequence of (object, int)
        Each with its number of rows, which is not 0.
    n_columns : int
        Of what `load` gives.

    Returns
    -------
    dask.array.Array
        Nothing is loaded yet.

    Examples
    --------
    >>> import numpy as np
    >>> array = stack_slices(np.array, [([[1.0], [2.0]], 2), ([[6.0]], 1)], 1)
    >>> array.shape, float(array.mean().compute(scheduler="synchronous"))
    ((3, 1), 3.0)
    """
    import dask.array as da
    from dask._task_spec import DataNode, Task, TaskRef

    name = f"slices-{uuid4().hex}"
    # What loads carries what was fitted so far: it stands once in the graph, not in every task.
    layer: dict[Any, Any] = {f"load-{name}": DataNode(f"load-{name}", load)}
    for number, (piece, _) in enumerate(slices):
        key = (name, number, 0)
        layer[key] = Task(key, call_safely, TaskRef(f"load-{name}"), Parcel(piece))
    rows = tuple(n_rows for _, n_rows in slices)
    return da.Array(layer, name, (rows, (n_columns,)), dtype=float)  # type: ignore[no-untyped-call]
