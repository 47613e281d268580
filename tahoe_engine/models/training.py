"""One fit to rows in memory: quiet, on one thread, and the same wherever it runs."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tahoe_engine.errors import ConfigError, escape_controls
from tahoe_engine.models.apply import spread_margins
from tahoe_engine.models.catalogue import make_estimator

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    from tahoe_engine.models.catalogue import Entry


@dataclass(frozen=True)
class Trained:
    """An estimator that was fitted to rows in memory.

    Parameters
    ----------
    estimator : object
        Of scikit-learn's manner; None where the rows had one class only.
    codes : tuple of int
        Classes of the rows it was fitted to, which it knows by their number here; empty for numbers.
    n_classes : int
        Of the target.
    notes : tuple of str
        What its user should know.
    """

    estimator: Any
    codes: tuple[int, ...] = ()
    n_classes: int = 0
    notes: tuple[str, ...] = ()

    def predict(self, x: csr_array) -> NDArray[Any]:
        """Predict values, or codes of classes.

        Parameters
        ----------
        x : csr_array
            Rows by columns.

        Returns
        -------
        ndarray
            One a row.
        """
        import numpy as np

        if not self.codes:
            return np.asarray(self.estimator.predict(x), dtype=np.float64)
        if self.estimator is None:
            return np.full(x.shape[0], self.codes[0], dtype=np.int64)
        found: NDArray[np.int64] = np.asarray(self.codes, dtype=np.int64)[self.estimator.predict(x)]
        return found

    def predict_probabilities(self, x: csr_array) -> NDArray[np.float64] | None:
        """Predict the probability of each class of the target.

        Parameters
        ----------
        x : csr_array
            Rows by columns.

        Returns
        -------
        ndarray or None
            Rows by classes; None where the estimator has none.
        """
        import numpy as np

        if not self.codes or (self.estimator is not None and not hasattr(self.estimator, "predict_proba")):
            return None
        whole = np.zeros((x.shape[0], self.n_classes))
        whole[:, list(self.codes)] = 1.0 if self.estimator is None else self.estimator.predict_proba(x)
        return whole

    def predict_margins(self, x: csr_array) -> NDArray[np.float64] | None:
        """Predict how much each class of the target is preferred, where there are no probabilities.

        Parameters
        ----------
        x : csr_array
            Rows by columns.

        Returns
        -------
        ndarray or None
            Rows by classes; None where the estimator has nothing of the kind.
        """
        import numpy as np

        if not self.codes or self.estimator is None or not hasattr(self.estimator, "decision_function"):
            return None
        return spread_margins(self.estimator.decision_function(x), np.array(self.codes, np.int64), self.n_classes)


def train_rows(  # noqa: PLR0913 - the keywords are what the task decides
    entry: Entry,
    kind: str,
    parameters: Mapping[str, Any],
    x: csr_array,
    y: NDArray[Any],
    *,
    seed: int,
    n_classes: int,
    epochs: int = 1,
) -> Trained:
    """Fit an estimator of the catalogue to rows in memory, also one that is otherwise trained part by part.

    Parameters
    ----------
    entry : Entry
        Of the catalogue.
    kind : {"classification", "regression"}
        Of the target.
    parameters : mapping
        Of the estimator.
    x : csr_array
        Rows by columns.
    y : ndarray
        Values, or codes of classes.
    seed : int
        Of the task.
    n_classes : int
        Of the target; the rows need not have all of them.
    epochs : int
        Passes of an estimator that is trained part by part.

    Returns
    -------
    Trained
        The same bits in any process.

    Raises
    ------
    ConfigError
        If the estimator refuses its parameters or the rows.
    """
    import numpy as np

    codes: tuple[int, ...] = ()
    if kind == "classification":
        present, y = np.unique(y, return_inverse=True)
        codes = tuple(present.tolist())
        if len(codes) == 1:
            return Trained(None, codes, n_classes, ("its training rows have one class only",))
    estimator = make_estimator(entry, kind, parameters, seed=seed, n_features=x.shape[1], n_classes=len(codes))
    notes: list[str] = []
    with training(entry.name, notes):
        if entry.way == "closed":
            solve_ridges([estimator], x, y)
        elif entry.way == "passes":
            more = {"classes": np.arange(len(codes))} if codes else {}
            for _ in range(epochs):
                estimator.partial_fit(x, y, **more)
        else:
            estimator.fit(x, y)
    return Trained(estimator, codes, n_classes, tuple(notes))


@contextmanager
def training(name: str, notes: list[str]) -> Iterator[None]:
    """Keep a fit on one thread, and what it warns of off the terminal.

    Parameters
    ----------
    name : str
        Of the estimator.
    notes : list of str
        What it warns of is added.

    Raises
    ------
    ConfigError
        If it refuses its parameters or the rows.
    """
    from threadpoolctl import threadpool_limits

    with warnings.catch_warnings(record=True) as caught, threadpool_limits(limits=1):
        warnings.simplefilter("always")
        try:
            yield
        except (ValueError, TypeError) as error:
            lines = str(error).strip().splitlines() or [type(error).__name__]
            raise ConfigError(f"{name} cannot be fitted: {escape_controls(lines[0])}") from error
    for told in dict.fromkeys(_tell(warning) for warning in caught):
        if told not in notes:
            notes.append(told)


def _tell(warning: warnings.WarningMessage) -> str:
    if warning.category.__name__ == "ConvergenceWarning":
        return "the fit did not converge: raise max_iter, or scale the features"
    return escape_controls(" ".join(str(warning.message).split()))


def solve_ridges(estimators: Sequence[Any], x: csr_array, y: NDArray[np.float64]) -> None:
    """Solve ridge regression exactly, (XᵀX + a I) w = Xᵀy of centred columns, which scikit-learn only does densely.

    Parameters
    ----------
    estimators : sequence of sklearn.linear_model.Ridge
        One for each penalty; all have one decomposition. Their weights are set.
    x : csr_array
        Rows by columns.
    y : ndarray
        Values.
    """
    import numpy as np
    from scipy.linalg import eigh

    n_rows = x.shape[0]
    means, mean = np.asarray(x.mean(axis=0)).ravel(), float(np.mean(y))
    gram = (x.T @ x).toarray() - n_rows * np.outer(means, means)
    right = x.T @ (y - mean)  # the deviations sum to nothing, so that the means of x fall out
    values, vectors = eigh(gram)
    floor = np.finfo(np.float64).eps * max(x.shape) * max(float(values[-1]), 1.0)
    turned = vectors.T @ right
    for estimator in estimators:
        below = values + estimator.alpha
        weights = vectors @ np.where(below > floor, turned / np.where(below > floor, below, 1.0), 0.0)
        estimator.coef_, estimator.intercept_ = weights, mean - float(means @ weights)
        estimator.n_features_in_ = x.shape[1]
