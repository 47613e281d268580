"""A fitted model on rows: what it predicts of a row depends on that row alone, to the last bit.

A product of dense matrices does not give that: BLAS adds up the last rows of a block in another order than those
before, so that a prediction would change with the rows beside it. A sparse matrix is multiplied row by row, each in the
order of its columns. So linear models get their rows sparse; and of a Nyström map, whose own `transform` multiplies
dense matrices, both products are computed so. Trees, boosted trees and libsvm walk row by row by themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tahoe_engine.models.baseline import Baseline

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

CHUNK: Final = 8_192  # rows that are dense at once


def apply_model(
    model: Any,  # noqa: ANN401 - any estimator
    x: csr_array,
    rows: pl.DataFrame,
    n_classes: int,
) -> tuple[NDArray[Any], NDArray[np.float64] | None]:
    """Predict rows.

    Parameters
    ----------
    model : object
        A `Baseline`, or an estimator of the catalogue that was fitted; it is set to one thread.
    x : scipy.sparse.csr_array
        Rows by columns.
    rows : polars.DataFrame
        Their ids: what a baseline looks at.
    n_classes : int
        Of the training rows; 0 for a regression.

    Returns
    -------
    y_pred : numpy.ndarray of float64, or of int64 codes of classes
        One a row.
    probabilities : numpy.ndarray of float64, rows by classes, or None
        None where the model gives none.
    """
    import numpy as np
    from threadpoolctl import threadpool_limits

    if isinstance(model, Baseline):
        return model.predict(rows), model.predict_proba(rows)
    _use_one_thread(model)
    told, shares = [], []
    with threadpool_limits(limits=1):
        for first in range(0, max(1, x.shape[0]), CHUNK):
            one, share = _predict_chunk(model, x[first : first + CHUNK], n_classes)
            told.append(one)
            shares.append(share)
    y_pred = np.concatenate(told)
    return y_pred, None if shares[0] is None else np.concatenate([share for share in shares if share is not None])


def measure_margins(model: Any, x: csr_array, n_classes: int) -> NDArray[np.float64] | None:  # noqa: ANN401
    """Measure how much a classifier without probabilities prefers each class: its ``decision_function``.

    Parameters
    ----------
    model, x, n_classes
        As in `apply_model`.

    Returns
    -------
    numpy.ndarray of float64, rows by classes, or None
        One class against the rest; of two classes what one has, the other lacks. A class that the model was not
        trained on has less than all others. None where the model has probabilities, or nothing of the kind.
    """
    import numpy as np
    from threadpoolctl import threadpool_limits

    if not n_classes or hasattr(model, "predict_proba") or not hasattr(model, "decision_function"):
        return None
    *before, last = [step for _, step in model.steps] if hasattr(model, "steps") else [model]
    found = []
    with threadpool_limits(limits=1):
        for first in range(0, x.shape[0], CHUNK):
            chunk = _take_steps(before, last, x[first : first + CHUNK])
            found.append(spread_margins(last.decision_function(chunk), np.asarray(last.classes_, np.int64), n_classes))
    return np.concatenate(found) if found else np.zeros((0, n_classes))


def spread_margins(margins: Any, classes: NDArray[np.int64], n_classes: int) -> NDArray[np.float64]:  # noqa: ANN401
    """Give a column to each class of the target.

    Parameters
    ----------
    margins : array_like
        As a ``decision_function`` gives them: a number a row for two classes, else a column a class.
    classes : ndarray of int64
        That the model was trained on.
    n_classes : int
        Of the target.

    Returns
    -------
    ndarray of float64, rows by classes
        Finite.

    Examples
    --------
    >>> import numpy as np
    >>> spread_margins(np.array([0.5, -2.0]), np.array([0, 1]), 2).tolist()
    [[-0.5, 0.5], [2.0, -2.0]]
    """
    import numpy as np

    told = np.asarray(margins, np.float64)
    told = np.column_stack([-told, told]) if told.ndim == 1 else told
    spread = np.full((len(told), n_classes), told.min(initial=0.0) - 1.0)
    spread[:, classes] = told
    return spread


def _take_steps(before: list[Any], last: Any, x: Any) -> Any:  # noqa: ANN401
    """Bring rows through all steps but the last, so that each depends on itself alone."""
    from scipy.sparse import csr_array

    for step in before:
        x = _map_kernel(step, x) if type(step).__name__ == "Nystroem" else step.transform(x)
    return csr_array(x) if _is_linear(last) else x


def _predict_chunk(model: Any, x: Any, n_classes: int) -> tuple[NDArray[Any], NDArray[np.float64] | None]:  # noqa: ANN401
    import numpy as np

    if not x.shape[0]:
        none = np.zeros(0, np.int64 if n_classes else np.float64)
        return none, np.zeros((0, n_classes)) if hasattr(model, "predict_proba") else None
    *before, last = [step for _, step in model.steps] if hasattr(model, "steps") else [model]
    x = _take_steps(before, last, x)
    if not n_classes:
        return np.asarray(last.predict(x), np.float64).reshape(-1), None
    shares = last.predict_proba(x) if hasattr(last, "predict_proba") else None
    if shares is None or _is_linear(last):
        y_pred = np.asarray(last.predict(x), np.int64)
    else:
        # What their own `predict` does, without walking all trees twice.
        y_pred = np.asarray(last.classes_, np.int64)[np.argmax(shares, axis=1)]
    return y_pred, None if shares is None else _spread(shares, np.asarray(last.classes_, np.int64), n_classes)


def _map_kernel(step: Any, x: Any) -> Any:  # noqa: ANN401
    """Do what `Nystroem.transform` does, row by row."""
    from scipy.sparse import csr_array
    from sklearn.metrics.pairwise import pairwise_kernels

    kernel = pairwise_kernels(
        csr_array(x),
        step.components_,
        metric=step.kernel,
        filter_params=True,
        **step._get_kernel_params(),  # noqa: SLF001 - as its transform does
    )
    return csr_array(csr_array(kernel) @ step.normalization_.T)


def _is_linear(estimator: Any) -> bool:  # noqa: ANN401
    """Tell what predicts by a product of rows and weights; libsvm may have weights, and goes its own way."""
    module = type(estimator).__module__
    return module.startswith("sklearn.") and hasattr(estimator, "coef_") and not hasattr(estimator, "support_")


def _spread(shares: NDArray[Any], classes: NDArray[np.int64], n_classes: int) -> NDArray[np.float64]:
    """Give a column to classes that were not in what the model was trained on, too."""
    import numpy as np

    spread = np.zeros((shares.shape[0], n_classes))
    spread[:, classes] = shares
    return spread


def _use_one_thread(model: Any) -> None:  # noqa: ANN401
    """Threads add up the trees of a forest in the order in which they are done."""
    for name, value in model.get_params(deep=True).items():
        if name.rpartition("__")[2] == "n_jobs" and value not in {None, 1}:
            model.set_params(**{name: 1})
