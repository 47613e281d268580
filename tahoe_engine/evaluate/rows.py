"""Rows of predictions, before they are tallied: checked, their groups numbered, their losses measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tahoe_engine.errors import BadDataError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray


def code_groups(groups: Mapping[str, Any], n_rows: int) -> tuple[tuple[str, ...], NDArray[np.int32]]:
    """Give every value of the columns of groups a number: its segment.

    Parameters
    ----------
    groups : mapping of str to array_like
        Values of each column.
    n_rows : int
        That there are.

    Returns
    -------
    segments : tuple of str
        ``COLUMN=VALUE`` in the order of their names, after "" for all rows.
    codes : ndarray of int32, shape (rows, columns)
        Number of each row's segment; -1 where it has no value.

    Raises
    ------
    BadDataError
        If a column has another length.

    Examples
    --------
    >>> segments, codes = code_groups({"line": ["b", "a", None]}, 3)
    >>> segments, codes[:, 0].tolist()
    (('', 'line=a', 'line=b'), [2, 1, -1])
    """
    import numpy as np
    import polars as pl

    names: dict[str, list[str]] = {}
    texts = {}
    for column, values in groups.items():
        given = (values if isinstance(values, pl.Series) else pl.Series(column, values)).cast(pl.String)
        texts[column] = fit_rows(given, n_rows, f"the group {column!r}")
        names[column] = [f"{column}={value}" for value in given.drop_nulls().unique().sort()]
    segments = ("", *sorted(name for several in names.values() for name in several))
    place = {name: number for number, name in enumerate(segments)}
    codes = np.full((n_rows, len(groups)), -1, np.int32)
    for at, (column, given) in enumerate(texts.items()):
        keys = [name[len(column) + 1 :] for name in names[column]]
        numbers = [place[name] for name in names[column]]
        if keys:
            told = given.replace_strict(keys, numbers, default=None, return_dtype=pl.Int32)
            codes[:, at] = told.fill_null(-1).to_numpy()
    return segments, codes


def measure_losses(y: NDArray[np.int64], p: NDArray[np.float64] | None) -> list[NDArray[np.float64]]:
    """Measure the log loss and the Brier score of each row, as scikit-learn's `log_loss` and `brier_score_loss` do.

    Parameters
    ----------
    y : ndarray of int64
        Codes of the true classes; one beyond those of `p` had the probability 0.
    p : ndarray of float64, shape (rows, classes), optional
        Predicted probabilities.

    Returns
    -------
    list of ndarray
        Both, or none without probabilities. Probabilities are cut to [eps, 1 - eps] for the logarithm; the Brier score
        of two classes is halved.

    Examples
    --------
    >>> import numpy as np
    >>> log_loss, brier = measure_losses(np.array([1]), np.array([[0.5, 0.5]]))
    >>> round(float(log_loss[0]), 4), float(brier[0])
    (0.6931, 0.25)
    """
    import numpy as np

    if p is None:
        return []
    known = y < p.shape[1]
    eps = np.finfo(np.float64).eps
    of_true = np.where(known, p[np.arange(y.size), np.where(known, y, 0)], 0.0)
    log_loss = -np.log(np.clip(of_true, eps, 1 - eps))
    # Sum over the classes of (p - [true])^2; a class that the model does not know got nothing of what was 1.
    others = np.einsum("ij,ij->i", p, p) - of_true**2
    brier = np.maximum(others, 0.0) + (1.0 - of_true) ** 2
    return [log_loss, brier / 2 if p.shape[1] == 2 else brier]  # noqa: PLR2004 -- halved for two classes


def check_rows(  # noqa: PLR0913, PLR0917 -- all sides of the rows
    kind: str,
    y: NDArray[Any],
    y_pred: NDArray[Any],
    clusters: NDArray[np.int64],
    p: NDArray[np.float64] | None,
    n_classes: int,
) -> None:
    """Check that rows can be tallied.

    Parameters
    ----------
    kind : {"regression", "classification"}
        Of the target.
    y, y_pred, clusters, p : ndarray
        All sides of the rows; `p` may be None.
    n_classes : int
        Columns that `p` must have.

    Raises
    ------
    BadDataError
        If lengths differ, a value or probability is not finite, or a code is negative.
    """
    import numpy as np

    fit_rows(y_pred, y.size, "predictions")
    fit_rows(clusters, y.size, "clusters")
    for name, values in (("true", y), ("predicted", y_pred)):
        if kind == "regression" and not np.isfinite(values).all():
            raise BadDataError(f"a {name} value is not finite: leave such rows out before they are tallied")
        if kind == "classification" and values.min(initial=0) < 0:
            raise BadDataError(f"the code of a {name} class is negative: codes are 0 and up")
    if p is not None and check_grades(p, y.size, n_classes, "probabilities").min(initial=0.0) < 0:
        raise BadDataError("a probability is negative or not finite: no metric can be had of such predictions")


def check_grades(grades: NDArray[np.float64], n_rows: int, n_classes: int, what: str) -> NDArray[np.float64]:
    """Check what is predicted of each class.

    Parameters
    ----------
    grades : ndarray of float64
        Probabilities or margins.
    n_rows, n_classes : int
        Its shape.
    what : str
        Its name, for the message.

    Returns
    -------
    ndarray of float64
        The same.

    Raises
    ------
    BadDataError
        If the shape is another, or a number is not finite.
    """
    import numpy as np

    fit_rows(grades, n_rows, what)
    if grades.ndim != 2 or grades.shape[1] != n_classes:  # noqa: PLR2004 -- rows by classes
        raise BadDataError(f"{what} of shape {grades.shape} for {n_classes} classes: give a column a class")
    if not np.isfinite(grades).all():
        raise BadDataError(f"one of the {what} is negative or not finite: no metric can be had of such predictions")
    return grades


def fit_rows(values: Any, n_rows: int, what: str) -> Any:  # noqa: ANN401 -- arrays and series
    """Give the values if there is one a row.

    Raises
    ------
    BadDataError
        If there are more or fewer.
    """
    if len(values) != n_rows:
        raise BadDataError(f"{what}: {len(values):,} for {n_rows:,} rows; give one a row")
    return values
