"""Successive halving: all candidates train a little, and the best third goes on with three times the passes.

(K. Jamieson and A. Talwalkar, Non-stochastic best arm identification and hyperparameter optimization, AISTATS 2016.)

It is ours because dask-ml's own incremental searches (``SuccessiveHalvingSearchCV``, ``HyperbandSearchCV``) fail with
dask from 2025.3 on: they compute on an asynchronous client, and dask refuses that (RuntimeError; dask-ml issue 1016,
open). They hold what was trained in the memory of workers, too, so that it goes with a lost worker.
"""

from __future__ import annotations

import itertools
import json
import math
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from tahoe_engine.errors import ConfigError
from tahoe_engine.models.catalogue import make_estimator
from tahoe_engine.models.course import Course
from tahoe_engine.models.passes import describe_course, fit_chosen
from tahoe_engine.models.scores import choose_metric, is_better_small, rank_scores
from tahoe_engine.models.store import decode_model, encode_model
from tahoe_engine.models.training import training
from tahoe_engine.run.manifest import digest_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

    from tahoe_engine.models.catalogue import Entry
    from tahoe_engine.models.course import Scores
    from tahoe_engine.models.fitted import Fitted
    from tahoe_engine.models.kept import Kept
    from tahoe_engine.models.material import Material
    from tahoe_engine.models.task import Model, Task
    from tahoe_engine.workers import Computing

SHARE: Final = 3  # one of so many goes on
AT_ONCE: Final = 4  # candidates that a task trains: they share what is loaded
NAN: Final = float("nan")


@dataclass
class Runner:
    """A candidate that is still there, or where it ended.

    Parameters
    ----------
    parameters : dict
        That are tried.
    estimator : object
        As far as it was trained; None where it could not be.
    epochs : int
        Passes it was trained for.
    rung : int
        The last that it was scored on.
    scores : tuple of (float, float)
        There: on training rows, and on those held out.
    """

    parameters: dict[str, Any]
    estimator: Any
    epochs: int = 0
    rung: int = 0
    scores: Scores = (NAN, NAN)


@dataclass(frozen=True)
class Rung:
    """What a task trains: some candidates, each for some passes more.

    Parameters
    ----------
    course : Course
        Gives the rows, in the order of each pass.
    first, last : int
        Passes.
    """

    course: Course
    first: int
    last: int

    def __call__(self, estimators: tuple[Any, ...]) -> list[Any]:
        """Train copies of estimators; None for one whose numbers overflow."""
        import numpy as np

        n_classes = len(self.course.material.classes)
        more = {"classes": np.arange(n_classes)} if n_classes else {}
        trained = deepcopy(list(estimators))
        for epoch in range(self.first, self.last):
            for piece in self.course.order(epoch):
                x, y = self.course(piece)
                for at, estimator in enumerate(trained):
                    if estimator is None or not len(y):
                        continue
                    try:
                        with training("sgd", []):
                            estimator.partial_fit(x, y, **more)
                    except ConfigError:
                        trained[at] = None
        return trained


def halve(  # noqa: PLR0913, PLR0917 - what every way has
    material: Material, model: Model, entry: Entry, task: Task, computing: Computing, kept: Kept
) -> Fitted:
    """Choose parameters by successive halving, then fit with them.

    Parameters
    ----------
    material : Material
        Gives the rows.
    model : Model
        With the parameters to search for, and the passes.
    entry : Entry
        An estimator with ``partial_fit``.
    task : Task
        With the metric and the seed.
    computing : Computing
        Who trains: several candidates at once.
    kept : Kept
        Where finished rungs are.

    Returns
    -------
    Fitted
        With the best parameters, as `tahoe_engine.models.passes.fit_passes` fits; candidates are ranked by the rung
        they came to, then by their score on the rows held out there.

    Raises
    ------
    ConfigError
        If there are no folds or validation rows to choose by, or no candidate can be trained.
    """
    if entry.way != "passes":
        raise ConfigError(f'model {model.name!r}: {entry.name} is not trained part by part; how = "grid"')
    metric = choose_metric(task.primary, material.kind)
    course = Course(
        material, task.seed, metric, n_rows=model.rows, shuffle=model.passes.shuffle, judged_rows=task.rank_rows
    )
    folds = [fold for fold, n in enumerate(material.fold_rows) if n]
    if len(folds) > 1:
        course = replace(course, held_out=folds[0])
    elif not course.is_judged:
        raise ConfigError(
            f"model {model.name!r} tries parameters, and features {material.features!r} have neither folds nor "
            "validation rows to choose by; give their split one of them"
        )
    names = sorted(model.search)
    grid = itertools.product(*(model.search[name] for name in names))
    tried = [dict(zip(names, values, strict=True)) for values in grid]
    sizes = {"seed": task.seed, "n_features": len(material.columns), "n_classes": max(2, len(material.classes))}
    runners = [Runner(one, make_estimator(entry, material.kind, {**model.parameters, **one}, **sizes)) for one in tried]
    key = [describe_course(course, entry, model.parameters), course.held_out, tried, model.passes.epochs]
    best = _run(_Race(course, entry, runners, model.passes.epochs), key, computing, kept)
    fitted = fit_chosen(material, model, {**model.parameters, **best.parameters}, entry, task, computing, kept)
    by = "the validation rows" if course.held_out is None else f"fold {course.held_out}"
    told = f"{len(tried)} candidates, scored on {by} after up to {best.epochs} passes"
    return replace(fitted, candidates=list_candidates(runners, metric), notes=(told, *fitted.notes))


