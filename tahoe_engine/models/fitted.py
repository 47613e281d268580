"""What comes of a fit, whichever way it went."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Fitted:
    """A model that was fitted to the training rows.

    Parameters
    ----------
    estimator : object
        Of scikit-learn's manner: ``predict``, and ``predict_proba`` or ``decision_function`` where it has them.
        Classifiers know classes by their code.
    parameters : dict
        All that were given to the estimator, the chosen ones among them.
    n_rows : int
        It was trained on.
    candidates : polars.DataFrame, optional
        What was tried, as `tahoe_engine.schema.CANDIDATES` has it, without ``model``.
    curves : polars.DataFrame, optional
        As `tahoe_engine.schema.CURVES` has it, without ``model``.
    notes : tuple of str
        What its user should know: a sample that was taken, a fit that did not converge.
    """

    estimator: Any
    parameters: dict[str, Any]
    n_rows: int
    candidates: pl.DataFrame | None = None
    curves: pl.DataFrame | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Held:
    """Predictions for the held-out rows of one fold.

    Parameters
    ----------
    fold : int
        Number of the fold.
    y : ndarray
        True values, or codes of the true classes.
    y_pred : ndarray
        Likewise.
    probabilities : ndarray, optional
        Rows by classes, where the estimator gives any.
    margins : ndarray, optional
        Rows by classes, where it has none: how much each is preferred.
    clusters : ndarray of int64
        Code of the split's group of each row.
    y_train, y_train_pred : ndarray
        Of the rows it was trained on.
    parameters : dict
        That were chosen inside.
    fit_seconds : float
        Of CPU.
    """

    fold: int
    y: NDArray[Any]
    y_pred: NDArray[Any]
    probabilities: NDArray[np.float64] | None
    margins: NDArray[np.float64] | None
    clusters: NDArray[np.int64]
    y_train: NDArray[Any]
    y_train_pred: NDArray[Any]
    parameters: dict[str, Any] = field(default_factory=dict)
    fit_seconds: float = 0.0
