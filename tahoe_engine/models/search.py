"""Search for parameters: every combination on every fold, through dask-ml's GridSearchCV on our workers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any, Final

from tahoe_engine.daskml import search_grid as try_candidates
from tahoe_engine.models.foldrows import load_sample
from tahoe_engine.models.scores import choose_metric, is_better_small, rank_scores, score_predictions
from tahoe_engine.models.training import Trained, train_rows
from tahoe_engine.run.manifest import digest_of

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from tahoe_engine.models.catalogue import Entry
    from tahoe_engine.models.foldrows import Sample
    from tahoe_engine.models.kept import Kept
    from tahoe_engine.models.task import Model, Task
    from tahoe_engine.workers import Computing

BATCH: Final = 24  # candidates that are tried between two savings


class Trial:
    """A candidate, in the manner that dask-ml knows.

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
    parameters : dict
        Of the estimator.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what dask-ml copies by name
        self, entry: Entry, kind: str, seed: int, n_classes: int, epochs: int, parameters: dict[str, Any] | None = None
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
        """Fit the candidate.

        Parameters
        ----------
        x, y
            Rows.

        Returns
        -------
        Trial
            Itself.
        """
        options = {"seed": self.seed, "n_classes": self.n_classes, "epochs": self.epochs}
        self.trained_: Trained = train_rows(self.entry, self.kind, self.parameters or {}, x, y, **options)
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
    """

    metric: str
    n_classes: int

    def __call__(self, trial: Trial, x: Any, y: Any) -> float:  # noqa: ANN401 - rows
        """Score a fitted candidate on rows.

        Parameters
        ----------
        trial : Trial
            Fitted.
        x, y
            Rows.

        Returns
        -------
        float
            NaN where the metric is not defined.
        """
        found = trial.trained_
        score = score_predictions(self.metric, y, found.predict(x), found.predict_probabilities(x), self.n_classes)
        return -score if is_better_small(self.metric) else score


def list_candidates(model: Model) -> list[dict[str, Any]]:
    """List the combinations of what is searched for, in the order of scikit-learn's ``ParameterGrid``.

    Parameters
    ----------
    model : Model
        Of the task.

    Returns
    -------
    list of dict
        Without what is fixed; the parameter that comes last in the alphabet changes first.

    Examples
    --------
    >>> from tahoe_engine.models.task import Model
    >>> model = Model(name="m", estimator="random_forest", search={"n_estimators": (5, 9), "max_depth": ("none", 2)})
    >>> [candidate["n_estimators"] for candidate in list_candidates(model)]
    [5, 9, 5, 9]
    """
    names = sorted(model.search)
    values = [[None if value == "none" else value for value in model.search[name]] for name in names]
    return [dict(zip(names, chosen, strict=True)) for chosen in product(*values)]


def search_grid(  # noqa: PLR0913, PLR0917 - each is one thing it needs
    sample: Sample,
    folds: NDArray[np.int64],
    model: Model,
    entry: Entry,
    task: Task,
    computing: Computing,
    kept: Kept,
    *,
    without: int = -1,
) -> tuple[pl.DataFrame, dict[str, Any]]:
    """Try every combination on every fold.

    Parameters
    ----------
    sample : Sample
        Rows that are tuned on.
    folds : ndarray of int64
        Fold of each.
    model : Model
        Of the task.
    entry : Entry
        Of the catalogue.
    task : Task
        Of its file.
    computing : Computing
        Who computes.
    kept : Kept
        Where finished batches are.
    without : int
        A fold whose rows are not looked at: it is held out for a judgement of the whole search.

    Returns
    -------
    candidates : polars.DataFrame
        As `tahoe_engine.schema.CANDIDATES` has it, without ``model``; best first rank, in the order they were tried.
    chosen : dict
        The parameters of the first of the best, as scikit-learn chooses.

    Raises
    ------
    ConfigError
        If a combination cannot be fitted.
    """
    import numpy as np

    numbers = [number for number in range(sample.n_folds) if number != without]
    metric = choose_metric(task.primary, sample.material.kind)
    splits = [
        (np.flatnonzero((folds != number) & (folds != without)), np.flatnonzero(folds == number)) for number in numbers
    ]
    candidates = list_candidates(model)
    told = {
        "sample": sample.key,
        "model": model.model_dump(mode="json"),
        "scaled": entry.scaled,
        "metric": metric,
        "without": without,
    }
    held_out: list[list[float]] = []
    trained_on: list[list[float]] = []
    n_classes = len(sample.material.classes)
    trial = Trial(entry, sample.material.kind, task.seed, n_classes, model.passes.epochs)
    for first in range(0, len(candidates), BATCH):
        key = digest_of({**told, "search": first})
        found = _read_scores(kept.find(key))
        if found is None:
            batch = [{**model.parameters, **chosen} for chosen in candidates[first : first + BATCH]]
            x, y = computing.defer(_load_arrays, sample, n_results=2)
            arrays = try_candidates(trial, {"parameters": batch}, x, y, splits, Scorer(metric, n_classes))
            found = tuple(one.tolist() for one in arrays)
            kept.keep(key, json.dumps(found).encode())
        held_out += found[0]
        trained_on += found[1]
    return tabulate_candidates(candidates, held_out, trained_on, metric)


def tabulate_candidates(
    candidates: list[dict[str, Any]], held_out: list[list[float]], trained_on: list[list[float]], metric: str
) -> tuple[pl.DataFrame, dict[str, Any]]:
    """Tabulate what was tried and choose the first of the best.

    Parameters
    ----------
    candidates : list of dict
        Parameters, in the order they were tried.
    held_out, trained_on : list of list of float
        Scores on each fold, more is better.
    metric : str
        Its values are told the way of the metric: an error is positive.

    Returns
    -------
    candidates : polars.DataFrame
        As `tahoe_engine.schema.CANDIDATES` has it, without ``model``.
    chosen : dict
        Of `candidates`.

    Examples
    --------
    >>> table, chosen = tabulate_candidates([{"a": 1}, {"a": 2}], [[-2.0, -4.0], [-1.0, -1.0]], [[0.0], [0.0]], "mse")
    >>> table["mean"].to_list(), table["rank"].to_list(), chosen
    ([3.0, 1.0], [2, 1], {'a': 2})
    """
    import numpy as np
    import polars as pl

    sign = -1.0 if is_better_small(metric) else 1.0
    means = [float(np.mean(scores)) for scores in held_out]
    ranks, tied = rank_scores(means, small=False)
    best = ranks.index(1)
    rows = [
        {
            "parameters": json.dumps(candidate, sort_keys=True),
            "metric": metric,
            "mean": _or_null(sign * mean),
            "sd": _or_null(float(np.std(scores, ddof=1)) if len(scores) > 1 else float("nan")),
            "train_mean": _or_null(sign * float(np.mean(trained))),
            "folds": len(scores),
            "rank": rank,
            "tied": tie,
            "chosen": at == best,
        }
        for at, (candidate, scores, trained, mean, rank, tie) in enumerate(
            zip(candidates, held_out, trained_on, means, ranks, tied, strict=True)
        )
    ]
    schema = {"mean": pl.Float64, "sd": pl.Float64, "train_mean": pl.Float64, "folds": pl.UInt32, "rank": pl.UInt32}
    return pl.DataFrame(rows, schema_overrides=schema), candidates[best]


def _load_arrays(sample: Sample) -> tuple[Any, Any]:
    block = load_sample(sample)
    return block.x, block.y


def _or_null(value: float) -> float | None:
    import math

    return None if math.isnan(value) else value


def _read_scores(content: bytes | None) -> Any:  # noqa: ANN401 - two tables of scores
    return None if content is None else tuple(json.loads(content))
