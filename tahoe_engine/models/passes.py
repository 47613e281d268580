"""Training part by part: dask-ml's Incremental on a window of pieces, with checkpoints and an early end.

A window of pieces is one graph, and each piece is loaded by the worker that trains on it, when it is its turn: one is
in memory at a time. The bits are those of a loop of ``partial_fit`` in one process, also after a kill and a resume.
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from tahoe_engine import daskml
from tahoe_engine.errors import ConfigError
from tahoe_engine.models.catalogue import make_estimator
from tahoe_engine.models.course import Course
from tahoe_engine.models.fitted import Fitted
from tahoe_engine.models.scores import choose_metric, is_better_small
from tahoe_engine.models.store import decode_model, encode_model
from tahoe_engine.models.training import training
from tahoe_engine.run.manifest import digest_of
from tahoe_engine.workers import stack_pairs

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

    from tahoe_engine.models.catalogue import Entry
    from tahoe_engine.models.kept import Kept
    from tahoe_engine.models.material import Material
    from tahoe_engine.models.task import Model, Passes, Task
    from tahoe_engine.workers import Computing

KEEP_SECONDS: Final = 5.0  # between two checkpoints within a pass


@dataclass
class Progress:
    """How far a training is.

    Parameters
    ----------
    estimator : object
        As it is.
    epoch : int
        Passes that are done.
    position : int
        Windows of the next that are done.
    curve : list of (float, float)
        Scores on training rows and on others, after each pass.
    best : object, optional
        The estimator after the pass that was best on the others.
    """

    estimator: Any
    epoch: int = 0
    position: int = 0
    curve: list[tuple[float, float]] = field(default_factory=list)
    best: Any = None

    def encode(self) -> bytes:
        """Give all of it as bytes."""
        models = [encode_model(self.estimator), b"" if self.best is None else encode_model(self.best)]
        curve = [[None if math.isnan(score) else score for score in scores] for scores in self.curve]
        told = {"epoch": self.epoch, "position": self.position, "curve": curve, "sizes": [len(one) for one in models]}
        return b"\n".join([json.dumps(told).encode(), b"".join(models)])

    @classmethod
    def decode(cls, content: bytes, trusted: Sequence[str]) -> Progress:
        """Read it back."""
        head, _, rest = content.partition(b"\n")
        told = json.loads(head)
        size, best = told["sizes"]
        curve = [tuple(math.nan if score is None else score for score in scores) for scores in told["curve"]]
        return cls(
            decode_model(rest[:size], trusted),
            told["epoch"],
            told["position"],
            curve,  # type: ignore[arg-type]
            decode_model(rest[size:], trusted) if best else None,
        )

    def find_best(self, *, small: bool) -> int:
        """Give the number of passes that others were scored best after, the first of equals; without scores all."""
        worth = [math.inf if math.isnan(held) else held if small else -held for _, held in self.curve]
        if all(math.isinf(one) for one in worth):
            return self.epoch
        return worth.index(min(worth)) + 1


def fit_passes(  # noqa: PLR0913, PLR0917 - what every way has
    material: Material, model: Model, entry: Entry, task: Task, computing: Computing, kept: Kept
) -> Fitted:
    """Fit an estimator part by part to any number of rows.

    Parameters
    ----------
    material : Material
        Gives the rows.
    model : Model
        With its parameters and passes.
    entry : Entry
        An estimator with ``partial_fit``.
    task : Task
        With the metric and the seed.
    computing : Computing
        Who loads and trains.
    kept : Kept
        Where checkpoints are.

    Returns
    -------
    Fitted
        After the best number of passes: by the validation rows, where the split has any; else by a fold that is held
        out, and then trained anew on all rows for as many.

    Raises
    ------
    ConfigError
        If the estimator refuses its parameters or the rows.
    """
    if model.search:
        raise ConfigError(
            f'model {model.name!r}: {entry.name} is trained part by part, and tries parameters with how = "halving"'
        )
    return fit_chosen(material, model, dict(model.parameters), entry, task, computing, kept)


def fit_chosen(  # noqa: PLR0913, PLR0917 - what `fit_passes` has, and the parameters
    material: Material,
    model: Model,
    parameters: dict[str, Any],
    entry: Entry,
    task: Task,
    computing: Computing,
    kept: Kept,
) -> Fitted:
    """Fit with these parameters; the rest as in `fit_passes`."""
    n_classes = len(material.classes)
    made = make_estimator(
        entry, material.kind, parameters, seed=task.seed, n_features=len(material.columns), n_classes=max(2, n_classes)
    )
    course = Course(
        material,
        task.seed,
        choose_metric(task.primary, material.kind),
        n_rows=model.rows,
        shuffle=model.passes.shuffle,
        judged_rows=task.rank_rows,
    )
    key = describe_course(course, entry, parameters)
    told = [f"trained on {course.n_trained:,} of {material.count_rows():,} rows"] if model.rows else []
    fold = next((at for at, n in enumerate(material.fold_rows) if n), None)
    notes: list[str] = []
    with training(f"model {model.name!r}: {entry.name}", notes):
        passes, curve = model.passes, None
        if passes.patience and not course.is_judged and fold is not None and _count_folds(material) > 1:
            apart = replace(course, held_out=fold)
            tried = train_passes(apart, made, passes, computing=computing, kept=kept, key=key, trusted=entry.trusted)
            epochs = tried.find_best(small=is_better_small(course.metric))
            curve = tried.curve
            told.append(f"{epochs} passes, chosen by fold {fold}, then trained on all rows")
            passes = passes.model_copy(update={"epochs": epochs, "patience": 0})
        elif passes.patience and not course.is_judged:
            told.append(f"{passes.epochs} passes: neither folds nor validation rows to stop by")
        done = train_passes(course, made, passes, computing=computing, kept=kept, key=key, trusted=entry.trusted)
    estimator = done.best if course.is_judged and passes.patience and done.best is not None else done.estimator
    return Fitted(
        estimator,
        {name: value for name, value in sorted(made.get_params().items()) if _is_plain(value)},
        course.n_trained,
        curves=draw_epochs(curve if curve is not None else done.curve, course.metric),
        notes=(*told, *notes),
    )


def train_passes(  # noqa: PLR0913 - where unfinished work goes
    course: Course,
    estimator: Any,  # noqa: ANN401 - scikit-learn has no types
    passes: Passes,
    *,
    computing: Computing,
    kept: Kept,
    key: dict[str, Any],
    trusted: Sequence[str] = (),
) -> Progress:
    """Train for some passes.

    Parameters
    ----------
    course : Course
        Which rows, and how they are judged.
    estimator : object
        Not fitted yet; not changed.
    passes : Passes
        How many, in which windows, and when they end early.
    computing : Computing
        Who loads and trains.
    kept : Kept
        Where checkpoints are: after a window, where some seconds have gone by, and after each pass.
    key : dict
        What the training depends on.
    trusted : sequence of str
        Types that a checkpoint may hold.

    Returns
    -------
    Progress
        At the end: the estimator, the curve, and the best estimator where others were scored.
    """
    import numpy as np

    name = digest_of([key, course.held_out, passes.epochs, passes.window, passes.patience])
    content = kept.find(name)
    at = Progress(estimator) if content is None else Progress.decode(content, trusted)
    classes = {"classes": np.arange(len(course.material.classes))} if course.material.classes else {}
    small = is_better_small(course.metric)
    saved = time.monotonic()
    while at.epoch < passes.epochs and not _is_over(at, passes, small=small):
        order = course.order(at.epoch)
        windows = [order[first : first + passes.window] for first in range(0, len(order), passes.window)]
        for window in windows[at.position :]:
            pieces = [(piece, piece.n_rows) for piece in window]
            x, y = stack_pairs(course, pieces, len(course.material.columns))
            at.estimator = daskml.train_blocks(at.estimator, x, y, **classes)
            at.position += 1
            if at.position < len(windows) and time.monotonic() - saved >= KEEP_SECONDS:
                kept.keep(name, at.encode())
                saved = time.monotonic()
        at.curve.append(course.judge([at.estimator], computing)[0])
        at.epoch, at.position = at.epoch + 1, 0
        if course.is_judged and at.find_best(small=small) == at.epoch:
            at.best = at.estimator
        kept.keep(name, at.encode())
        saved = time.monotonic()
    return at


def describe_course(course: Course, entry: Entry, parameters: dict[str, Any]) -> dict[str, Any]:
    """Say what a training depends on, for keys of what is kept.

    Parameters
    ----------
    course : Course
        Which rows.
    entry : Entry
        The estimator.
    parameters : dict
        Of it.

    Returns
    -------
    dict
        JSON-able.
    """
    material = course.material
    return {
        "features": [material.features, material.manifest, material.target, material.kind, list(material.columns)],
        "course": [course.seed, course.metric, course.n_rows, course.shuffle, course.judged_rows],
        "estimator": [entry.name, {name: repr(value) for name, value in sorted(parameters.items())}],
    }


def draw_epochs(curve: Sequence[tuple[float, float]], metric: str) -> pl.DataFrame:
    """Give the scores after each pass as a table.

    Parameters
    ----------
    curve : sequence of (float, float)
        Of training rows, and of others.
    metric : str
        Its name.

    Returns
    -------
    polars.DataFrame
        As `tahoe_engine.schema.models.CURVES` has it, without the model; rows that there are not have no line.

    Examples
    --------
    >>> draw_epochs([(0.5, 0.25)], "r2").rows()
    [('epoch', 1.0, 'train', 'r2', 0.5), ('epoch', 1.0, 'validation', 'r2', 0.25)]
    """
    import polars as pl

    rows = [
        ("epoch", float(number), part, metric, score)
        for number, scores in enumerate(curve, 1)
        for part, score in zip(("train", "validation"), scores, strict=True)
        if not math.isnan(score)
    ]
    types = {"curve": pl.String, "x": pl.Float64, "part": pl.String, "metric": pl.String, "value": pl.Float64}
    return pl.DataFrame(rows, schema=types, orient="row")


def _is_over(at: Progress, passes: Passes, *, small: bool) -> bool:
    if not passes.patience or not at.curve or all(math.isnan(held) for _, held in at.curve):
        return False
    return at.epoch - at.find_best(small=small) >= passes.patience


def _count_folds(material: Material) -> int:
    return sum(n > 0 for n in material.fold_rows)


def _is_plain(value: object) -> bool:
    return value is None or isinstance(value, (bool, int, float, str))