def list_candidates(runners: Sequence[Runner], metric: str) -> pl.DataFrame:
    """Give the candidates as a table.

    Parameters
    ----------
    runners : sequence of Runner
        At the end.
    metric : str
        By which they were scored.

    Returns
    -------
    polars.DataFrame
        As `tahoe_engine.schema.models.CANDIDATES` has it, without the model: one fold, hence no deviation.
    """
    import polars as pl

    ranks, tied, before = [0] * len(runners), [False] * len(runners), 0
    for rung in sorted({runner.rung for runner in runners}, reverse=True):
        here = [at for at, runner in enumerate(runners) if runner.rung == rung]
        found = rank_scores([runners[at].scores[1] for at in here], small=is_better_small(metric))
        for at, rank, same in zip(here, *found, strict=True):
            ranks[at], tied[at] = before + rank, same
        before += len(here)
    first = ranks.index(1)
    rows = [
        {
            "parameters": json.dumps(runner.parameters, sort_keys=True),
            "metric": metric,
            "mean": None if math.isnan(runner.scores[1]) else runner.scores[1],
            "sd": None,
            "train_mean": None if math.isnan(runner.scores[0]) else runner.scores[0],
            "folds": 1,
            "rank": ranks[at],
            "tied": tied[at],
            "chosen": at == first,
        }
        for at, runner in enumerate(runners)
    ]
    numbers = dict.fromkeys(("mean", "sd", "train_mean"), pl.Float64)
    return pl.DataFrame(rows, schema_overrides={**numbers, "folds": pl.UInt32, "rank": pl.UInt32})


@dataclass
class _Race:
    """Who is still there."""

    course: Course
    entry: Entry
    runners: list[Runner]
    most: int  # passes
    alive: list[int] = field(default_factory=list)

    def train(self, epochs: int, rung: int, computing: Computing) -> None:
        """Train who is there up to so many passes, and score them."""
        first = self.runners[self.alive[0]].epochs
        groups = [self.alive[at : at + AT_ONCE] for at in range(0, len(self.alive), AT_ONCE)]
        items = [tuple(self.runners[at].estimator for at in group) for group in groups]
        trained = computing.reduce(Rung(self.course, first, epochs), _join, items)
        whole = [estimator for estimator in trained if estimator is not None]
        scores = iter(self.course.judge(whole, computing) if whole else [])
        for at, estimator in zip(self.alive, trained, strict=True):
            one = self.runners[at]
            one.estimator, one.epochs, one.rung = estimator, epochs, rung
            one.scores = (NAN, NAN) if estimator is None else next(scores)

    def choose(self) -> None:
        """Let the best third go on."""
        scores = [self.runners[at].scores[1] for at in self.alive]
        ranks, _ = rank_scores(scores, small=is_better_small(self.course.metric))
        known = [(rank, at) for rank, at, score in zip(ranks, self.alive, scores, strict=True) if not math.isnan(score)]
        if not known:
            raise ConfigError("no candidate could be trained: their numbers overflow; standardize the features")
        self.alive = sorted(at for _, at in sorted(known)[: -(-len(self.alive) // SHARE)])

    def encode(self) -> bytes:
        """Give a rung as bytes: who was there, and what became of them."""
        here = [self.runners[at] for at in self.alive]
        models = [b"" if one.estimator is None else encode_model(one.estimator) for one in here]
        told = {
            "epochs": here[0].epochs,
            "scores": [[None if math.isnan(score) else score for score in one.scores] for one in here],
            "sizes": [len(model) for model in models],
        }
        return b"\n".join([json.dumps(told).encode(), b"".join(models)])

    def decode(self, content: bytes, rung: int) -> None:
        """Take over a rung."""
        head, _, rest = content.partition(b"\n")
        told = json.loads(head)
        for at, scores, size in zip(self.alive, told["scores"], told["sizes"], strict=True):
            one, model, rest = self.runners[at], rest[:size], rest[size:]
            one.estimator = decode_model(model, self.entry.trusted) if size else None
            one.epochs, one.rung = told["epochs"], rung
            train, held = (NAN if score is None else score for score in scores)
            one.scores = (train, held)


def _run(race: _Race, key: list[Any], computing: Computing, kept: Kept) -> Runner:
    """Run all rungs, or those that are missing; give the best."""
    race.alive = list(range(len(race.runners)))
    for rung in itertools.count():
        epochs = min(SHARE**rung, race.most)
        name = digest_of(["halving", key, rung, race.alive])
        content = kept.find(name)
        if content is None:
            race.train(epochs, rung, computing)
            kept.keep(name, race.encode())
        else:
            race.decode(content, rung)
        last = len(race.alive) == 1 or epochs == race.most
        race.choose()
        if last:
            break
    scores = [race.runners[at].scores[1] for at in race.alive]
    ranks, _ = rank_scores(scores, small=is_better_small(race.course.metric))
    return race.runners[race.alive[ranks.index(1)]]


def _join(parts: list[list[Any]]) -> list[Any]:
    return [one for part in parts for one in part]
