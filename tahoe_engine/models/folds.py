"""Cross-validation: each fold is predicted by a model that saw none of its groups, nor was tuned on them."""

from __future__ import annotations

import io
import json
import time
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from tahoe_engine.models.baseline import learn_baseline
from tahoe_engine.models.fitted import Held
from tahoe_engine.models.foldrows import choose_sample, load_sample
from tahoe_engine.models.memory import PATIENCE_S, take_receipt
from tahoe_engine.models.search import search_nested
from tahoe_engine.models.training import train_rows
from tahoe_engine.run.manifest import digest_of

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from tahoe_engine.models.blocks import Block
    from tahoe_engine.models.catalogue import Entry
    from tahoe_engine.models.foldrows import Sample
    from tahoe_engine.models.kept import Kept
    from tahoe_engine.models.material import Material
    from tahoe_engine.models.task import Model, Task
    from tahoe_engine.workers import Computing

    Predicted = tuple[NDArray[Any], NDArray[np.float64] | None, NDArray[np.float64] | None]
ARRAYS = ("y", "y_pred", "probabilities", "margins", "clusters", "y_train", "y_train_pred")


@dataclass(frozen=True)
class FoldUnit:
    """A fit without one fold, for a worker.

    Parameters
    ----------
    sample : Sample
        Rows of all folds.
    model : Model
        Of the task.
    entry : Entry
        Of the catalogue.
    fold : int
        That is held out.
    parameters : dict
        Of the estimator.
    key : str
        Under which the outcome is kept.
    """

    sample: Sample = field(repr=False)
    model: Model
    entry: Entry
    fold: int
    parameters: dict[str, Any]
    key: str


def validate_folds(  # noqa: PLR0913, PLR0917 - all ways of fitting take the same
    material: Material, model: Model, entry: Entry, task: Task, computing: Computing, kept: Kept
) -> list[Held]:
    """Predict each fold by a model that was fitted to the others.

    Folds are whole groups of the split, on at most ``folds.rows`` training rows. What is searched for is searched for
    within the other folds each time (nested). Where the task says ``folds.of = "all"``, it goes as the references did
    it: all rows in the order of the table, stratified folds without shuffling, and no scaling.

    Parameters
    ----------
    material : Material
        Of the fit.
    model : Model
        Of the task.
    entry : Entry
        Of the catalogue; any way, also baselines. What is trained part by part makes its passes over all rows at once.
    task : Task
        Of its file.
    computing : Computing
        Who computes; a fold at a time on each worker.
    kept : Kept
        Where finished folds are.

    Returns
    -------
    list of Held
        One a fold, in order; none where the task has no folds.

    Raises
    ------
    ConfigError
        If there are too few groups, or the estimator refuses its parameters.
    StoppedError
        If workers are lost.
    """
    if not task.folds.number:
        return []
    sample = choose_sample(material, model, entry, task)
    entry = replace(entry, scaled=entry.scaled and not sample.is_whole_table)
    folds = sample.assign(load_sample(sample))
    told = {"sample": sample.key, "model": model.model_dump(mode="json"), "scaled": entry.scaled}
    found: dict[int, Held] = {}
    units = []
    searched: list[dict[str, Any]] = []
    for fold in range(task.folds.number):
        key = digest_of({**told, "primary": task.primary, "fold": fold})
        held = _decode(kept.find(key))
        if held is not None:
            found[fold] = held
            continue
        if model.search and entry.way != "baseline" and not searched:
            searched = [one for _, one in search_nested(sample, folds, model, entry, task, computing, kept)]
        chosen = searched[fold] if searched else {}
        units.append(FoldUnit(sample, model, entry, fold, {**model.parameters, **chosen}, key))
    with closing(computing.run_units(fit_fold, units, slack_s=PATIENCE_S)) as outcomes:
        for unit, outcome in outcomes:
            found[unit.fold] = take_receipt(outcome.receipt, outcome.error)
            kept.keep(unit.key, _encode(found[unit.fold]))
    return [found[fold] for fold in sorted(found)]


def fit_fold(unit: FoldUnit) -> Held:
    """Fit to all folds but one, and predict that one.

    Parameters
    ----------
    unit : FoldUnit
        Which.

    Returns
    -------
    Held
        The same bits in any process.
    """
    import numpy as np
    from threadpoolctl import threadpool_limits

    block = load_sample(unit.sample)
    outside = unit.sample.assign(block) == unit.fold
    # A class that no row of the training split has may be in the whole table: nobody could learn it.
    known = block.y < len(unit.sample.material.classes) if unit.sample.material.classes else ~outside
    train, held = block.take(np.flatnonzero(~outside & known)), block.take(np.flatnonzero(outside))
    begun = time.process_time()
    predict = _fit(unit, train)
    with threadpool_limits(limits=1):
        y_pred, probabilities, margins = predict(held)
        y_train_pred, *_ = predict(train)
    seconds = time.process_time() - begun
    found = (y_pred, probabilities, margins, held.clusters, train.y, y_train_pred)
    return Held(unit.fold, held.y, *found, unit.parameters, seconds)


def _fit(unit: FoldUnit, train: Block) -> Callable[[Block], Predicted]:
    material = unit.sample.material
    if unit.entry.way == "baseline":
        by = unit.parameters.get("by", ())
        columns = (by,) if isinstance(by, str) else tuple(by)
        baseline = learn_baseline(unit.entry.name, material.classes, columns, train.rows, train.y)
        return lambda one: (baseline.predict(one.rows), baseline.predict_proba(one.rows), None)
    options = {"seed": unit.sample.seed, "n_classes": len(material.classes), "epochs": unit.model.passes.epochs}
    trained = train_rows(unit.entry, material.kind, unit.parameters, train.x, train.y, **options)

    def predict(one: Block) -> Predicted:
        shares = trained.predict_probabilities(one.x)
        return trained.predict(one.x), shares, trained.predict_margins(one.x) if shares is None else None

    return predict


def _encode(held: Held) -> bytes:
    """Give a fold as bytes: arrays as they are, without pickle, and the rest as JSON."""
    import numpy as np

    told = {"fold": held.fold, "parameters": held.parameters, "fit_seconds": held.fit_seconds}
    arrays = {name: getattr(held, name) for name in ARRAYS if getattr(held, name) is not None}
    buffer = io.BytesIO()
    np.savez(buffer, told=np.frombuffer(json.dumps(told).encode(), dtype=np.uint8), **arrays)
    return buffer.getvalue()


def _decode(content: bytes | None) -> Held | None:
    import numpy as np

    if content is None:
        return None
    with np.load(io.BytesIO(content), allow_pickle=False) as stored:
        arrays: dict[str, Any] = {name: stored.get(name) for name in ARRAYS}
        told: dict[str, Any] = json.loads(stored["told"].tobytes())
    return Held(**told, **arrays)
