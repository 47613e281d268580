"""Candidates as dask-ml's GridSearchCV knows them: what is fitted, and what scores it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tahoe_engine.models.scores import is_better_small, score_trained
from tahoe_engine.models.sharing import train_together

if TYPE_CHECKING:
    from tahoe_engine.models.catalogue import Entry
    from tahoe_engine.models.training import Trained


class Trial:
    """Candidates that are fitted together, in the manner that dask-ml knows.

    Parameters
    ----------
    entry : Entry
        Of the catalogue.
    kind : {"classification", "regression"}
        Of the target.
    seed : int
        Of the task.
    n_classes : int
        Of the target.
    epochs : int
        Passes of an estimator that is trained part by part.
    parameters : tuple of dict
        Of the estimator, one for each candidate.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what dask-ml copies by name
        self,
        entry: Entry,
        kind: str,
        seed: int,
        n_classes: int,
        epochs: int,
        parameters: tuple[dict[str, Any], ...] = ({},),
    ) -> None:
        self.entry, self.kind, self.seed, self.n_classes, self.epochs = entry, kind, seed, n_classes, epochs
        self.parameters = parameters

    def get_params(self, deep: bool = True) -> dict[str, Any]:  # noqa: FBT001, FBT002 - scikit-learn's words
        """Give what it was made of.

        Parameters
        ----------
        deep : bool
            Without meaning here.

        Returns
        -------
        dict
            By name.
        """
        del deep
        names = ("entry", "kind", "seed", "n_classes", "epochs", "parameters")
        return {name: getattr(self, name) for name in names}

    def set_params(self, **given: Any) -> Trial:  # noqa: ANN401 - scikit-learn's words
        """Change what it is made of.

        Parameters
        ----------
        **given
            By name.

        Returns
        -------
        Trial
            Itself.
        """
        for name, value in given.items():
            setattr(self, name, value)
        return self

    def fit(self, x: Any, y: Any) -> Trial:  # noqa: ANN401 - scikit-learn's words
        """Fit the candidates.

        Parameters
        ----------
        x, y
            Rows; beside each target the number of its fold.

        Returns
        -------
        Trial
            Itself.
        """
        import numpy as np

        y, folds = np.ascontiguousarray(y[:, 0]), y[:, 1]
        self.folds_ = frozenset(np.unique(folds).tolist())
        options = {"seed": self.seed, "n_classes": self.n_classes, "epochs": self.epochs}
        self.trained_: list[Trained] = train_together(self.entry, self.kind, self.parameters, x, y, **options)
        return self

    def __sklearn_tags__(self) -> Any:  # noqa: ANN401 - scikit-learn has no types
        """Give scikit-learn's tags of any estimator."""
        from sklearn.base import BaseEstimator

        return BaseEstimator().__sklearn_tags__()


@dataclass(frozen=True)
class Scorer:
    """What scores a candidate; more is better, as scikit-learn has it.

    Parameters
    ----------
    metric : str
        By which is tuned.
    n_classes : int
        Of the target.
    place : int
        Of the candidate among those that were fitted together.
    side : int
        Of the folds that were left out, the first or the second.
    """

    metric: str
    n_classes: int
    place: int
    side: int

    def __call__(self, trial: Trial, x: Any, y: Any) -> float:  # noqa: ANN401 - rows
        """Score a fitted candidate on rows.

        Parameters
        ----------
        trial : Trial
            Fitted.
        x, y
            Rows: those it was fitted to, or those of the folds that were left out.

        Returns
        -------
        float
            NaN where the metric is not defined, or there is no such candidate. Rows it was fitted to have one side.
        """
        import numpy as np

        y, folds = np.ascontiguousarray(y[:, 0]), y[:, 1]
        numbers = np.unique(folds).tolist()
        fitted = trial.folds_.issuperset(numbers)
        if self.place >= len(trial.trained_) or (fitted and self.side):
            return float("nan")
        if len(numbers) > 1 and not fitted:
            own = folds == numbers[self.side]
            x, y = x[own], y[own]
        found = trial.trained_[self.place]
        score = score_trained(self.metric, found, x, y, self.n_classes)
        return -score if is_better_small(self.metric) else score
