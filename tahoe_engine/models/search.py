"""Search for parameters: every combination on every fold, through dask-ml's GridSearchCV on our workers."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from itertools import combinations, product
from typing import TYPE_CHECKING, Any, Final

from tahoe_engine.daskml import search_grid as try_candidates
from tahoe_engine.models.foldrows import load_sample
from tahoe_engine.models.scores import choose_metric, is_better_small, rank_scores
from tahoe_engine.models.sharing import group_candidates
from tahoe_engine.models.trial import Scorer, Trial
from tahoe_engine.run.manifest import digest_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from tahoe_engine.models.catalogue import Entry
    from tahoe_engine.models.foldrows import Sample
    from tahoe_engine.models.kept import Kept
    from tahoe_engine.models.task import Model, Task
    from tahoe_engine.workers import Computing

BATCH: Final = 24  # candidates that are tried between two savings


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
    left_out = [(number,) for number in range(sample.n_folds)]
    tried = _try_all(sample, folds, left_out, model, entry, task, computing, kept)
    metric = choose_metric(task.primary, sample.material.kind)
    return tabulate_candidates(
        list_candidates(model),
        [[one.held_out[left] for left in left_out] for one in tried],
        [[one.trained_on[left] for left in left_out] for one in tried],
        metric,
    )


def search_nested(  # noqa: PLR0913, PLR0917 - what `search_grid` has
    sample: Sample,
    folds: NDArray[np.int64],
    model: Model,
    entry: Entry,
    task: Task,
    computing: Computing,
    kept: Kept,
) -> list[tuple[pl.DataFrame, dict[str, Any]]]:
    """Try every combination within all folds but one, for each of them: it is held out to judge the search.

    A fit without two folds tells about either where the other is the one that judges: half as many are made.

    Parameters
    ----------
    sample, folds, model, entry, task, computing, kept
        As in `search_grid`.

    Returns
    -------
    list of (polars.DataFrame, dict)
        For each fold, what `search_grid` would have found without its rows.

    Raises
    ------
    ConfigError
        If a combination cannot be fitted.
    """
    numbers = range(sample.n_folds)
    tried = _try_all(sample, folds, list(combinations(numbers, 2)), model, entry, task, computing, kept)
    metric, candidates = choose_metric(task.primary, sample.material.kind), list_candidates(model)
    found = []
    for judging in numbers:
        others = [number for number in numbers if number != judging]
        pairs = [(min(judging, other), max(judging, other)) for other in others]
        # Of a pair, the fold that does not judge is what the candidates are compared by.
        held_out = [[one.held_out[(*pair, other)] for pair, other in zip(pairs, others, strict=True)] for one in tried]
        trained_on = [[one.trained_on[pair] for pair in pairs] for one in tried]
        found.append(tabulate_candidates(candidates, held_out, trained_on, metric))
    return found


@dataclass(frozen=True)
class Tried:
    """Scores of a candidate.

    Parameters
    ----------
    held_out : dict
        On a fold, by the folds that were left out and the fold itself.
    trained_on : dict
        On what it was fitted to, by the folds that were left out.
    """

    held_out: dict[tuple[int, ...], float] = field(default_factory=dict)
    trained_on: dict[tuple[int, ...], float] = field(default_factory=dict)


def _try_all(  # noqa: PLR0913, PLR0917 - what `search_grid` has
    sample: Sample,
    folds: NDArray[np.int64],
    left_out: Sequence[tuple[int, ...]],
    model: Model,
    entry: Entry,
    task: Task,
    computing: Computing,
    kept: Kept,
) -> list[Tried]:
    """Fit each candidate without each of some sets of folds, all of one size, and score it on every fold of the set."""
    import numpy as np

    metric, n_classes = choose_metric(task.primary, sample.material.kind), len(sample.material.classes)
    inside = [np.isin(folds, left) for left in left_out]
    splits = [(np.flatnonzero(~one), np.flatnonzero(one)) for one in inside]
    told = {
        "sample": sample.key,
        "model": model.model_dump(mode="json"),
        "scaled": entry.scaled,
        "metric": metric,
        "left out": left_out,
    }
    trial = Trial(entry, sample.material.kind, task.seed, n_classes, model.passes.epochs)
    whole = [{**model.parameters, **chosen} for chosen in list_candidates(model)]
    tried = [Tried() for _ in whole]
    sides = range(len(left_out[0]) if left_out else 0)
    for batch in _list_batches(group_candidates(entry, whole, len(folds))):
        key = digest_of({**told, "search": batch})
        found = _read_scores(kept.find(key))
        if found is None:
            x, y = computing.defer(_load_arrays, sample, n_results=2)
            grid = {"parameters": [tuple(whole[place] for place in group) for group in batch]}
            places = range(max(map(len, batch)))
            scorers = [Scorer(metric, n_classes, place, side) for place in places for side in sides]
            found = [one.tolist() for one in try_candidates(trial, grid, x, y, splits, scorers)]
            kept.keep(key, json.dumps(found).encode())
        for group, *by_split in zip(batch, *found, strict=True):
            for left, held_out, trained_on in zip(left_out, *by_split, strict=True):
                for at, place in enumerate(group):
                    scores = tried[place]
                    scores.trained_on[left] = trained_on[at * len(left)]
                    for side in sides:
                        own = left if len(left) == 1 else (*left, left[side])
                        scores.held_out[own] = held_out[at * len(left) + side]
    return tried


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


def _list_batches(groups: list[list[int]]) -> list[list[list[int]]]:
    """Take groups together until they are candidates enough."""
    batches: list[list[list[int]]] = [[]]
    for group in groups:
        if batches[-1] and sum(map(len, batches[-1])) + len(group) > BATCH:
            batches.append([])
        batches[-1].append(group)
    return batches


def _load_arrays(sample: Sample) -> tuple[Any, Any]:
    """Give the rows, and beside each target the number of its fold: whoever scores two folds tells them apart."""
    import numpy as np

    block = load_sample(sample)
    return block.x, np.column_stack([block.y, sample.assign(block)])


def _or_null(value: float) -> float | None:
    import math

    return None if math.isnan(value) else value


def _read_scores(content: bytes | None) -> Any:  # noqa: ANN401 - two tables of scores
    return None if content is None else json.loads(content)
