"""Learning curves: how train and validation move with the number of rows, and with the parameter that was tuned."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from tahoe_engine.models.catalogue import OURS
from tahoe_engine.models.foldrows import choose_sample, load_sample
from tahoe_engine.models.memory import run_alone, search_parameters
from tahoe_engine.models.scores import choose_metric, score_trained
from tahoe_engine.models.training import train_rows
from tahoe_engine.run.manifest import digest_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from tahoe_engine.models.catalogue import Entry
    from tahoe_engine.models.foldrows import Sample
    from tahoe_engine.models.kept import Kept
    from tahoe_engine.models.material import Material
    from tahoe_engine.models.task import Model, Task
    from tahoe_engine.workers import Computing

SHARES: Final = (0.25, 0.5, 1.0)
ROWS: Final = "rows"
HELD_OUT: Final = 0  # the fold


@dataclass(frozen=True)
class ShareUnit:
    """A fit to a share of the rows, for a worker.

    Parameters
    ----------
    sample : Sample
        Rows of all folds.
    model : Model
        Of the task.
    entry : Entry
        Of the catalogue.
    parameters : dict
        Of the estimator.
    share : float
        Of the groups outside the fold that is held out.
    metric : str
        That is told.
    """

    sample: Sample = field(repr=False)
    model: Model
    entry: Entry
    parameters: dict[str, Any]
    share: float
    metric: str


def draw_curves(  # noqa: PLR0913, PLR0917 - all ways of fitting take the same
    material: Material,
    model: Model,
    entry: Entry,
    task: Task,
    computing: Computing,
    kept: Kept,
    *,
    parameters: Mapping[str, Any] | None = None,
    candidates: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Tell how good a model is with a quarter, half, and all of the rows; and over the one parameter searched for.

    Rows grow by whole groups of the split, the smaller share within the larger; fold 0 is held out each time.

    Parameters
    ----------
    material, model, entry, task, computing, kept
        As in `tahoe_engine.models.memory.fit_memory`.
    parameters : mapping, optional
        Of the fitted model; by default what the search finds, which is kept if it was done before.
    candidates : polars.DataFrame, optional
        Of the fitted model, likewise.

    Returns
    -------
    polars.DataFrame
        As `tahoe_engine.schema.CURVES` has it, without ``model``; empty where the task has no folds.

    Raises
    ------
    ConfigError, StoppedError
        As `fit_memory`.
    """
    if task.folds.number < 2:  # noqa: PLR2004 - one to train on, one to hold out
        return _tabulate([])
    own = task.model_copy(update={"folds": task.folds.model_copy(update={"of": "train"})})
    if parameters is None:
        searched, chosen = search_parameters(material, model, entry, own, computing, kept)
        parameters, candidates = {**model.parameters, **chosen}, searched if candidates is None else candidates
    given = {name: value for name, value in parameters.items() if name not in OURS}
    sample = choose_sample(material, model, entry, own)
    metric = choose_metric(task.primary, material.kind)
    key = digest_of({"curves": sample.key, "model": model.model_dump(mode="json"), "given": given, "metric": metric})
    content = kept.find(key)
    if content is None:
        units = [ShareUnit(sample, model, entry, given, share, metric) for share in SHARES]
        content = json.dumps(run_alone(score_share, units, computing)).encode()
        kept.keep(key, content)
    rows: list[tuple[str, float, str, str, float | None]] = []
    for n_rows, train, validation in json.loads(content):
        rows += [(ROWS, n_rows, "train", metric, train), (ROWS, n_rows, "validation", metric, validation)]
    return _tabulate(dict.fromkeys([*rows, *_follow_parameter(model, candidates)]))


def score_share(unit: ShareUnit) -> tuple[float, float | None, float | None]:
    """Fit to a share of the rows.

    Parameters
    ----------
    unit : ShareUnit
        Which.

    Returns
    -------
    n_rows : float
        That were fitted to.
    train, validation : float or None
        The metric of these rows and of those that are held out; None where it is not defined.
    """
    import numpy as np
    from threadpoolctl import threadpool_limits

    block = load_sample(unit.sample)
    outside = unit.sample.assign(block) == HELD_OUT
    places = np.flatnonzero(~outside)
    train = block.take(places[take_share(block.clusters[places], unit.share, unit.sample.seed)])
    held = block.take(np.flatnonzero(outside))
    n_classes = len(unit.sample.material.classes)
    trained = train_rows(
        unit.entry,
        unit.sample.material.kind,
        unit.parameters,
        train.x,
        train.y,
        seed=unit.sample.seed,
        n_classes=n_classes,
        epochs=unit.model.passes.epochs,
    )
    scores = []
    with threadpool_limits(limits=1):
        for one in (train, held):
            score = score_trained(unit.metric, trained, one.x, one.y, n_classes)
            scores.append(None if np.isnan(score) else score)
    return float(len(train.y)), scores[0], scores[1]


def take_share(clusters: NDArray[np.int64], share: float, seed: int) -> NDArray[np.bool_]:
    """Take a share of the groups.

    Parameters
    ----------
    clusters : ndarray of int64
        Group of each row.
    share : float
        Above 0; at least one group is taken.
    seed : int
        Of their order, which is the same for every share.

    Returns
    -------
    ndarray of bool
        Which rows.

    Examples
    --------
    >>> import numpy as np
    >>> groups = np.repeat(np.arange(8), 2)
    >>> half, quarter = take_share(groups, 0.5, 1), take_share(groups, 0.25, 1)
    >>> int(half.sum()), int(quarter.sum()), int((quarter & ~half).sum())
    (8, 4, 0)
    """
    import numpy as np

    names = np.unique(clusters)
    order = np.random.default_rng(seed).permutation(names)
    taken: NDArray[np.bool_] = np.isin(clusters, order[: max(1, round(share * len(names)))])
    return taken


def _follow_parameter(model: Model, candidates: pl.DataFrame | None) -> list[tuple[str, float, str, str, float | None]]:
    """Follow the one parameter that was searched for, where it is a number."""
    if candidates is None or len(model.search) != 1:
        return []
    (name,) = model.search
    rows: list[tuple[str, float, str, str, float | None]] = []
    for one in candidates.to_dicts():
        value = json.loads(one["parameters"]).get(name)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            continue
        rows += [(name, float(value), "train", one["metric"], one["train_mean"])]
        rows += [(name, float(value), "validation", one["metric"], one["mean"])]
    return sorted(rows, key=lambda row: row[1])


def _tabulate(rows: Any) -> pl.DataFrame:  # noqa: ANN401 - rows in order
    import polars as pl

    from tahoe_engine.schema.models import CURVES

    columns = {column.name: getattr(pl, column.dtype) for column in CURVES.columns[1:]}
    return pl.DataFrame(list(rows), schema=columns, orient="row")
